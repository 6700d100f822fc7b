/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Several providers may know the same memory: HAProxy's objects are malloc's, too. It belongs to
 * the one that is asked first for the object of a fault, so what a later one tells of it is left
 * out.
 */
#include "session_census.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"

#define PAGE_BYTES 4096
#define PART MEMORY_MAX_PRESENCE

static int range_compare(const void *left, const void *right)
{
	const struct census_range *a = left, *b = right;

	return a->start < b->start ? -1 : a->start > b->start;
}

/* From here on, what this provider told is another one's. Each end becomes the last of all ends so
 * far, so that one look tells whether any of those that begin before a place reaches beyond it. */
static void seal(struct census *c)
{
	c->nr_told += c->nr_new;
	c->nr_new = 0;
	if (c->nr_told)
		qsort(c->told, c->nr_told, sizeof(*c->told), range_compare);
	for (size_t i = 1; i < c->nr_told; i++)
		if (c->told[i].end < c->told[i - 1].end)
			c->told[i].end = c->told[i - 1].end;
}

static bool told_before(const struct census *c, uint64_t start, uint64_t end)
{
	size_t low = 0, high = c->nr_told;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (c->told[middle].start < end)
			low = middle + 1;
		else
			high = middle;
	}
	return low && c->told[low - 1].end > start;
}

static int remember(struct census *c, uint64_t start, uint64_t end)
{
	size_t room = c->room ? 2 * c->room : 1024;
	struct census_range *told;

	if (c->nr_told + c->nr_new == c->room) {
		told = reallocarray(c->told, room, sizeof(*told));
		if (!told)
			return -ENOMEM;
		c->told = told;
		c->room = room;
	}
	c->told[c->nr_told + c->nr_new++] = (struct census_range){ start, end };
	return 0;
}

/* False: not known, and nothing is added. */
static bool presence(struct census *c, const struct fp_object *object, uint64_t *present,
		     uint64_t *swapped)
{
	uint64_t pages = object->size / PAGE_BYTES + 1, in, out;
	uint64_t end = object->base + object->size, present_all = 0, swapped_all = 0;

	if (pages > c->pages_left)
		return false;
	c->pages_left -= pages;
	for (uint64_t at = object->base; at < end; at += PART) {
		if (memory_presence(c->target->memory, at, end - at < PART ? end - at : PART, &in,
				    &out))
			return false;
		present_all += in;
		swapped_all += out;
	}
	*present = present_all;
	*swapped = swapped_all;
	return true;
}

static int count_object(void *arg, const struct fp_object *object)
{
	struct census *c = arg;
	const struct target_host *t = c->target;
	uint64_t present = 0, swapped = 0, end = object->base + object->size;
	int r;

	if (told_before(c, object->base, end))
		return 0;
	c->unseen += !presence(c, object, &present, &swapped);
	r = remember(c, object->base, end);
	if (!r)
		r = recorder_live(t->services->recorder, (uint32_t)t->host.pid, t->asking, object,
				  c->now_ns, present, swapped);
	return r ? r
		 : profile_add_live_object(t->services->profile, (uint32_t)t->host.pid, t->asking,
					   object, c->now_ns, present, swapped);
}

int census_take(struct census *c, struct target_host *target)
{
	int r = 0;

	c->target = target;
	c->now_ns = clock_now_ns();
	for (unsigned int i = 0; !r && i < target->nr; i++) {
		const struct fp_provider *p = target->opened[i].provider;

		target->asking = p->name;
		if (p->refresh)
			p->refresh(target->opened[i].self);
		if (!p->walk)
			continue;
		r = p->walk(target->opened[i].self, count_object, c);
		r = r == -ENOMEM ? r : 0;
		seal(c);
	}
	free(c->told);
	c->told = NULL;
	c->nr_told = c->nr_new = c->room = 0;
	return r;
}

void census_tell(const struct census *c, struct profile *profile)
{
	if (c->unseen)
		profile_warn(
			profile,
			"what is present and swapped out of %llu living objects: they are more "
			"than is looked at, or their process is gone",
			(unsigned long long)c->unseen);
}
