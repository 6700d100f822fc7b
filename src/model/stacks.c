/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Stacks are the same when comm, kind, mode and all names are. One function faults at several of
 * its instructions, and calls from several lines: of all addresses that read the same, those with
 * most faults say where the frames are. Ten thousand stacks go through the same few thousand
 * places, so these are interned as names are.
 */
#include "model/stacks.h"

#include <stdio.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/grow.h"

#define UNKNOWN "[unknown]"

struct place_entry {
	struct profile_place place; /* without padding: it is hashed as bytes */
	UT_hash_handle hh;
};

enum { KEY_COMM, KEY_KIND, KEY_MODE, KEY_FRAMES };

struct stack_entry {
	struct profile_stack stack; /* first: what profile.stacks points to */
	uint64_t most;		    /* faults at the addresses that the places are of */
	UT_hash_handle hh;
	const void
		*key[]; /* as the enum says, then the frames; then, no part of it, their places */
};

const char *frame_module(const struct frame *frame)
{
	return frame && frame->module ? frame->module : UNKNOWN;
}

const char *frame_symbol(struct strings *strings, const struct frame *frame)
{
	const char *string;
	char *text;

	if (frame && frame->function)
		return strings_intern(strings, frame->function);
	if (!frame || !frame->start)
		return strings_intern(strings, UNKNOWN);
	if (asprintf(&text, "%s@0x%llx", frame_module(frame), (unsigned long long)frame->start) < 0)
		return NULL;
	string = strings_intern(strings, text);
	free(text);
	return string;
}

/* NULL only when out of memory. */
static const struct profile_place *place_of(struct stack_table *table, struct strings *strings,
					    const struct frame *frame)
{
	struct profile_place place = { .line = frame->line, .inlined = frame->inlined };
	struct place_entry *entry;

	place.module = strings_intern(strings, frame_module(frame));
	place.file = strings_intern(strings, frame->file);
	if (!place.module || (frame->file && !place.file))
		return NULL;
	HASH_FIND(hh, table->places, &place, sizeof(place), entry);
	if (entry)
		return &entry->place;
	entry = malloc(sizeof(*entry));
	if (!entry)
		return NULL;
	entry->place = place;
	HASH_ADD(hh, table->places, place, sizeof(place), entry);
	if (!entry->hh.tbl) {
		free(entry);
		return NULL;
	}
	return &entry->place;
}

/* 0 or -ENOMEM, then the places are as before. */
static int set_places(struct stack_table *table, struct strings *strings, struct stack_entry *entry,
		      const struct resolved_fault *fault)
{
	unsigned int nr = fault->nr_frames;
	const void **to = entry->key + KEY_FRAMES + nr;

	if (fault->stall->faults <= entry->most)
		return 0;
	for (unsigned int i = 0; i < nr; i++)
		if (!place_of(table, strings, &fault->frames[i]))
			return -ENOMEM;
	for (unsigned int i = 0; i < nr; i++)
		to[nr - 1 - i] = place_of(table, strings, &fault->frames[i]);
	entry->most = fault->stall->faults;
	return 0;
}

static struct stack_entry *entry_new(struct strings *strings, const struct resolved_fault *fault,
				     const char *comm)
{
	unsigned int nr = fault->nr_frames;
	struct stack_entry *entry =
		calloc(1, sizeof(*entry) + (KEY_FRAMES + 2 * (size_t)nr) * sizeof(*entry->key));

	if (!entry)
		return NULL;
	entry->key[KEY_COMM] = comm;
	entry->key[KEY_KIND] = kind_name(fault->kind);
	entry->key[KEY_MODE] = mode_name(fault->mode);
	for (unsigned int i = 0; i < nr; i++) {
		const void **name = &entry->key[KEY_FRAMES + nr - 1 - i];

		*name = frame_symbol(strings, &fault->frames[i]);
		if (!*name) {
			free(entry);
			return NULL;
		}
	}
	entry->stack = (struct profile_stack){
		.comm = comm,
		.frames = (const char *const *)entry->key + KEY_FRAMES,
		.places = (const struct profile_place *const *)entry->key + KEY_FRAMES + nr,
		.nr_frames = nr,
		.kind = fault->kind,
		.mode = fault->mode,
	};
	return entry;
}

struct profile_stack *stack_of(struct stack_table *table, struct strings *strings,
			       struct profile *profile, const struct resolved_fault *fault,
			       const char *comm)
{
	size_t length = (KEY_FRAMES + (size_t)fault->nr_frames) * sizeof(char *);
	struct stack_entry *entry = entry_new(strings, fault, comm), *known;

	if (!entry)
		return NULL;
	HASH_FIND(hh, table->stacks, entry->key, length, known);
	if (known) {
		free(entry);
		return set_places(table, strings, known, fault) ? NULL : &known->stack;
	}
	if (set_places(table, strings, entry, fault) ||
	    grow(&profile->stacks, profile->nr_stacks, sizeof(*profile->stacks)))
		goto fail;
	HASH_ADD_KEYPTR(hh, table->stacks, entry->key, length, entry);
	if (!entry->hh.tbl)
		goto fail;
	profile->stacks[profile->nr_stacks++] = &entry->stack;
	return &entry->stack;
fail:
	free(entry);
	return NULL;
}

void stack_table_release(struct stack_table *table)
{
	struct stack_entry *stack, *next_stack;
	struct place_entry *place, *next_place;

	HASH_ITER (hh, table->stacks, stack, next_stack) {
		HASH_DEL(table->stacks, stack);
		free(stack->stack.objects);
		free(stack);
	}
	HASH_ITER (hh, table->places, place, next_place) {
		HASH_DEL(table->places, place);
		free(place);
	}
}

int stack_compare(const void *left, const void *right)
{
	const struct profile_stack *a = *(struct profile_stack *const *)left;
	const struct profile_stack *b = *(struct profile_stack *const *)right;
	int order;

	if (a->faults != b->faults)
		return a->faults < b->faults ? 1 : -1;
	if (a->stall_ns != b->stall_ns)
		return a->stall_ns < b->stall_ns ? 1 : -1;
	for (unsigned int i = 0; i < a->nr_frames && i < b->nr_frames; i++) {
		if ((order = strcmp(a->frames[i], b->frames[i])))
			return order;
	}
	if (a->nr_frames != b->nr_frames)
		return a->nr_frames < b->nr_frames ? -1 : 1;
	if ((order = strcmp(a->comm, b->comm)))
		return order;
	return a->kind != b->kind ? (int)a->kind - (int)b->kind : (int)a->mode - (int)b->mode;
}
