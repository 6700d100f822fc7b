/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "collect/regions.h"

#include <errno.h>
#include <stdio.h>

#define MAX_REGIONS 65536 /* of one image: bounds what a process that maps in a loop can cost */
#define NEAR 64		  /* as many of the youngest regions are searched for a repetition */

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
static bool redundant(const struct image *image, const struct region *region)
{
	bool plain = !region->binary && !region->exec && !region->shared && !region->name[0];
	size_t oldest = image->nr_regions > NEAR && !plain ? image->nr_regions - NEAR : 0;

	for (size_t i = image->nr_regions; i-- > oldest;) {
		const struct region *old = &image->regions[i];

		if (old->end <= region->start || old->start >= region->end)
			continue;
		return same_region(old, region);
	}
	return plain;
}

/* Sets *@ret to the file behind the mapping, opened if it is code; NULL: there is none. */
static int find_binary(struct binary_table *binaries, pid_t pid, const struct procfs_mapping *from,
		       struct binary **ret)
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
	}
	*ret = binary;
	return 0;
}

int regions_add(struct binary_table *binaries, struct image *image, pid_t pid,
		const struct procfs_mapping *from, uint64_t born_ns, struct binary **ret)
{
	struct region region = { .start = from->start,
				 .end = from->end,
				 .offset = from->offset,
				 .born_ns = born_ns,
				 .exec = from->exec,
				 .write = from->write,
				 .shared = from->shared };
	int r = find_binary(binaries, pid, from, &region.binary);

	if (r)
		return r;
	*ret = region.binary;
	if (from->path[0] == '[')
		snprintf(region.name, sizeof(region.name), "%s", from->path);
	if (redundant(image, &region))
		return 0;
	if (image->nr_regions >= MAX_REGIONS)
		return -ENOSPC;
	return image_add_region(image, &region);
}

struct snapshot {
	struct binary_table *binaries;
	struct image *image;
	pid_t pid;
	uint64_t born_ns, full;
	uint64_t device, inode; /* of the program; both 0: not known */
	struct binary *same_inode;
};

static int snapshot_mapping(void *arg, const struct procfs_mapping *from)
{
	struct snapshot *s = arg;
	struct binary *binary = NULL;
	int r = regions_add(s->binaries, s->image, s->pid, from, s->born_ns, &binary);

	if (r == -ENOSPC) {
		s->full++;
		r = 0;
	}
	if (r || !binary || !from->inode || from->inode != s->inode)
		return r;
	if (from->device == s->device)
		s->image->own = binary;
	else if (!s->same_inode && from->exec)
		s->same_inode = binary;
	return 0;
}

int regions_snapshot(struct binary_table *binaries, struct image *image, pid_t pid,
		     uint64_t born_ns, uint64_t *full)
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
	*full += s.full;
	return r;
}
