/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "symbolize/resolve.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_FRAMES 512
#define MAX_INLINES 16

struct frames {
	struct frame frame[MAX_FRAMES];
	unsigned int nr;
};

/* A return address may stand behind the end of its function. */
static const struct region *region_of(const struct image *image, uint64_t ip, bool caller,
				      uint64_t time_ns)
{
	return image_find(image, ip - caller, time_ns);
}

bool resolve_owner(const struct image *image, uint64_t time_ns, enum fp_mode mode,
		   const uint64_t *ips, unsigned int nr, uint64_t site[3])
{
	site[0] = nr ? ips[0] : 0;
	site[1] = site[2] = 0;
	if (mode == FP_USER)
		return true;
	for (unsigned int i = 0; i < nr; i++) {
		const struct region *region = region_of(image, ips[i], i > 0, time_ns);

		if (!region || !region->binary || region->binary != image->own)
			continue;
		site[1] = i ? ips[i - 1] : 0;
		site[2] = ips[i];
		return true;
	}
	return false;
}

/* Appends the inline chain at one address; the last frame written is the physical function. */
static void add_frames(struct symbolizer *symbolizer, const struct image *image, uint64_t time_ns,
		       uint64_t ip, bool caller, struct frames *frames)
{
	const struct region *region = region_of(image, ip, caller, time_ns);
	unsigned int room = MAX_FRAMES - frames->nr;
	uint64_t offset = region ? ip - caller - region->start + region->offset : 0;

	if (!room)
		return;
	frames->nr += symbolizer_frames(symbolizer, region ? region->binary : NULL, offset,
					frames->frame + frames->nr,
					room < MAX_INLINES ? room : MAX_INLINES);
}

static const char *frame_name(const struct frame *frame, char *buf, size_t size)
{
	if (frame->function)
		return frame->function;
	if (!frame->start)
		return frame->module;
	snprintf(buf, size, "%s@0x%" PRIx64, frame->module, frame->start);
	return buf;
}

static int resolve_entry(struct symbolizer *symbolizer, const struct tally_entry *entry,
			 struct frames *frames, struct profile *profile)
{
	const struct tally_key *key = &entry->key;
	uint64_t site[3] = { 0 };
	char via[256];
	struct stall stall;
	struct resolved_fault fault = {
		.comm = key->image->comm,
		.kind = key->kind,
		.access = key->access,
		.mode = key->mode,
		.major = key->major,
		.stall = &stall,
		.stack = key->stack,
		.object = key->object,
		.addressed = entry->addressed,
	};

	tally_stall(entry, &stall);
	if (key->stack)
		resolve_owner(key->image, entry->time_ns, key->mode, key->ip, key->nr_ips, site);
	else
		for (int i = 0; i < 3 && i < key->nr_ips; i++)
			site[i] = key->ip[i];
	frames->nr = 0;
	if (site[1]) {
		add_frames(symbolizer, key->image, entry->time_ns, site[1], site[1] != site[0],
			   frames);
		fault.via = frame_name(&frames->frame[frames->nr - 1], via, sizeof(via));
		frames->nr = 0;
	}
	if (!key->stack) {
		add_frames(symbolizer, key->image, entry->time_ns, site[2] ? site[2] : site[0],
			   site[1] != 0, frames);
		fault.owner = frames->nr - 1;
	}
	for (unsigned int i = 0; key->stack && i < key->nr_ips; i++) {
		add_frames(symbolizer, key->image, entry->time_ns, key->ip[i], i > 0, frames);
		if (!i || (site[1] && key->ip[i] == site[2] && key->ip[i - 1] == site[1]))
			fault.owner = frames->nr - 1;
		if (site[1] && key->ip[i] == site[2] && key->ip[i - 1] == site[1])
			site[1] = 0; /* the innermost one only, when a function calls itself */
	}
	fault.frames = frames->frame;
	fault.nr_frames = frames->nr;
	return profile_add(profile, &fault);
}

/* 0 or -ENOMEM. */
static int resolve_allocation(struct symbolizer *symbolizer, const struct tally_entry *entry,
			      struct frames *frames, struct allocations *allocations)
{
	const struct tally_key *key = &entry->key;
	char unnamed[MAX_FRAMES][64];
	const char *names[MAX_FRAMES];
	struct stall stall;

	frames->nr = 0;
	for (unsigned int i = 0; i < key->nr_ips; i++)
		add_frames(symbolizer, key->image, entry->time_ns, key->ip[i], true, frames);
	for (unsigned int i = 0; i < frames->nr; i++)
		names[i] = frame_name(&frames->frame[i], unnamed[i], sizeof(unnamed[i]));
	tally_stall(entry, &stall);
	return allocations_add(allocations, key->object, names, frames->nr, &stall);
}

int resolve_allocations(struct symbolizer *symbolizer, const struct tally *tally,
			struct allocations *allocations)
{
	struct frames *frames = calloc(1, sizeof(*frames));
	int r = frames ? 0 : -ENOMEM;

	for (const struct tally_entry *entry = tally->first; !r && entry; entry = entry->hh.next)
		r = resolve_allocation(symbolizer, entry, frames, allocations);
	free(frames);
	return r;
}

int resolve_tally(struct symbolizer *symbolizer, const struct tally *tally, struct profile *profile)
{
	struct frames *frames = calloc(1, sizeof(*frames));
	int r = frames ? 0 : -ENOMEM;

	for (const struct tally_entry *entry = tally->first; !r && entry; entry = entry->hh.next)
		r = resolve_entry(symbolizer, entry, frames, profile);
	free(frames);
	return r;
}
