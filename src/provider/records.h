/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The records of an index of owners: who claims which object, in one table for all sizes. */
#ifndef PROVIDER_RECORDS_H
#define PROVIDER_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

/* The class of an object is the power of two that it fits in; pages that are waited for have their
 * own. */
#define MIN_CLASS 6
#define MAX_CLASS 30
#define WAIT_CLASS 31

struct record {
	uint64_t base;
	uint32_t size; /* 0: unused */
	uint32_t root; /* whose it is */
	uint32_t next; /* in the same slot; 0: none */
	uint32_t prev;
	uint32_t sibling; /* the root's next, its owner's business; of an unused one, the next such
			   */
	uint16_t kind;	  /* its owner's business */
	uint8_t class;
	bool tells; /* see records_choose() */
};

struct records {
	struct record *at; /* by index; the first is not used */
	uint32_t nr, room, unused;
	uint32_t nr_filed;  /* these, but for the unused, are in the slots */
	uint32_t nr_chosen; /* among these, the one of each object that tells was chosen */
	uint32_t *slots;
	unsigned int slot_bits;
	uint32_t in_class[WAIT_CLASS + 1];
};

static inline unsigned int records_class(uint32_t size)
{
	unsigned int class = size > 1 ? 32 - __builtin_clz(size - 1) : 0;

	return class < MIN_CLASS ? MIN_CLASS : class;
}

/* The number of the block of @class that @address is in. */
static inline uint64_t records_block(uint64_t address, unsigned int class)
{
	return address >> (class == WAIT_CLASS ? 12 : class);
}

/* 0 or -ENOMEM. */
int records_init(struct records *records);
void records_release(struct records *records);
/* A copy of @from, without what the table sees to. It is filed later. 0 or -ENOMEM. */
int records_add(struct records *records, const struct record *from, uint32_t *ret);
/* All of them, or those since the last time: before anything is looked for or dropped. */
void records_file(struct records *records);
/* Files them, and sees to it that of the records of each object one tells: that of the lowest root.
 * For who never asks, it costs nothing. */
void records_choose(struct records *records);
void records_drop(struct records *records, uint32_t index);
/* The first of the filed records that start in this block, or in others; 0: none. */
uint32_t records_in(const struct records *records, uint64_t block, unsigned int class);

#endif
