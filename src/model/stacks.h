/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The stacks of a profile, for profile.c: what a frame is called, and which stacks are the same. */
#ifndef MODEL_STACKS_H
#define MODEL_STACKS_H

#include "base/intern.h"
#include "model/profile.h"

struct stack_table { /* all zeros: none */
	struct stack_entry *stacks;
	struct place_entry *places;
};

const char *frame_module(const struct frame *frame); /* NULL gives "[unknown]" */
/* What a report calls this frame; @frame may be NULL. NULL only when out of memory. */
const char *frame_symbol(struct strings *strings, const struct frame *frame);

/* The stack of @fault, which has frames; a new one is listed in @profile. @comm is interned.
 * NULL only when out of memory. */
struct profile_stack *stack_of(struct stack_table *table, struct strings *strings,
			       struct profile *profile, const struct resolved_fault *fault,
			       const char *comm);
void stack_table_release(struct stack_table *table);

int stack_compare(const void *left, const void *right); /* for qsort() of profile.stacks */

#endif
