/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * An object of up to 2^k bytes is filed once, under k and the number of the 2^k-byte block that it
 * starts in: it ends in that block or the next, so an address is looked for in two blocks of each k
 * in use, however many pages the object spans. A page that a visit waits for is a record like the
 * others, under a k of its own.
 */
#include "provider/records.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_TELL 256 /* records of one slot among which the one that tells is looked for */
#define MIN_SLOTS 10 /* bits */
#define AHEAD 8	     /* records that what will be read is fetched for */

int records_init(struct records *r)
{
	*r = (struct records){ .nr = 1, .nr_filed = 1, .nr_chosen = 1, .slot_bits = MIN_SLOTS };
	r->slots = calloc(1U << MIN_SLOTS, sizeof(*r->slots));
	return r->slots ? 0 : -ENOMEM;
}

void records_release(struct records *r)
{
	free(r->at);
	free(r->slots);
}

static uint32_t *slot_of(const struct records *r, uint64_t block, unsigned int class)
{
	uint64_t hash = (block * 32 + class) * 0x9e3779b97f4a7c15ULL;

	return &r->slots[hash >> (64 - r->slot_bits)];
}

static uint32_t *slot_of_record(const struct records *r, const struct record *record)
{
	return slot_of(r, records_block(record->base, record->class), record->class);
}

static bool same_object(const struct record *a, const struct record *b)
{
	return a->base == b->base && a->class == b->class;
}

/* Does the record tell of its object? */
static void choose_first(struct records *r, uint32_t index)
{
	struct record *record = &r->at[index];
	unsigned int steps = 0;

	for (uint32_t i = *slot_of_record(r, record); i; i = r->at[i].next) {
		struct record *other = &r->at[i];

		if (++steps > MAX_TELL)
			return;
		if (i == index || !same_object(record, other))
			continue;
		if (other->root < record->root)
			return;
		if (other->tells) {
			other->tells = false;
			break;
		}
	}
	record->tells = true;
}

/* After @record, which told, has been taken out of @slot. */
static void choose_next(struct records *r, const struct record *record, uint32_t slot)
{
	struct record *best = NULL;
	unsigned int steps = 0;

	for (uint32_t i = slot; i && ++steps <= MAX_TELL; i = r->at[i].next) {
		struct record *other = &r->at[i];

		if (same_object(record, other) && (!best || other->root < best->root))
			best = other;
	}
	if (best)
		best->tells = true;
}

static void link_record(struct records *r, uint32_t index)
{
	struct record *record = &r->at[index];
	uint32_t *slot = slot_of_record(r, record);

	record->prev = 0;
	record->next = *slot;
	if (*slot)
		r->at[*slot].prev = index;
	*slot = index;
}

/* At least as many slots as records, if there is memory for them. */
static void more_slots(struct records *r)
{
	unsigned int bits = r->slot_bits;
	uint32_t *fresh;

	while (bits < 31 && r->nr > 1U << bits)
		bits++;
	fresh = bits > r->slot_bits ? calloc(1U << bits, sizeof(*fresh)) : NULL;
	if (!fresh)
		return;
	free(r->slots);
	r->slots = fresh;
	r->slot_bits = bits;
	r->nr_filed = 1;
}

/* The slots of the records a little behind @index will be read soon, and (@deep) what they hold. */
static void fetch_ahead(const struct records *r, uint32_t index, bool deep)
{
	const struct record *record = &r->at[index];

	if (index + 2 * AHEAD < r->nr)
		__builtin_prefetch(slot_of_record(r, record + 2 * AHEAD));
	if (deep && index + AHEAD < r->nr)
		__builtin_prefetch(&r->at[*slot_of_record(r, record + AHEAD)]);
}

/* All at once when somebody asks, as that takes a fraction of the time. */
void records_file(struct records *r)
{
	if (r->nr_filed == r->nr)
		return;
	more_slots(r);
	for (uint32_t i = r->nr_filed; i < r->nr; i++) {
		fetch_ahead(r, i, false);
		if (r->at[i].size)
			link_record(r, i);
	}
	r->nr_filed = r->nr;
}

void records_choose(struct records *r)
{
	records_file(r);
	for (; r->nr_chosen < r->nr; r->nr_chosen++) {
		fetch_ahead(r, r->nr_chosen, true);
		if (r->at[r->nr_chosen].size && r->at[r->nr_chosen].class != WAIT_CLASS)
			choose_first(r, r->nr_chosen);
	}
}

int records_add(struct records *r, const struct record *from, uint32_t *ret)
{
	uint32_t index = r->unused;

	if (index) {
		r->unused = r->at[index].sibling;
	} else if (r->nr >= r->room) {
		/* What grows by a quarter wastes little. */
		uint32_t room = r->room + r->room / 4 + 1024;
		struct record *fresh = reallocarray(r->at, room, sizeof(*fresh));

		if (!fresh)
			return -ENOMEM;
		r->at = fresh;
		r->room = room;
	}
	if (!index)
		index = r->nr++;
	r->at[index] = *from;
	r->in_class[from->class]++;
	if (index < r->nr_filed)
		link_record(r, index);
	if (index < r->nr_chosen && from->class != WAIT_CLASS)
		choose_first(r, index);
	*ret = index;
	return 0;
}

void records_drop(struct records *r, uint32_t index)
{
	struct record *record = &r->at[index];
	uint32_t *slot = slot_of_record(r, record);

	if (record->prev)
		r->at[record->prev].next = record->next;
	else
		*slot = record->next;
	if (record->next)
		r->at[record->next].prev = record->prev;
	if (record->tells)
		choose_next(r, record, *slot);
	r->in_class[record->class]--;
	record->size = 0;
	record->sibling = r->unused;
	r->unused = index;
}

uint32_t records_in(const struct records *r, uint64_t block, unsigned int class)
{
	return *slot_of(r, block, class);
}
