/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* All images of a run, found by their numbers. */
#ifndef COLLECT_IMAGES_H
#define COLLECT_IMAGES_H

#include <sys/types.h>

#include "model/image.h"

struct numbered;

struct images {
	struct numbered *numbered;
	struct image *first; /* walk by image->next; added ones come first */
	uint32_t last_id;    /* the highest number so far */
};

/* 0, -EEXIST or -ENOMEM. The image lives until images_sweep() or images_release(). */
int images_add(struct images *images, uint32_t id, pid_t pid, const char *comm, struct image **ret);
struct image *images_find(const struct images *images, uint32_t id); /* NULL: none */
/* To be told of all that are in use before images_sweep(): it frees the others, unless they were in
 * use at its last call. */
void images_use(struct images *images, uint32_t id);
void images_sweep(struct images *images);
void images_release(struct images *images);

#endif
