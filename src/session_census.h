/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What lives at the end of a run: all objects that the providers of a process know, and how much of
 * each is present and swapped out. No page of the target is read for the latter. */
#ifndef SESSION_CENSUS_H
#define SESSION_CENSUS_H

#include "session_host.h"

#define CENSUS_PAGES (16UL << 20) /* that are looked at: 64 GB, in about half a second */

struct census_range {
	uint64_t start, end;
};

/* Of all processes of a run; zeros but for pages_left. */
struct census {
	uint64_t pages_left; /* CENSUS_PAGES to begin with */
	uint64_t unseen;     /* objects whose pages were not looked at */
	/* Of one process: */
	struct target_host *target;
	uint64_t now_ns;
	struct census_range *told; /* by the providers before this one */
	size_t nr_told, nr_new;	   /* sorted ones, and those of this provider behind them */
	size_t room;
};

/* The objects of one process, in a round that begins now. 0 or -ENOMEM. */
int census_take(struct census *census, struct target_host *target);
/* What the census lacks, as a warning. */
void census_tell(const struct census *census, struct profile *profile);

#endif
