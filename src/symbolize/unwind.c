/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * From a copy of registers and stack to callers. Nearly all code unwinds by the three numbers of
 * a struct fp_rule, so those are cached by instruction, and a walk tracks rsp, rbp and rip alone.
 * When it meets a frame that needs any other register (a realigned stack, say), it starts over and
 * runs every row in full. A return address is looked up one byte earlier: a call that never
 * returns may be the last instruction of its function. After a signal frame that is not so, there
 * the address is of the interrupted instruction itself: it is told plus one, so that whoever takes
 * one off all callers (for a name, for the rule that the kernel learns) is right about this, too.
 */
#include "symbolize/symbolize.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "symbolize/module.h"

#define BIT(n) (1u << (n))
#define TRACKED (BIT(CFI_RBP) | BIT(CFI_RSP) | BIT(CFI_RIP))

struct walk {
	struct cfi_machine machine; /* first: read_stack() gets to the rest from it */
	const struct fp_raw_stack *raw;
	uint64_t base, bytes;
	bool full;   /* all registers, every row */
	bool signal; /* the frame just left was a signal frame */
};

static int read_stack(const struct cfi_machine *machine, uint64_t address, uint64_t *ret)
{
	const struct walk *walk = (const struct walk *)machine;
	uint64_t at = address - walk->base;

	if (address < walk->base)
		return -EFAULT;
	if (walk->bytes < 8 || at > walk->bytes - 8)
		return -ENODATA;
	memcpy(ret, walk->raw->data + at, 8);
	return 0;
}

static int recover(const struct walk *walk, const struct cfi_place *place, uint64_t cfa,
		   unsigned int reg, uint64_t *ret)
{
	const struct cfi_machine *machine = &walk->machine;
	uint64_t address;
	int r;

	switch (place->how) {
	case CFI_SAME:
		break;
	case CFI_AT:
		return read_stack(machine, cfa + (uint64_t)place->value, ret);
	case CFI_IS:
		*ret = cfa + (uint64_t)place->value;
		return 0;
	case CFI_REGISTER:
		if (place->value < 0 || place->value >= FP_NR_REGS)
			return -EBADMSG;
		reg = (unsigned int)place->value;
		break;
	case CFI_AT_EXPR:
		r = cfi_eval(machine, place->expr, (size_t)place->value, &cfa, &address);
		return r < 0 ? r : read_stack(machine, address, ret);
	case CFI_IS_EXPR:
		return cfi_eval(machine, place->expr, (size_t)place->value, &cfa, ret);
	default:
		return -ENOENT;
	}
	if (!(machine->known & BIT(reg)))
		return -ESTALE;
	*ret = machine->reg[reg];
	return 0;
}

static int row_cfa(const struct walk *walk, const struct cfi_row *row, uint64_t *ret)
{
	if (row->cfa.how == CFI_IS_EXPR)
		return cfi_eval(&walk->machine, row->cfa.expr, (size_t)row->cfa.value, NULL, ret);
	if (!(walk->machine.known & BIT(row->cfa_register)))
		return -ESTALE;
	*ret = walk->machine.reg[row->cfa_register] + (uint64_t)row->cfa.value;
	return 0;
}

static int step_row(struct walk *walk, const struct cfi_row *row)
{
	struct cfi_machine next = walk->machine;
	uint64_t cfa;
	int r;

	r = row_cfa(walk, row, &cfa);
	if (r < 0)
		return r;
	next.known = 0;
	for (unsigned int i = 0; i < FP_NR_REGS; i++) {
		r = recover(walk, &row->reg[i], cfa, i, &next.reg[i]);
		if (!r)
			next.known |= BIT(i);
		else if (i == CFI_RSP || i == CFI_RIP)
			return r;
	}
	if (!row->signal && next.reg[CFI_RSP] <= walk->machine.reg[CFI_RSP])
		return -EBADMSG;
	walk->machine = next;
	walk->signal = row->signal;
	return 0;
}

static int step_rule(struct walk *walk, const struct fp_rule *rule)
{
	uint64_t *reg = walk->machine.reg, cfa, rip;
	unsigned int from = rule->how == FP_RULE_RSP ? CFI_RSP : CFI_RBP;
	uint32_t known = walk->machine.known & TRACKED;
	int r;

	if (!(known & BIT(from)))
		return -ESTALE;
	cfa = reg[from] + (uint64_t)(int64_t)rule->cfa_offset;
	if (cfa <= reg[CFI_RSP])
		return -EBADMSG;
	r = read_stack(&walk->machine, cfa - 8, &rip);
	if (r < 0)
		return r;
	if (rule->rbp_offset != FP_RBP_SAME) {
		if (read_stack(&walk->machine, cfa + (uint64_t)(int64_t)rule->rbp_offset,
			       &reg[CFI_RBP]))
			known &= ~BIT(CFI_RBP);
		else
			known |= BIT(CFI_RBP);
	}
	reg[CFI_RSP] = cfa;
	reg[CFI_RIP] = rip;
	walk->machine.known = known;
	walk->signal = false;
	return 0;
}

/* Where an instruction is: in which module, at which of its addresses. */
static struct module *locate(struct symbolizer *symbolizer, const struct image *image,
			     uint64_t time_ns, uint64_t ip, uint64_t *address, bool *own)
{
	const struct region *region = image_find(image, ip, time_ns);
	struct module *module;

	if (!region || !region->binary)
		return NULL;
	*own = region->binary == image->own;
	module = symbolizer_module(symbolizer, region->binary);
	if (!module || elf_file_address(&module->elf, ip - region->start + region->offset, address))
		return NULL;
	return module;
}

static struct module_rule *cached_rule(struct module *module, uint64_t address)
{
	if (!module->rules) {
		module->rules = calloc(MODULE_RULES, sizeof(*module->rules));
		if (!module->rules)
			return NULL;
		for (unsigned int i = 0; i < MODULE_RULES; i++)
			module->rules[i].rule.how = FP_RULE_RAW;
	}
	return &module->rules[(address ^ address >> 10) % MODULE_RULES];
}

/* Sets *@rule, and with FP_RULE_RAW or @full (and a rule that leads on) *@row too. */
static void find_rule(struct module *module, uint64_t address, bool full, struct fp_rule *rule,
		      struct cfi_row *row)
{
	struct module_rule *slot = cached_rule(module, address);
	const struct cfi_entry *entry;
	const struct cfi *cfi;

	if (!full && slot && slot->address == address && slot->rule.how != FP_RULE_RAW) {
		*rule = slot->rule;
		return;
	}
	*rule = (struct fp_rule){ .how = FP_RULE_NONE };
	entry = module_entry(module, address, &cfi);
	if (entry && !cfi_row(cfi, entry, address, row))
		cfi_rule(row, rule);
	if (slot && rule->how != FP_RULE_RAW)
		*slot = (struct module_rule){ address, *rule };
}

/* One frame: sets *@rule, and goes on to the caller. Returns 0, 1 when the stack ends here, or
 * -errno. */
static int step(struct symbolizer *symbolizer, struct walk *walk, const struct image *image,
		uint64_t time_ns, bool exact, struct fp_rule *rule)
{
	uint64_t ip = walk->machine.reg[CFI_RIP] - !exact, address;
	struct module *module;
	struct cfi_row row;
	bool own = false;
	int r;

	*rule = (struct fp_rule){ .how = FP_RULE_NONE };
	module = locate(symbolizer, image, time_ns, ip, &address, &own);
	if (module)
		find_rule(module, address, walk->full, rule, &row);
	rule->flags = own ? FP_RULE_OWN : 0;
	if (rule->how == FP_RULE_NONE)
		return -ENOENT;
	if (rule->how == FP_RULE_END)
		return 1;
	if (rule->how == FP_RULE_RAW || walk->full)
		r = step_row(walk, &row);
	else
		r = step_rule(walk, rule);
	return r < 0 ? r : !walk->machine.reg[CFI_RIP];
}

static void begin(struct walk *walk, const struct fp_raw_stack *raw, bool full)
{
	*walk = (struct walk){ .raw = raw, .base = raw->reg[CFI_RSP], .full = full };
	walk->bytes = raw->bytes < sizeof(raw->data) ? raw->bytes : sizeof(raw->data);
	memcpy(walk->machine.reg, raw->reg, sizeof(raw->reg));
	walk->machine.known = BIT(FP_NR_REGS) - 1;
	walk->machine.read = read_stack;
}

unsigned int symbolizer_unwind(struct symbolizer *symbolizer, const struct image *image,
			       uint64_t time_ns, const struct fp_raw_stack *raw, uint64_t *ips,
			       struct fp_rule *rules, unsigned int max, enum fp_stack_end *end)
{
	struct walk walk;
	unsigned int n;
	bool exact;
	int r;

	for (bool full = false;; full = true) {
		begin(&walk, raw, full);
		n = 0;
		do {
			exact = !n || walk.signal;
			ips[n] = walk.machine.reg[CFI_RIP] + (n && exact);
			r = step(symbolizer, &walk, image, time_ns, exact, &rules[n]);
			n++;
		} while (!r && n < max);
		if (r != -ESTALE || full)
			break;
	}
	if (r > 0)
		*end = FP_STACK_WHOLE;
	else if (!r || r == -ENODATA)
		*end = FP_STACK_DEEP;
	else
		*end = FP_STACK_NO_RULE;
	return n;
}
