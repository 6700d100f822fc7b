/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* All images of a run, found by their numbers. */
#ifndef COLLECT_IMAGES_H
#define COLLECT_IMAGES_H

#include <sys/types.h>

#include "model/image.h"

struct numbered;

struct images {
	struct numbered *numbered;
	struct image *first; /* the youngest; walk by image->next */
	uint32_t last_id;    /* the highest number so far */
};

/* 0, -EEXIST or -ENOMEM. The image lives until images_release(). */
int images_add(struct images *images, uint32_t id, pid_t pid, const char *comm, struct image **ret);
struct image *images_find(const struct images *images, uint32_t id); /* NULL: none */
void images_release(struct images *images);

#endif
