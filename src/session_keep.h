/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What becomes of a fault, be it seen now or in a recording: it is counted at its place in the code
 * and, if somebody was asked, under what it hit. */
#ifndef SESSION_KEEP_H
#define SESSION_KEEP_H

#include "model/profile.h"
#include "model/tally.h"
#include "session_allocations.h"

struct keeper {
	uint32_t kinds, modes; /* bits; others are passed by */
	bool stacks;	       /* keep the whole stack of what came with one */
	uint64_t slow_ns;      /* what takes so long came with one */
	struct tally *tally;
	struct profile *profile;
	struct allocation_tally *allocations;
	uint64_t cut_stacks; /* FP_LOSS_STACK found here */
};

/* Is it one of those to be kept? */
bool keeper_wants(const struct keeper *keeper, const struct fault *fault);
/* Keeps one fault, or those of a site: already unwound, its ips are the whole stack. @answer: of
 * one fault, else not looked at. 0 or -ENOMEM. */
int keeper_add(struct keeper *keeper, const struct fault *fault,
	       const struct object_answer *answer);

#endif
