/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "session_allocations.h"

#include "symbolize/resolve.h"

void allocation_find(struct birth_register *births, const struct fault *fault,
		     struct object_answer *answer)
{
	const struct fp_object *object = answer->object;
	const struct fp_birth_stack *stack;

	if (object->age_source != FP_AGE_ALLOCATED)
		return;
	answer->allocation = ALLOCATION_UNKNOWN;
	stack = births_stack(births, (pid_t)fault->pid, object->base, object->born_ns);
	if (!stack || stack->image != fault->image->id)
		return;
	answer->allocation = stack->end == FP_STACK_WHOLE ? ALLOCATION_WHOLE : ALLOCATION_CUT;
	answer->callers = stack->ip;
	answer->nr_callers = stack->nr_frames;
}

int allocation_tally_add(struct allocation_tally *tally, const struct fault *fault,
			 const struct object_answer *answer)
{
	struct fault of_object = { .time_ns = fault->time_ns,
				   .stall_ns = fault->stall_ns,
				   .image = fault->image,
				   .object = fault->object };

	if (answer->allocation == ALLOCATION_NOT_ASKED || !tally->wanted)
		return 0;
	if (answer->allocation == ALLOCATION_UNKNOWN) {
		tally->unknown++;
		return 0;
	}
	tally->cut += answer->allocation == ALLOCATION_CUT;
	return tally_add(&tally->stacks, &of_object, answer->callers, answer->nr_callers, true);
}

int allocation_tally_complete(const struct allocation_tally *tally, struct symbolizer *symbolizer,
			      struct profile *profile)
{
	struct allocations *allocations = &profile->objects->allocations;

	allocations->known = tally->wanted;
	allocations->cut = tally->cut;
	allocations->unknown = tally->unknown;
	return resolve_allocations(symbolizer, &tally->stacks, allocations);
}
