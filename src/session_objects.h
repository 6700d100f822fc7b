/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the faults of a run hit: the hosts of all its processes, and what their providers say of the
 * faults that come with an address. All of it after privileges were given up.
 */
#ifndef SESSION_OBJECTS_H
#define SESSION_OBJECTS_H

#include "collect/mappings.h"
#include "collect/procfs.h"
#include "session_allocations.h"
#include "session_host.h"

struct hosts {
	struct host_services services;
	const struct mappings *mappings;
	struct target_host *first;
	unsigned int nr;
	bool alloc_stacks;	 /* who allocated what is hit is asked, too */
	struct fp_object object; /* the last answer's */
	uint64_t refused;	 /* processes for which there was no room, or no permission */
};

/* Opens the providers of the processes in @pids: those of others, when they first fault. */
void hosts_start(struct hosts *hosts, const struct pid_list *pids);
/* What a fault that came with its address hit. *@ret is valid until the next one is asked about. */
void hosts_fault(struct hosts *hosts, const struct fault *fault, struct object_answer *ret);
/* Between batches of faults: what was read is forgotten, and what is due is looked at again. */
void hosts_round(struct hosts *hosts);
/* Forgets the processes that have ended, or execute another program since. */
void hosts_forget(struct hosts *hosts);
/* The census, at the end. 0 or -ENOMEM. */
int hosts_finish(struct hosts *hosts);
void hosts_release(struct hosts *hosts);

#endif
