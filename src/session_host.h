/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the faults of a run hit: the providers of each target, the memory that they look at, and
 * what they say of the faults that come with an address. All of it after privileges were given up.
 */
#ifndef SESSION_HOST_H
#define SESSION_HOST_H

#include "collect/births.h"
#include "collect/mappings.h"
#include "collect/procfs.h"
#include "provider/registry.h"
#include "symbolize/symbolize.h"

struct target_host; /* of one process */

struct hosts {
	const struct providers *providers;
	const struct mappings *mappings;
	struct symbolizer *symbolizer;
	struct birth_register *births; /* NULL: nobody asked for it, or there are no uprobes here */
	int births_error;	       /* then: why; 0: nobody asked */
	struct profile *profile;
	uint64_t begin_ns;
	struct target_host *first;
	unsigned int nr;
	uint64_t refused; /* targets for which there was no room, or no permission */
};

/* Opens the providers of the processes in @pids: those of others, when they first fault. */
void hosts_start(struct hosts *hosts, const struct pid_list *pids);
/* A fault that came with its address. *@ret says what it hit, for the table of symbols; NULL: not
 * known. 0 or -ENOMEM. */
int hosts_fault(struct hosts *hosts, const struct fault *fault, const struct object_kind **ret);
/* Between batches of faults: what was read is forgotten, and what is due is looked at again. */
void hosts_round(struct hosts *hosts);
/* The census, at the end. 0 or -ENOMEM. */
int hosts_finish(struct hosts *hosts);
void hosts_release(struct hosts *hosts);

#endif
