/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What a run collected, as a profile: names for the addresses, and what the reader must know of how
 * it was measured. */
#ifndef SESSION_PROFILE_H
#define SESSION_PROFILE_H

#include "collect/collector.h"
#include "model/tally.h"
#include "options.h"
#include "session_targets.h"
#include "symbolize/symbolize.h"

struct finished {
	const struct options *options;
	const struct probe *probe;
	const struct collector *collector;
	struct symbolizer *symbolizer;
	const struct tally *tally;
	struct targets *targets;
	pid_t command;	     /* the process of the options' command; 0: none */
	uint64_t cut_stacks; /* FP_LOSS_STACK that the collector does not know of */
	struct profile *profile;
};

/* Says in @finished->profile how was measured, and what was lost by now. */
void profile_describe(const struct finished *finished);
/* Completes @finished->profile for the sinks. 0 or -ENOMEM. */
int profile_complete(const struct finished *finished);

#endif
