/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Walking a user stack without frame pointers. User space knows the unwind tables, the kernel side
 * only the rules of instructions that were met before: one hash lookup a frame. A frame whose
 * rule is not known yet ends the walk, and the raw stack is shipped; user space unwinds it and
 * teaches the rules, so each place is shipped once or a few times.
 */
#ifndef BPF_UNWIND_H
#define BPF_UNWIND_H

#include "emit.h"
#include "stack.h"

enum walk_result {
	WALK_DONE, /* as far as it goes: fault.stack_end says why there */
	WALK_OWN,  /* at a frame of the target's own binary, the last one written */
	WALK_MISS, /* user space has to unwind */
};

/* From the registers in s->raw. Fills ip[], nr_frames and stack_end of s->fault, and in @site of a
 * kernel-mode fault its owner; ends there when @until_own. A global function, so that the verifier
 * looks at it once, and not along each path that leads to it. Returns enum walk_result. */
__attribute__((noinline)) int walk(struct scratch *s, struct fp_site_key *site, bool until_own)
{
	fp_u64 ip, sp, bp, callee = 0;
	struct fp_rule_key key = {};
	struct fp_fault_event *fault;
	struct fp_rule *rule;

	if (!s || !site)
		return WALK_MISS;
	fault = &s->fault;
	key.image = fault->h.image;
	bp = s->raw.reg[6];
	sp = s->raw.reg[7];
	ip = s->raw.reg[16];
	fault->stack_end = FP_STACK_WHOLE;
	fault->ip[0] = ip;
	fault->nr_frames = 1;
	if (first_return(bpf_get_current_task_btf()).slot)
		return WALK_MISS;
	for (int i = 0; i < FP_MAX_FRAMES; i++) {
		fault->ip[i] = ip;
		fault->nr_frames = i + 1;
		key.caller = i > 0;
		key.ip = ip;
		rule = bpf_map_lookup_elem(&rules, &key);
		if (!rule || rule->how == FP_RULE_RAW)
			return WALK_MISS;
		if (site->mode == FP_KERNEL && rule->flags & FP_RULE_OWN && !site->ip[2]) {
			site->ip[1] = callee;
			site->ip[2] = ip;
			if (until_own)
				return WALK_OWN;
		}
		callee = ip;
		if (rule->how == FP_RULE_END)
			return WALK_DONE;
		if (rule->how == FP_RULE_NONE) {
			fault->stack_end = FP_STACK_NO_RULE;
			return WALK_DONE;
		}
		if (go_up(rule, &ip, &sp, &bp)) {
			fault->stack_end = FP_STACK_ABSENT;
			return WALK_DONE;
		}
		if (!ip)
			return WALK_DONE;
	}
	fault->stack_end = FP_STACK_DEEP;
	return WALK_DONE;
}

/* Copies as much of the stack as is present. Reading with page faults disabled brings nothing in:
 * an absent page ends the copy. */
static __always_inline void copy_stack(struct scratch *s)
{
	fp_u64 from = s->raw.reg[7];
	fp_u32 done = 0, part;

	for (int i = 0; i < 3 && done < FP_STACK_BYTES; i++) {
		part = PAGE_SIZE - (from & (PAGE_SIZE - 1));
		if (part > PAGE_SIZE)
			break;
		if (bpf_probe_read_user(&s->raw.data[done & (FP_STACK_BYTES - 1)], part,
					(void *)from))
			break;
		done += part;
		from += part;
	}
	s->raw.bytes = done < FP_STACK_BYTES ? done : FP_STACK_BYTES;
	put_real_addresses(&s->raw);
}

#endif
