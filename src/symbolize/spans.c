/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Sorted by start, each span remembers the highest end of all before it: a backward scan from the
 * last span that starts in time stops as soon as nothing further back can reach the address. Real
 * tables nest a few deep; where one long span would send every search through all of a made-up
 * one, the search gives up.
 */
#include "symbolize/spans.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_SCAN 65536

int spans_add(struct spans *spans, uint64_t start, uint64_t end, uint64_t value, uint32_t rank)
{
	if (spans->n == spans->capacity) {
		size_t capacity = spans->capacity ? 2 * spans->capacity : 64;
		struct span *v = reallocarray(spans->v, capacity, sizeof(*v));

		if (!v)
			return -ENOMEM;
		spans->v = v;
		spans->capacity = capacity;
	}
	spans->v[spans->n++] =
		(struct span){ .start = start, .end = end, .value = value, .rank = rank };
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return x->value < y->value ? 1 : x->value > y->value ? -1 : 0;
}

void spans_sort(struct spans *spans)
{
	uint64_t reach = 0;

	if (spans->n)
		qsort(spans->v, spans->n, sizeof(*spans->v), compare);
	for (size_t i = 0; i < spans->n; i++) {
		if (spans->v[i].end > reach)
			reach = spans->v[i].end;
		spans->v[i].reach = reach;
	}
}

size_t spans_before(const struct spans *spans, uint64_t address)
{
	size_t low = 0, high = spans->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (spans->v[mid].start <= address)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const struct span *spans_find(const struct spans *spans, uint64_t address)
{
	unsigned int steps = 0;

	for (size_t i = spans_before(spans, address); i-- && steps++ < MAX_SCAN;) {
		if (spans->v[i].reach <= address)
			break;
		if (spans->v[i].end > address)
			return &spans->v[i];
	}
	return NULL;
}

void spans_release(struct spans *spans)
{
	free(spans->v);
	*spans = (struct spans){ 0 };
}
