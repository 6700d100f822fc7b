/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "session_watch.h"

#include <errno.h>

#include "symbolize/types.h"

#define BUSY_CALLS_PER_S 50000

/* The code of @binary that covers @address in the target. */
static const struct region *code_at(const struct image *image, const struct binary *binary,
				    uint64_t address)
{
	for (size_t i = 0; i < image->nr_regions; i++) {
		const struct region *region = &image->regions[i];

		if (region->binary == binary && region->exec && address >= region->start &&
		    address < region->end)
			return region;
	}
	return NULL;
}

/* In the program itself a name may also be one that only its debug information knows. */
static int find(struct symbolizer *symbolizer, const struct image *image,
		const struct region *first, const char *name, struct births_place *ret)
{
	const struct binary *binary = first->binary;
	const struct region *region;
	uint64_t address, bias;
	int r;

	r = symbolizer_bias(symbolizer, binary, first->start, first->offset, first->exec, &bias);
	if (!r)
		r = symbolizer_function(symbolizer, binary, name, &address);
	if (r == -ENOENT && binary == image->own)
		r = symbolizer_variable(symbolizer, binary, name, &address, NULL);
	if (r)
		return r;
	region = code_at(image, binary, address + bias);
	if (!region)
		return -ENOENT;
	*ret = (struct births_place){ binary->fd, address + bias - region->start + region->offset };
	return 0;
}

static bool met_before(const struct image *image, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (image->regions[i].binary == image->regions[at].binary)
			return true;
	return false;
}

static int watch(const struct watched_process *p, size_t from,
		 const struct births_allocator *allocator)
{
	const struct fp_allocator *names = allocator->is;
	struct births_place alloc, end;
	int r, ret = -ENOENT;

	for (size_t i = from; i < p->image->nr_regions; i++) {
		const struct region *region = &p->image->regions[i];

		if (!region->binary || region->binary->fd < 0 || met_before(p->image, i) ||
		    find(p->symbolizer, p->image, region, names->alloc, &alloc) ||
		    (names->free && find(p->symbolizer, p->image, region, names->free, &end)))
			continue;
		r = births_watch(p->births, p->pid, p->image->id, &alloc, names->free ? &end : NULL,
				 allocator);
		if (!r || ret == -ENOENT)
			ret = r;
	}
	return ret;
}

int watches_add(struct watches *w, const struct watched_process *process,
		const struct births_allocator *allocator)
{
	int r;

	if (w->nr == MAX_WATCHES)
		return -E2BIG;
	watches_renew(w, process);
	r = watch(process, 0, allocator);
	if (!r || r == -ENOENT)
		w->at[w->nr++] = *allocator;
	return r;
}

void watches_renew(struct watches *w, const struct watched_process *process)
{
	for (unsigned int i = 0; w->regions < process->image->nr_regions && i < w->nr; i++)
		watch(process, w->regions, &w->at[i]);
	w->regions = process->image->nr_regions;
}

bool watch_is_busy(uint64_t calls_per_s, pid_t pid, struct profile *profile)
{
	if (calls_per_s <= BUSY_CALLS_PER_S)
		return false;
	profile_warn(profile,
		     "process %d called watched functions %llu times a second, and each call took "
		     "some microseconds longer for it; a larger --alloc-min does not help",
		     pid, (unsigned long long)calls_per_s);
	return true;
}

void watch_tell_lost(const struct birth_register *births, struct profile *profile)
{
	static const char *const why[FP_NR_BIRTH_LOSSES] = {
		[FP_BIRTH_FULL] = "there was no room for it",
		[FP_BIRTH_NO_STATE] = "its thread found no memory",
		[FP_BIRTH_NO_END] = "its allocator never returned",
		[FP_BIRTH_NO_STACK] = "there was no room for it",
	};
	uint64_t lost[FP_NR_BIRTH_LOSSES];

	births_lost(births, lost);
	for (int i = 0; i < FP_NR_BIRTH_LOSSES; i++)
		if (lost[i])
			profile_warn(profile, "%s of %llu objects: %s",
				     i == FP_BIRTH_NO_STACK
					     ? "the stack that allocated them, or its "
					       "outer part,"
					     : "the birth",
				     (unsigned long long)lost[i], why[i]);
}
