/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "collect/presence.h"

#include <errno.h>
#include <stdlib.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "collect/pagemap.h"

#define PAGES 512 /* whose words are read at once: each costs a twentieth of what it does alone */
#define BYTES (PAGES * PAGE_BYTES)

struct presence {
	uint64_t number; /* address / BYTES */
	UT_hash_handle hh;
	uint64_t present[PAGES / 64], swapped[PAGES / 64];
};

static int load(struct presence **all, int pagemap, uint64_t number, struct presence **ret)
{
	uint64_t entries[PAGES];
	int r = pagemap_read(pagemap, number * PAGES, PAGES, entries);
	struct presence *p = r ? NULL : calloc(1, sizeof(*p));

	if (!p)
		return r ? r : -ENOMEM;
	p->number = number;
	for (unsigned int i = 0; i < PAGES; i++) {
		p->present[i / 64] |= (uint64_t)pagemap_present(entries[i]) << i % 64;
		p->swapped[i / 64] |= (uint64_t)pagemap_swapped(entries[i]) << i % 64;
	}
	HASH_ADD(hh, *all, number, sizeof(number), p);
	if (!p->hh.tbl) {
		free(p);
		return -ENOMEM;
	}
	*ret = p;
	return 0;
}

int presence_add(struct presence **all, int pagemap, uint64_t start, uint64_t end,
		 uint64_t *present_bytes, uint64_t *swapped_bytes)
{
	struct presence *p = NULL;

	while (start < end) {
		uint64_t number = start / BYTES, next = (start / PAGE_BYTES + 1) * PAGE_BYTES;
		unsigned int page = start / PAGE_BYTES % PAGES;
		int r = 0;

		if (!p || p->number != number)
			HASH_FIND(hh, *all, &number, sizeof(number), p);
		if (!p)
			r = load(all, pagemap, number, &p);
		if (r)
			return r;
		if (next > end)
			next = end;
		if (p->present[page / 64] >> page % 64 & 1)
			*present_bytes += next - start;
		if (p->swapped[page / 64] >> page % 64 & 1)
			*swapped_bytes += next - start;
		start = next;
	}
	return 0;
}

void presence_forget(struct presence **all)
{
	struct presence *p, *next;

	HASH_ITER (hh, *all, p, next) {
		HASH_DEL(*all, p);
		free(p);
	}
}
