/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Where the objects that faults hit were allocated, by stack. */
#ifndef MODEL_ALLOCATIONS_H
#define MODEL_ALLOCATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/stall.h"

#define ALLOCATION_SITES_MAX 16384 /* told apart */

struct object_kind;
struct allocation_entry;

/* Faults on objects of one kind that were allocated by one stack. */
struct profile_allocation {
	const struct object_kind *kind;
	const char *const *frames; /* who called the allocator: outermost first; owned */
	unsigned int nr_frames;
	uint64_t faults, timed, stall_ns; /* as in struct stall */
};

struct allocations {
	bool known; /* allocations were asked for; else all is empty */
	struct profile_allocation *
		*sites; /* owned; sorted by allocations_finish(): most faults first */
	size_t nr_sites;
	uint64_t faults;   /* sum over all sites */
	uint64_t cut;	   /* of those, with a stack that is not whole */
	uint64_t unknown;  /* on objects whose age is known by their allocation, but not their stack
			    */
	uint64_t unlisted; /* of sites that found no room */
	struct allocation_entry *entries; /* private */
};

/* Adds faults on objects of @kind; @frames innermost first. The names are copied. 0 or -ENOMEM. */
int allocations_add(struct allocations *allocations, const struct object_kind *kind,
		    const char *const *frames, unsigned int nr, const struct stall *stall);
void allocations_finish(struct allocations *allocations);
void allocations_release(struct allocations *allocations);

#endif
