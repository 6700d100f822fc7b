/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Faults grouped by where they happened, in addresses: what is kept during a run. Names come at the
 * end, when nobody is disturbed by the work. */
#ifndef MODEL_TALLY_H
#define MODEL_TALLY_H

#include <uthash.h>

#include "model/fault.h"

#define TALLY_FEW 6

struct tally_key {
	const struct image *image;
	const struct object_kind *object;
	uint8_t kind, access, mode, major;
	uint8_t stack; /* ip is a full stack; else as in fp_site_key */
	uint8_t nr_ips;
	uint16_t reserved;
	uint32_t zero;
	uint64_t ip[FP_MAX_FRAMES];
};

struct tally_entry {
	UT_hash_handle hh;
	uint64_t time_ns;	 /* of the last fault; 0: counted in the kernel */
	uint64_t addressed;	 /* faults that came one by one */
	struct stall *stall;	 /* NULL while there are few */
	uint64_t few[TALLY_FEW]; /* stall times; 0: not known */
	unsigned int nr_few;
	struct tally_key key; /* cut after nr_ips */
};

struct tally {
	struct tally_entry *first; /* walk by hh.next */
};

/* Adds one fault, or a site full of them, under the first @nr of @ips. 0 or -ENOMEM. */
int tally_add(struct tally *tally, const struct fault *fault, const uint64_t *ips, unsigned int nr,
	      bool stack);
void tally_stall(const struct tally_entry *entry, struct stall *ret);
void tally_release(struct tally *tally);

#endif
