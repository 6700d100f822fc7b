/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What is mapped where, as far as it is not told yet. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/grow.h"
#include "collect/recording_put.h"

struct told_image {
	UT_hash_handle hh;
	uint32_t id, pid;
	char comm[16];
	const struct binary *own;
	bool told;
	struct region *regions; /* those that were told, in the image's order */
	size_t nr_regions;
};

static uint64_t binary_of(struct recording_writer *w, const struct binary *binary)
{
	uint64_t path, build_id;
	struct stat st = { 0 };
	struct bytes *body;

	if (!binary)
		return 0;
	path = recording_text(w, binary->path);
	build_id = recording_text(w, w->build_id(w->build_id_arg, binary));
	if (binary->fd >= 0 && fstat(binary->fd, &st))
		memset(&st, 0, sizeof(st));
	body = recording_body(w);
	bytes_number(body, binary->device);
	bytes_number(body, binary->inode);
	bytes_number(body, path);
	bytes_number(body, build_id);
	bytes_number(body, (uint64_t)st.st_size);
	bytes_number(body,
		     (uint64_t)st.st_mtim.tv_sec * 1000000000ULL + (uint64_t)st.st_mtim.tv_nsec);
	return recording_body_number(w, RECORDING_BINARY);
}

static int put_region(struct recording_writer *w, uint32_t image, const struct region *region)
{
	uint64_t binary = binary_of(w, region->binary);
	uint64_t name = recording_text(w, region->name[0] ? region->name : NULL);
	struct bytes *body = recording_body(w);

	bytes_number(body, image);
	bytes_number(body, region->start);
	bytes_number(body, region->end - region->start);
	bytes_number(body, region->offset);
	recording_put_time(body, region->born_ns, w->begin_ns);
	bytes_number(body, region->exec | region->write << 1 | region->shared << 2);
	bytes_number(body, binary);
	bytes_number(body, name);
	return recording_emit_body(w, RECORDING_REGION);
}

static bool same_region(const struct region *a, const struct region *b)
{
	return a->start == b->start && a->end == b->end && a->offset == b->offset &&
	       a->born_ns == b->born_ns && a->binary == b->binary;
}

/* Regions are never removed, and some are put between others. */
static int put_regions(struct recording_writer *w, struct told_image *told,
		       const struct image *image)
{
	size_t at = 0;
	struct region *copy;

	if (told->nr_regions == image->nr_regions)
		return 0;
	for (size_t i = 0; i < image->nr_regions; i++) {
		const struct region *region = &image->regions[i];

		if (at < told->nr_regions && same_region(&told->regions[at], region))
			at++;
		else if (put_region(w, image->id, region))
			return w->error;
	}
	copy = reallocarray(told->regions, image->nr_regions, sizeof(*copy));
	if (!copy)
		return w->error = -ENOMEM;
	memcpy(copy, image->regions, image->nr_regions * sizeof(*copy));
	told->regions = copy;
	told->nr_regions = image->nr_regions;
	return 0;
}

/* NULL: there was an error. */
static struct told_image *told_image(struct recording_writer *w, uint32_t id)
{
	struct told_image *told;

	HASH_FIND(hh, w->images, &id, sizeof(id), told);
	if (told)
		return told;
	told = calloc(1, sizeof(*told));
	if (told) {
		told->id = id;
		HASH_ADD(hh, w->images, id, sizeof(told->id), told);
	}
	if (!told || !told->hh.tbl) {
		free(told);
		w->error = -ENOMEM;
		return NULL;
	}
	return told;
}

int recording_put_image(struct recording_writer *w, const struct image *image)
{
	struct told_image *told = told_image(w, image->id);
	uint64_t comm, own;
	struct bytes *body;

	if (!told)
		return w->error;
	if (!told->told || strcmp(told->comm, image->comm) || told->pid != image->pid ||
	    told->own != image->own) {
		comm = recording_text(w, image->comm);
		own = binary_of(w, image->own);
		body = recording_body(w);
		bytes_number(body, image->id);
		bytes_number(body, image->pid);
		bytes_number(body, comm);
		bytes_number(body, own);
		if (recording_emit_body(w, RECORDING_IMAGE))
			return w->error;
		memcpy(told->comm, image->comm, sizeof(told->comm));
		told->pid = image->pid;
		told->own = image->own;
		told->told = true;
	}
	return put_regions(w, told, image);
}

/* In the order of their birth, which is not that of the list. */
static int put_new_images(struct recording_writer *w, const struct image *first)
{
	const struct image **new = NULL;
	size_t nr = 0;

	for (const struct image *image = first; image != w->newest; image = image->next) {
		if (grow(&new, nr, sizeof(struct image *))) {
			w->error = -ENOMEM;
			break;
		}
		new[nr++] = image;
	}
	while (!w->error && nr)
		recording_put_image(w, new[--nr]);
	free(new);
	w->newest = first;
	return w->error;
}

int recording_images(struct recording_writer *w, const struct image *first, bool all)
{
	if (first != w->newest && put_new_images(w, first))
		return w->error;
	for (const struct image *image = all ? first : NULL; image; image = image->next)
		if (recording_put_image(w, image))
			break;
	return w->error;
}

void recording_images_free(struct recording_writer *w)
{
	struct told_image *told, *next;

	HASH_ITER (hh, w->images, told, next) {
		HASH_DEL(w->images, told);
		free(told->regions);
		free(told);
	}
}
