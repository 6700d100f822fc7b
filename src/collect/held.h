/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Faults whose outcome is not settled. Where minor faults are told before the kernel has counted
 * them, one that was retried may turn out major right after. Those that may are held for a moment.
 */
#ifndef COLLECT_HELD_H
#define COLLECT_HELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "faultprof/event.h"

/* Most come within microseconds; a thread may be preempted in between. */
#define HELD_NS 100000000ULL

struct held { /* all zeros: none */
	struct held_fault *first, **last;
};

/* Takes a fault with its stack. A nonzero return ends the walk. */
typedef int (*held_fn)(void *arg, const struct fp_fault_event *event, size_t size);

/* Copies it. 0 or -ENOMEM. */
int held_add(struct held *held, const struct fp_fault_event *event, size_t size);
/* Corrects the fault that @event means; false: it is not held. */
bool held_correct(struct held *held, const struct fp_major_event *event);
/* Hands on, in order, those that completed up to @until_ns, and forgets them. */
int held_hand_on(struct held *held, uint64_t until_ns, held_fn fn, void *arg);
void held_release(struct held *held);

#endif
