/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Metrics in Prometheus' text format, for node_exporter's textfile collector. The profiles of many
 * intervals are added up here, so that counters only rise; a series that has appeared stays.
 *
 * Who faulted is told by process name and control group: an instance. Instances, symbols and types
 * of object are bounded; what finds no room counts under "other". Names become labels once, made
 * valid and short; names that then read the same are one.
 */
#ifndef SINK_PROMETHEUS_H
#define SINK_PROMETHEUS_H

#include <stdio.h>

#include "model/profile.h"

#define PROMETHEUS_INSTANCES 32 /* and one more for all others */
#define PROMETHEUS_TYPES 256	/* of object, over all instances */

struct prometheus;

/* What there is to say of the profiler itself. */
struct prometheus_self {
	double start_s; /* since the epoch */
	double cpu_s;
	uint64_t resident_bytes;
	double interval_s;
	uint64_t failed_writes;
	bool swapped_out_known; /* false: prometheus_swapped_out() is never called */
};

/* @top: how many symbols are told apart. 0 or -ENOMEM. */
int prometheus_new(unsigned int top, struct prometheus **ret);
void prometheus_free(struct prometheus *prometheus); /* NULL is fine */

/* The instance of these processes, from 0 to PROMETHEUS_INSTANCES: the same for the same names.
 * @cgroup NULL: not known. */
unsigned int prometheus_instance(struct prometheus *prometheus, const char *comm,
				 const char *cgroup);
/* Adds what @instance did since the last time: a finished profile of its processes alone. 0 or
 * -ENOMEM. */
int prometheus_add(struct prometheus *prometheus, unsigned int instance,
		   const struct profile *profile);
void prometheus_swapped_out(struct prometheus *prometheus, unsigned int instance, uint64_t pages);

/* What is there now: to be told anew, process by process, before each prometheus_write(). */
void prometheus_no_processes(struct prometheus *prometheus);
void prometheus_process(struct prometheus *prometheus, unsigned int instance,
			uint64_t swapped_bytes);

/* @run: of all of the run, for what it says of how was measured and what was lost since the
 * beginning. A write error stays in ferror(@out). */
void prometheus_write(const struct prometheus *prometheus, const struct profile *run,
		      const struct prometheus_self *self, FILE *out);

#endif
