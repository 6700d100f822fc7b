/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The collector on BPF programs (bpf/): every completed fault of the targets, with kind, access and
 * stall time. Frequent faults are counted in the kernel by site and handed on when the site map
 * fills up, and at the end; the others come one by one.
 *
 * Creating it needs CAP_BPF and CAP_PERFMON. Once it is started, nothing does.
 */
#ifndef COLLECT_LIVE_H
#define COLLECT_LIVE_H

#include <sys/types.h>

#include "collect/collector.h"
#include "collect/mappings.h"

struct live_collector;

struct live_options {
	bool fentry;	     /* tell kinds by the kernel's handlers, else by the counters they move */
	bool inherit;	     /* follow children */
	const char *comm;    /* follow every process that executes a program of this name; or NULL */
	uint64_t slow_ns;    /* faults that take so long come one by one */
	unsigned int sites;  /* of each of two maps; 0: default */
	unsigned int ring_bytes; /* a power of two, of at least a page; 0: default */
	bool debug;	     /* let libbpf say on stderr why the kernel refuses */
};

/* @mappings: made with neither data nor self_numbered; has to outlive the collector, which polls
 * it. 0 or -errno; -EPERM, -EACCES: privilege is missing. */
int live_collector_new(const struct live_options *options, struct mappings *mappings,
		       struct live_collector **ret);
/* Adds a process with all its threads; @on_exec: nothing counts until it calls exec. 0; -EEXIST: it
 * is a target already; -EINVAL: a thread, not a process; -ESRCH: it is gone; -E2BIG: no room. */
int live_collector_add(struct live_collector *collector, pid_t pid, bool on_exec);
/* Attaches all: counting begins. 0 or -errno. */
int live_collector_start(struct live_collector *collector);
/* Waits up to @timeout_ms (at most 100 make sense: the mapping records want to be read) for
 * faults, and hands on all there are. 0, -EINTR after a signal, or what @fn returned. */
int live_collector_poll(struct live_collector *collector, int timeout_ms, collect_fault_fn fn,
			void *arg);
/* Teaches the kernel side how to unwind from @nr instructions, as symbolizer_unwind() gave them. */
void live_collector_teach(struct live_collector *collector, const struct image *image,
			  const uint64_t *ips, const struct fp_rule *rules, unsigned int nr);
/* Counting ends, and what the kernel still holds is handed on. */
int live_collector_stop(struct live_collector *collector, collect_fault_fn fn, void *arg);
/* Counts so far; final after live_collector_stop(). */
void live_collector_counts(const struct live_collector *collector, struct collect_counts *ret);
/* Completed faults of the targets by now, major ones included. */
void live_collector_progress(const struct live_collector *collector, uint64_t *faults,
			     uint64_t *major);
/* False when the last target is gone. */
bool live_collector_alive(const struct live_collector *collector);
/* Can the maps be used with the privilege that is left? */
bool live_collector_usable(const struct live_collector *collector);
void live_collector_free(struct live_collector *collector); /* NULL is fine */

#endif
