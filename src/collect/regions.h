/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* From what /proc or a record says of a mapping to a region of an image, with its file. */
#ifndef COLLECT_REGIONS_H
#define COLLECT_REGIONS_H

#include "collect/procfs.h"
#include "model/image.h"

/* Adds the mapping, unless the image has it or nobody would miss it. The file of code is opened, so
 * it stays readable whatever becomes of it. *@ret: the file, NULL when there is none; set also when
 * nothing is added. 0, -ENOMEM, or -ENOSPC: the image has all it may have. */
int regions_add(struct binary_table *binaries, struct image *image, pid_t pid,
		const struct procfs_mapping *from, uint64_t born_ns, struct binary **ret);
/* Adds all that /proc/PID/maps shows, and says which file is the program. @full grows by the number
 * of regions that found no room. 0, -ESRCH and the like when the process is gone, or -ENOMEM. */
int regions_snapshot(struct binary_table *binaries, struct image *image, pid_t pid,
		     uint64_t born_ns, uint64_t *full);

#endif
