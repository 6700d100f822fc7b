/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Call frame instructions: from the entry of a function to the row for one instruction in it. An
 * instruction that makes no sense ends the run with -EBADMSG, as does one that reads past its
 * entry: half a row would lead an unwinder astray without a sign.
 */
#include "symbolize/cfitable.h"

#include <dwarf.h>
#include <errno.h>

#define MAX_REMEMBERED 16
#define MAX_STEPS (1u << 18)

/* A run of call frame instructions. */
struct run {
	const struct cfi *cfi;
	const struct cie *cie;
	struct reader r;
	uint64_t location, address;
	struct cfi_row *row, initial;
	struct cfi_row remembered[MAX_REMEMBERED];
	unsigned int nr_remembered;
};

static void set(struct run *run, uint64_t reg, enum cfi_how how, int64_t value)
{
	/* Vector registers are of no use to an unwinder. */
	if (reg < FP_NR_REGS)
		run->row->reg[reg] = (struct cfi_place){ .how = how, .value = value };
}

static void set_expression(struct run *run, struct cfi_place *place, enum cfi_how how)
{
	uint64_t length = reader_uleb(&run->r);
	const uint8_t *expr = reader_skip(&run->r, length);

	if (!run->r.bad && place)
		*place = (struct cfi_place){ how, (int64_t)length, expr };
}

static void set_register_expression(struct run *run, enum cfi_how how)
{
	uint64_t reg = reader_uleb(&run->r);

	set_expression(run, reg < FP_NR_REGS ? &run->row->reg[reg] : NULL, how);
}

static void restore(struct run *run, uint64_t reg)
{
	if (reg < FP_NR_REGS)
		run->row->reg[reg] = run->initial.reg[reg];
}

static void set_cfa(struct run *run, uint64_t reg, int64_t value)
{
	run->r.bad |= reg >= FP_NR_REGS;
	run->row->cfa = (struct cfi_place){ .how = CFI_REGISTER, .value = value };
	run->row->cfa_register = (unsigned int)reg;
}

static int64_t factored(struct run *run, bool is_signed)
{
	uint64_t n = is_signed ? (uint64_t)reader_sleb(&run->r) : reader_uleb(&run->r);

	return (int64_t)(n * (uint64_t)run->cie->data_align);
}

static void advance(struct run *run, uint64_t delta)
{
	run->location += delta * run->cie->code_align;
}

static void remember(struct run *run)
{
	if (run->nr_remembered == MAX_REMEMBERED)
		run->r.bad = true;
	else
		run->remembered[run->nr_remembered++] = *run->row;
}

static void recall(struct run *run)
{
	if (!run->nr_remembered)
		run->r.bad = true;
	else
		*run->row = run->remembered[--run->nr_remembered];
}

static void define_cfa(struct run *run, uint8_t op)
{
	struct reader *r = &run->r;
	struct cfi_row *row = run->row;
	uint64_t reg;

	switch (op) {
	case DW_CFA_def_cfa:
		reg = reader_uleb(r);
		set_cfa(run, reg, (int64_t)reader_uleb(r));
		break;
	case DW_CFA_def_cfa_sf:
		reg = reader_uleb(r);
		set_cfa(run, reg, factored(run, true));
		break;
	case DW_CFA_def_cfa_register:
		r->bad |= row->cfa.how != CFI_REGISTER;
		set_cfa(run, reader_uleb(r), row->cfa.value);
		break;
	case DW_CFA_def_cfa_offset:
		r->bad |= row->cfa.how != CFI_REGISTER;
		row->cfa.value = (int64_t)reader_uleb(r);
		break;
	case DW_CFA_def_cfa_offset_sf:
		r->bad |= row->cfa.how != CFI_REGISTER;
		row->cfa.value = factored(run, true);
		break;
	default:
		set_expression(run, &row->cfa, CFI_IS_EXPR);
	}
}

static void define_register(struct run *run, uint8_t op)
{
	struct reader *r = &run->r;
	uint64_t reg;

	if (op == DW_CFA_expression || op == DW_CFA_val_expression) {
		set_register_expression(run, op == DW_CFA_expression ? CFI_AT_EXPR : CFI_IS_EXPR);
		return;
	}
	reg = reader_uleb(r);
	switch (op) {
	case DW_CFA_offset_extended:
		set(run, reg, CFI_AT, factored(run, false));
		break;
	case DW_CFA_offset_extended_sf:
		set(run, reg, CFI_AT, factored(run, true));
		break;
	case DW_CFA_GNU_negative_offset_extended:
		set(run, reg, CFI_AT, (int64_t)(0 - (uint64_t)factored(run, false)));
		break;
	case DW_CFA_val_offset:
		set(run, reg, CFI_IS, factored(run, false));
		break;
	case DW_CFA_val_offset_sf:
		set(run, reg, CFI_IS, factored(run, true));
		break;
	case DW_CFA_restore_extended:
		restore(run, reg);
		break;
	case DW_CFA_undefined:
		set(run, reg, CFI_UNDEFINED, 0);
		break;
	case DW_CFA_same_value:
		set(run, reg, CFI_SAME, 0);
		break;
	case DW_CFA_register:
		set(run, reg, CFI_REGISTER, (int64_t)reader_uleb(r));
		break;
	default:
		r->bad = true;
	}
}

static void execute(struct run *run)
{
	struct reader *r = &run->r;

	for (unsigned int steps = 0; r->at < r->end && !r->bad && run->location <= run->address;
	     steps++) {
		uint8_t op = (uint8_t)reader_uint(r, 1), low = op & 0x3f;

		r->bad |= steps == MAX_STEPS;
		if ((op & 0xc0) == DW_CFA_advance_loc)
			advance(run, low);
		else if ((op & 0xc0) == DW_CFA_offset)
			set(run, low, CFI_AT, factored(run, false));
		else if ((op & 0xc0) == DW_CFA_restore)
			restore(run, low);
		else if (op == DW_CFA_nop)
			continue;
		else if (op == DW_CFA_set_loc)
			run->location = cfi_read_pointer(run->cfi, r, run->cie->encoding);
		else if (op >= DW_CFA_advance_loc1 && op <= DW_CFA_advance_loc4)
			advance(run, reader_uint(r, 1u << (op - DW_CFA_advance_loc1)));
		else if (op == DW_CFA_remember_state)
			remember(run);
		else if (op == DW_CFA_restore_state)
			recall(run);
		else if (op == DW_CFA_GNU_args_size)
			reader_uleb(r);
		else if ((op >= DW_CFA_def_cfa && op <= DW_CFA_def_cfa_expression) ||
			 op == DW_CFA_def_cfa_sf || op == DW_CFA_def_cfa_offset_sf)
			define_cfa(run, op);
		else
			define_register(run, op);
	}
}

int cfi_row(const struct cfi *cfi, const struct cfi_entry *entry, uint64_t address,
	    struct cfi_row *row)
{
	struct reader program;
	struct cie cie;
	struct run run;

	if (cfi_read_entry(cfi, entry, &cie, &program))
		return -EBADMSG;
	memset(row, 0, sizeof(*row));
	row->cfa.how = CFI_UNDEFINED;
	row->reg[CFI_RSP] = (struct cfi_place){ .how = CFI_IS };
	run.cfi = cfi;
	run.cie = &cie;
	run.row = row;
	run.nr_remembered = 0;
	run.location = 0;
	run.address = UINT64_MAX;
	run.r = cie.program;
	run.initial = *row;
	execute(&run);
	if (run.r.bad)
		return -EBADMSG;
	run.initial = *row;
	run.location = entry->start;
	run.address = address;
	run.r = program;
	execute(&run);
	row->signal = cie.signal;
	return run.r.bad || row->cfa.how == CFI_UNDEFINED ? -EBADMSG : 0;
}

static bool fits(int64_t value)
{
	return value > INT32_MIN && value <= INT32_MAX;
}

void cfi_rule(const struct cfi_row *row, struct fp_rule *rule)
{
	const struct cfi_place *ip = &row->reg[CFI_RIP], *sp = &row->reg[CFI_RSP];
	const struct cfi_place *bp = &row->reg[CFI_RBP];

	*rule = (struct fp_rule){ .how = FP_RULE_RAW };
	if (ip->how == CFI_UNDEFINED) {
		rule->how = FP_RULE_END;
		return;
	}
	if (row->signal || row->cfa.how != CFI_REGISTER || !fits(row->cfa.value) ||
	    ip->how != CFI_AT || ip->value != -8 || sp->how != CFI_IS || sp->value)
		return;
	if (bp->how != CFI_SAME && (bp->how != CFI_AT || !fits(bp->value)))
		return;
	if (row->cfa_register == CFI_RSP)
		rule->how = FP_RULE_RSP;
	else if (row->cfa_register == CFI_RBP)
		rule->how = FP_RULE_RBP;
	else
		return;
	rule->cfa_offset = (fp_s32)row->cfa.value;
	rule->rbp_offset = bp->how == CFI_SAME ? FP_RBP_SAME : (fp_s32)bp->value;
}
