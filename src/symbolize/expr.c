/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * DWARF expressions as call frame information uses them: arithmetic on registers and stack words.
 * A small machine with a bounded stack and a bounded number of steps; what real unwind tables
 * never contain (calls, thread-local storage, pieces, other address sizes) is -EBADMSG.
 */
#include "symbolize/cfi.h"

#include <dwarf.h>
#include <errno.h>

#include "symbolize/reader.h"

#define MAX_DEPTH 32
#define MAX_STEPS 512

struct eval {
	const struct cfi_machine *machine;
	struct reader r;
	const uint8_t *start;
	uint64_t stack[MAX_DEPTH];
	unsigned int depth;
	int error;
};

static void push(struct eval *eval, uint64_t value)
{
	if (eval->depth == MAX_DEPTH)
		eval->error = -EBADMSG;
	else
		eval->stack[eval->depth++] = value;
}

static uint64_t pop(struct eval *eval)
{
	if (!eval->depth) {
		eval->error = -EBADMSG;
		return 0;
	}
	return eval->stack[--eval->depth];
}

static void pick(struct eval *eval, unsigned int i)
{
	if (i >= eval->depth)
		eval->error = -EBADMSG;
	else
		push(eval, eval->stack[eval->depth - 1 - i]);
}

static void push_register(struct eval *eval, uint64_t reg, int64_t offset)
{
	if (reg >= FP_NR_REGS)
		eval->error = -EBADMSG;
	else if (!(eval->machine->known & (1u << reg)))
		eval->error = -ESTALE;
	else
		push(eval, eval->machine->reg[reg] + (uint64_t)offset);
}

static void dereference(struct eval *eval, uint64_t bytes)
{
	uint64_t address = pop(eval), value;
	int r;

	if (eval->error)
		return;
	if (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8) {
		eval->error = -EBADMSG;
		return;
	}
	r = eval->machine->read(eval->machine, address, &value);
	if (r < 0)
		eval->error = r;
	else
		push(eval, bytes == 8 ? value : value & ((1ull << (8 * bytes)) - 1));
}

static void jump(struct eval *eval, bool taken)
{
	int64_t offset = reader_sint(&eval->r, 2);

	if (eval->r.bad || !taken)
		return;
	if (offset < eval->start - eval->r.at || offset > eval->r.end - eval->r.at)
		eval->error = -EBADMSG;
	else
		eval->r.at += offset;
}

static void constant(struct eval *eval, uint8_t op)
{
	struct reader *r = &eval->r;

	switch (op) {
	case DW_OP_addr:
	case DW_OP_const8u:
	case DW_OP_const8s:
		push(eval, reader_uint(r, 8));
		break;
	case DW_OP_const1u:
	case DW_OP_const2u:
	case DW_OP_const4u:
		push(eval, reader_uint(r, 1u << ((op - DW_OP_const1u) / 2)));
		break;
	case DW_OP_const1s:
	case DW_OP_const2s:
	case DW_OP_const4s:
		push(eval, (uint64_t)reader_sint(r, 1u << ((op - DW_OP_const1u) / 2)));
		break;
	case DW_OP_constu:
		push(eval, reader_uleb(r));
		break;
	default:
		push(eval, (uint64_t)reader_sleb(r));
	}
}

/* Shifts by 64 and more give what an endless register would. */
static uint64_t shift(uint8_t op, uint64_t a, uint64_t n)
{
	if (op == DW_OP_shra)
		return (uint64_t)((int64_t)a >> (n < 63 ? n : 63));
	if (n > 63)
		return 0;
	return op == DW_OP_shl ? a << n : a >> n;
}

static void binary(struct eval *eval, uint8_t op)
{
	uint64_t b = pop(eval), a = pop(eval);
	int64_t sa = (int64_t)a, sb = (int64_t)b;

	switch (op) {
	case DW_OP_and:
		a &= b;
		break;
	case DW_OP_or:
		a |= b;
		break;
	case DW_OP_xor:
		a ^= b;
		break;
	case DW_OP_plus:
		a += b;
		break;
	case DW_OP_minus:
		a -= b;
		break;
	case DW_OP_mul:
		a *= b;
		break;
	case DW_OP_shl:
	case DW_OP_shr:
	case DW_OP_shra:
		a = shift(op, a, b);
		break;
	case DW_OP_eq:
		a = a == b;
		break;
	case DW_OP_ne:
		a = a != b;
		break;
	case DW_OP_lt:
		a = sa < sb;
		break;
	case DW_OP_le:
		a = sa <= sb;
		break;
	case DW_OP_gt:
		a = sa > sb;
		break;
	case DW_OP_ge:
		a = sa >= sb;
		break;
	default:
		eval->error = -EBADMSG;
	}
	push(eval, a);
}

static void stack_op(struct eval *eval, uint8_t op)
{
	uint64_t a, b, c;

	switch (op) {
	case DW_OP_dup:
		pick(eval, 0);
		break;
	case DW_OP_over:
		pick(eval, 1);
		break;
	case DW_OP_pick:
		pick(eval, (unsigned int)reader_uint(&eval->r, 1));
		break;
	case DW_OP_drop:
		pop(eval);
		break;
	case DW_OP_swap:
		b = pop(eval), a = pop(eval);
		push(eval, b), push(eval, a);
		break;
	default: /* DW_OP_rot */
		c = pop(eval), b = pop(eval), a = pop(eval);
		push(eval, c), push(eval, a), push(eval, b);
	}
}

static void step(struct eval *eval, uint8_t op)
{
	uint64_t reg;

	if (op >= DW_OP_lit0 && op <= DW_OP_lit31) {
		push(eval, op - DW_OP_lit0);
	} else if (op >= DW_OP_breg0 && op <= DW_OP_breg31) {
		push_register(eval, op - DW_OP_breg0, reader_sleb(&eval->r));
	} else if (op == DW_OP_bregx) {
		reg = reader_uleb(&eval->r);
		push_register(eval, reg, reader_sleb(&eval->r));
	} else if (op == DW_OP_addr || (op >= DW_OP_const1u && op <= DW_OP_consts)) {
		constant(eval, op);
	} else if (op >= DW_OP_dup && op <= DW_OP_rot) {
		stack_op(eval, op);
	} else if (op == DW_OP_deref) {
		dereference(eval, 8);
	} else if (op == DW_OP_deref_size) {
		dereference(eval, reader_uint(&eval->r, 1));
	} else if (op == DW_OP_plus_uconst) {
		push(eval, pop(eval) + reader_uleb(&eval->r));
	} else if (op == DW_OP_neg) {
		push(eval, 0 - pop(eval));
	} else if (op == DW_OP_not) {
		push(eval, ~pop(eval));
	} else if (op == DW_OP_abs) {
		reg = pop(eval);
		push(eval, (int64_t)reg < 0 ? 0 - reg : reg);
	} else if (op == DW_OP_skip) {
		jump(eval, true);
	} else if (op == DW_OP_bra) {
		jump(eval, pop(eval) != 0);
	} else if (op != DW_OP_nop && op != DW_OP_stack_value) {
		binary(eval, op);
	}
}

int cfi_eval(const struct cfi_machine *machine, const uint8_t *expr, size_t length,
	     const uint64_t *initial, uint64_t *ret)
{
	struct eval eval = {
		.machine = machine,
		.r = { expr, expr + length, false },
		.start = expr,
	};
	uint64_t value;

	if (initial)
		push(&eval, *initial);
	for (unsigned int steps = 0; eval.r.at < eval.r.end; steps++) {
		if (steps == MAX_STEPS)
			return -EBADMSG;
		step(&eval, (uint8_t)reader_uint(&eval.r, 1));
		if (eval.error)
			return eval.error;
		if (eval.r.bad)
			return -EBADMSG;
	}
	value = pop(&eval);
	if (eval.error)
		return eval.error;
	*ret = value;
	return 0;
}
