/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* From what /proc or a record says of a mapping to a region of an image, with its file. */
#ifndef COLLECT_REGIONS_H
#define COLLECT_REGIONS_H

#include "collect/procfs.h"
#include "model/image.h"

/* All of these count in *@lost what will be missing: regions that found no room, and files that
 * found no descriptor. They return 0 or -ENOMEM. */

/* The file of code is opened, so it stays readable whatever becomes of it. */
int regions_make(struct binary_table *binaries, pid_t pid, const struct procfs_mapping *from,
		 uint64_t born_ns, struct region *ret, uint64_t *lost);
/* Adds the region, unless the image has it or nobody would miss it. */
int regions_add(struct image *image, const struct region *region, uint64_t *lost);
/* Says instead that nobody knows what is there. */
int regions_add_unsure(struct image *image, const struct region *region, uint64_t *lost);
/* Adds all that /proc/PID/maps shows, and says which file is the program. Also -ESRCH and the like
 * when the process is gone. */
int regions_snapshot(struct binary_table *binaries, struct image *image, pid_t pid,
		     uint64_t born_ns, uint64_t *lost);

/* The same some time after an exec, if the process still shows the image's comm: a later exec of
 * its own would show another program. An image that stays empty counts as lost. */
int regions_snapshot_exec(struct binary_table *binaries, struct image *image, pid_t pid,
			  uint64_t born_ns, uint64_t *lost);

/* Has another process than the one that maps @region still got @old? */
typedef bool (*region_held_fn)(void *arg, const struct region *region, const struct region *old);
/* Would @region hide something else, one of the two being code, that is held? When it lies over too
 * many regions to tell, yes. */
bool regions_conflict(const struct image *image, const struct region *region, region_held_fn held,
		      void *arg);

#endif
