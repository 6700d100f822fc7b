/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Who made the objects of bpf/births.bpf.c: the stacks that the kernel side walked by itself
 * (bpf/callers.h), and those that it shipped, which are unwound here, and taught to it. For
 * births.c.
 */
#ifndef COLLECT_BIRTHSTACKS_H
#define COLLECT_BIRTHSTACKS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "faultprof/births.h"

struct births;
struct ring_buffer;

/* Unwinds what a thread of @pid, which ran @image, shipped: as symbolizer_unwind(). 0: it cannot.
 */
typedef unsigned int (*births_unwind_fn)(void *arg, const struct fp_birth_raw *raw, uint64_t *ips,
					 struct fp_rule *rules, unsigned int max,
					 enum fp_stack_end *end);

struct birth_stacks {
	const struct fp_birth_stack *walked; /* mapped, by number; NULL: no stacks are wanted */
	struct ring_buffer *ring;
	int rules; /* map, not owned */
	births_unwind_fn unwind;
	void *arg;
	struct kept_stack *kept;  /* each once */
	struct kept_stack **raws; /* by number of the raw one; NULL: not known */
	size_t nr_raws, raws_room;
	uint64_t lost; /* raw ones that could not be kept */
};

/* Before the skeleton is loaded: gives the maps their size. 0 or -errno. */
int birth_stacks_prepare(struct births *skeleton, bool wanted);
/* After that, when they are wanted. 0 or -errno. */
int birth_stacks_init(struct birth_stacks *stacks, const struct births *skeleton);
void birth_stacks_release(struct birth_stacks *stacks); /* all zeros is fine */

/* Reads what was shipped. */
void birth_stacks_poll(struct birth_stacks *stacks);
/* By fp_birth.stack; NULL: not known. */
const struct fp_birth_stack *birth_stacks_find(struct birth_stacks *stacks, uint32_t stack);

#endif
