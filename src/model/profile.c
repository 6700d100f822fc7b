/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Gathers resolved faults into totals, symbols and stacks. Every string is interned first: the same
 * few thousand names come back on every stack, and equal strings being one pointer makes the keys
 * of the symbol and stack tables small, fixed and cheap to hash. A symbol remembers each place
 * (instruction) that faulted in it until profile_finish() keeps the most frequent one.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/grow.h"
#include "base/intern.h"
#include "model/stacks.h"

/* Two functions of one name are one symbol, so a place needs the start too. */
struct place {
	uint64_t start, offset, faults;
	const char *file, *inlined;
	unsigned int line;
};

/* No padding: it is hashed as bytes. */
struct symbol_key {
	const char *comm, *module, *symbol, *via;
	uint32_t kind, mode;
};

struct symbol_entry {
	struct profile_symbol symbol; /* first: what profile.symbols points to */
	struct symbol_key key;
	struct place *places;
	size_t nr_places;
	UT_hash_handle hh;
};

struct profile_index {
	struct strings strings;
	struct symbol_entry *symbols;
	struct stack_table stacks;
};

int profile_init(struct profile *profile)
{
	struct profile_index *index = calloc(1, sizeof(*index));

	if (!index)
		return -ENOMEM;
	memset(profile, 0, sizeof(*profile));
	if (objects_new(&profile->objects)) {
		free(index);
		return -ENOMEM;
	}
	profile->index = index;
	return 0;
}

void profile_release(struct profile *profile)
{
	struct profile_index *index = profile->index;
	struct symbol_entry *symbol, *next;

	if (index) {
		HASH_ITER (hh, index->symbols, symbol, next) {
			HASH_DEL(index->symbols, symbol);
			free(symbol->places);
			free(symbol->symbol.objects);
			free(symbol->symbol.loose.objects);
			free(symbol);
		}
		stack_table_release(&index->stacks);
		strings_release(&index->strings);
	}
	for (size_t i = 0; i < profile->nr_targets; i++) {
		free(profile->targets[i].exe);
		free(profile->targets[i].build_id);
	}
	for (size_t i = 0; i < profile->nr_warnings; i++)
		free(profile->warnings[i]);
	free(profile->targets);
	free(profile->warnings);
	free(profile->symbols);
	free(profile->stacks);
	objects_free(profile->objects);
	free(index);
	memset(profile, 0, sizeof(*profile));
}

/* @text may be NULL, then @ret becomes NULL. */
static int intern_optional(struct profile_index *index, const char *text, const char **ret)
{
	const char *string = strings_intern(&index->strings, text);

	if (text && !string)
		return -ENOMEM;
	*ret = string;
	return 0;
}

static const struct frame *owner_of(const struct resolved_fault *fault)
{
	return fault->owner < fault->nr_frames ? &fault->frames[fault->owner] : NULL;
}

static struct symbol_entry *symbol_new(struct profile *profile, const struct symbol_key *key)
{
	struct symbol_entry *entry;

	if (grow(&profile->symbols, profile->nr_symbols, sizeof(*profile->symbols)))
		return NULL;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->key = *key;
	entry->symbol.comm = key->comm;
	entry->symbol.module = key->module;
	entry->symbol.symbol = key->symbol;
	entry->symbol.via = key->via;
	entry->symbol.kind = key->kind;
	entry->symbol.mode = key->mode;
	HASH_ADD(hh, profile->index->symbols, key, sizeof(entry->key), entry);
	if (!entry->hh.tbl) {
		free(entry);
		return NULL;
	}
	profile->symbols[profile->nr_symbols++] = &entry->symbol;
	return entry;
}

/* NULL only when out of memory. */
static struct symbol_entry *symbol_of(struct profile *profile, const struct resolved_fault *fault)
{
	struct profile_index *index = profile->index;
	const struct frame *owner = owner_of(fault);
	struct symbol_key key = { .kind = fault->kind, .mode = fault->mode };
	struct symbol_entry *entry;

	key.comm = strings_intern(&index->strings, fault->comm ? fault->comm : "?");
	key.module = strings_intern(&index->strings, frame_module(owner));
	key.symbol = frame_symbol(&index->strings, owner);
	if (!key.comm || !key.module || !key.symbol || intern_optional(index, fault->via, &key.via))
		return NULL;
	HASH_FIND(hh, index->symbols, &key, sizeof(key), entry);
	if (!entry)
		entry = symbol_new(profile, &key);
	if (entry && owner && owner->function)
		entry->symbol.has_name = true;
	return entry;
}

/* The innermost function at the owner's instruction: the owner itself when nothing is inlined. */
static const struct frame *innermost_of(const struct resolved_fault *fault)
{
	const struct frame *frame = owner_of(fault);

	while (frame && frame > fault->frames && frame[-1].inlined)
		frame--;
	return frame;
}

/* NULL only when out of memory. Valid until the next place is added to @entry. */
static struct place *place_of(struct profile *profile, struct symbol_entry *entry,
			      const struct resolved_fault *fault)
{
	const struct frame *owner = owner_of(fault), *inner = innermost_of(fault);
	struct place place = { 0 };

	if (owner) {
		place.start = owner->start;
		place.offset = owner->offset;
	}
	for (size_t i = 0; i < entry->nr_places; i++) {
		if (entry->places[i].offset == place.offset &&
		    entry->places[i].start == place.start)
			return &entry->places[i];
	}
	if (inner) {
		place.line = inner->line;
		if (intern_optional(profile->index, inner->file, &place.file))
			return NULL;
		if (inner != owner &&
		    intern_optional(profile->index, inner->function, &place.inlined))
			return NULL;
	}
	if (grow(&entry->places, entry->nr_places, sizeof(place)))
		return NULL;
	entry->places[entry->nr_places] = place;
	return &entry->places[entry->nr_places++];
}

/* NULL only when out of memory. Valid until the next kind is added. */
static struct object_share *share_of(struct object_share **shares, size_t *nr,
				     const struct object_kind *kind)
{
	for (size_t i = 0; i < *nr; i++)
		if ((*shares)[i].kind == kind)
			return &(*shares)[i];
	if (grow(shares, *nr, sizeof(**shares)))
		return NULL;
	(*shares)[*nr] = (struct object_share){ .kind = kind };
	return &(*shares)[(*nr)++];
}

/* All that a group of faults is counted in, beside the totals. */
struct groups {
	struct symbol_entry *symbol;
	struct place *place;
	struct profile_stack *stack;	   /* NULL: it stands in the symbol alone, */
	struct object_share *share, *part; /* part: of the stack, or of the symbol's loose faults */
};

/* 0 or -ENOMEM: then there may be empty groups. */
static int find_groups(struct profile *profile, const struct resolved_fault *fault,
		       struct groups *groups)
{
	struct profile_index *index = profile->index;
	struct profile_symbol *symbol;
	struct profile_stack *stack;

	groups->symbol = symbol_of(profile, fault);
	if (!groups->symbol)
		return -ENOMEM;
	symbol = &groups->symbol->symbol;
	groups->place = place_of(profile, groups->symbol, fault);
	if (!groups->place)
		return -ENOMEM;
	if (fault->stack && fault->nr_frames) {
		groups->stack =
			stack_of(&index->stacks, &index->strings, profile, fault, symbol->comm);
		if (!groups->stack)
			return -ENOMEM;
	}
	if (!fault->object)
		return 0;
	stack = groups->stack;
	groups->share = share_of(&symbol->objects, &symbol->nr_objects, fault->object);
	groups->part =
		stack ? share_of(&stack->objects, &stack->nr_objects, fault->object)
		      : share_of(&symbol->loose.objects, &symbol->loose.nr_objects, fault->object);
	return groups->share && groups->part ? 0 : -ENOMEM;
}

static void add_share(struct object_share *share, const struct resolved_fault *fault)
{
	share->faults += fault->addressed;
	share->timed += fault->stall->timed;
	share->stall_ns += fault->stall->total_ns;
}

int profile_add(struct profile *profile, const struct resolved_fault *fault)
{
	const struct stall *stall = fault->stall;
	struct groups to = { 0 };

	if (!stall->faults)
		return 0;
	if (find_groups(profile, fault, &to))
		return -ENOMEM;
	/* Nothing fails from here on, so all tables count the same faults. */
	stall_merge(&profile->kinds[fault->kind], stall);
	stall_merge(&to.symbol->symbol.stall, stall);
	to.symbol->symbol.addressed += fault->addressed;
	to.place->faults += stall->faults;
	if (to.share) {
		add_share(to.share, fault);
		add_share(to.part, fault);
	}
	if (to.stack) {
		to.stack->faults += stall->faults;
		to.stack->timed += stall->timed;
		to.stack->stall_ns += stall->total_ns;
	} else {
		to.symbol->symbol.loose.faults += stall->faults;
		to.symbol->symbol.loose.timed += stall->timed;
		to.symbol->symbol.loose.stall_ns += stall->total_ns;
	}
	*(fault->major ? &profile->major : &profile->minor) += stall->faults;
	*(fault->mode == FP_KERNEL ? &profile->kernel : &profile->user) += stall->faults;
	profile->access[fault->access] += stall->faults;
	return 0;
}

int profile_add_target(struct profile *profile, uint32_t pid, const char *comm, const char *exe,
		       const char *build_id, unsigned int threads)
{
	struct profile_target target = { .pid = pid,
					 .threads = threads,
					 .provider = objects_provider(profile->objects, pid) };

	if (grow(&profile->targets, profile->nr_targets, sizeof(target)))
		return -ENOMEM;
	snprintf(target.comm, sizeof(target.comm), "%s", comm ? comm : "?");
	target.exe = exe ? strdup(exe) : NULL;
	target.build_id = build_id ? strdup(build_id) : NULL;
	if ((exe && !target.exe) || (build_id && !target.build_id)) {
		free(target.exe);
		free(target.build_id);
		return -ENOMEM;
	}
	profile->targets[profile->nr_targets++] = target;
	return 0;
}

int profile_warn(struct profile *profile, const char *format, ...)
{
	va_list args;
	char *text;
	int bytes;

	if (grow(&profile->warnings, profile->nr_warnings, sizeof(text)))
		return -ENOMEM;
	va_start(args, format);
	bytes = vasprintf(&text, format, args);
	va_end(args);
	if (bytes < 0)
		return -ENOMEM;
	profile->warnings[profile->nr_warnings++] = text;
	return 0;
}

/* The names decide between equals, so that one set of faults always gives one report. */
static int symbol_compare(const void *left, const void *right)
{
	const struct profile_symbol *a = *(struct profile_symbol *const *)left;
	const struct profile_symbol *b = *(struct profile_symbol *const *)right;
	int order;

	if (a->stall.faults != b->stall.faults)
		return a->stall.faults < b->stall.faults ? 1 : -1;
	if (a->stall.total_ns != b->stall.total_ns)
		return a->stall.total_ns < b->stall.total_ns ? 1 : -1;
	if ((order = strcmp(a->symbol, b->symbol)) || (order = strcmp(a->module, b->module)) ||
	    (order = strcmp(a->comm, b->comm)) ||
	    (order = strcmp(a->via ? a->via : "", b->via ? b->via : "")))
		return order;
	return a->kind != b->kind ? (int)a->kind - (int)b->kind : (int)a->mode - (int)b->mode;
}

static int share_compare(const void *left, const void *right)
{
	const struct object_share *a = left, *b = right;

	if (a->faults != b->faults)
		return a->faults < b->faults ? 1 : -1;
	return object_kind_compare(a->kind, b->kind);
}

static void sort_shares(struct object_share *shares, size_t nr)
{
	if (nr)
		qsort(shares, nr, sizeof(*shares), share_compare);
}

static void settle_place(struct symbol_entry *entry)
{
	const struct place *best = entry->places;

	for (size_t i = 1; i < entry->nr_places; i++) {
		const struct place *place = &entry->places[i];

		if (place->faults > best->faults ||
		    (place->faults == best->faults &&
		     (place->start < best->start ||
		      (place->start == best->start && place->offset < best->offset))))
			best = place;
	}
	if (!best)
		return;
	entry->symbol.file = best->file;
	entry->symbol.line = best->line;
	entry->symbol.inlined = best->inlined;
	entry->symbol.offset = best->offset;
}

void profile_finish(struct profile *profile)
{
	struct symbol_entry *entry, *next;

	HASH_ITER (hh, profile->index->symbols, entry, next) {
		struct profile_symbol *symbol = &entry->symbol;

		settle_place(entry);
		sort_shares(symbol->objects, symbol->nr_objects);
		sort_shares(symbol->loose.objects, symbol->loose.nr_objects);
	}
	for (size_t i = 0; i < profile->nr_stacks; i++)
		sort_shares(profile->stacks[i]->objects, profile->stacks[i]->nr_objects);
	if (profile->nr_symbols)
		qsort(profile->symbols, profile->nr_symbols, sizeof(*profile->symbols),
		      symbol_compare);
	if (profile->nr_stacks)
		qsort(profile->stacks, profile->nr_stacks, sizeof(*profile->stacks), stack_compare);
	objects_finish(profile->objects, profile->begin_ns);
}

bool profile_has_mode(const struct profile *profile, enum fp_mode mode)
{
	if (mode == FP_KERNEL && profile->kernel_unseen)
		return false;
	return !profile->only_modes || profile->only_modes >> mode & 1;
}

uint64_t profile_faults(const struct profile *profile)
{
	uint64_t faults = 0;

	for (unsigned int i = 0; i < FP_NR_KINDS; i++)
		faults += profile->kinds[i].faults;
	return faults;
}

uint64_t profile_stall_ns(const struct profile *profile)
{
	uint64_t total_ns = 0;

	for (unsigned int i = 0; i < FP_NR_KINDS; i++)
		total_ns += profile->kinds[i].total_ns;
	return total_ns;
}

double profile_seconds(const struct profile *profile)
{
	if (profile->end_ns <= profile->begin_ns)
		return 0;
	return (double)(profile->end_ns - profile->begin_ns) / 1e9;
}

uint64_t profile_lost(const struct profile *profile)
{
	return losses_that_count(profile->lost);
}
