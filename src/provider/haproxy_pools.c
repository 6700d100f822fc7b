/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * HAProxy's pools, and the tag: from 2.6 on, by default, the word behind an object in use is the
 * address of its pool. It names the pool of any address without a walk, and without DWARF.
 *
 * Without DWARF the offsets in struct pool_head are found, and proven, from what is known of it:
 * the pool of buffers has the name "buffer"; a ring of pointers joins all pools, among them those
 * that exported variables point to; and in all pools, of many sizes, two numbers differ by the same
 * room for a tag, and no two others say anything else. Else nothing is said.
 */
#include "provider/haproxy.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_POOLS 512
#define HEAD_BYTES 256 /* of a struct pool_head; what counts is at its start */
#define NAME_BYTES 12
#define MIN_RING 8     /* pools: fewer prove nothing */
#define MIN_SIZES 4    /* that differ, likewise */
#define MIN_EXPORTED 5 /* variables that point to pools, likewise */
#define LARGEST 131072 /* bytes that are searched for a tag */
#define PAGE 4096ULL
#define MAX_SLACK 48 /* bytes that malloc may give beyond what was asked for */

static const char *const thing_pools[NR_THINGS][2] = {
	[THING_CONNECTION] = { "pool_head_connection", "pool2_connection" },
	[THING_SESSION] = { "pool_head_session", "pool2_session" },
	[THING_STREAM] = { "pool_head_stream", "pool2_stream" },
	[THING_CONN_STREAM] = { "pool_head_connstream" },
	[THING_STCONN] = { "pool_head_connstream" },
	[THING_SEDESC] = { "pool_head_sedesc" },
	[THING_H1C] = { "pool_head_h1c" },
	[THING_H1S] = { "pool_head_h1s" },
	[THING_H2C] = { "pool_head_h2c" },
	[THING_H2S] = { "pool_head_h2s" },
	[THING_PASS] = { "pool_head_pt_ctx" },
	[THING_TLS] = { "ssl_sock_ctx_pool" },
	[THING_TABLE] = { "pool_head_hpack_tbl" },
	[THING_CHANNEL] = { "pool2_channel" },
	[THING_TASK] = { "pool_head_task", "pool2_task" },
	[THING_TASKLET] = { "pool_head_tasklet" },
	[THING_ADDRESS] = { "pool_head_sockaddr" },
	[THING_HASH] = { "pool_head_conn_hash_node" },
	[THING_TXN] = { "pool_head_http_txn", "pool2_http_txn" },
	[THING_APPCTX] = { "pool_head_appctx", "pool2_appctx" },
	[THING_CHANNEL_BUFFER] = { "pool_head_buffer", "pool2_buffer" },
	[THING_MUX_BUFFER] = { "pool_head_buffer", "pool2_buffer" },
};

struct layout {
	uint32_t name, list, size, extra;
	uint32_t bytes; /* that have to be read: what is behind them may be absent */
};

/* The heads of all pools, in the order of their list. */
struct ring {
	unsigned int nr;
	uint64_t head[MAX_POOLS];
	uint8_t (*bytes)[HEAD_BYTES];
};

static uint32_t word_at(const uint8_t *bytes, uint32_t offset)
{
	uint32_t word;

	memcpy(&word, bytes + offset, sizeof(word));
	return word;
}

static uint64_t pointer_at(const uint8_t *bytes, uint32_t offset)
{
	uint64_t pointer;

	memcpy(&pointer, bytes + offset, sizeof(pointer));
	return pointer;
}

static int read_pointer(const struct fp_host *host, uint64_t address, uint64_t *ret)
{
	uint64_t absent;

	return host->read(host, address, ret, sizeof(*ret), &absent);
}

/* What a variable of the program points to; 0: nothing, or no such variable. */
static int read_variable(const struct fp_host *host, const char *const names[2], uint64_t *ret)
{
	uint64_t address;

	*ret = 0;
	for (unsigned int i = 0; i < 2 && names[i]; i++)
		if (!host->symbol(host, names[i], &address, NULL))
			return read_pointer(host, address, ret);
	return 0;
}

static bool is_name(const uint8_t *text)
{
	unsigned int length = strnlen((const char *)text, NAME_BYTES);

	if (length < 2 || length == NAME_BYTES)
		return false;
	for (unsigned int i = 0; i < length; i++)
		if (!isgraph(text[i]))
			return false;
	return true;
}

/* Goes round by the pointers at @layout->list. One element has no name: the list's own head, in the
 * program; the order begins behind it. */
static int read_ring(const struct fp_host *host, const struct layout *layout, uint64_t start,
		     struct ring *ring)
{
	uint64_t head = start, next, absent;
	unsigned int nr = 0, first = 0, strangers = 0;

	do {
		uint8_t *bytes = ring->bytes[nr];
		int r = host->read(host, head, bytes, layout->bytes, &absent);

		if (r)
			return r;
		next = pointer_at(bytes, layout->list);
		if (is_name(bytes + layout->name)) {
			ring->head[nr++] = head;
		} else {
			strangers++;
			first = nr;
		}
		head = next - layout->list;
	} while (head != start && nr < MAX_POOLS && strangers < 2);
	if (head != start || strangers != 1 || nr < MIN_RING)
		return -ENOENT;
	ring->nr = nr;
	/* The first read is in the middle of the order. */
	for (unsigned int i = 0; i < first; i++) {
		uint8_t bytes[HEAD_BYTES];

		head = ring->head[0];
		memcpy(bytes, ring->bytes[0], HEAD_BYTES);
		memmove(ring->head, ring->head + 1, (nr - 1) * sizeof(*ring->head));
		memmove(ring->bytes, ring->bytes + 1, (nr - 1) * sizeof(*ring->bytes));
		ring->head[nr - 1] = head;
		memcpy(ring->bytes[nr - 1], bytes, HEAD_BYTES);
	}
	return 0;
}

static bool in_ring(const struct ring *ring, uint64_t head)
{
	for (unsigned int i = 0; i < ring->nr; i++)
		if (ring->head[i] == head)
			return true;
	return false;
}

/* May the numbers at @offset be sizes? Of all pools, and not of one kind only. */
static bool may_be_sizes(const struct ring *ring, uint32_t offset)
{
	uint32_t seen[MIN_SIZES];
	unsigned int nr = 0;

	for (unsigned int i = 0; i < ring->nr; i++) {
		uint32_t size = word_at(ring->bytes[i], offset);
		unsigned int k = 0;

		if (size < 16 || size > 1 << 30 || size % 8)
			return false;
		while (k < nr && seen[k] != size)
			k++;
		if (k == nr && nr < MIN_SIZES)
			seen[nr++] = size;
	}
	return nr == MIN_SIZES;
}

/* How much more is at @other than at @size, the same in all; 0: it is not. */
static uint32_t difference(const struct ring *ring, uint32_t size, uint32_t other)
{
	uint32_t extra = word_at(ring->bytes[0], other) - word_at(ring->bytes[0], size);

	for (unsigned int i = 1; i < ring->nr; i++)
		if (word_at(ring->bytes[i], other) - word_at(ring->bytes[i], size) != extra)
			return 0;
	return extra;
}

static bool same(const struct ring *ring, uint32_t a, uint32_t b)
{
	for (unsigned int i = 0; i < ring->nr; i++)
		if (word_at(ring->bytes[i], a) != word_at(ring->bytes[i], b))
			return false;
	return true;
}

/* Sets size and extra. Any other pair has to say the same: from 3.2 on, a sum of sizes is there
 * too, which is the size where no pools were merged. */
static int find_sizes(const struct ring *ring, struct layout *layout)
{
	bool found = false;

	for (uint32_t size = 0; size + 4 <= layout->name; size += 4) {
		if (!may_be_sizes(ring, size))
			continue;
		for (uint32_t other = 0; other + 4 <= layout->name; other += 4) {
			uint32_t extra = difference(ring, size, other);

			if (extra != 8 && extra != 16)
				continue;
			if (found && (extra != layout->extra || !same(ring, size, layout->size)))
				return -ENOENT;
			layout->size = size;
			layout->extra = extra;
			found = true;
		}
	}
	return found ? 0 : -ENOENT;
}

/* Are they all in it, the pools that the program exports? */
static bool complete(const struct fp_host *host, const struct ring *ring)
{
	unsigned int known = 0;

	for (unsigned int i = 0; i < NR_THINGS; i++) {
		uint64_t head;

		if (read_variable(host, thing_pools[i], &head) || !head)
			continue;
		if (!in_ring(ring, head))
			return false;
		known++;
	}
	return known >= MIN_EXPORTED;
}

/* Finds the layout without DWARF. */
static int deduce(const struct fp_host *host, uint64_t buffer, struct layout *layout,
		  struct ring *ring)
{
	uint8_t bytes[HEAD_BYTES];
	unsigned int found = 0;
	uint64_t absent, back;
	struct layout best = { 0 }, now = { .bytes = HEAD_BYTES };
	int r = host->read(host, buffer, bytes, sizeof(bytes), &absent);

	if (r)
		return r;
	while (memcmp(bytes + now.name, "buffer\0\0\0\0\0\0", NAME_BYTES))
		if ((now.name += 4) + NAME_BYTES > HEAD_BYTES)
			return -ENOENT;
	for (now.list = 0; now.list + 16 <= HEAD_BYTES; now.list += 8) {
		uint64_t next = pointer_at(bytes, now.list), self = buffer + now.list;

		if (next == self || next < PAGE || read_pointer(host, next + 8, &back) ||
		    back != self)
			continue;
		r = read_ring(host, &now, buffer, ring);
		if (r == -ENODATA)
			return r;
		if (r || !complete(host, ring) || find_sizes(ring, &now))
			continue;
		best = now;
		found++;
	}
	if (found != 1)
		return -ENOENT;
	*layout = best;
	return read_ring(host, layout, buffer, ring);
}

static uint32_t end_of(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* Where in struct pool_head things are, from DWARF. */
static bool read_layout(const struct fp_host *host, struct layout *ret, uint32_t *total)
{
	struct fp_member name, list, size, all;

	if (host->member(host, "struct pool_head", "name", &name) ||
	    host->member(host, "struct pool_head", "list", &list) ||
	    host->member(host, "struct pool_head", "size", &size) ||
	    name.offset + NAME_BYTES > HEAD_BYTES || list.offset + 16 > HEAD_BYTES ||
	    size.offset + 4 > HEAD_BYTES)
		return false;
	*total = size.offset;
	if (!host->member(host, "struct pool_head", "alloc_sz", &all) &&
	    all.offset + 4 <= HEAD_BYTES)
		*total = all.offset;
	*ret = (struct layout){ .name = name.offset, .list = list.offset, .size = size.offset };
	ret->bytes = end_of(end_of(ret->name + NAME_BYTES, ret->list + 16),
			    end_of(ret->size, *total) + 4);
	return true;
}

static int by_head(const void *a, const void *b)
{
	const struct pool *x = a, *y = b;

	return (x->head > y->head) - (x->head < y->head);
}

static void take(const struct fp_host *host, const struct layout *layout, const uint8_t *bytes,
		 uint64_t head, struct pool *ret)
{
	if (is_name(bytes + layout->name))
		*ret = (struct pool){ .head = head,
				      .size = word_at(bytes, layout->size),
				      .name = host->intern(host,
							   (const char *)bytes + layout->name) };
}

static int take_ring(const struct fp_host *host, const struct layout *layout,
		     const struct ring *ring, struct pools *pools)
{
	struct pool *pool = calloc(ring->nr, sizeof(*pool));

	if (!pool)
		return -ENOMEM;
	for (unsigned int i = 0; i < ring->nr; i++) {
		take(host, layout, ring->bytes[i], ring->head[i], &pool[i]);
		if (pool[i].size > pools->largest && pool[i].size <= LARGEST)
			pools->largest = pool[i].size;
	}
	qsort(pool, ring->nr, sizeof(*pool), by_head);
	pools->pool = pool;
	pools->nr = ring->nr;
	pools->extra = layout->extra == 8 || layout->extra == 16 ? layout->extra : 0;
	return 0;
}

/* The pool that a kind of object is taken from. */
static int take_thing(const struct fp_host *host, const struct layout *layout, enum thing thing,
		      struct pools *pools)
{
	const char *const *names = thing_pools[thing];
	uint8_t bytes[HEAD_BYTES];
	uint64_t head, absent;
	int r = read_variable(host, names, &head);

	if (!r && !head && thing == THING_STREAM) /* 1.5 */
		r = read_variable(host, thing_pools[THING_SESSION], &head);
	if (r || !head)
		return r;
	r = host->read(host, head, bytes, layout->bytes, &absent);
	if (!r)
		take(host, layout, bytes, head, &pools->of[thing]);
	return r;
}

int pools_load(const struct fp_host *host, struct pools *pools)
{
	struct ring ring = { .bytes = calloc(MAX_POOLS + 1, HEAD_BYTES) };
	struct layout layout = { 0 };
	uint64_t buffer = 0;
	uint32_t total;
	int r, result = 0;

	if (!ring.bytes)
		return -ENOMEM;
	r = read_variable(host, thing_pools[THING_CHANNEL_BUFFER], &buffer);
	if (!r && !buffer)
		r = -ENOENT;
	if (!r && read_layout(host, &layout, &total)) {
		for (unsigned int i = 0; i < NR_THINGS; i++)
			if (!pools->of[i].name && take_thing(host, &layout, i, pools) == -ENODATA)
				result = -ENODATA;
		r = pools->pool ? 0 : read_ring(host, &layout, buffer, &ring);
		if (!r && !pools->pool)
			layout.extra = difference(&ring, layout.size, total);
	} else if (!r) {
		r = deduce(host, buffer, &layout, &ring);
	}
	if (!r && !pools->pool)
		r = take_ring(host, &layout, &ring, pools);
	free(ring.bytes);
	return r ? r : result;
}

int pools_used(const struct fp_host *host, const char *name, uint64_t *ret)
{
	struct fp_member used, buckets = { .count = 1 };
	const char *const names[2] = { name };
	uint64_t head, sum = 0, absent;
	int r = read_variable(host, names, &head);

	/* From 2.9 on, spread over buckets. */
	if (!r && host->member(host, "struct pool_head", "used", &used)) {
		r = host->member(host, "struct pool_head", "buckets", &buckets);
		if (!r)
			r = host->member(host, "struct pool_head", "buckets[0].used", &used);
	}
	for (uint64_t i = 0; !r && head && i < buckets.count && i < MAX_POOLS; i++) {
		uint32_t number;

		r = host->read(host, head + used.offset + i * buckets.stride, &number,
			       sizeof(number), &absent);
		sum += r ? 0 : number;
	}
	if (!r)
		*ret = sum;
	return r;
}

void pools_release(struct pools *pools)
{
	free(pools->pool);
	memset(pools, 0, sizeof(*pools));
}

const struct pool *pools_find(const struct pools *pools, uint64_t head)
{
	struct pool key = { .head = head };

	if (!pools->nr || head < pools->pool[0].head || head > pools->pool[pools->nr - 1].head)
		return NULL;
	return bsearch(&key, pools->pool, pools->nr, sizeof(key), by_head);
}

/* A pool's address is kept in other places too. Behind an object in use it is where malloc's own
 * note of the size, before the object, says that a chunk of this pool ends. */
int pools_check(const struct fp_host *host, const struct pools *pools, const struct pool *pool,
		uint64_t base)
{
	uint64_t chunk, wanted = (pool->size + pools->extra + 8 + 15) & ~15ULL;
	bool mapped;
	int r = read_pointer(host, base - 8, &chunk);

	if (r)
		return r;
	mapped = chunk & 2;
	chunk &= ~7ULL;
	return chunk >= wanted && chunk - wanted <= (mapped ? PAGE + 16 : MAX_SLACK) ? 0 : -ENOENT;
}

int pools_by_tag(const struct fp_host *host, const struct pools *pools, uint64_t address,
		 const struct pool **ret, uint64_t *base)
{
	uint64_t words[PAGE / 8], at = (address & ~7ULL) + 8, end = at + pools->largest, absent;
	int result = -ENOENT;

	if (!pools->extra)
		return -ENOENT;
	for (uint64_t next; at < end; at = next) {
		int r;

		next = (at | (PAGE - 1)) + 1;
		r = host->read(host, at, words, next - at, &absent);
		if (r == -EFAULT)
			break;
		if (r)
			result = -ENODATA;
		for (uint64_t i = 0; !r && i < (next - at) / 8; i++) {
			uint64_t tag = at + i * 8;
			const struct pool *pool = pools_find(pools, words[i]);

			if (!pool || tag - pool->size > address || pool->size > tag - PAGE ||
			    (tag - pool->size) % 16)
				continue;
			r = pools_check(host, pools, pool, tag - pool->size);
			if (!r) {
				*ret = pool;
				*base = tag - pool->size;
				return 0;
			}
			if (r == -ENODATA)
				result = r;
			r = 0;
		}
	}
	return result;
}
