/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What a run collected, as a profile: names for the addresses, and what the reader must know of how
 * it was measured. */
#ifndef SESSION_PROFILE_H
#define SESSION_PROFILE_H

#include "base/output.h"
#include "collect/collector.h"
#include "collect/procfs.h"
#include "model/comparison.h"
#include "model/tally.h"
#include "options.h"
#include "session_allocations.h"
#include "symbolize/symbolize.h"

struct finished {
	enum tier tier;
	const char *description; /* of the collector; the profile keeps the pointer */
	uint32_t kinds, modes;	 /* bits: what is in the tally */
	const struct collect_counts *counts;
	const struct image *images;   /* the youngest; NULL: none */
	const struct pid_list *added; /* targets, as they were added */
	pid_t command;		      /* the process that was started for the run; 0: none */
	uint64_t cut_stacks;	      /* FP_LOSS_STACK that the collector does not know of */
	struct symbolizer *symbolizer;
	const struct tally *tally;
	const struct allocation_tally *allocations;
};

/* Warns of what cannot be observed in the way it is measured. */
void profile_describe(struct profile *profile, const struct options *options,
		      const struct probe *probe, const struct collector *collector);
/* Says that only these kinds and modes are in it, by bits, unless they are all. */
void profile_filter(struct profile *profile, uint32_t kinds, uint32_t modes);
/* Says how was measured, and what was lost by now. */
void profile_account(struct profile *profile, const struct finished *finished);
/* Completes @profile for the sinks. 0 or -ENOMEM. */
int profile_complete(struct profile *profile, const struct finished *finished);
/* Writes the report that the options want. 0, or -errno after it has told why. */
int profile_print(const struct profile *profile, const struct options *options,
		  struct output *output);
int diff_print(const struct comparison *comparison, const struct options *options,
	       struct output *output);

#endif
