// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * A fault is seen twice. Its start (the exception tracepoints) leaves time, address and error code
 * in the task; its completion (the kernel's own page-faults software events, which fire once a
 * completed fault whatever was retried) takes them up. In between, hooks note what the fault did:
 * which RSS counters it moved (tracepoint tier), or which handlers it went through (fentry tier).
 * From that comes the kind.
 *
 * Completed faults are counted by site in a hash map. Those worth a look of their own (major, from
 * swap, slow) travel through the ring with address and stack.
 */
#include "unwind.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile bool fentry_tier;
const volatile bool inherit = true;
const volatile bool follow_comm;
const volatile char comm_wanted[16];
const volatile fp_u64 slow_ns = 1000000;

volatile fp_u32 last_image; /* images are numbered by both sides */
volatile bool ending;       /* no fault is begun any more; those under way complete */

/*
 * Where this CPU's part of a per-CPU allocation stands. Kernels without data symbols in kallsyms do
 * not tell (this_cpu_off), so it is taken from a per-CPU map: where its element is for this CPU,
 * less the element's per-CPU address. The verifier lets no one calculate with pointers to maps, so
 * both pass through memory.
 */
static __always_inline fp_u64 per_cpu_offset(void)
{
	volatile fp_u64 *plain;
	fp_u64 here, base;
	struct scratch *s;
	fp_u32 zero = 0;

	s = bpf_map_lookup_elem(&scratch, &zero);
	if (!s)
		return 0;
	plain = &s->plain;
	*plain = (fp_u64)s;
	here = *plain;
	*plain = (fp_u64)&scratch;
	base = *plain + bpf_core_field_offset(struct bpf_array, pptrs);
	if (bpf_probe_read_kernel(&base, sizeof(base), (void *)base))
		return 0;
	return here - base;
}

/* A huge page moves the counter by more than the per-CPU batch: it goes straight to the global
 * part and leaves this CPU's part at 0. A small page stays in this CPU's part. */
static __always_inline bool was_huge(struct mm_struct *mm, const struct task_state *state)
{
	fp_u64 offset, local;
	__s32 value = 1;

	if (mm->rss_stat[MM_ANONPAGES].count - state->anon < 400)
		return false;
	offset = per_cpu_offset();
	if (!offset)
		return false;
	local = (fp_u64)mm->rss_stat[MM_ANONPAGES].counters + offset;
	return !bpf_probe_read_kernel(&value, sizeof(value), (void *)local) && !value;
}

SEC("tp_btf/rss_stat")
int BPF_PROG(on_rss_stat, struct mm_struct *mm, int member)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state = bpf_task_storage_get(&tasks, task, 0, 0);

	if (!state || !state->start_ns || state->reclaiming || task->mm != mm)
		return 0;
	state->saw |= 1 << (member & 3);
	if (member == MM_ANONPAGES && was_huge(mm, state))
		state->saw |= SAW_HUGE;
	return 0;
}

SEC("tp_btf/mm_filemap_fault")
int BPF_PROG(on_filemap_fault)
{
	struct task_state *state = bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), 0, 0);

	if (state && state->start_ns)
		state->saw |= SAW_FILE_FAULT;
	return 0;
}

/* A fault that has to reclaim moves counters for other pages than its own. */
static __always_inline int reclaim(int by)
{
	struct task_state *state = bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), 0, 0);

	if (state)
		state->reclaiming += by;
	return 0;
}

#define RECLAIM_BRACKET(name)                                                                      \
	SEC("tp_btf/mm_vmscan_" #name "_begin")                                                    \
	int on_##name##_begin(void *ctx)                                                           \
	{                                                                                          \
		return reclaim(1);                                                                 \
	}                                                                                          \
	SEC("tp_btf/mm_vmscan_" #name "_end")                                                      \
	int on_##name##_end(void *ctx)                                                             \
	{                                                                                          \
		return reclaim(-1);                                                                \
	}

RECLAIM_BRACKET(direct_reclaim)
RECLAIM_BRACKET(memcg_reclaim)
RECLAIM_BRACKET(memcg_softlimit_reclaim)
RECLAIM_BRACKET(node_reclaim)

SEC("fentry/handle_mm_fault")
int BPF_PROG(on_handle_mm_fault, struct vm_area_struct *vma)
{
	struct task_state *state = bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), 0, 0);

	if (!state || !state->start_ns)
		return 0;
	if (vma->vm_flags & VM_HUGETLB) {
		state->saw |= SAW_HUGE;
	} else if (vma->vm_file && vma->vm_ops) { /* /dev/zero, mapped privately, has none */
		if (vma->vm_file->f_inode->i_sb->s_magic == TMPFS_MAGIC)
			state->saw |= SAW_SHMEM;
		else
			state->saw |= SAW_FILE_FAULT;
		if (!(vma->vm_flags & VM_SHARED) && state->error & PF_WRITE)
			state->saw |= SAW_PRIVATE_FILE;
	}
	return 0;
}

SEC("fentry/do_swap_page")
int BPF_PROG(on_do_swap_page, struct vm_fault *vmf)
{
	struct task_state *state = bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), 0, 0);

	if (state && state->start_ns && vmf->orig_pte.pte >> SWAP_TYPE_SHIFT < SWAP_TYPE_SPECIAL)
		state->saw |= SAW_SWAP;
	return 0;
}

SEC("fexit/do_huge_pmd_anonymous_page")
int BPF_PROG(on_huge_page, struct vm_fault *vmf, unsigned int ret)
{
	struct task_state *state = bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), 0, 0);

	/* Reading maps the huge page of zeros, which is there already. */
	if (state && state->start_ns && state->error & PF_WRITE && !(ret & VM_FAULT_FALLBACK))
		state->saw |= SAW_HUGE;
	return 0;
}

/* Neither of them moves a counter or shows in the error code: it looks like a first touch. */
static __always_inline int saw_other(void)
{
	struct task_state *state = bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), 0, 0);

	if (state && state->start_ns)
		state->saw |= SAW_OTHER;
	return 0;
}

SEC("fentry/task_numa_fault")
int on_numa_hint(void *ctx)
{
	return saw_other();
}

SEC("fentry/handle_userfault")
int on_userfault(void *ctx)
{
	return saw_other();
}

static __always_inline enum fp_kind kind_by_handler(const struct task_state *state, bool major)
{
	fp_u8 saw = state->saw;

	if (saw & SAW_SWAP)
		return major ? FP_SWAP_IN : FP_SWAP_CACHE;
	if (saw & SAW_OTHER)
		return FP_OTHER;
	if (saw & SAW_HUGE)
		return FP_HUGE;
	if (state->error & PF_PRESENT)
		return state->error & PF_WRITE ? FP_COW : FP_OTHER;
	if (saw & SAW_SHMEM)
		return saw & SAW_PRIVATE_FILE ? FP_COW : FP_SHMEM;
	if (saw & SAW_FILE_FAULT)
		return major ? FP_FILE_READ : saw & SAW_PRIVATE_FILE ? FP_COW : FP_FILE_MAP;
	return FP_ZERO;
}

static __always_inline enum fp_kind kind_by_counter(const struct task_state *state, bool major)
{
	fp_u8 saw = state->saw;
	bool write = state->error & PF_WRITE;

	if (saw & SAW_SWAP)
		return major ? FP_SWAP_IN : FP_SWAP_CACHE;
	if (state->error & PF_PRESENT)
		return write ? saw & SAW_HUGE ? FP_HUGE : FP_COW : FP_OTHER;
	if (saw & SAW_SHMEM)
		return FP_SHMEM;
	if (saw & (SAW_FILE | SAW_FILE_FAULT)) {
		if (major)
			return FP_FILE_READ;
		return saw & SAW_ANON && write ? FP_COW : FP_FILE_MAP;
	}
	if (saw & SAW_HUGE)
		return FP_HUGE;
	if (major)
		return FP_SWAP_IN;
	/* Reading an untouched page maps the zero page, which no counter counts. */
	return saw & SAW_ANON || !write ? FP_ZERO : FP_OTHER;
}

static __always_inline enum fp_kind kind_of(const struct task_state *state, bool major)
{
	return fentry_tier ? kind_by_handler(state, major) : kind_by_counter(state, major);
}

static __always_inline enum fp_access access_of(const struct task_state *state)
{
	return state->error & PF_INSTR ? FP_EXEC : state->error & PF_WRITE ? FP_WRITE : FP_READ;
}

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
	struct task_state *state = bpf_task_storage_get(&tasks, task, 0, 0);

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
	state = bpf_task_storage_get(&tasks, task, 0, 0);
	if (state && state->start_ns &&
	    (task->min_flt != state->minor || task->maj_flt != state->major))
		settle(task, state);
	return 0;
}

static __always_inline void tell_fault(struct scratch *s, enum walk_result result,
				       const struct fp_site_key *key)
{
	struct fp_fault_event *fault = &s->fault;
	fp_u64 size = offsetof(struct fp_fault_event, ip) +
		      sizeof(fault->ip[0]) * (fault->nr_frames & (2 * FP_MAX_FRAMES - 1));
	bool urgent;
	long failed;

	fault->raw = result == WALK_MISS;
	if (fault->raw) {
		size = sizeof(struct fp_fault_event) + offsetof(struct fp_raw_stack, data) +
		       (s->raw.bytes & (2 * FP_STACK_BYTES - 1));
		if (size > sizeof(*s))
			size = sizeof(*s);
	}
	fault->h.size = size;
	/* Else it is read some ten times a second. */
	urgent = fault->raw || bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) >
				       bpf_ringbuf_query(&ring, BPF_RB_RING_SIZE) / 4;
	failed = bpf_ringbuf_output(&ring, s, size,
				    urgent ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
	if (!failed)
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
	detail = major || key.kind == FP_SWAP_CACHE || key.kind == FP_SWAP_IN || stall_ns >= slow_ns;
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
	result = walk(fault, regs, !detail);
	if (!detail && result == WALK_OWN) {
		fp_u32 last = fault->nr_frames - 1;

		key.ip[2] = fault->ip[last & (FP_MAX_FRAMES - 1)];
		key.ip[1] = last ? fault->ip[(last - 1) & (FP_MAX_FRAMES - 1)] : 0;
	}
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
	tell_fault(s, result, &key);
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
int BPF_PROG(on_exec, struct task_struct *task)
{
	struct task_struct *self = bpf_get_current_task_btf();
	struct task_state *state = bpf_task_storage_get(&tasks, self, 0, 0);
	struct fp_target fresh = {}, *target;
	fp_u32 tgid = task->tgid, old = 0;

	if (state && state->start_ns)
		settle(self, state);
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
	struct task_state *state = bpf_task_storage_get(&tasks, self, 0, 0);
	fp_u32 tgid = task->tgid;
	struct fp_target *target;

	if (state && state->start_ns)
		settle(self, state);
	if (task->signal->live.counter)
		return 0;
	target = bpf_map_lookup_elem(&targets, &tgid);
	if (!target)
		return 0;
	tell_task(FP_EVENT_EXIT, tgid, target->image, 0);
	bpf_map_delete_elem(&targets, &tgid);
	return 0;
}
