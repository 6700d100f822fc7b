/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "collect/regions.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MAX_REGIONS 65536 /* of one image: bounds what a process that maps in a loop can cost */
#define MAX_PIECES 64	  /* of one region, in which older ones are looked at */
#define NEAR 64		  /* as many of the youngest regions are searched for a repetition */

/* Does an address in both lead to the same place of the same file, or to none? */
static bool same_place(const struct region *a, const struct region *b)
{
	return a->binary == b->binary &&
	       (!a->binary || a->start - a->offset == b->start - b->offset);
}

static bool same_region(const struct region *a, const struct region *b)
{
	return a->start == b->start && a->end == b->end && a->offset == b->offset &&
	       a->binary == b->binary && a->exec == b->exec && a->write == b->write &&
	       a->shared == b->shared;
}

/*
 * Is the region told already, or of no interest? Plain anonymous memory is what an address without
 * a region is taken for: it only has to be kept where it hides another one.
 */
static bool redundant(struct image *image, const struct region *region)
{
	bool plain = !region->binary && !region->exec && !region->shared && !region->name[0];
	size_t oldest = image->nr_regions > NEAR && !plain ? image->nr_regions - NEAR : 0;

	for (size_t i = image->nr_regions; i-- > oldest;) {
		struct region *old = &image->regions[i];

		if (old->end <= region->start || old->start >= region->end)
			continue;
		if (!same_region(old, region))
			return false;
		if (old->pid != region->pid)
			old->pid = 0;
		return true;
	}
	return plain;
}

/* Sets *@ret to the file behind the mapping, opened if it is code; NULL: there is none. */
static int find_binary(struct binary_table *binaries, pid_t pid, const struct procfs_mapping *from,
		       struct binary **ret, uint64_t *lost)
{
	bool file = from->inode && from->path[0];
	struct binary *binary;
	int fd;

	*ret = NULL;
	/* Without an inode, "//anon" and the like are what the kernel calls it, not a file. */
	if (!file && !(from->exec && !from->inode && from->path[0] == '['))
		return 0;
	binary = binary_get(binaries, file ? from->device : 0, from->inode, from->path);
	if (!binary)
		return -ENOMEM;
	if (file && from->exec && binary->fd < 0) {
		fd = procfs_open_binary(pid, from->start, from->end, from->path, from->device,
					from->inode);
		binary->fd = fd < 0 ? -1 : fd;
		/* Any other failure is the file's own: it is gone, or not for us to read. */
		*lost += fd == -EMFILE || fd == -ENFILE;
	}
	*ret = binary;
	return 0;
}

int regions_make(struct binary_table *binaries, pid_t pid, const struct procfs_mapping *from,
		 uint64_t born_ns, struct region *ret, uint64_t *lost)
{
	*ret = (struct region){ .start = from->start,
				.end = from->end,
				.offset = from->offset,
				.born_ns = born_ns,
				.pid = pid,
				.exec = from->exec,
				.write = from->write,
				.shared = from->shared };
	if (from->path[0] == '[')
		snprintf(ret->name, sizeof(ret->name), "%s", from->path);
	return find_binary(binaries, pid, from, &ret->binary, lost);
}

int regions_add(struct image *image, const struct region *region, uint64_t *lost)
{
	if (redundant(image, region))
		return 0;
	if (image->nr_regions < MAX_REGIONS)
		return image_add_region(image, region);
	(*lost)++;
	return 0;
}

int regions_add_unsure(struct image *image, const struct region *region, uint64_t *lost)
{
	struct region unsure = {
		.start = region->start, .end = region->end, .born_ns = region->born_ns, .exec = true
	};

	return regions_add(image, &unsure, lost);
}

bool regions_conflict(const struct image *image, const struct region *region, region_held_fn held,
		      void *arg)
{
	uint64_t at = region->start, next;

	/* Piece by piece, as far as one older region is the youngest. */
	for (unsigned int i = 0; i < MAX_PIECES && at < region->end; i++, at = next) {
		const struct region *old = NULL;

		next = region->end;
		for (size_t k = image->nr_regions; !old && k--;) {
			const struct region *other = &image->regions[k];

			if (at >= other->start && at < other->end)
				old = other;
			if (old && old->end < next)
				next = old->end;
			else if (other->start > at && other->start < next)
				next = other->start;
		}
		if (old && (old->exec || region->exec) && !same_place(old, region) &&
		    held(arg, region, old))
			return true;
	}
	return at < region->end;
}

struct snapshot {
	struct binary_table *binaries;
	struct image *image;
	pid_t pid;
	uint64_t born_ns, lost;
	uint64_t device, inode; /* of the program; both 0: not known */
	struct binary *same_inode;
};

static int snapshot_mapping(void *arg, const struct procfs_mapping *from)
{
	struct snapshot *s = arg;
	struct region region;
	int r = regions_make(s->binaries, s->pid, from, s->born_ns, &region, &s->lost);

	if (!r)
		r = regions_add(s->image, &region, &s->lost);
	if (r || !region.binary || !from->inode || from->inode != s->inode)
		return r;
	if (from->device == s->device)
		s->image->own = region.binary;
	else if (!s->same_inode && from->exec)
		s->same_inode = region.binary;
	return 0;
}

int regions_snapshot(struct binary_table *binaries, struct image *image, pid_t pid,
		     uint64_t born_ns, uint64_t *lost)
{
	struct snapshot s = {
		.binaries = binaries, .image = image, .pid = pid, .born_ns = born_ns
	};
	int r;

	if (procfs_exe_file(pid, &s.device, &s.inode))
		s.inode = 0;
	r = procfs_maps(pid, snapshot_mapping, &s);
	/* btrfs and overlayfs have one device for stat() and another for maps. */
	if (!image->own)
		image->own = s.same_inode;
	*lost += s.lost;
	return r;
}

int regions_snapshot_exec(struct binary_table *binaries, struct image *image, pid_t pid,
			  uint64_t born_ns, uint64_t *lost)
{
	uint64_t device, inode;
	char now[16] = "";
	int r = 0;

	if (image->comm[0] && !procfs_comm(pid, now) && !strcmp(now, image->comm) &&
	    !procfs_exe_file(pid, &device, &inode))
		r = regions_snapshot(binaries, image, pid, born_ns, lost);
	*lost += !image->nr_regions;
	return r == -ENOMEM ? r : 0;
}
