/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "collect/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/grow.h"
#include "collect/layout.h"
#include "collect/pagemap.h"
#include "collect/pages.h"

/*
 * The cache: clusters of neighbouring pages. The first look at a cluster reads the pagemap words of
 * all its pages, for little more than the price of one. Then a few pages are read, or all that are
 * present where a walk through memory passes by: a call costs a microsecond or more, a page in a
 * row of them half of that.
 */
#define CLUSTER 16 /* pages */
#define CLUSTER_BYTES (CLUSTER * PAGE_BYTES)
#define BUSY 8 /* pages of a cluster asked for that tell of a walk through all of it */
#define WAYS 4
#define SETS 16
#define NOT_KNOWN UINT64_MAX
#define BULK 512 /* pages whose words are read at a time where no cluster is kept */

struct cluster {
	uint64_t base;
	uint64_t used; /* when, by memory->clock; 0: free */
	uint16_t
		valid; /* pages whose content is here; the others below, too: a bit for each page */
	uint16_t asked;	   /* by a read */
	uint16_t readable; /* ordinary memory */
	uint16_t present, swapped;
	char *data;
};

struct memory {
	struct layout layout;
	struct pages *pages;
	int pagemap, mem, status; /* status: -1 when it may not be read */
	uint64_t swapped_kb;	  /* before the last scan; NOT_KNOWN */
	bool refreshed;		  /* the layout, in this round */
	uint64_t clock;
	struct cluster clusters[SETS][WAYS];
	char *data; /* of all of them */
};

static int open_files(struct memory *m, int proc)
{
	int r = layout_open(&m->layout, proc);

	if (r)
		return r;
	m->pagemap = openat(proc, "pagemap", O_RDONLY | O_CLOEXEC);
	if (m->pagemap >= 0)
		m->mem = openat(proc, "mem", O_RDONLY | O_CLOEXEC);
	if (m->mem < 0)
		return -errno;
	m->status = openat(proc, "status", O_RDONLY | O_CLOEXEC);
	/* The oldest of the first three is alive: no exec came between them. */
	m->refreshed = true;
	r = layout_refresh(&m->layout);
	return r ? r : pages_new(m->pagemap, pages_source(m->pagemap), &m->pages);
}

int memory_open(pid_t pid, struct memory **ret)
{
	struct memory *m = calloc(1, sizeof(*m));
	int proc, r = -ENOMEM;
	char path[32];

	if (!m)
		return -ENOMEM;
	m->layout.maps = m->pagemap = m->mem = m->status = -1;
	m->swapped_kb = NOT_KNOWN;
	snprintf(path, sizeof(path), "/proc/%d", pid);
	proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	m->data = malloc(SETS * WAYS * CLUSTER_BYTES);
	if (proc < 0)
		r = -errno;
	else if (m->data)
		r = open_files(m, proc);
	if (proc >= 0)
		close(proc);
	if (r) {
		memory_close(m);
		return r == -ENOENT ? -ESRCH : r;
	}
	for (size_t i = 0; i < SETS * WAYS; i++)
		m->clusters[i / WAYS][i % WAYS].data = m->data + i * CLUSTER_BYTES;
	*ret = m;
	return 0;
}

void memory_close(struct memory *m)
{
	if (!m)
		return;
	pages_free(m->pages);
	layout_close(&m->layout);
	if (m->pagemap >= 0)
		close(m->pagemap);
	if (m->mem >= 0)
		close(m->mem);
	if (m->status >= 0)
		close(m->status);
	free(m->data);
	free(m);
}

void memory_round(struct memory *m)
{
	for (size_t i = 0; i < SETS * WAYS; i++)
		m->clusters[i / WAYS][i % WAYS].used = 0;
	m->refreshed = false;
}

static int refresh(struct memory *m)
{
	if (m->refreshed)
		return 0;
	m->refreshed = true;
	return layout_refresh(&m->layout);
}

/* ---- clusters ---- */

/* Bits for the pages that [start, end) has in the cluster at @base. */
static uint16_t pages_in(uint64_t base, uint64_t start, uint64_t end)
{
	unsigned int first, behind;

	if (end <= base || start >= base + CLUSTER_BYTES)
		return 0;
	first = start > base ? (start - base) >> PAGE_SHIFT : 0;
	behind = end - base < CLUSTER_BYTES ? (end - base + PAGE_BYTES - 1) >> PAGE_SHIFT : CLUSTER;
	return (uint16_t)((1U << behind) - (1U << first));
}

/* @devices: pages that belong to no file, page cache or the like, which in a shared mapping means
 * that they are no memory of the kernel's. */
static void apply_layout(struct memory *m, struct cluster *c, uint16_t devices)
{
	const struct layout_mapping *mapping = layout_behind(&m->layout, c->base);
	const struct layout_mapping *end = m->layout.mappings + m->layout.nr;

	c->readable = 0;
	for (; mapping && mapping < end && mapping->start < c->base + CLUSTER_BYTES; mapping++) {
		uint16_t pages = pages_in(c->base, mapping->start, mapping->end);

		if (mapping->memory && mapping->read)
			c->readable |= mapping->shared ? pages & ~devices : pages;
	}
}

/* What is there now? @want: the pages that matter. */
static int look(struct memory *m, struct cluster *c, uint16_t want)
{
	uint64_t entries[CLUSTER];
	uint16_t devices = 0;
	int r = pagemap_read(m->pagemap, c->base >> PAGE_SHIFT, CLUSTER, entries);

	if (r)
		return r;
	c->present = c->swapped = 0;
	for (unsigned int i = 0; i < CLUSTER; i++) {
		c->present |= pagemap_present(entries[i]) << i;
		c->swapped |= pagemap_swapped(entries[i]) << i;
		devices |= (pagemap_present(entries[i]) && !(entries[i] & PAGEMAP_FILE)) << i;
	}
	apply_layout(m, c, devices);
	/* Not mapped or not allowed, or no longer? */
	if (!m->refreshed && want & ~(c->readable & (c->present | c->swapped))) {
		r = refresh(m);
		if (!r)
			apply_layout(m, c, devices);
	}
	return r;
}

/* Where the cluster is, if it is. */
static struct cluster *set_of(struct memory *m, uint64_t base)
{
	uint64_t hash = (base / CLUSTER_BYTES) * 0x9e3779b97f4a7c15ULL;

	return m->clusters[hash >> 60];
}

static struct cluster *find(struct memory *m, uint64_t base)
{
	struct cluster *set = set_of(m, base);

	for (unsigned int i = 0; i < WAYS; i++)
		if (set[i].base == base && set[i].used)
			return &set[i];
	return NULL;
}

/* The cluster, looked at in this round; *@fresh: right now. */
static int get(struct memory *m, uint64_t base, uint16_t want, struct cluster **ret, bool *fresh)
{
	struct cluster *c = find(m, base);

	*fresh = !c;
	if (!c) {
		int r;

		c = set_of(m, base);
		for (struct cluster *other = c + 1; other < set_of(m, base) + WAYS; other++)
			if (other->used < c->used)
				c = other;
		c->base = base;
		c->used = c->valid = c->asked = 0;
		r = look(m, c, want);
		if (r)
			return r;
	}
	c->used = ++m->clock;
	*ret = c;
	return 0;
}

/* Reads @pages, which were present just now. One that is gone nevertheless is left out. */
static int fetch(struct memory *m, struct cluster *c, uint16_t pages)
{
	while (pages) {
		unsigned int first = __builtin_ctz(pages);
		unsigned int nr = __builtin_ctz(~((unsigned int)pages >> first));
		uint16_t run = (uint16_t)(((1U << nr) - 1) << first);
		ssize_t n = pread(m->mem, c->data + first * PAGE_BYTES, nr * PAGE_BYTES,
				  (off_t)(c->base + first * PAGE_BYTES));

		if (!n)
			return -ESRCH;
		if (n < 0 && errno != EIO)
			return -errno;
		nr = n < 0 ? 0 : n >> PAGE_SHIFT;
		c->valid |= run & ((1U << (first + nr)) - 1);
		c->present &= ~run | c->valid;
		pages &= ~run;
	}
	return 0;
}

static uint16_t there(const struct cluster *c)
{
	return c->present & c->readable;
}

static bool busy(const struct cluster *c)
{
	return c && __builtin_popcount(c->asked) >= BUSY;
}

/* What to read when @missing are: in a walk through memory all that is there; else no more, for
 * what is read is kept from being swapped out. */
static uint16_t worth_reading(struct memory *m, const struct cluster *c, uint16_t missing)
{
	bool walk = busy(c) || busy(find(m, c->base - CLUSTER_BYTES)) ||
		    busy(find(m, c->base + CLUSTER_BYTES));

	return there(c) & ~c->valid & (walk ? -1 : missing);
}

/* Sets *@ret to the cluster with the content of the pages @want; else *@bad to the first that is
 * missing. */
static int content(struct memory *m, uint64_t base, uint16_t want, struct cluster **ret,
		   unsigned int *bad)
{
	struct cluster *c;
	uint16_t missing;
	bool fresh;
	int r = get(m, base, want, &c, &fresh);

	*bad = 0;
	if (r)
		return r;
	c->asked |= want;
	missing = want & ~c->valid;
	if (missing && !(missing & ~there(c))) {
		r = fresh ? 0 : look(m, c, missing);
		if (!r)
			r = fetch(m, c, worth_reading(m, c, missing));
		if (r)
			return r;
		missing = want & ~c->valid;
	}
	*ret = c;
	if (!missing)
		return 0;
	*bad = __builtin_ctz(missing & ~there(c));
	return c->readable >> *bad & 1 ? -ENODATA : -EFAULT;
}

int memory_read(struct memory *m, uint64_t address, void *buf, size_t size, uint64_t *absent)
{
	char *to = buf;

	if (size > MEMORY_MAX_READ)
		return -EINVAL;
	/* The last cluster of all is nobody's; without it no end can wrap around. */
	if (address + size < address || address + size > -CLUSTER_BYTES)
		return -EFAULT;
	while (size) {
		uint64_t base = address & ~(CLUSTER_BYTES - 1), offset = address - base;
		size_t n = size < CLUSTER_BYTES - offset ? size : CLUSTER_BYTES - offset;
		uint16_t want = pages_in(base, address, address + n);
		struct cluster *c = find(m, base);

		if (!c || want & ~c->valid) {
			unsigned int bad;
			int r = content(m, base, want, &c, &bad);

			if (r == -ENODATA && absent)
				*absent = base + bad * PAGE_BYTES;
			if (r)
				return r;
		}
		c->asked |= want;
		c->used = ++m->clock;
		memcpy(to, c->data + offset, n);
		to += n;
		address += n;
		size -= n;
	}
	return 0;
}

int memory_mapping(struct memory *m, uint64_t address, bool next, struct fp_mapping *ret)
{
	const struct layout_mapping *mapping = layout_find(&m->layout, address);

	if (!mapping) {
		int r = refresh(m);

		if (r)
			return r;
		mapping = next ? layout_behind(&m->layout, address)
			       : layout_find(&m->layout, address);
	}
	if (!mapping)
		return -ENOENT;
	*ret = (struct fp_mapping){ .start = mapping->start,
				    .end = mapping->end,
				    .write = mapping->write,
				    .exec = mapping->exec,
				    .shared = mapping->shared,
				    .name = mapping->name };
	return 0;
}

/* ---- presence ---- */

/* Bytes that [start, end) has in the page at @page. */
static uint64_t overlap(uint64_t page, uint64_t start, uint64_t end)
{
	uint64_t from = page > start ? page : start;
	uint64_t to = page + PAGE_BYTES < end ? page + PAGE_BYTES : end;

	return to - from;
}

static int presence_small(struct memory *m, uint64_t start, uint64_t end, uint64_t *present,
			  uint64_t *swapped)
{
	uint64_t page = start & ~(PAGE_BYTES - 1);

	while (page < end) {
		uint64_t base = page & ~(CLUSTER_BYTES - 1);
		uint16_t want = pages_in(base, page, end);
		struct cluster *c;
		bool fresh;
		int r = get(m, base, want, &c, &fresh);

		if (r)
			return r;
		for (; page < end && page < base + CLUSTER_BYTES; page += PAGE_BYTES) {
			unsigned int i = (page - base) >> PAGE_SHIFT;

			if (c->present >> i & 1)
				*present += overlap(page, start, end);
			if (c->swapped >> i & 1)
				*swapped += overlap(page, start, end);
		}
	}
	return 0;
}

static int presence_large(struct memory *m, uint64_t start, uint64_t end, uint64_t *present,
			  uint64_t *swapped)
{
	uint64_t page = start & ~(PAGE_BYTES - 1), entries[BULK];

	while (page < end) {
		uint64_t left = (end - page + PAGE_BYTES - 1) >> PAGE_SHIFT;
		size_t nr = left < BULK ? left : BULK;
		int r = pagemap_read(m->pagemap, page >> PAGE_SHIFT, nr, entries);

		if (r)
			return r;
		for (size_t i = 0; i < nr; i++, page += PAGE_BYTES) {
			if (pagemap_present(entries[i]))
				*present += overlap(page, start, end);
			if (pagemap_swapped(entries[i]))
				*swapped += overlap(page, start, end);
		}
	}
	return 0;
}

int memory_presence(struct memory *m, uint64_t base, uint64_t size, uint64_t *present_bytes,
		    uint64_t *swapped_bytes)
{
	uint64_t present = 0, swapped = 0, end = base + size;
	int r;

	if (size > MEMORY_MAX_PRESENCE || end < base || end > -CLUSTER_BYTES)
		return -EINVAL;
	if (size <= 4 * CLUSTER_BYTES)
		r = presence_small(m, base, end, &present, &swapped);
	else
		r = presence_large(m, base, end, &present, &swapped);
	if (r)
		return r;
	*present_bytes = present;
	*swapped_bytes = swapped;
	return 0;
}

/* ---- page ages ---- */

/* As the kernel counts. */
static uint64_t swapped_kb(const struct memory *m)
{
	static const char key[] = "\nVmSwap:";
	char text[4096];
	ssize_t n = m->status >= 0 ? pread(m->status, text, sizeof(text) - 1, 0) : -1;
	const char *line;

	text[n > 0 ? n : 0] = '\0';
	line = strstr(text, key);
	return line ? strtoull(line + sizeof(key) - 1, NULL, 10) : NOT_KNOWN;
}

bool memory_swap_moved(const struct memory *m)
{
	uint64_t now = swapped_kb(m);

	return now == NOT_KNOWN || now != m->swapped_kb;
}

int memory_scan(struct memory *m, struct pages_scan *ret)
{
	struct pages_range *ranges = NULL;
	uint64_t before = swapped_kb(m);
	size_t nr = 0;
	int r = layout_refresh(&m->layout);

	m->swapped_kb = NOT_KNOWN;
	m->refreshed = !r;
	for (size_t i = 0; !r && i < m->layout.nr; i++) {
		const struct layout_mapping *mapping = &m->layout.mappings[i];

		if (mapping->shared || !mapping->memory)
			continue;
		r = grow(&ranges, nr, sizeof(*ranges));
		if (!r)
			ranges[nr++] = (struct pages_range){ mapping->start, mapping->end };
	}
	if (!r)
		r = pages_scan(m->pages, ranges, nr, ret);
	free(ranges);
	if (!r)
		m->swapped_kb = before;
	return r;
}

int memory_swapped_out(struct memory *m, uint64_t page, uint64_t *after_ns, uint64_t *before_ns)
{
	return pages_swapped_out(m->pages, page, after_ns, before_ns);
}

void memory_came_in(struct memory *m, uint64_t page, uint64_t time_ns)
{
	pages_came_in(m->pages, page, time_ns);
}
