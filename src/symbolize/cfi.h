/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Call frame information of x86-64: function bounds, and rows that lead to the caller. */
#ifndef SYMBOLIZE_CFI_H
#define SYMBOLIZE_CFI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "faultprof/event.h"

#define CFI_RBP 6
#define CFI_RSP 7
#define CFI_RIP 16

struct cfi;

/* One function as the table knows it. */
struct cfi_entry {
	uint64_t start;
	uint32_t size;
	uint32_t offset; /* of the FDE in the section */
};

/* @data must outlive the table. @vaddr: where the section is loaded; @eh: .eh_frame, else
 * .debug_frame. Returns 0 or -errno. */
int cfi_new(const uint8_t *data, size_t size, uint64_t vaddr, bool eh, struct cfi **ret);
void cfi_free(struct cfi *cfi);

/* The entry that covers @address, or NULL. With NULL for @cfi, NULL. */
const struct cfi_entry *cfi_find(const struct cfi *cfi, uint64_t address);
/* The last entry that starts at or before @address, covering it or not, or NULL. */
const struct cfi_entry *cfi_before(const struct cfi *cfi, uint64_t address);

enum cfi_how {
	CFI_SAME,      /* not changed (also: not mentioned) */
	CFI_UNDEFINED, /* cannot be recovered; of rip: outermost frame */
	CFI_AT,	       /* stands at CFA + value */
	CFI_IS,	       /* is CFA + value */
	CFI_REGISTER,  /* stands in register value */
	CFI_AT_EXPR,   /* stands where the expression says */
	CFI_IS_EXPR,   /* is what the expression says */
};

struct cfi_place {
	enum cfi_how how;
	int64_t value;	     /* of an expression: its length */
	const uint8_t *expr; /* in the section */
};

struct cfi_row {
	/* CFI_REGISTER: register cfa_register + value; CFI_IS_EXPR */
	struct cfi_place cfa;
	unsigned int cfa_register;
	struct cfi_place reg[FP_NR_REGS];
	bool signal; /* of a signal frame: the caller was interrupted, it did not call */
};

/* The row for the instruction at @address, in @entry. Returns 0 or -EBADMSG. */
int cfi_row(const struct cfi *cfi, const struct cfi_entry *entry, uint64_t address,
	    struct cfi_row *row);

/* What an expression may look at. */
struct cfi_machine {
	uint64_t reg[FP_NR_REGS];
	uint32_t known; /* bit per register */
	/* Reads 8 bytes of the stack. Returns 0 or -errno. */
	int (*read)(const struct cfi_machine *machine, uint64_t address, uint64_t *ret);
};

/* Runs a DWARF expression; @initial (NULL: none) is pushed first. Returns 0; -ESTALE: needs a
 * register that is not known; what read() returned; or -EBADMSG. */
int cfi_eval(const struct cfi_machine *machine, const uint8_t *expr, size_t length,
	     const uint64_t *initial, uint64_t *ret);

/* The form that the kernel understands, or FP_RULE_RAW. */
void cfi_rule(const struct cfi_row *row, struct fp_rule *rule);

#endif
