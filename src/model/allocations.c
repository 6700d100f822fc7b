/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The key of a site is its kind and the names of its frames, outermost first, each with its end. */
#include "model/allocations.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/grow.h"
#include "model/objects.h"

struct key {
	const struct object_kind *kind;
	char names[];
};

struct allocation_entry {
	struct profile_allocation site; /* first: what allocations.sites points to */
	UT_hash_handle hh;
	struct key *key;
	const char *frames[]; /* into the names of the key */
};

static struct key *key_of(const struct object_kind *kind, const char *const *frames,
			  unsigned int nr, size_t *bytes)
{
	struct key *key;
	char *at;

	*bytes = sizeof(*key);
	for (unsigned int i = 0; i < nr; i++)
		*bytes += strlen(frames[i]) + 1;
	key = malloc(*bytes);
	if (!key)
		return NULL;
	key->kind = kind;
	at = key->names;
	for (unsigned int i = nr; i--;)
		at = stpcpy(at, frames[i]) + 1;
	return key;
}

/* Takes @key over. NULL only when out of memory. */
static struct allocation_entry *add_site(struct allocations *a, struct key *key, size_t bytes,
					 unsigned int nr)
{
	struct allocation_entry *entry = calloc(1, sizeof(*entry) + nr * sizeof(*entry->frames));
	const char *at = key->names;

	if (!entry || grow(&a->sites, a->nr_sites, sizeof(*a->sites)))
		goto fail;
	for (unsigned int i = 0; i < nr; i++, at += strlen(at) + 1)
		entry->frames[i] = at;
	entry->key = key;
	entry->site = (struct profile_allocation){ .kind = key->kind,
						   .frames = entry->frames,
						   .nr_frames = nr };
	HASH_ADD_KEYPTR(hh, a->entries, key, bytes, entry);
	if (!entry->hh.tbl)
		goto fail;
	a->sites[a->nr_sites++] = &entry->site;
	return entry;
fail:
	free(entry);
	free(key);
	return NULL;
}

int allocations_add(struct allocations *a, const struct object_kind *kind,
		    const char *const *frames, unsigned int nr, const struct stall *stall)
{
	struct allocation_entry *entry;
	size_t bytes;
	struct key *key = key_of(kind, frames, nr, &bytes);

	if (!key)
		return -ENOMEM;
	HASH_FIND(hh, a->entries, key, bytes, entry);
	if (entry || a->nr_sites == ALLOCATION_SITES_MAX)
		free(key);
	else if (!(entry = add_site(a, key, bytes, nr)))
		return -ENOMEM;
	a->faults += stall->faults;
	if (!entry) {
		a->unlisted += stall->faults;
		return 0;
	}
	entry->site.faults += stall->faults;
	entry->site.timed += stall->timed;
	entry->site.stall_ns += stall->total_ns;
	return 0;
}

static int site_compare(const void *left, const void *right)
{
	const struct profile_allocation *a = *(struct profile_allocation *const *)left;
	const struct profile_allocation *b = *(struct profile_allocation *const *)right;
	int order = 0;

	if (a->faults != b->faults)
		return a->faults < b->faults ? 1 : -1;
	order = object_kind_compare(a->kind, b->kind);
	for (unsigned int i = 1; !order && i <= a->nr_frames && i <= b->nr_frames; i++)
		order = strcmp(a->frames[a->nr_frames - i], b->frames[b->nr_frames - i]);
	return order ? order : (int)a->nr_frames - (int)b->nr_frames;
}

void allocations_finish(struct allocations *a)
{
	if (a->nr_sites)
		qsort(a->sites, a->nr_sites, sizeof(*a->sites), site_compare);
}

void allocations_release(struct allocations *a)
{
	struct allocation_entry *entry, *next;

	HASH_ITER (hh, a->entries, entry, next) {
		HASH_DEL(a->entries, entry);
		free(entry->key);
		free(entry);
	}
	free(a->sites);
	memset(a, 0, sizeof(*a));
}
