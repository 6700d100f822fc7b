/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A run from targets to report: the only file that wires the stages. */
#ifndef SESSION_H
#define SESSION_H

#include "options.h"

/* All return an exit status, or -errno. They have told why; 1: what was given is not whole, and was
 * used as far as it is. */

/* A run, with its report, its recording, or both. */
int session_run(const struct options *options);
/* What came of a run. Lives during the call. */
struct measured {
	const struct profile *profile;
	enum tier tier;
	double requests;    /* that HAProxy had, when the options want them counted */
	int command_status; /* as end_command() returns it */
	bool interrupted;
};

typedef int (*session_measured_fn)(void *arg, const struct measured *measured);
/* A run that is not printed, but handed to @measured; returns what that returns. */
int session_measure(const struct options *options, session_measured_fn measured, void *arg);
/* The report of a recording. */
int session_report(const struct options *options);
/* A recording, and the files that name its faults elsewhere, in one. */
int session_archive(const struct options *options);
/* Two recordings side by side. */
int session_diff(const struct options *options);
/* Runs, or recordings, against a baseline or budgets. */
int session_gate(const struct options *options);
/* The same into a baseline. */
int session_baseline(const struct options *options);
/* Prints what this kernel and these privileges allow. */
int session_probe(const struct options *options);

#endif
