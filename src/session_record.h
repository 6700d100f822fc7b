/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A run's recording: all that its profile is told is told to the file as well. Without one to be
 * written (no path), nothing happens. */
#ifndef SESSION_RECORD_H
#define SESSION_RECORD_H

#include "base/output.h"
#include "collect/collector.h"
#include "collect/recording_write.h"
#include "options.h"
#include "session_targets.h"
#include "symbolize/symbolize.h"

struct recorder {
	const struct options *options;
	const struct profile *profile;
	const struct collector *collector;
	const struct targets *targets;
	struct symbolizer *symbolizer;
	bool alloc_stacks; /* who allocated what was hit is asked */
	struct output output;
	struct recording_writer *writer;	  /* NULL: none, or not yet */
	size_t nr_warnings, nr_targets, nr_added; /* that are written */
	uint64_t tick_ns;			  /* when the interval ends */
	int error;				  /* that was told */
};

/* All of these but the last return 0, or -errno after they have told why, the first time. */

/* Before privileges are given up. */
int recorder_open(struct recorder *recorder, const struct options *options);
/* The run begins: the file gets its name. The other members are set by now; @command: the process
 * that was started for it, or 0. */
int recorder_begin(struct recorder *recorder, pid_t command);
/* What the keeper keeps. */
int recorder_fault(struct recorder *recorder, const struct fault *fault,
		   const struct object_answer *answer);
int recorder_live(struct recorder *recorder, uint32_t pid, const char *provider,
		  const struct fp_object *object, uint64_t now_ns, uint64_t present_bytes,
		  uint64_t swapped_bytes);
int recorder_provider(struct recorder *recorder, uint32_t pid, const char *provider);
/* Is it time for what the kernel has counted, and then for recorder_tick()? */
bool recorder_due(const struct recorder *recorder, uint64_t now_ns);
/* All that happened until @now_ns is told. @end: and nothing will happen any more. */
int recorder_tick(struct recorder *recorder, uint64_t now_ns, bool end);
void recorder_release(struct recorder *recorder);

#endif
