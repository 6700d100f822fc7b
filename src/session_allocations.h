/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Who allocated the objects that faults hit: from the register of births to names. */
#ifndef SESSION_ALLOCATIONS_H
#define SESSION_ALLOCATIONS_H

#include "collect/births.h"
#include "faultprof/provider.h"
#include "model/profile.h"
#include "model/tally.h"
#include "symbolize/symbolize.h"

struct allocation_tally { /* all zeros: nobody asked */
	bool wanted;
	struct tally stacks; /* by object and callers: who allocated them, not where they faulted */
	uint64_t cut, unknown; /* as in struct allocations */
};

/* Completes the answer to @fault, which hit an object: who allocated that. */
void allocation_find(struct birth_register *births, const struct fault *fault,
		     struct object_answer *answer);
/* Adds a fault on the object of @answer, of @fault->object. 0 or -ENOMEM. */
int allocation_tally_add(struct allocation_tally *tally, const struct fault *fault,
			 const struct object_answer *answer);
/* Names them in @profile. 0 or -ENOMEM. */
int allocation_tally_complete(const struct allocation_tally *tally, struct symbolizer *symbolizer,
			      struct profile *profile);

#endif
