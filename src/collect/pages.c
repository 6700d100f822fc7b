/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A page that is swapped out has a stamp: the number of the scan that saw it so first. Stamps lie
 * in chunks of 2 MB of addresses, in a hash, as long as one of its pages is swapped out. A scan
 * sets bits; when it has come to its end, bits become stamps, so that one that fails changes
 * nothing.
 *
 * The times of scans are a table. When it is full, every other scan is forgotten, and the one that
 * stands for both keeps what is true for both.
 */
#include "collect/pages.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/clock.h"
#include "collect/pagemap.h"

#define CHUNK 512 /* pages */
#define CHUNK_BYTES (CHUNK * PAGE_BYTES)
#define MAX_CHUNKS 32768
#define MAX_SCANS 4096 /* even, and less than the flags of a stamp */
#define UNSURE 0x8000  /* not known whether it was swapped out before */
#define CAME_IN 0x4000 /* the last scan saw it so */
#define FLAGS (UNSURE | CAME_IN)
#define MAX_RANGE (64ULL << 30) /* of PAGES_READ */
#define WINDOW                                                                             \
	(256UL << 20) /* of PAGES_IOCTL: a quarter of a millisecond under the lock of maps \
		       */

/* As in <linux/fs.h>, from 6.7 on. */
struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

struct scan_region {
	uint64_t start, end, categories;
};

#define SCAN _IOWR('f', 16, struct scan_arg)
#define SCAN_SWAPPED (1 << 4)
#define SCAN_GUARD (1 << 8) /* from 6.16 on */

struct chunk {
	uint64_t number; /* address / CHUNK_BYTES */
	UT_hash_handle hh;
	uint64_t swapped[CHUNK / 64]; /* bits of the scan that is going on */
	uint16_t stamps[CHUNK];	      /* 0: not swapped out */
};

struct scan_time {
	uint64_t begin_ns, end_ns;
};

struct pages {
	int pagemap;
	enum pages_source source;
	uint64_t inverted; /* categories that a page must not have */
	struct chunk *chunks;
	unsigned int nr_chunks;
	bool refused;	    /* a chunk, in the scan that is going on */
	bool complete;	    /* none was in the last scan */
	uint64_t left_out;  /* bytes of the ranges that the last scan left out */
	unsigned int scans; /* the number of the last one; from 1 */
	struct scan_time times[MAX_SCANS + 1];
	union {
		struct scan_region regions[CHUNK];
		uint64_t entries[CHUNK];
	};
};

/* Swapped out, but none of @inverted. Returns how many regions are in pages->regions, or -errno. */
static int scan_ioctl(struct pages *p, uint64_t start, uint64_t end, uint64_t *walked)
{
	struct scan_arg arg = {
		.size = sizeof(arg),
		.start = start,
		.end = end,
		.vec = (uintptr_t)p->regions,
		.vec_len = CHUNK,
		.category_inverted = p->inverted,
		.category_mask = SCAN_SWAPPED | p->inverted,
	};
	int n = ioctl(p->pagemap, SCAN, &arg);

	if (n < 0)
		return -errno;
	*walked = arg.walk_end;
	return n;
}

enum pages_source pages_source(int pagemap)
{
	struct scan_arg arg = {
		.size = sizeof(arg),
		.end = PAGE_BYTES,
		.category_mask = SCAN_SWAPPED,
	};

	return ioctl(pagemap, SCAN, &arg) < 0 ? PAGES_READ : PAGES_IOCTL;
}

int pages_new(int pagemap, enum pages_source source, struct pages **ret)
{
	struct pages *p = calloc(1, sizeof(*p));
	uint64_t walked;

	if (!p)
		return -ENOMEM;
	p->pagemap = pagemap;
	p->source = source;
	/* Not pages of files: to tell them costs the walk ten times as much. */
	p->inverted = SCAN_GUARD;
	if (source == PAGES_IOCTL && scan_ioctl(p, 0, PAGE_BYTES, &walked) == -EINVAL)
		p->inverted = 0;
	*ret = p;
	return 0;
}

static void drop(struct pages *p, struct chunk *chunk)
{
	HASH_DEL(p->chunks, chunk);
	free(chunk);
	p->nr_chunks--;
}

void pages_free(struct pages *p)
{
	struct chunk *chunk, *next;

	if (!p)
		return;
	HASH_ITER (hh, p->chunks, chunk, next)
		drop(p, chunk);
	free(p);
}

static struct chunk *find(const struct pages *p, uint64_t number)
{
	struct chunk *chunk;

	HASH_FIND(hh, p->chunks, &number, sizeof(number), chunk);
	return chunk;
}

static struct chunk *get(struct pages *p, uint64_t number)
{
	struct chunk *chunk = find(p, number);

	if (chunk || p->nr_chunks == MAX_CHUNKS)
		return chunk;
	chunk = calloc(1, sizeof(*chunk));
	if (!chunk)
		return NULL;
	chunk->number = number;
	HASH_ADD(hh, p->chunks, number, sizeof(number), chunk);
	if (!chunk->hh.tbl) {
		free(chunk);
		return NULL;
	}
	p->nr_chunks++;
	return chunk;
}

static void set_bits(struct chunk *chunk, unsigned int first, unsigned int nr)
{
	while (nr) {
		unsigned int bit = first % 64, n = nr < 64 - bit ? nr : 64 - bit;

		chunk->swapped[first / 64] |= ~0ULL >> (64 - n) << bit;
		first += n;
		nr -= n;
	}
}

static void mark(struct pages *p, uint64_t start, uint64_t end, struct pages_scan *scan)
{
	while (start < end) {
		struct chunk *chunk = get(p, start / CHUNK_BYTES);
		uint64_t next = (start / CHUNK_BYTES + 1) * CHUNK_BYTES;

		if (next > end)
			next = end;
		if (!chunk) {
			p->refused = true;
			scan->uncovered_bytes += next - start;
			start = next;
			continue;
		}
		scan->swapped_bytes += next - start;
		set_bits(chunk, start / PAGE_BYTES % CHUNK, (next - start) / PAGE_BYTES);
		start = next;
	}
}

static int walk_ioctl(struct pages *p, uint64_t start, uint64_t end, struct pages_scan *scan)
{
	while (start < end) {
		uint64_t stop = end - start < WINDOW ? end : start + WINDOW;
		int n = scan_ioctl(p, start, stop, &start);

		if (n < 0)
			return n;
		for (int i = 0; i < n; i++)
			mark(p, p->regions[i].start, p->regions[i].end, scan);
	}
	return 0;
}

static int walk_read(struct pages *p, uint64_t start, uint64_t end, struct pages_scan *scan)
{
	while (start < end) {
		size_t left = (end - start) / PAGE_BYTES, nr = left < CHUNK ? left : CHUNK;
		int r = pagemap_read(p->pagemap, start / PAGE_BYTES, nr, p->entries);

		if (r)
			return r;
		for (size_t i = 0; i < nr; i++, start += PAGE_BYTES)
			if (pagemap_swapped(p->entries[i]))
				mark(p, start, start + PAGE_BYTES, scan);
	}
	return 0;
}

/* Two scans become one, of the earlier one's beginning for what comes after it, of the later one's
 * end for what comes before it. What the first saw is not known to have begun after anything. */
static void thin(struct pages *p)
{
	struct chunk *chunk, *next;

	HASH_ITER (hh, p->chunks, chunk, next)
		for (unsigned int i = 0; i < CHUNK; i++) {
			unsigned int stamp = chunk->stamps[i];

			chunk->stamps[i] = ((stamp & ~FLAGS) + 1) / 2 | (stamp & FLAGS);
		}
	p->scans /= 2;
	for (unsigned int i = 1; i <= p->scans; i++)
		p->times[i] = p->times[2 * i];
}

/* Makes stamps of bits. What came in is kept for one scan more, as word of the fault may be late.
 * Returns whether any stamp is left. */
static bool settle(struct chunk *chunk, uint16_t stamp)
{
	bool any = false;

	for (unsigned int i = 0; i < CHUNK; i++) {
		uint16_t *old = &chunk->stamps[i];

		if (chunk->swapped[i / 64] >> i % 64 & 1)
			*old = !*old || *old & CAME_IN ? stamp : *old;
		else if (*old)
			*old = *old & CAME_IN ? 0 : *old | CAME_IN;
		any |= *old;
	}
	return any;
}

/* Ends a scan. @stamp: of what it is the first to see; 0: it failed, bits are forgotten. */
static void finish(struct pages *p, uint16_t stamp)
{
	static const uint16_t none[CHUNK];
	struct chunk *chunk, *next;

	HASH_ITER (hh, p->chunks, chunk, next) {
		bool any = stamp ? settle(chunk, stamp) : memcmp(chunk->stamps, none, sizeof(none));

		if (any)
			memset(chunk->swapped, 0, sizeof(chunk->swapped));
		else
			drop(p, chunk);
	}
}

static int walk(struct pages *p, const struct pages_range *ranges, size_t nr,
		struct pages_scan *scan, uint64_t *left_out)
{
	uint64_t first;
	int r = 0;

	for (size_t i = 0; !r && i < nr; i++) {
		uint64_t start = ranges[i].start, end = ranges[i].end;

		if (p->source == PAGES_IOCTL)
			r = walk_ioctl(p, start, end, scan);
		else if (end - start > MAX_RANGE)
			*left_out += end - start;
		else
			r = walk_read(p, start, end, scan);
	}
	scan->uncovered_bytes += *left_out;
	/* Is it still there? An end of it looks empty where nothing was to be walked. */
	return r ? r : pagemap_read(p->pagemap, 0, 1, &first);
}

int pages_scan(struct pages *p, const struct pages_range *ranges, size_t nr, struct pages_scan *ret)
{
	uint64_t begin = clock_now_ns(), end, left_out = 0;
	struct pages_scan scan = { 0 };
	bool sure;
	int r;

	p->refused = false;
	r = walk(p, ranges, nr, &scan, &left_out);
	if (r) {
		finish(p, 0);
		return r;
	}
	end = clock_now_ns();
	if (p->scans == MAX_SCANS)
		thin(p);
	p->times[++p->scans] = (struct scan_time){ begin, end };
	sure = p->complete && left_out == p->left_out;
	finish(p, p->scans | (sure ? 0 : UNSURE));
	p->complete = !p->refused;
	p->left_out = left_out;
	scan.took_ns = end - begin;
	if (ret)
		*ret = scan;
	return 0;
}

int pages_swapped_out(const struct pages *p, uint64_t address, uint64_t *after_ns,
		      uint64_t *before_ns)
{
	const struct chunk *chunk = find(p, address / CHUNK_BYTES);
	unsigned int stamp = chunk ? chunk->stamps[address / PAGE_BYTES % CHUNK] : 0;

	if (!stamp)
		return -ENOENT;
	*after_ns = stamp & UNSURE ? 0 : p->times[(stamp & ~FLAGS) - 1].begin_ns;
	*before_ns = p->times[stamp & ~FLAGS].end_ns;
	return 0;
}

void pages_came_in(struct pages *p, uint64_t address, uint64_t time_ns)
{
	struct chunk *chunk = find(p, address / CHUNK_BYTES);
	uint16_t *stamp = chunk ? &chunk->stamps[address / PAGE_BYTES % CHUNK] : NULL;
	unsigned int scan = p->scans + 1;

	if (!stamp || !*stamp)
		return;
	/* The first scan that began afterwards saw it swapped out again. */
	while (scan > 1 && p->times[scan - 1].begin_ns > time_ns)
		scan--;
	if (*stamp & CAME_IN || scan > p->scans)
		*stamp = 0;
	else if ((*stamp & ~FLAGS) < scan)
		*stamp = scan;
}
