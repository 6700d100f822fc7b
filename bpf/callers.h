/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Who called an allocator. The walk begins at the function's first instruction, where the return
 * address is the last thing on the stack whatever the function does later, and goes on by the rules
 * that user space taught (stack.h); where none is known, the stack is shipped. Watched functions
 * under way have their return address replaced (uretprobe.h): these replacements are met in the
 * order of their list, which begins innermost, so one look a frame is enough.
 *
 * A stack is kept once, under a number, which is all that an object carries.
 */
#ifndef BPF_CALLERS_H
#define BPF_CALLERS_H

#include "birthstate.h"
#include "stack.h"

/* By number; mapped by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FP_BIRTH_STACKS);
	__type(key, fp_u32);
	__type(value, struct fp_birth_stack);
} stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FP_BIRTH_STACKS);
	__type(key, struct fp_birth_stack);
	__type(value, fp_u32);
} stack_numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 2 << 20);
} raws SEC(".maps");

struct walk {
	struct fp_birth_stack stack; /* so far */
	fp_u64 ip, sp, bp;	     /* of the next frame; its return address stood below sp */
	struct real_return real;     /* the next one on the way */
};

/* The thread may be preempted, so it is not the CPU's. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct walk);
} walks SEC(".maps");

const volatile bool with_stacks;
volatile fp_u32 nr_stacks; /* numbers given out, from 1 */
volatile fp_u32 nr_raws;

/* 0: there is no room. */
static __always_inline fp_u32 number_of(const struct fp_birth_stack *stack)
{
	fp_u32 *found = bpf_map_lookup_elem(&stack_numbers, stack), number;
	struct fp_birth_stack *slot = 0;

	if (found)
		return *found;
	number = nr_stacks < FP_BIRTH_STACKS ? __sync_fetch_and_add(&nr_stacks, 1) + 1 : 0;
	if (number)
		slot = bpf_map_lookup_elem(&stacks, &number);
	if (!slot) {
		lose(FP_BIRTH_NO_STACK);
		return 0;
	}
	__builtin_memcpy(slot, stack, sizeof(*slot));
	if (!bpf_map_update_elem(&stack_numbers, stack, &number, BPF_NOEXIST))
		return number;
	/* Another CPU was faster. */
	found = bpf_map_lookup_elem(&stack_numbers, stack);
	return found ? *found : number;
}

/* In parts of a fixed size, which the verifier follows; of a page that is absent, what stands in
 * the same part before it is lost, too. */
#define COPY_PART 256

static __always_inline void copy_raw(struct fp_raw_stack *raw)
{
	fp_u64 from = raw->reg[7];
	fp_u32 i;

	for (i = 0; i < FP_STACK_BYTES / COPY_PART; i++)
		if (bpf_probe_read_user(&raw->data[i * COPY_PART], COPY_PART,
					(void *)(from + i * COPY_PART)))
			break;
	raw->bytes = i * COPY_PART;
	put_real_addresses(raw);
}

/* Its number in fp_birth.stack; 0: the ring is full. */
static __always_inline fp_u32 ship(struct pt_regs *regs, fp_u32 image)
{
	struct fp_birth_raw *raw = bpf_ringbuf_reserve(&raws, sizeof(*raw), 0);
	fp_u32 number;

	if (!raw)
		return 0;
	number = __sync_fetch_and_add(&nr_raws, 1) % FP_BIRTH_RAW;
	raw->time_ns = bpf_ktime_get_ns();
	raw->pid = bpf_get_current_pid_tgid() >> 32;
	raw->image = image;
	raw->number = number;
	copy_registers(&raw->stack, regs);
	copy_raw(&raw->stack);
	bpf_ringbuf_submit(raw, BPF_RB_NO_WAKEUP);
	return FP_BIRTH_RAW | number;
}

enum { WALK_ON, WALK_DONE, WALK_MISS };

/* Takes the next real address, or adds the frame and goes on to its caller. A global function, so
 * that the verifier looks at it once, and not at each turn of a loop. */
__attribute__((noinline)) int walk_step(struct walk *w)
{
	struct fp_rule_key key = { .caller = 1 };
	struct fp_birth_stack *stack;
	struct fp_rule *rule;
	fp_u32 nr;

	if (!w)
		return WALK_DONE;
	stack = &w->stack;
	if (w->real.slot && w->real.slot < w->sp) {
		if (w->real.slot == w->sp - 8)
			w->ip = w->real.address;
		w->real = next_return(&w->real);
		return WALK_ON;
	}
	nr = stack->nr_frames;
	stack->end = w->ip ? FP_STACK_DEEP : FP_STACK_WHOLE;
	if (!w->ip || nr >= FP_BIRTH_FRAMES)
		return WALK_DONE;
	stack->ip[nr] = w->ip;
	stack->nr_frames = nr + 1;
	key.image = stack->image;
	key.ip = w->ip;
	rule = bpf_map_lookup_elem(&rules, &key);
	if (!rule || rule->how == FP_RULE_RAW)
		return WALK_MISS;
	if (rule->how == FP_RULE_END || rule->how == FP_RULE_NONE) {
		stack->end = rule->how == FP_RULE_END ? FP_STACK_WHOLE : FP_STACK_NO_RULE;
		return WALK_DONE;
	}
	stack->end = FP_STACK_ABSENT;
	return go_up(rule, &w->ip, &w->sp, &w->bp) ? WALK_DONE : WALK_ON;
}

/* False: user space has to unwind. */
static __always_inline bool walk_callers(struct pt_regs *regs, struct walk *w)
{
	int r = WALK_ON;

	w->stack.end = FP_STACK_ABSENT;
	w->sp = regs->sp + 8;
	w->bp = regs->bp;
	w->real = first_return(bpf_get_current_task_btf());
	if (bpf_probe_read_user(&w->ip, sizeof(w->ip), (void *)regs->sp))
		return true;
	for (int i = 0; r == WALK_ON && i < FP_BIRTH_FRAMES + 1 + MAX_RETURNS; i++)
		r = walk_step(w);
	return r != WALK_MISS;
}

/* For fp_birth.stack, at the first instruction of an allocator. */
static __always_inline fp_u32 stack_of(struct pt_regs *regs)
{
	fp_u32 pid = bpf_get_current_pid_tgid() >> 32, number;
	struct fp_birth_process *process;
	struct walk *w;

	process = bpf_map_lookup_elem(&processes, &pid);
	if (!process || !process->image)
		return 0;
	w = bpf_task_storage_get(&walks, bpf_get_current_task_btf(), 0,
				 BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!w) {
		lose(FP_BIRTH_NO_STACK);
		return 0;
	}
	__builtin_memset(&w->stack, 0, sizeof(w->stack));
	w->stack.image = process->image;
	if (walk_callers(regs, w))
		return number_of(&w->stack);
	number = ship(regs, w->stack.image);
	if (number)
		return number;
	w->stack.end = FP_STACK_LOST;
	lose(FP_BIRTH_NO_STACK);
	return number_of(&w->stack);
}

#endif
