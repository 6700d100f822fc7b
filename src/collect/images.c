/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "collect/images.h"

#include <errno.h>
#include <stdlib.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct numbered {
	uint32_t id;
	struct image *image;
	bool used, was_used;
	UT_hash_handle hh;
};

int images_add(struct images *images, uint32_t id, pid_t pid, const char *comm, struct image **ret)
{
	struct numbered *numbered;

	if (images_find(images, id))
		return -EEXIST;
	numbered = calloc(1, sizeof(*numbered));
	if (!numbered)
		return -ENOMEM;
	numbered->id = id;
	numbered->was_used = true;
	numbered->image = image_new(id, pid, comm);
	if (numbered->image)
		HASH_ADD(hh, images->numbered, id, sizeof(id), numbered);
	if (!numbered->hh.tbl) {
		image_free(numbered->image);
		free(numbered);
		return -ENOMEM;
	}
	numbered->image->next = images->first;
	images->first = numbered->image;
	if (id > images->last_id)
		images->last_id = id;
	*ret = numbered->image;
	return 0;
}

static struct numbered *find(const struct images *images, uint32_t id)
{
	struct numbered *numbered;

	HASH_FIND(hh, images->numbered, &id, sizeof(id), numbered);
	return numbered;
}

struct image *images_find(const struct images *images, uint32_t id)
{
	const struct numbered *numbered = find(images, id);

	return numbered ? numbered->image : NULL;
}

void images_use(struct images *images, uint32_t id)
{
	struct numbered *numbered = find(images, id);

	if (numbered)
		numbered->used = true;
}

void images_sweep(struct images *images)
{
	struct numbered *numbered, *next;

	images->first = NULL;
	HASH_ITER (hh, images->numbered, numbered, next) {
		if (!numbered->used && !numbered->was_used) {
			HASH_DEL(images->numbered, numbered);
			image_free(numbered->image);
			free(numbered);
			continue;
		}
		numbered->was_used = numbered->used;
		numbered->used = false;
		numbered->image->next = images->first;
		images->first = numbered->image;
	}
}

void images_release(struct images *images)
{
	struct numbered *numbered, *next;

	HASH_ITER (hh, images->numbered, numbered, next) {
		HASH_DEL(images->numbered, numbered);
		image_free(numbered->image);
		free(numbered);
	}
	images->first = NULL;
}
