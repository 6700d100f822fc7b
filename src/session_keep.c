/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "session_keep.h"

#include <errno.h>

#include "symbolize/resolve.h"

bool keeper_wants(const struct keeper *k, const struct fault *fault)
{
	return k->kinds >> fault->kind & 1 && k->modes >> fault->mode & 1;
}

static bool wants_detail(const struct keeper *k, const struct fault *fault)
{
	return fault->major || fault->kind == FP_SWAP_IN || fault->kind == FP_SWAP_CACHE ||
	       fault->stall_ns >= k->slow_ns;
}

/* Says what it hit, for the table of symbols. */
static int add_object(struct keeper *k, struct fault *fault, const struct object_answer *answer)
{
	if (!answer->asked)
		return 0;
	if (answer->outcome == OBJECT_FOUND) {
		fault->object = profile_object_kind(k->profile, answer->provider,
						    answer->object->type, answer->object->pool);
		if (!fault->object)
			return -ENOMEM;
	}
	if (allocation_tally_add(k->allocations, fault, answer))
		return -ENOMEM;
	return profile_add_object(k->profile, fault, answer->provider, answer->outcome,
				  answer->object, answer->swapped_ns,
				  answer->swapped_resolution_ns);
}

int keeper_add(struct keeper *k, const struct fault *fault, const struct object_answer *answer)
{
	bool detail = wants_detail(k, fault), owned;
	struct fault kept = *fault;
	uint64_t site[3];

	if (fault->site)
		return tally_add(k->tally, fault, fault->ips, fault->nr_ips, false);
	if (add_object(k, &kept, answer))
		return -ENOMEM;
	owned = resolve_owner(fault->image, fault->time_ns, fault->mode, fault->ips, fault->nr_ips,
			      site);
	/* One that is kept without its stack lacks nothing once its owner is known. */
	if (fault->stack_end != FP_STACK_WHOLE && (detail ? k->stacks || !owned : !owned))
		k->cut_stacks++;
	if (detail && k->stacks && fault->nr_ips)
		return tally_add(k->tally, &kept, fault->ips, fault->nr_ips, true);
	return tally_add(k->tally, &kept, site, 3, false);
}
