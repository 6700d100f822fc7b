// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * A fault is seen twice. Its start (the exception tracepoints) leaves time, address and error code
 * in the task; its completion (the kernel's own page-faults software events, which fire once a
 * completed fault whatever was retried) takes them up. Hooks in between tell what kind it is
 * (kind.h).
 *
 * Completed faults are counted by site in a hash map. Those worth a look of their own (major, from
 * swap, slow) travel through the ring with address and stack.
 */
#include "lifecycle.h"
#include "unwind.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile fp_u64 slow_ns = 1000000;

volatile bool ending; /* no fault is begun any more; those under way complete */

static __always_inline int begin(fp_u64 address, fp_u64 error, fp_u64 ip)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state;

	if (ending)
		return 0;
	state = state_of(task);
	if (!state)
		return 0;
	if (state->start_ns)
		settle(task, state);
	state->address = address;
	state->error = error;
	state->saw = 0;
	state->ip = ip;
	state->minor = task->min_flt;
	state->major = task->maj_flt;
	if (!fentry_tier && task->mm)
		state->anon = task->mm->rss_stat[MM_ANONPAGES].count;
	state->start_ns = bpf_ktime_get_ns();
	return 0;
}

SEC("tp_btf/page_fault_user")
int BPF_PROG(on_start_user, unsigned long address, struct pt_regs *regs, unsigned long error)
{
	return begin(address, error, regs->ip);
}

SEC("tp_btf/page_fault_kernel")
int BPF_PROG(on_start_kernel, unsigned long address, struct pt_regs *regs, unsigned long error)
{
	struct task_struct *task = bpf_get_current_task_btf();

	/* A copy with page faults disabled (ours included) fails at once and completes nothing. */
	if ((__s64)address < 0 || task->pagefault_disabled)
		return 0;
	return begin(address, error, 0);
}

/* A signal is delivered on the way back to user mode: no fault is under way any more. */
SEC("tp_btf/signal_deliver")
int on_signal(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state = state_find(task);

	if (state && state->start_ns)
		settle(task, state);
	return 0;
}

/* Read once, at the end: the last fault of a thread has no successor that would settle it. One that
 * is still under way has not completed, and is none of this run's. */
SEC("iter/task")
int on_last(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct task_state *state;

	if (!task)
		return 0;
	state = state_find(task);
	if (state && state->start_ns &&
	    (task->min_flt != state->minor || task->maj_flt != state->major))
		settle(task, state);
	return 0;
}

/* Stack bytes that lead to the owner nearly always. While user space is late to learn, no more is
 * shipped of a fault that needs no more, so that a burst at a new place does not fill the ring. */
#define SHORT_STACK 1024

static __always_inline void tell_fault(struct scratch *s, enum walk_result result,
				       const struct fp_site_key *key, bool detail)
{
	bool crowded = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) >
		       bpf_ringbuf_query(&ring, BPF_RB_RING_SIZE) / 4;
	struct fp_fault_event *fault = &s->fault;
	fp_u64 size = offsetof(struct fp_fault_event, ip) +
		      sizeof(fault->ip[0]) * (fault->nr_frames & (2 * FP_MAX_FRAMES - 1));

	fault->raw = result == WALK_MISS;
	if (fault->raw) {
		if (crowded && !detail && s->raw.bytes > SHORT_STACK)
			s->raw.bytes = SHORT_STACK;
		size = sizeof(struct fp_fault_event) + offsetof(struct fp_raw_stack, data) +
		       (s->raw.bytes & (2 * FP_STACK_BYTES - 1));
		if (size > sizeof(*s))
			size = sizeof(*s);
	}
	fault->h.size = size;
	/* What is not urgent is read some ten times a second. */
	if (!bpf_ringbuf_output(&ring, s, size,
				fault->raw || crowded ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP))
		return;
	lose(FP_LOSS_DETAIL);
	count_site(key, fault->stall_ns);
}

static __always_inline int complete(struct bpf_perf_event_data *ctx, bool major)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fp_site_key key = { .major = major };
	enum walk_result result = WALK_DONE;
	struct fp_fault_event *fault;
	struct task_state *state;
	struct pt_regs *regs;
	struct scratch *s;
	fp_u64 start, now, stall_ns = 0;
	fp_u32 zero = 0;
	bool detail;

	state = state_of(task);
	if (!state) {
		struct fp_target *target;
		fp_u32 tgid = task->tgid;

		target = bpf_map_lookup_elem(&targets, &tgid);
		if (!target || target->on_exec)
			return 0;
		lose(FP_LOSS_STATE);
		key.image = target->image;
		key.kind = major ? FP_SWAP_IN : FP_OTHER;
	} else {
		start = __sync_lock_test_and_set(&state->start_ns, 0);
		key.image = state->image;
		if (start && !((state->address ^ ctx->addr) >> PAGE_SHIFT)) {
			now = bpf_ktime_get_ns();
			stall_ns = now > start ? now - start : 1;
			key.kind = kind_of(state, major);
			key.access = access_of(state);
		} else if (ending) {
			return 0;
		} else {
			lose(FP_LOSS_START);
			key.kind = major ? FP_SWAP_IN : FP_OTHER;
		}
	}
	key.mode = ctx->regs.cs & 3 ? FP_USER : FP_KERNEL;
	count_fault(my_counts(), major);
	detail =
		major || key.kind == FP_SWAP_CACHE || key.kind == FP_SWAP_IN || stall_ns >= slow_ns;
	if (key.mode == FP_USER && !detail) {
		key.ip[0] = ctx->regs.ip;
		count_site(&key, stall_ns);
		return 0;
	}
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	key.ip[0] = regs->ip;
	s = bpf_map_lookup_elem(&scratch, &zero);
	if (!s)
		return 0;
	fault = &s->fault;
	fault->h.image = key.image;
	result = walk(fault, &key, regs, !detail);
	if (!detail && result != WALK_MISS) {
		if (result == WALK_DONE)
			lose(FP_LOSS_STACK);
		count_site(&key, stall_ns);
		return 0;
	}
	if (result == WALK_MISS)
		copy_stack(s, regs);
	fault->h.type = FP_EVENT_FAULT;
	fault->h.time_ns = bpf_ktime_get_ns();
	fault->h.pid = task->tgid;
	fault->h.tid = task->pid;
	fault->address = ctx->addr;
	fault->stall_ns = stall_ns;
	fault->kind = key.kind;
	fault->access = key.access;
	fault->mode = key.mode;
	fault->major = major;
	tell_fault(s, result, &key, detail);
	return 0;
}

SEC("perf_event")
int on_major(struct bpf_perf_event_data *ctx)
{
	return complete(ctx, true);
}

SEC("perf_event")
int on_minor(struct bpf_perf_event_data *ctx)
{
	return complete(ctx, false);
}
