/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Which processes a run watches: those that the options name, now and, by name or cgroup, later. */
#ifndef SESSION_TARGETS_H
#define SESSION_TARGETS_H

#include "collect/collector.h"
#include "collect/procfs.h"
#include "options.h"

#define TARGETS_LISTED 64 /* in the profile; more than that nobody reads */

struct targets {
	const struct options *options;
	struct collector *collector;
	struct profile *profile; /* the first of them are listed in it */
	pid_t helpers[4];	 /* processes of our own, which are none; 0: none */
	pid_t family;		 /* and whatever it started; 0: none */
	struct pid_list added;	 /* all that were ever added, unless forgotten; starts empty */
};

/* Adds those that are there before the run; @command: the process that will execute the options'
 * command, or 0. 0, or -errno after it has told why. */
int targets_first(struct targets *targets, pid_t command);
/* By name or cgroup, processes come and go: adds the new ones. One that is gone, or not ours, is
 * passed by. 0 or -ENOMEM. */
int targets_scan(struct targets *targets);
/* Forgets those that have ended. */
void targets_forget(struct targets *targets);
void targets_release(struct targets *targets);

#endif
