// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * Living objects and when they were born. A uprobe at the start of an allocator keeps what was
 * asked for, one at its return enters the object, one at the start of free removes it. So an object
 * is known from when its owner gets the address until it gives it back, and another thread that is
 * given the same address never meets the entry of the one before.
 *
 * Allocators call one another (operator new[] jumps to operator new, which calls malloc). Each call
 * under way has a place on its thread's stack of calls, by stack pointer: the callee returns first,
 * and when both return the same address the caller's entry replaces the callee's: the outermost
 * allocator owns the object. A call that never returns (longjmp, an exception) is met by the next
 * one that begins above it, dropped, and counted.
 *
 * realloc ends the old object as it begins: nobody may use it from there on, and once it is freed
 * inside, another thread may get its address. It comes back as it was when realloc fails.
 *
 * The breakpoints are in the memory of the watched process alone (broker.c); a child that it forks
 * loses them as it first meets them, and is watched anew or not at all. Its objects are its own:
 * the copies of its parent's are not entered. What an exec or the exit leaves behind is told by
 * processes[] to be dead, and removed by user space.
 */
#include "callers.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__type(key, struct fp_birth_key);
	__type(value, struct fp_birth);
} objects SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FP_BIRTH_SITES);
	__type(key, fp_u32);
	__type(value, struct fp_birth_site);
} sites SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FP_BIRTH_SITES);
	__type(key, fp_u32);
	__type(value, fp_u64);
} calls SEC(".maps");

/* What was born lately, for user space to keep up without reading the whole map: mapped by it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FP_BIRTH_NOTES);
	__type(key, fp_u32);
	__type(value, struct fp_birth_note);
} notes SEC(".maps");

volatile fp_u64 born; /* objects entered */

/* A call of an allocator that has not returned yet. */
struct call {
	fp_u64 sp; /* as it began */
	fp_u64 size, tag;
	fp_u64 old_base; /* of the object that it ended; 0: none */
	fp_u64 result;	 /* where it puts the object, when it does not return it */
	struct fp_birth old;
	fp_u32 site, stack;
};

struct calls {
	fp_u32 nr, pad;
	struct call at[FP_BIRTH_NEST];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct calls);
} threads SEC(".maps");

static __always_inline struct fp_birth_key key_of(fp_u64 base)
{
	struct fp_birth_key key = { .base = base, .pid = bpf_get_current_pid_tgid() >> 32 };

	return key;
}

/* The allocator that a probe belongs to; counts the call. */
static __always_inline struct fp_birth_site *site_of(struct pt_regs *regs, fp_u32 *id)
{
	fp_u64 *count;

	*id = bpf_get_attach_cookie(regs);
	count = bpf_map_lookup_elem(&calls, id);
	if (count)
		++*count;
	return bpf_map_lookup_elem(&sites, id);
}

#define NR_ARGUMENTS 8 /* a power of two, for the verifier; 6 are in registers */

struct arguments {
	fp_u64 at[NR_ARGUMENTS];
};

/* All at once: the verifier wants each register of the context named. */
static __always_inline struct arguments arguments_of(const volatile struct pt_regs *regs)
{
	struct arguments a = { { regs->di, regs->si, regs->dx, regs->cx, regs->r8, regs->r9 } };

	return a;
}

/* @number -1: there is none. */
static __always_inline fp_u64 argument(const struct arguments *a, fp_s32 number, fp_u64 otherwise)
{
	return number < 0 ? otherwise : a->at[(fp_u32)number % NR_ARGUMENTS];
}

/* A place for a call that begins at @sp. The stack grows downwards: calls below it have ended
 * without a return, and so has one of this very allocator at @sp. Another one there jumped to us.
 */
static __always_inline struct call *push(fp_u64 sp, fp_u32 site)
{
	struct calls *thread = bpf_task_storage_get(&threads, bpf_get_current_task_btf(), 0,
						    BPF_LOCAL_STORAGE_GET_F_CREATE);
	struct call *top;

	for (int i = 0; thread && thread->nr && i < FP_BIRTH_NEST; i++) {
		top = &thread->at[(thread->nr - 1) % FP_BIRTH_NEST];
		if (top->sp > sp || (top->sp == sp && top->site != site))
			break;
		thread->nr--;
		lose(FP_BIRTH_NO_END);
	}
	if (!thread || thread->nr >= FP_BIRTH_NEST) {
		lose(FP_BIRTH_NO_STATE);
		return 0;
	}
	top = &thread->at[thread->nr++ % FP_BIRTH_NEST];
	top->sp = sp;
	top->site = site;
	return top;
}

/* The call that began at @sp and returns now; NULL: there was nothing to remember of it. */
static __always_inline struct call *pop(fp_u64 sp, fp_u32 site)
{
	struct calls *thread = bpf_task_storage_get(&threads, bpf_get_current_task_btf(), 0, 0);
	struct call *top;

	for (int i = 0; thread && thread->nr && i < FP_BIRTH_NEST; i++) {
		top = &thread->at[(thread->nr - 1) % FP_BIRTH_NEST];
		if (top->sp > sp || (top->sp == sp && top->site != site))
			return 0;
		thread->nr--;
		if (top->sp == sp)
			return top;
		lose(FP_BIRTH_NO_END);
	}
	return 0;
}

SEC("uprobe")
int on_alloc(struct pt_regs *regs)
{
	struct fp_birth *found = 0;
	struct fp_birth_site *site;
	struct fp_birth_key old;
	struct arguments a;
	struct call *call;
	fp_u64 size;
	fp_u32 id;

	site = site_of(regs, &id);
	if (!site)
		return 0;
	a = arguments_of(regs);
	size = argument(&a, site->size_arg, site->size) * argument(&a, site->count_arg, 1);
	old = key_of(argument(&a, site->old_arg, 0));
	if (old.base)
		found = bpf_map_lookup_elem(&objects, &old);
	if (size < site->min_size && !found)
		return 0;
	call = push(regs->sp, id);
	if (call) {
		call->size = size;
		call->tag = argument(&a, site->tag_arg, 0);
		call->stack = with_stacks && size >= site->min_size ? stack_of(regs) : 0;
		call->result = argument(&a, site->result_arg, 0);
		call->old_base = found ? old.base : 0;
		if (found)
			call->old = *found;
	}
	if (found)
		bpf_map_delete_elem(&objects, &old);
	return 0;
}

static __always_inline void enter(fp_u64 base, const struct fp_birth *birth)
{
	struct fp_birth_key key = key_of(base);
	struct fp_birth_note *note;
	fp_u64 nr;
	fp_u32 at;

	if (bpf_map_update_elem(&objects, &key, birth, BPF_ANY)) {
		lose(FP_BIRTH_FULL);
		return;
	}
	nr = __sync_fetch_and_add(&born, 1) + 1;
	at = nr % FP_BIRTH_NOTES;
	note = bpf_map_lookup_elem(&notes, &at);
	if (!note)
		return;
	*(volatile fp_u64 *)&note->nr = 0;
	barrier();
	note->key = key;
	note->birth = *birth;
	barrier();
	*(volatile fp_u64 *)&note->nr = nr;
}

/* What the call gave; 0: it failed. */
static __always_inline fp_u64 result_of(const struct fp_birth_site *site, const struct call *call,
					fp_u64 returned)
{
	fp_u64 base;

	if (site->result_arg < 0)
		return returned;
	/* An int: the upper half of the register says nothing. */
	if ((fp_u32)returned || bpf_probe_read_user(&base, sizeof(base), (void *)call->result))
		return 0;
	return base;
}

SEC("uretprobe")
int on_return(struct pt_regs *regs)
{
	fp_u32 id = bpf_get_attach_cookie(regs);
	struct fp_birth_site *site = bpf_map_lookup_elem(&sites, &id);
	struct call *call = site ? pop(regs->sp - 8, id) : 0;
	struct fp_birth birth = {};
	fp_u64 base;

	if (!call)
		return 0;
	base = result_of(site, call, regs->ax);
	if (!base) {
		/* It failed, and the old object lives on; but realloc(p, 0) is free(p). */
		if (call->old_base && call->size)
			enter(call->old_base, &call->old);
		return 0;
	}
	if (call->size < site->min_size)
		return 0;
	birth.size = call->size;
	birth.born_ns = bpf_ktime_get_ns();
	birth.tag = call->tag;
	birth.site = id;
	birth.stack = call->stack;
	enter(base, &birth);
	return 0;
}

SEC("uprobe")
int on_free(struct pt_regs *regs)
{
	struct fp_birth_site *site;
	struct fp_birth_key key;
	struct arguments a;
	fp_u32 id;

	site = site_of(regs, &id);
	if (!site)
		return 0;
	a = arguments_of(regs);
	key = key_of(argument(&a, site->free_arg, 0));
	/* Most are small ones that were never entered: no lock for those. */
	if (bpf_map_lookup_elem(&objects, &key))
		bpf_map_delete_elem(&objects, &key);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
	fp_u32 pid = task->tgid;
	struct fp_birth_process *process = bpf_map_lookup_elem(&processes, &pid);

	if (process) {
		process->image = 0; /* until user space knows the new one */
		process->since_ns = bpf_ktime_get_ns();
	}
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	fp_u32 pid = task->tgid;

	if (!task->signal->live.counter)
		bpf_map_delete_elem(&processes, &pid);
	return 0;
}
