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
#include "collect/presence.h"

/*
 * The cache: clusters of neighbouring pages. Where a walk through memory passes by, all of a
 * cluster is looked at, and all of it that is present is read: a call costs a microsecond or more,
 * a page in a row of them half of that, its word a tenth. Elsewhere, as in a proxy whose
 * connections have come and gone for long, the neighbours are not of use.
 */
#define CLUSTER 16 /* pages */
#define CLUSTER_BYTES (CLUSTER * PAGE_BYTES)
#define ALL_PAGES 0xffff
#define BUSY 8 /* pages of a cluster asked for that tell of a walk through all of it */
#define WAYS 4
#define SETS 8
#define NOT_KNOWN UINT64_MAX

struct cluster {
	uint64_t base;
	uint64_t used; /* when, by memory->clock; 0: free */
	uint16_t
		valid; /* pages whose content is here; the others below, too: a bit for each page */
	uint16_t asked;	   /* by a read */
	uint16_t readable; /* ordinary memory */
	uint16_t looked;   /* of these, the rest is known */
	uint16_t present, swapped;
	uint16_t devices; /* of no file, page cache or the like */
	char *data;
};

struct memory {
	struct layout layout;
	struct pages *pages;
	struct presence *presence; /* of this round */
	int pagemap, mem, status;  /* status: -1 when it may not be read */
	uint64_t swapped_kb;	   /* before the last scan; NOT_KNOWN */
	bool refreshed;		   /* the layout, in this round */
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
	presence_forget(&m->presence);
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
	presence_forget(&m->presence);
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

/* What belongs to no file is in a shared mapping no memory of the kernel's. */
static void apply_layout(struct memory *m, struct cluster *c)
{
	const struct layout_mapping *mapping = layout_behind(&m->layout, c->base);
	const struct layout_mapping *end = m->layout.mappings + m->layout.nr;

	c->readable = 0;
	for (; mapping && mapping < end && mapping->start < c->base + CLUSTER_BYTES; mapping++) {
		uint16_t pages = pages_in(c->base, mapping->start, mapping->end);

		if (mapping->memory && mapping->read)
			c->readable |= mapping->shared ? pages & ~c->devices : pages;
	}
}

/* What is there of @pages now, and of those between them? */
static int look(struct memory *m, struct cluster *c, uint16_t pages)
{
	unsigned int first = __builtin_ctz(pages), behind = 32 - __builtin_clz(pages);
	uint64_t entries[CLUSTER];
	int r = pagemap_read(m->pagemap, (c->base >> PAGE_SHIFT) + first, behind - first, entries);

	if (r)
		return r;
	for (unsigned int i = first; i < behind; i++) {
		uint64_t entry = entries[i - first];
		uint16_t page = 1U << i;

		c->looked |= page;
		c->present &= ~page;
		c->swapped &= ~page;
		c->devices &= ~page;
		if (pagemap_present(entry))
			c->present |= page;
		if (pagemap_swapped(entry))
			c->swapped |= page;
		if (pagemap_present(entry) && !(entry & PAGEMAP_FILE))
			c->devices |= page;
	}
	apply_layout(m, c);
	return 0;
}

/* Where the cluster is, if it is. */
static struct cluster *set_of(struct memory *m, uint64_t base)
{
	uint64_t hash = (base / CLUSTER_BYTES) * 0x9e3779b97f4a7c15ULL;

	return m->clusters[hash >> 61];
}

static struct cluster *find(struct memory *m, uint64_t base)
{
	struct cluster *set = set_of(m, base);

	for (unsigned int i = 0; i < WAYS; i++)
		if (set[i].base == base && set[i].used)
			return &set[i];
	return NULL;
}

static bool busy(const struct cluster *c)
{
	return c && __builtin_popcount(c->asked) >= BUSY;
}

/* Does a walk through memory pass by? */
static bool in_walk(struct memory *m, uint64_t base)
{
	return busy(find(m, base)) || busy(find(m, base - CLUSTER_BYTES)) ||
	       busy(find(m, base + CLUSTER_BYTES));
}

static struct cluster *replace(struct memory *m, uint64_t base)
{
	struct cluster *set = set_of(m, base), *oldest = set;

	for (unsigned int i = 1; i < WAYS; i++)
		if (set[i].used < oldest->used)
			oldest = &set[i];
	*oldest = (struct cluster){ .base = base, .data = oldest->data };
	return oldest;
}

/* The cluster, of which @want was looked at in this round; *@fresh: what was right now. */
static int get(struct memory *m, uint64_t base, uint16_t want, struct cluster **ret,
	       uint16_t *fresh)
{
	struct cluster *c = find(m, base);
	int r = 0;

	if (!c)
		c = replace(m, base);
	*fresh = want & ~c->looked;
	if (*fresh && in_walk(m, base))
		*fresh = ALL_PAGES;
	if (*fresh)
		r = look(m, c, *fresh);
	/* Not mapped or not allowed, or no longer? */
	if (!r && !m->refreshed && want & ~(c->readable & (c->present | c->swapped))) {
		r = refresh(m);
		if (!r)
			apply_layout(m, c);
	}
	if (r)
		return r;
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

/* Sets *@ret to the cluster with the content of the pages @want; else *@bad to the first that is
 * missing. Else no more is read than is asked for, for that is kept from being swapped out: but in
 * a walk all that is there. */
static int content(struct memory *m, uint64_t base, uint16_t want, struct cluster **ret,
		   unsigned int *bad)
{
	uint16_t missing, fresh;
	struct cluster *c;
	int r = get(m, base, want, &c, &fresh);

	*bad = 0;
	if (r)
		return r;
	c->asked |= want;
	missing = want & ~c->valid;
	if (missing && !(missing & ~there(c))) {
		uint16_t pages = in_walk(m, base) ? ALL_PAGES & ~c->valid : missing;

		if (pages & ~fresh)
			r = look(m, c, pages);
		if (!r)
			r = fetch(m, c, there(c) & pages);
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

int memory_presence(struct memory *m, uint64_t base, uint64_t size, uint64_t *present_bytes,
		    uint64_t *swapped_bytes)
{
	uint64_t present = 0, swapped = 0, end = base + size;
	int r;

	if (size > MEMORY_MAX_PRESENCE || end < base || end > -CLUSTER_BYTES)
		return -EINVAL;
	r = presence_add(&m->presence, m->pagemap, base, end, &present, &swapped);
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
