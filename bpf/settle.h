/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What became of a fault, told by the kernel's own counters once the thread is past it. */
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
 * A fault that was seen to complete (DONE) is counted now. One that was not (IN_FAULT) may never
 * have completed, or the kernel ran no program for it: while a CPU is inside a BPF map operation,
 * of whatever process, it runs none for perf events. Then all but its stall time and its stack is
 * known.
 */
static __noinline void settle(struct task_struct *task, struct task_state *state)
{
	fp_u32 phase = __sync_lock_test_and_set(&state->phase, NO_FAULT);
	bool minor = task->min_flt != state->minor, major = task->maj_flt != state->major;
	struct fp_counts *c = my_counts();
	struct fp_site_key key = {};

	if (!phase || !c)
		return;
	if (phase == DONE && minor) {
		count_fault(c, false);
		count_remembered(state, state->stall_ns);
		return;
	}
	if (phase == TOLD && (minor || major))
		return;
	if (!minor && !major) {
		c->failed++;
		if (phase == TOLD) {
			c->faults--;
			lose(FP_LOSS_OUTCOME);
		}
		return;
	}
	lose(FP_LOSS_SKIPPED);
	count_fault(c, major);
	key.image = state->image;
	key.major = major;
	key.kind = kind_of(state, major);
	key.access = access_of(state);
	key.mode = state->ip ? FP_USER : FP_KERNEL;
	key.ip[0] = state->ip;
	count_site(&key, 0);
}

#endif
