/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Mappings over time. Regions are never removed: a profile asks where an address was when its
 * fault happened, and the youngest region born by then is the answer. They stand in order of
 * birth, so that a backward scan meets the youngest first; a mapping record that arrives late
 * (another CPU's) is put where it belongs.
 */
#include "model/image.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/grow.h"

#define DELETED " (deleted)"

static char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *name = strdup(slash && slash[1] ? slash + 1 : path);
	size_t length, tail = sizeof(DELETED) - 1;

	if (!name)
		return NULL;
	length = strlen(name);
	if (length > tail && !strcmp(name + length - tail, DELETED))
		name[length - tail] = 0;
	return name;
}

static void binary_free(struct binary *binary)
{
	if (binary->fd >= 0)
		close(binary->fd);
	free(binary->path);
	free(binary->name);
	free(binary->build_id);
	free(binary);
}

struct binary *binary_get(struct binary_table *table, uint64_t device, uint64_t inode,
			  const char *path)
{
	struct binary *binary;

	if (!path)
		path = "";
	for (binary = table->first; binary; binary = binary->next)
		if (binary->device == device && binary->inode == inode &&
		    (device || inode || !strcmp(binary->path, path)))
			return binary;

	binary = calloc(1, sizeof(*binary));
	if (!binary)
		return NULL;
	binary->device = device;
	binary->inode = inode;
	binary->fd = -1;
	binary->path = strdup(path);
	binary->name = name_of(path);
	if (!binary->path || !binary->name) {
		binary_free(binary);
		return NULL;
	}
	binary->next = table->first;
	table->first = binary;
	return binary;
}

void binary_table_sweep(struct binary_table *table, size_t keep,
			void (*gone)(void *arg, const struct binary *binary), void *arg)
{
	struct binary **link = &table->first;
	size_t unused = 0;

	for (const struct binary *binary = table->first; binary; binary = binary->next)
		unused += !binary->mapped;
	while (unused > keep && *link) {
		struct binary *binary = *link;

		if (binary->mapped) {
			link = &binary->next;
			continue;
		}
		*link = binary->next;
		gone(arg, binary);
		binary_free(binary);
	}
}

void binary_table_release(struct binary_table *table)
{
	struct binary *binary;

	while ((binary = table->first)) {
		table->first = binary->next;
		binary_free(binary);
	}
}

struct image *image_new(uint32_t id, uint32_t pid, const char *comm)
{
	struct image *image = calloc(1, sizeof(*image));

	if (!image)
		return NULL;
	image->id = id;
	image->pid = pid;
	if (comm)
		memcpy(image->comm, comm, strnlen(comm, sizeof(image->comm) - 1));
	return image;
}

void image_free(struct image *image)
{
	if (!image)
		return;
	free(image->regions);
	free(image->cgroup);
	free(image);
}

int image_add_region(struct image *image, const struct region *region)
{
	struct region copy = *region; /* @region may stand in the array that moves */
	size_t n = image->nr_regions;
	int r = grow(&image->regions, n, sizeof(*image->regions));

	if (r)
		return r;
	while (n && image->regions[n - 1].born_ns > copy.born_ns) {
		image->regions[n] = image->regions[n - 1];
		n--;
	}
	image->regions[n] = copy;
	image->nr_regions++;
	return 0;
}

const struct region *image_find(const struct image *image, uint64_t address, uint64_t time_ns)
{
	for (size_t i = image->nr_regions; i--;) {
		const struct region *region = &image->regions[i];

		if (address >= region->start && address < region->end &&
		    (!time_ns || region->born_ns <= time_ns))
			return region;
	}
	return NULL;
}
