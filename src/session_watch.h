/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Where the allocators are that providers name: from a name to the files that have it, and from
 * there to the register of births. */
#ifndef SESSION_WATCH_H
#define SESSION_WATCH_H

#include "collect/births.h"
#include "model/image.h"
#include "model/profile.h"
#include "symbolize/symbolize.h"

/* Watches @allocator in every binary of @image that has both of its functions: which one of them
 * the program calls is the dynamic linker's choice, and the others cost nothing. 0; -ENOENT: none
 * has; else the first error of births_watch(), when it worked nowhere. */
int watch_allocator(struct birth_register *births, struct symbolizer *symbolizer,
		    const struct image *image, pid_t pid, const struct fp_allocator *allocator);
/* Whether @pid calls watched functions so often that the reader has to know; then he is told. */
bool watch_is_busy(const struct birth_register *births, pid_t pid, struct profile *profile);
/* What the register missed, as warnings. */
void watch_tell_lost(const struct birth_register *births, struct profile *profile);

#endif
