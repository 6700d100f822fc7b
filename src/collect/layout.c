/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "collect/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/grow.h"
#include "collect/procfs.h"

/* Twice what the kernel allows by default: bounds what a target that maps in a loop can cost. */
#define MAX_MAPPINGS (1 << 17)

int layout_open(struct layout *layout, int proc)
{
	int maps = openat(proc, "maps", O_RDONLY | O_CLOEXEC);

	if (maps < 0)
		return -errno;
	*layout = (struct layout){ .maps = maps };
	return 0;
}

static void forget(struct layout *layout)
{
	strings_release(&layout->names);
	free(layout->mappings);
	layout->mappings = NULL;
	layout->nr = 0;
}

void layout_close(struct layout *layout)
{
	forget(layout);
	close(layout->maps);
}

static bool starts(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* A read of device memory can block or act, and the kernel's own pages ([vvar], a perf ring) are
 * nobody's objects. */
static bool is_memory(const struct procfs_mapping *from)
{
	const char *path = from->path;

	if (starts(path, "/dev/"))
		return starts(path, "/dev/shm/") || starts(path, "/dev/hugepages/") ||
		       starts(path, "/dev/zero");
	if (from->inode)
		return path[0] == '/' || starts(path, "[anon_shmem:");
	return !path[0] || starts(path, "[heap]") || starts(path, "[stack") ||
	       starts(path, "[anon:");
}

static int add(struct layout *layout, const struct procfs_mapping *from)
{
	const char *name;
	int r;

	/* The list is read page by page while it changes: one that moved can come twice. */
	if (layout->nr && from->start < layout->mappings[layout->nr - 1].end)
		return 0;
	if (layout->nr == MAX_MAPPINGS)
		return 0;
	name = strings_intern(&layout->names, from->path);
	r = name ? grow(&layout->mappings, layout->nr, sizeof(*layout->mappings)) : -ENOMEM;
	if (!r)
		layout->mappings[layout->nr++] = (struct layout_mapping){
			.start = from->start,
			.end = from->end,
			.read = from->read,
			.write = from->write,
			.exec = from->exec,
			.shared = from->shared,
			.memory = is_memory(from),
			.name = name,
		};
	return r;
}

int layout_refresh(struct layout *layout)
{
	int fd = fcntl(layout->maps, F_DUPFD_CLOEXEC, 0), r = 0;
	char *line = NULL;
	size_t size = 0;
	FILE *in;

	forget(layout);
	if (fd < 0)
		return -errno;
	in = fdopen(fd, "r");
	if (!in) {
		close(fd);
		return -ENOMEM;
	}
	setvbuf(in, NULL, _IOFBF, 1 << 16);
	rewind(in);
	while (!r && getline(&line, &size, in) > 0) {
		struct procfs_mapping mapping;

		if (!procfs_parse_mapping(line, &mapping))
			r = add(layout, &mapping);
	}
	if (!r && ferror(in))
		r = -errno;
	free(line);
	fclose(in);
	if (r)
		forget(layout);
	return r ? r : layout->nr ? 0 : -ESRCH;
}

const struct layout_mapping *layout_behind(const struct layout *layout, uint64_t address)
{
	size_t low = 0, high = layout->nr;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (layout->mappings[middle].end > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low < layout->nr ? &layout->mappings[low] : NULL;
}

const struct layout_mapping *layout_find(const struct layout *layout, uint64_t address)
{
	const struct layout_mapping *mapping = layout_behind(layout, address);

	return mapping && mapping->start <= address ? mapping : NULL;
}
