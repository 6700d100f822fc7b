/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "session_allocations.h"

#include "symbolize/resolve.h"

int allocation_tally_add(struct allocation_tally *tally, struct birth_register *births,
			 const struct fault *fault, const struct fp_object *object,
			 const struct object_kind *kind)
{
	struct fault of_object = { .time_ns = fault->time_ns,
				   .stall_ns = fault->stall_ns,
				   .image = fault->image,
				   .object = kind };
	const struct fp_birth_stack *stack;

	if (!tally->wanted || !births || object->age_source != FP_AGE_ALLOCATED)
		return 0;
	stack = births_stack(births, (pid_t)fault->pid, object->base, object->born_ns);
	if (!stack || stack->image != fault->image->id) {
		tally->unknown++;
		return 0;
	}
	tally->cut += stack->end != FP_STACK_WHOLE;
	return tally_add(&tally->stacks, &of_object, stack->ip, stack->nr_frames, true);
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
