/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The processes that inherited perf events cover: those that were added, and what descends from
 * them, as the events' own FORK and EXIT records tell. A record is applied in order of time, once
 * all rings are read. A process is held by a pidfd, so a number that is used again is no mistake.
 */
#ifndef COLLECT_FOLLOWED_H
#define COLLECT_FOLLOWED_H

#include <linux/perf_event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <uthash.h>

struct followed {
	pid_t pid;
	int pidfd;	     /* -1: there was none to be had, the number has to do */
	bool added;	     /* asked for by its number */
	bool taken;	     /* the kernel took its events away */
	uint64_t whole_ns;   /* what it forks from then on inherits all events; 0: so did it */
	uint64_t exit_ns;    /* when events of its first thread ended, to be looked into; or 0 */
	uint64_t sampled_ns; /* its last sample */
	UT_hash_handle hh;
};

struct task_record;

/* All zero is an empty one. */
struct followed_set {
	struct followed *all;
	struct task_record *queue;
	size_t nr_queue;
};

void followed_release(struct followed_set *set);
struct followed *followed_find(const struct followed_set *set, pid_t pid); /* or NULL */
/* The same, but not a process that is gone. */
struct followed *followed_living(struct followed_set *set, pid_t pid);
/* Finds or makes it, whole_ns UINT64_MAX when new. 0, -ESRCH, -ENOMEM. */
int followed_get(struct followed_set *set, pid_t pid, struct followed **ret);
/* All that its threads fork from now on inherits. A fork that is half done now is not: that is
 * allowed two seconds. */
void followed_whole(struct followed *followed);
/* Keeps a FORK or EXIT record for followed_apply(). 0 or -ENOMEM. */
int followed_record(struct followed_set *set, const struct perf_event_header *header);
int followed_apply(struct followed_set *set, bool inherit);
/* Looks into ends of events that are older than @age_ns, and forgets the dead. Returns how many
 * living processes were found to have lost their events. */
unsigned int followed_sweep(struct followed_set *set, uint64_t age_ns);
bool followed_alive(const struct followed_set *set);

#endif
