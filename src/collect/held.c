/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "collect/held.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct held_fault {
	struct held_fault *next;
	size_t size;
	union {
		struct fp_fault_event event;
		char bytes[sizeof(struct fp_fault_event) + sizeof(struct fp_raw_stack)];
	};
};

int held_add(struct held *held, const struct fp_fault_event *event, size_t size)
{
	struct held_fault *fault;

	if (size > sizeof(fault->bytes))
		return -EBADMSG;
	fault = malloc(offsetof(struct held_fault, bytes) +
		       (size > sizeof(*event) ? size : sizeof(*event)));
	if (!fault)
		return -ENOMEM;
	fault->next = NULL;
	fault->size = size;
	memcpy(fault->bytes, event, size);
	if (!held->first)
		held->last = &held->first;
	*held->last = fault;
	held->last = &fault->next;
	return 0;
}

bool held_correct(struct held *held, const struct fp_major_event *event)
{
	struct held_fault *found = NULL;

	for (struct held_fault *fault = held->first; fault; fault = fault->next)
		if (fault->event.h.tid == event->h.tid)
			found = fault;
	if (!found || (found->event.address ^ event->address) >> 12)
		return false;
	found->event.major = 1;
	found->event.kind = event->kind;
	return true;
}

int held_hand_on(struct held *held, uint64_t until_ns, held_fn fn, void *arg)
{
	int r = 0;

	while (!r && held->first && held->first->event.h.time_ns <= until_ns) {
		struct held_fault *fault = held->first;

		held->first = fault->next;
		r = fn(arg, &fault->event, fault->size);
		free(fault);
	}
	return r;
}

void held_release(struct held *held)
{
	while (held->first) {
		struct held_fault *next = held->first->next;

		free(held->first);
		held->first = next;
	}
}
