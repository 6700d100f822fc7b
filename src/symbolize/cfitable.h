/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What cfi.c (the table) and cfirow.c (the instructions in it) share. */
#ifndef SYMBOLIZE_CFITABLE_H
#define SYMBOLIZE_CFITABLE_H

#include "symbolize/cfi.h"
#include "symbolize/reader.h"

struct cie {
	uint64_t offset;
	uint64_t code_align;
	int64_t data_align;
	uint8_t encoding;
	bool has_length; /* of augmentation data, in the FDEs too */
	bool signal;
	struct reader program;
};

/* A pointer in one of the encodings that real tables use; a bad one sets r->bad. */
uint64_t cfi_read_pointer(const struct cfi *cfi, struct reader *r, uint8_t encoding);

/* Finds the CIE of @entry, and the instructions of its FDE. Returns 0 or -EBADMSG. */
int cfi_read_entry(const struct cfi *cfi, const struct cfi_entry *entry, struct cie *cie,
		   struct reader *program);

#endif
