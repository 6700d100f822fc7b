/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Which processes are targets: they fork, execute other programs, and end. */
#ifndef BPF_LIFECYCLE_H
#define BPF_LIFECYCLE_H

#include "settle.h"

volatile fp_u32 last_image; /* images are numbered by both sides */

const volatile bool inherit = true;
const volatile bool follow_comm;
const volatile char comm_wanted[16];

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	fp_u32 from = parent->tgid, to = child->tgid;
	struct fp_target *target;

	if (from == to || !inherit)
		return 0;
	target = bpf_map_lookup_elem(&targets, &from);
	if (!target)
		return 0;
	if (bpf_map_update_elem(&targets, &to, target, BPF_ANY)) {
		lose(FP_LOSS_TARGET);
		return 0;
	}
	tell_task(FP_EVENT_FORK, to, target->image, from);
	return 0;
}

static __always_inline bool comm_matches(void)
{
	char comm[16] = {};

	if (!follow_comm)
		return false;
	bpf_get_current_comm(comm, sizeof(comm));
	for (int i = 0; i < 16; i++) {
		if (comm[i] != comm_wanted[i])
			return false;
		if (!comm[i])
			break;
	}
	return true;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_tid)
{
	struct task_struct *self = bpf_get_current_task_btf();
	struct task_state *state = state_find(self);
	struct fp_target fresh = {}, *target;
	fp_u32 tgid = task->tgid, old = 0;

	if (state && state->phase)
		settle(self, state);
	/* A thread that is not its process's first one becomes it. */
	if (old_tid != task->pid)
		state_free(old_tid);
	target = bpf_map_lookup_elem(&targets, &tgid);
	if (!target && !comm_matches())
		return 0;
	if (target)
		old = target->image;
	fresh.image = __sync_fetch_and_add(&last_image, 1) + 1;
	if (bpf_map_update_elem(&targets, &tgid, &fresh, BPF_ANY)) {
		lose(FP_LOSS_TARGET);
		return 0;
	}
	if (state)
		state->image = fresh.image;
	tell_task(FP_EVENT_EXEC, tgid, fresh.image, old);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	struct task_struct *self = bpf_get_current_task_btf();
	struct task_state *state = state_find(self);
	fp_u32 tgid = task->tgid;
	struct fp_target *target;

	if (state && state->phase)
		settle(self, state);
	state_free(self->pid);
	if (task->signal->live.counter)
		return 0;
	target = bpf_map_lookup_elem(&targets, &tgid);
	if (!target)
		return 0;
	tell_task(FP_EVENT_EXIT, tgid, target->image, 0);
	bpf_map_delete_elem(&targets, &tgid);
	return 0;
}

#endif
