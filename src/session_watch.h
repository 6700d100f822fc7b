/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Where the allocators are that providers name: from a name to the files that have it, and from
 * there to the register of births. */
#ifndef SESSION_WATCH_H
#define SESSION_WATCH_H

#include "collect/births.h"
#include "model/image.h"
#include "model/profile.h"
#include "symbolize/symbolize.h"

#define MAX_WATCHES 128

/* What the providers of a process want watched; all zeros: nothing. */
struct watches {
	struct births_allocator at[MAX_WATCHES];
	unsigned int nr;
	size_t regions; /* of the image, in which they were looked for */
};

/* Whose, and where. */
struct watched_process {
	struct birth_register *births;
	struct symbolizer *symbolizer;
	const struct image *image;
	pid_t pid;
};

/* Watches @allocator in every binary of the image that has both of its functions: which one of them
 * the program calls is the dynamic linker's choice, and the others cost nothing. 0; -ENOENT: none
 * has, so far; -E2BIG; else the first error of births_watch(), when it worked nowhere. */
int watches_add(struct watches *watches, const struct watched_process *process,
		const struct births_allocator *allocator);
/* Looks for all of them in what was mapped since. */
void watches_renew(struct watches *watches, const struct watched_process *process);

/* Whether @pid calls watched functions so often that the reader has to know; then he is told. */
bool watch_is_busy(uint64_t calls_per_s, pid_t pid, struct profile *profile);
/* What the register missed, as warnings. */
void watch_tell_lost(const struct birth_register *births, struct profile *profile);

#endif
