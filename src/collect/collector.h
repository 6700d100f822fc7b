/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What any collector does for its owner: it watches processes, hands on their faults one by one
 * (or, counted in the kernel, site by site) through a callback, and tells at the end what it could
 * not see. Which one it is, live.c or perf.c, is chosen once, by tier; nobody asks afterwards.
 */
#ifndef COLLECT_COLLECTOR_H
#define COLLECT_COLLECTOR_H

#include <stdbool.h>
#include <sys/types.h>

#include "collect/mappings.h"
#include "collect/probe.h"
#include "model/fault.h"
#include "model/tier.h"

struct collector_options {
	bool inherit;	    /* follow children */
	const char *comm;   /* follow every process that executes a program of this name; or NULL */
	bool open_ended;    /* processes will be added after privileges were dropped */
	uint64_t slow_ns;   /* faults that take so long come one by one */
	unsigned int sites; /* places that are told apart at a time; 0: default */
	unsigned int ring_bytes; /* a power of two, of at least a page; 0: default */
	bool swapped_out;	 /* count image->swapped_out, where the kernel tells */
	bool debug;		 /* let libbpf say on stderr why the kernel refuses */
};

struct collect_counts {
	uint64_t faults, major; /* completed faults of the targets by now, all and major ones */
	uint64_t failed;	/* never completed; 0 when the collector cannot see them */
	/* FP_LOSS_STACK is for who unwinds: a collector does not count what it hands on. */
	uint64_t lost[FP_NR_LOSSES];
	bool kernel_seen;	/* false: user mode only, kernel-mode faults are not counted */
	bool access_known;	/* false: fault.access is always FP_READ and means nothing */
	bool stall_known;	/* false: fault.stall_ns is always 0 */
	bool kinds_inferred;	/* fault.kind comes from the mapping at the address */
	bool swapped_out_known; /* false: image->swapped_out is always 0 */
};

/* @fault and all it points to is valid during the call only, but for its image. A negative return
 * stops the poll, which returns it. */
typedef int (*collect_fault_fn)(void *arg, const struct fault *fault);

struct collector;

struct collector_ops {
	const char *description; /* for the report */
	int (*add)(struct collector *collector, pid_t pid, bool on_exec);
	int (*start)(struct collector *collector);
	int (*drop_privileges)(struct collector *collector);
	int (*poll)(struct collector *collector, int timeout_ms, collect_fault_fn fn, void *arg);
	/* NULL: there is no kernel side to teach. */
	void (*teach)(struct collector *collector, const struct image *image, const uint64_t *ips,
		      const struct fp_rule *rules, unsigned int nr);
	/* NULL: nothing is counted in the kernel. */
	int (*drain)(struct collector *collector, collect_fault_fn fn, void *arg);
	int (*stop)(struct collector *collector, collect_fault_fn fn, void *arg);
	void (*counts)(const struct collector *collector, struct collect_counts *ret);
	bool (*alive)(const struct collector *collector);
	void (*free)(struct collector *collector);
};

/* The head of each collector's own struct. */
struct collector {
	const struct collector_ops *ops;
	enum tier tier;
	struct mappings *mappings; /* owned: what the targets run, to be read by the owner */
};

/* Opens the collector of @tier, and with TIER_AUTO the first that works. @binaries has to outlive
 * it. 0 or -errno; -ENOTSUP: @probe says why not. */
int collector_open(enum tier tier, const struct collector_options *options,
		   const struct probe *probe, struct binary_table *binaries,
		   struct collector **ret);
void collector_free(struct collector *collector); /* NULL is fine */

/* Adds a process with all its threads; @on_exec: nothing counts until it calls exec. 0; -EEXIST: it
 * is a target already; -EINVAL: a thread, not a process; -ESRCH: it is gone; -E2BIG: no room;
 * -EACCES, -EPERM: not allowed. */
int collector_add(struct collector *collector, pid_t pid, bool on_exec);
/* Attaches all: counting begins. 0 or -errno. */
int collector_start(struct collector *collector);
/* Gives up the capabilities that collecting does not need from here on. 0 or -errno. */
int collector_drop_privileges(struct collector *collector);
/* Waits up to @timeout_ms (at most 100 make sense: the mapping records want to be read) for
 * faults, and hands on all there are. 0, -EINTR after a signal, or what @fn returned. */
int collector_poll(struct collector *collector, int timeout_ms, collect_fault_fn fn, void *arg);
/* Teaches the kernel side how to unwind from @nr instructions, as symbolizer_unwind() gave them. */
void collector_teach(struct collector *collector, const struct image *image, const uint64_t *ips,
		     const struct fp_rule *rules, unsigned int nr);
/* Hands on what was counted in the kernel by now; counting goes on. The last fault of a thread may
 * be counted only with its next one. 0 or -errno, or what @fn returned. */
int collector_drain(struct collector *collector, collect_fault_fn fn, void *arg);
/* Counting ends, and what the kernel still holds is handed on. */
int collector_stop(struct collector *collector, collect_fault_fn fn, void *arg);
/* Counts so far; final after collector_stop(). */
void collector_counts(const struct collector *collector, struct collect_counts *ret);
/* False when the last target is gone. */
bool collector_alive(const struct collector *collector);

/* collector.c's table of them. @mappings is taken over when they return 0. */
int live_collector_new(const struct collector_options *options, enum tier tier,
		       struct mappings *mappings, struct collector **ret);
int perf_collector_new(const struct collector_options *options, struct mappings *mappings,
		       struct collector **ret);

#endif
