/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* From addresses to owners: who asked for a fault, and through what. */
#ifndef SYMBOLIZE_RESOLVE_H
#define SYMBOLIZE_RESOLVE_H

#include "model/profile.h"
#include "model/tally.h"
#include "symbolize/symbolize.h"

/* A fault in user mode belongs to the instruction that faulted; one in kernel mode to the first
 * frame in the target's own binary. Writes the three addresses of fp_site_key that say so to @site,
 * 0 where there is none. Returns false when a kernel-mode fault has no frame in that binary. */
bool resolve_owner(const struct image *image, uint64_t time_ns, enum fp_mode mode,
		   const uint64_t *ips, unsigned int nr, uint64_t site[3]);

/* Names all groups of @tally and adds them to @profile. 0 or -ENOMEM. */
int resolve_tally(struct symbolizer *symbolizer, const struct tally *tally,
		  struct profile *profile);

/* The same with stacks of allocations: callers of allocators, all of them return addresses. */
int resolve_allocations(struct symbolizer *symbolizer, const struct tally *tally,
			struct allocations *allocations);

#endif
