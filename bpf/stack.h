/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What every walk of a user stack needs: the rules that user space taught, one step by a rule, and
 * what is shipped where no rule is known. */
#ifndef BPF_STACK_H
#define BPF_STACK_H

#include "uretprobe.h"

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct fp_rule_key);
	__type(value, struct fp_rule);
} rules SEC(".maps");

/* From a frame to its caller, by a rule of FP_RULE_RSP or FP_RULE_RBP; @sp is then its CFA. Not 0:
 * that part of the stack is not present. */
static __always_inline int go_up(const struct fp_rule *rule, fp_u64 *ip, fp_u64 *sp, fp_u64 *bp)
{
	fp_u64 cfa = (rule->how == FP_RULE_RSP ? *sp : *bp) + rule->cfa_offset;

	if (bpf_probe_read_user(ip, sizeof(*ip), (void *)(cfa - 8)) ||
	    (rule->rbp_offset != FP_RBP_SAME &&
	     bpf_probe_read_user(bp, sizeof(*bp), (void *)(cfa + rule->rbp_offset))))
		return 1;
	*sp = cfa;
	return 0;
}

/* @raw needs 8 bytes behind its data. */
static __always_inline void put_real_addresses(struct fp_raw_stack *raw)
{
	struct real_return real = first_return(bpf_get_current_task_btf());

	for (int i = 0; real.slot && i < MAX_RETURNS; i++) {
		fp_u64 at = real.slot - raw->reg[7];

		if (at + 8 <= raw->bytes && at < FP_STACK_BYTES)
			*(fp_u64 *)&raw->data[at & (FP_STACK_BYTES - 1)] = real.address;
		real = next_return(&real);
	}
}

static __always_inline void copy_registers(struct fp_raw_stack *raw, const struct pt_regs *regs)
{
	fp_u64 *reg = raw->reg;

	reg[0] = regs->ax;
	reg[1] = regs->dx;
	reg[2] = regs->cx;
	reg[3] = regs->bx;
	reg[4] = regs->si;
	reg[5] = regs->di;
	reg[6] = regs->bp;
	reg[7] = regs->sp;
	reg[8] = regs->r8;
	reg[9] = regs->r9;
	reg[10] = regs->r10;
	reg[11] = regs->r11;
	reg[12] = regs->r12;
	reg[13] = regs->r13;
	reg[14] = regs->r14;
	reg[15] = regs->r15;
	reg[16] = regs->ip;
}

#endif
