/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The fallback where BPF programs may not be loaded: perf's page-fault software events with period
 * 1, one sample for every completed fault, also of threads and children to come. Good for own
 * processes without any privilege.
 *
 * What it cannot know: the stall time, failed faults, whether memory was read or written
 * (fault.access is always FP_READ), and the kernel's own idea of the kind: that is inferred from
 * the mapping at the address. Unprivileged users (perf_event_paranoid 2) see user-mode faults only.
 * struct collect_counts says so.
 */
#ifndef COLLECT_PERF_H
#define COLLECT_PERF_H

#include <sys/types.h>

#include "collect/collector.h"
#include "collect/mappings.h"

struct perf_collector;

/* @options NULL: defaults. @mappings must have been made with data and self_numbered set, and has
 * to outlive the collector, which polls it. 0 or -errno: -EACCES, -EPERM when perf events are not
 * allowed at all, -ENOENT, -ENOSYS when there are none. */
int perf_collector_new(const struct collect_options *options, struct mappings *mappings,
		       struct perf_collector **ret);
/* Adds a process with all its threads; @on_exec: nothing counts until it calls exec. A process
 * that is counted already as somebody's child is not counted twice. 0; -ESRCH: it is gone. */
int perf_collector_add(struct perf_collector *collector, pid_t pid, bool on_exec);
/* Counting begins; processes added later count at once. */
int perf_collector_start(struct perf_collector *collector);
/* Waits up to @timeout_ms (0: not at all) for samples, and hands on all there are. Order is that
 * of time within a CPU, not across. 0, -EINTR after a signal, or what @fn returned. */
int perf_collector_poll(struct perf_collector *collector, int timeout_ms, collect_fault_fn fn,
			void *arg);
/* Counting ends, what is left is handed on, and the kernel's own counts are compared with the
 * samples seen: the difference is FP_LOSS_SAMPLE. */
int perf_collector_stop(struct perf_collector *collector, collect_fault_fn fn, void *arg);
/* Final after perf_collector_stop(); before, of losses only what the kernel told by now. */
void perf_collector_counts(const struct perf_collector *collector, struct collect_counts *ret);
void perf_collector_free(struct perf_collector *collector); /* NULL is fine */

#endif
