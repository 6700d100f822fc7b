// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * A fault is seen twice. Its start (the exception tracepoints) leaves time, address and error code
 * in the task; its completion takes them up: where memory cgroups count it, or else the kernel's
 * own page-faults software events. Either fires once a completed fault whatever was retried. Hooks
 * in between tell what kind it is (kind.h).
 *
 * Completed faults are counted by site in a hash map. Those worth a look of their own (major, from
 * swap, slow) travel through the ring with address and stack.
 */
#include "lifecycle.h"
#include "unwind.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile fp_u64 slow_ns = 1000000;

volatile bool ending; /* no fault is begun any more; those under way complete */

/* Are minor faults counted by on_account()? Else by their perf event. */
volatile bool by_account;

/* A fault of a thread for which there was no memory. */
static __always_inline void count_stateless(const struct fp_target *target, bool major)
{
	struct fp_site_key key = {
		.image = target->image,
		.major = major,
		.kind = major ? FP_SWAP_IN : FP_OTHER,
	};

	lose(FP_LOSS_STATE);
	count_fault(my_counts(), major);
	count_site(&key, 0);
}

static __always_inline int begin(fp_u64 address, fp_u64 error, fp_u64 ip)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fp_target *target;
	struct task_state *state = state_of(task, &target);

	if (!state) {
		if (target && by_account && !ending)
			count_stateless(target, false);
		return 0;
	}
	if (state->phase)
		settle(task, state);
	if (ending)
		return 0;
	state->address = address;
	state->error = error;
	state->saw = 0;
	state->ip = ip;
	state->minor = task->min_flt;
	state->major = task->maj_flt;
	state->switches = task->nvcsw;
	if (!fentry_tier && task->mm)
		state->anon = task->mm->rss_stat[MM_ANONPAGES].count;
	state->phase = IN_FAULT;
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

	if (state && state->phase)
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
	if (state && state->phase &&
	    (task->min_flt != state->minor || task->maj_flt != state->major))
		settle(task, state);
	return 0;
}

/* Stack bytes that lead to the owner nearly always. While user space is late to learn, no more is
 * shipped of a fault that needs no more, so that a burst at a new place does not fill the ring. */
#define SHORT_STACK 1024

static __always_inline void send_fault(struct scratch *s, int result, const struct fp_site_key *key,
				       bool detail)
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

/*
 * Sends what needs a look of its own. The others are left to their site, which it completes: false.
 * Of a kernel-mode fault, the site is its owner, found on the user stack.
 */
static __always_inline bool tell(struct task_struct *task, struct fp_site_key *key, fp_u64 address,
				 fp_u64 stall_ns, bool unsettled)
{
	bool detail = key->major || key->kind == FP_SWAP_CACHE || key->kind == FP_SWAP_IN ||
		      stall_ns >= slow_ns;
	struct fp_fault_event *fault;
	struct pt_regs *regs;
	int result;
	struct scratch *s;
	fp_u32 zero = 0;

	if (key->mode == FP_USER && !detail)
		return false;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	key->ip[0] = regs->ip;
	s = bpf_map_lookup_elem(&scratch, &zero);
	if (!s)
		return false;
	fault = &s->fault;
	fault->h.image = key->image;
	copy_registers(&s->raw, regs);
	result = walk(s, key, !detail);
	if (!detail && result != WALK_MISS) {
		if (result == WALK_DONE)
			lose(FP_LOSS_STACK);
		return false;
	}
	if (result == WALK_MISS)
		copy_stack(s);
	fault->h.type = FP_EVENT_FAULT;
	fault->h.time_ns = bpf_ktime_get_ns();
	fault->h.pid = task->tgid;
	fault->h.tid = task->pid;
	fault->address = address;
	fault->stall_ns = stall_ns;
	fault->kind = key->kind;
	fault->access = key->access;
	fault->mode = key->mode;
	fault->major = key->major;
	fault->unsettled = unsettled;
	send_fault(s, result, key, detail);
	return true;
}

static __always_inline void tell_major(struct task_struct *task, fp_u64 address, enum fp_kind kind)
{
	struct fp_major_event event = {
		.h = { .size = sizeof(event),
		       .type = FP_EVENT_MAJOR,
		       .time_ns = bpf_ktime_get_ns(),
		       .pid = task->tgid,
		       .tid = task->pid },
		.address = address,
		.kind = kind,
	};

	if (bpf_ringbuf_output(&ring, &event, sizeof(event), BPF_RB_NO_WAKEUP))
		lose(FP_LOSS_OUTCOME);
}

static __always_inline fp_u64 since(fp_u64 start_ns)
{
	fp_u64 now = bpf_ktime_get_ns();

	return now > start_ns ? now - start_ns : 1;
}

/*
 * Where the kernel counts a page fault of a memory cgroup: on completion, or when it fails for
 * good, right before its own counters of the task. Costs a fraction of a perf event, but does not
 * say what the outcome is. So a fault is DONE, and counted by its successor, when the counters
 * have told. A major one is left to its perf event, which comes next: reading a page is counted,
 * too. What remains, a fault that is major for being retried, had to wait: it is sent as unsettled,
 * and if the perf event comes, corrected.
 */
SEC("tp_btf/count_memcg_events")
int BPF_PROG(on_account, struct mem_cgroup *group, int item)
{
	bool completes = item == bpf_core_enum_value(enum vm_event_item, PGFAULT);
	struct task_struct *task = bpf_get_current_task_btf();
	struct fp_site_key key = {};
	struct task_state *state;

	if (!completes && item != bpf_core_enum_value(enum vm_event_item, PGMAJFAULT))
		return 0;
	state = state_find(task);
	if (!state || state->phase != IN_FAULT)
		return 0;
	if (!completes)
		state->saw |= SAW_READ;
	if (state->saw & SAW_READ || task->min_flt != state->minor || task->maj_flt != state->major)
		return 0;
	state->stall_ns = since(state->start_ns);
	key.image = state->image;
	key.kind = kind_of(state, false);
	key.access = access_of(state);
	key.mode = state->ip ? FP_USER : FP_KERNEL;
	key.ip[0] = state->ip;
	if (tell(task, &key, state->address, state->stall_ns, slept(task, state))) {
		count_fault(my_counts(), false);
		state->phase = TOLD;
	} else {
		remember_site(state, &key);
		state->phase = DONE;
	}
	return 0;
}

/* Tried once, on a fault of the profiler: memory cgroups may be switched off. */
SEC("tp_btf/count_memcg_events")
int BPF_PROG(on_account_trial, struct mem_cgroup *group, int item)
{
	if (item == bpf_core_enum_value(enum vm_event_item, PGFAULT))
		by_account = true;
	return 0;
}

static __always_inline int complete(struct bpf_perf_event_data *ctx, bool major)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fp_site_key key = { .major = major };
	struct fp_counts *c = my_counts();
	struct fp_target *target;
	struct task_state *state;
	fp_u64 stall_ns = 0;
	fp_u32 phase;

	state = state_of(task, &target);
	if (!state) {
		if (target && by_account && c) /* counted at its start */
			c->major++;
		else if (target)
			count_stateless(target, major);
		return 0;
	}
	phase = __sync_lock_test_and_set(&state->phase, NO_FAULT);
	key.image = state->image;
	if (phase && !((state->address ^ ctx->addr) >> PAGE_SHIFT)) {
		if (phase == TOLD) {
			if (c)
				c->major++;
			tell_major(task, ctx->addr, kind_of(state, true));
			return 0;
		}
		stall_ns = since(state->start_ns);
		key.kind = kind_of(state, major);
		key.access = access_of(state);
	} else if (ending) {
		return 0;
	} else {
		lose(FP_LOSS_START);
		key.kind = major ? FP_SWAP_IN : FP_OTHER;
	}
	key.mode = ctx->regs.cs & 3 ? FP_USER : FP_KERNEL;
	key.ip[0] = ctx->regs.ip;
	count_fault(c, major);
	if (!tell(task, &key, ctx->addr, stall_ns, false)) {
		remember_site(state, &key);
		count_remembered(state, stall_ns);
	}
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
