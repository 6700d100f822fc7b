/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A table of address ranges that may overlap and nest. */
#ifndef SYMBOLIZE_SPANS_H
#define SYMBOLIZE_SPANS_H

#include <stddef.h>
#include <stdint.h>

struct span {
	uint64_t start, end; /* [start, end) */
	uint64_t reach;	     /* private: highest end up to here */
	uint64_t value;
	uint32_t rank; /* of two spans with one start, the higher wins */
};

struct spans {
	struct span *v;
	size_t n, capacity;
};

/* Returns 0 or -ENOMEM. */
int spans_add(struct spans *spans, uint64_t start, uint64_t end, uint64_t value, uint32_t rank);
/* Call after the last spans_add(), before spans_find(). */
void spans_sort(struct spans *spans);
/* The covering span that starts last; NULL: none. */
const struct span *spans_find(const struct spans *spans, uint64_t address);
/* How many spans start at or before @address. */
size_t spans_before(const struct spans *spans, uint64_t address);
void spans_release(struct spans *spans);

#endif
