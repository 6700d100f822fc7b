/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#define HASH_NONFATAL_OOM 1
#include "model/tally.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t key_bytes(unsigned int nr)
{
	return offsetof(struct tally_key, ip) + nr * sizeof(uint64_t);
}

static int make_full(struct tally_entry *entry)
{
	struct stall *stall = calloc(1, sizeof(*stall));

	if (!stall)
		return -ENOMEM;
	for (unsigned int i = 0; i < entry->nr_few; i++)
		stall_add(stall, entry->few[i]);
	entry->nr_few = 0;
	entry->stall = stall;
	return 0;
}

static int count(struct tally_entry *entry, const struct fault *fault)
{
	entry->addressed += !fault->site;
	if (!entry->stall && !fault->site && entry->nr_few < TALLY_FEW) {
		entry->few[entry->nr_few++] = fault->stall_ns;
		return 0;
	}
	if (!entry->stall && make_full(entry))
		return -ENOMEM;
	if (fault->site)
		stall_add_site(entry->stall, fault->site);
	else
		stall_add(entry->stall, fault->stall_ns);
	return 0;
}

int tally_add(struct tally *tally, const struct fault *fault, const uint64_t *ips, unsigned int nr,
	      bool stack)
{
	struct tally_key key = {
		.image = fault->image,
		.object = fault->object,
		.kind = fault->kind,
		.access = fault->access,
		.mode = fault->mode,
		.major = fault->major,
		.stack = stack,
		.nr_ips = nr > FP_MAX_FRAMES ? FP_MAX_FRAMES : nr,
	};
	size_t bytes = key_bytes(key.nr_ips);
	struct tally_entry *entry;

	for (unsigned int i = 0; i < key.nr_ips; i++)
		key.ip[i] = ips[i];
	HASH_FIND(hh, tally->first, &key, bytes, entry);
	if (!entry) {
		entry = calloc(1, offsetof(struct tally_entry, key) + bytes);
		if (!entry)
			return -ENOMEM;
		memcpy(&entry->key, &key, bytes);
		HASH_ADD_KEYPTR(hh, tally->first, &entry->key, bytes, entry);
		if (!entry->hh.tbl) {
			free(entry);
			return -ENOMEM;
		}
	}
	if (fault->time_ns)
		entry->time_ns = fault->time_ns;
	return count(entry, fault);
}

void tally_stall(const struct tally_entry *entry, struct stall *ret)
{
	if (entry->stall) {
		*ret = *entry->stall;
		return;
	}
	memset(ret, 0, sizeof(*ret));
	for (unsigned int i = 0; i < entry->nr_few; i++)
		stall_add(ret, entry->few[i]);
}

void tally_release(struct tally *tally)
{
	struct tally_entry *entry, *next;

	HASH_ITER (hh, tally->first, entry, next) {
		HASH_DEL(tally->first, entry);
		free(entry->stall);
		free(entry);
	}
}
