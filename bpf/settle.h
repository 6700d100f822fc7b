/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Faults whose completion was not seen. */
#ifndef BPF_SETTLE_H
#define BPF_SETTLE_H

#include "kind.h"

static __always_inline void count_fault(struct fp_counts *c, bool major)
{
	if (!c)
		return;
	c->faults++;
	c->major += major;
}

/*
 * A start that no completion program followed. Either the fault never completed, or the kernel ran
 * no program for it: while a CPU is inside a BPF map operation, of whatever process, it runs none
 * for perf events. Its own counters tell which, and all but the stall time and the stack is known.
 */
static __noinline void settle(struct task_struct *task, struct task_state *state)
{
	struct fp_site_key key = {};
	struct fp_counts *c = my_counts();

	if (!__sync_lock_test_and_set(&state->start_ns, 0))
		return;
	key.major = task->maj_flt != state->major;
	if (!key.major && task->min_flt == state->minor) {
		if (c)
			c->failed++;
		return;
	}
	lose(FP_LOSS_SKIPPED);
	count_fault(c, key.major);
	key.image = state->image;
	key.kind = kind_of(state, key.major);
	key.access = access_of(state);
	key.mode = state->ip ? FP_USER : FP_KERNEL;
	key.ip[0] = state->ip;
	count_site(&key, 0);
}

#endif
