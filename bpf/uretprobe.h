/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A uretprobe, ours or another tool's, puts an address of its own where a function under way has
 * its return address, and keeps the real one in a list of the task. A stack with such functions on
 * it is shipped, with the real addresses put back; to look for them in walk() is more than the
 * verifier bears.
 */
#ifndef BPF_URETPROBE_H
#define BPF_URETPROBE_H

#include "kernel.h"

#define MAX_RETURNS 8 /* nested; what is beyond ends the stack */

struct real_return {
	struct return_instance *at;
	fp_u64 slot; /* where it should stand; 0: no more */
	fp_u64 address;
};

static __always_inline struct real_return real_return(struct return_instance *at)
{
	struct real_return r = { .at = at };

	r.slot = at ? BPF_CORE_READ(at, stack) : 0;
	r.address = at ? BPF_CORE_READ(at, orig_ret_vaddr) : 0;
	return r;
}

static __always_inline struct real_return first_return(struct task_struct *task)
{
	if (!bpf_core_field_exists(task->utask) || !task->utask) /* a kernel without uprobes */
		return real_return(0);
	return real_return(BPF_CORE_READ(task, utask, return_instances));
}

static __always_inline struct real_return next_return(const struct real_return *r)
{
	struct return_instance *at = r->at;

	return real_return(at ? BPF_CORE_READ(at, next) : 0);
}

#endif
