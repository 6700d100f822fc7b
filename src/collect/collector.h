/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What any collector tells its owner: faults one by one (or, counted in the kernel, site by site)
 * through a callback, and totals at the end. The owner knows which collector it made; there is no
 * common ops table, because only creation and polling would stand in it.
 */
#ifndef COLLECT_COLLECTOR_H
#define COLLECT_COLLECTOR_H

#include "model/fault.h"

struct collect_options {
	bool user_only;	    /* leave kernel-mode faults out even where they may be seen */
	unsigned int pages; /* of each per-CPU ring, a power of two; 0: as many as are allowed */
};

struct collect_counts {
	uint64_t user, kernel; /* completed faults handed on */
	uint64_t failed;       /* never completed; 0 when the collector cannot see them */
	/* FP_LOSS_STACK is for who unwinds: a collector does not count what it hands on. */
	uint64_t lost[FP_NR_LOSSES];
	bool kernel_seen;    /* false: user mode only, kernel-mode faults are not counted */
	bool access_known;   /* false: fault.access is always FP_READ and means nothing */
	bool stall_known;    /* false: fault.stall_ns is always 0 */
	bool kinds_inferred; /* fault.kind comes from the mapping at the address */
};

/* @fault and all it points to is valid during the call only, but for its image. A negative return
 * stops the poll, which returns it. */
typedef int (*collect_fault_fn)(void *arg, const struct fault *fault);

#endif
