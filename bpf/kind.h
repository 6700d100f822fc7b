/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What kind of fault it is. Between its start and its completion, hooks note in the task's state
 * what the fault did: which RSS counters it moved (tracepoint tier), or which handlers it went
 * through (fentry tier).
 */
#ifndef BPF_KIND_H
#define BPF_KIND_H

#include "emit.h"

const volatile bool fentry_tier;

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

const volatile bool count_swapped_out;

/* Who reclaims memory, and nobody else, adds to the swap entries of a process while it is told not
 * to reclaim any itself: kswapd, who had to reclaim for his own allocation, or madvise(). Each page
 * is told by itself. */
static __always_inline void count_if_swapped_out(struct mm_struct *mm, struct task_struct *by)
{
	struct fp_site_key key = { .kind = FP_SITE_SWAPPED_OUT };
	struct task_struct *owner;
	struct fp_target *target;
	fp_u32 tgid;

	if (!(by->flags & PF_MEMALLOC) || !bpf_core_field_exists(mm->owner))
		return;
	owner = mm->owner;
	if (!owner)
		return;
	tgid = owner->tgid;
	target = bpf_map_lookup_elem(&targets, &tgid);
	if (!target || target->on_exec)
		return;
	key.image = target->image;
	count_site(&key, 0);
}

SEC("tp_btf/rss_stat")
int BPF_PROG(on_rss_stat, struct mm_struct *mm, int member)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state;

	if (count_swapped_out && member == MM_SWAPENTS)
		count_if_swapped_out(mm, task);
	if (fentry_tier)
		return 0;
	state = state_find(task);
	if (!state || state->phase != IN_FAULT || state->reclaiming || task->mm != mm)
		return 0;
	state->saw |= 1 << (member & 3);
	if (member == MM_ANONPAGES && was_huge(mm, state))
		state->saw |= SAW_HUGE;
	return 0;
}

SEC("tp_btf/mm_filemap_fault")
int BPF_PROG(on_filemap_fault)
{
	struct task_state *state = state_find(bpf_get_current_task_btf());

	if (state && state->phase == IN_FAULT)
		state->saw |= SAW_FILE_FAULT;
	return 0;
}

/* A fault that has to reclaim moves counters for other pages than its own. */
static __always_inline int reclaim(int by)
{
	struct task_state *state = state_find(bpf_get_current_task_btf());

	if (state)
		state->reclaiming += by;
	return 0;
}

#define RECLAIM_BRACKET(name)                   \
	SEC("tp_btf/mm_vmscan_" #name "_begin") \
	int on_##name##_begin(void *ctx)        \
	{                                       \
		return reclaim(1);              \
	}                                       \
	SEC("tp_btf/mm_vmscan_" #name "_end")   \
	int on_##name##_end(void *ctx)          \
	{                                       \
		return reclaim(-1);             \
	}

RECLAIM_BRACKET(direct_reclaim)
RECLAIM_BRACKET(memcg_reclaim)
RECLAIM_BRACKET(memcg_softlimit_reclaim)
RECLAIM_BRACKET(node_reclaim)

SEC("fentry/handle_mm_fault")
int BPF_PROG(on_handle_mm_fault, struct vm_area_struct *vma)
{
	struct task_state *state = state_find(bpf_get_current_task_btf());

	if (!state || state->phase != IN_FAULT)
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
	struct task_state *state = state_find(bpf_get_current_task_btf());

	if (state && state->phase == IN_FAULT &&
	    vmf->orig_pte.pte >> SWAP_TYPE_SHIFT < SWAP_TYPE_SPECIAL)
		state->saw |= SAW_SWAP;
	return 0;
}

SEC("fexit/do_huge_pmd_anonymous_page")
int BPF_PROG(on_huge_page, struct vm_fault *vmf, unsigned int ret)
{
	struct task_state *state = state_find(bpf_get_current_task_btf());

	/* Reading maps the huge page of zeros, which is there already. */
	if (state && state->phase == IN_FAULT && state->error & PF_WRITE &&
	    !(ret & VM_FAULT_FALLBACK))
		state->saw |= SAW_HUGE;
	return 0;
}

/* Neither of them moves a counter or shows in the error code: it looks like a first touch. */
static __always_inline int saw_other(void)
{
	struct task_state *state = state_find(bpf_get_current_task_btf());

	if (state && state->phase == IN_FAULT)
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
	fp_u16 saw = state->saw;

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

static __always_inline bool slept(const struct task_struct *task, const struct task_state *state)
{
	return task->nvcsw != state->switches;
}

/* A fault that moved no counter, but slept, waited for a page that another thread's fault brought:
 * from swap, when the process has pages there. */
static __always_inline bool waited_for_swap(const struct task_state *state)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return slept(task, state) && task->mm && task->mm->rss_stat[MM_SWAPENTS].count > 0;
}

static __always_inline enum fp_kind kind_by_counter(const struct task_state *state, bool major)
{
	fp_u16 saw = state->saw;
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
	if (saw & SAW_ANON)
		return FP_ZERO;
	if (waited_for_swap(state))
		return FP_SWAP_CACHE;
	/* Reading an untouched page maps the zero page, which no counter counts. */
	return write ? FP_OTHER : FP_ZERO;
}

static __always_inline enum fp_kind kind_of(const struct task_state *state, bool major)
{
	return fentry_tier ? kind_by_handler(state, major) : kind_by_counter(state, major);
}

static __always_inline enum fp_access access_of(const struct task_state *state)
{
	return state->error & PF_INSTR ? FP_EXEC : state->error & PF_WRITE ? FP_WRITE : FP_READ;
}

#endif
