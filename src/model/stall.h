/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Stall times of a group of faults: count, total, maximum and a log-linear histogram. */
#ifndef MODEL_STALL_H
#define MODEL_STALL_H

#include "faultprof/event.h"

struct stall {
	uint64_t faults;   /* all faults of the group */
	uint64_t timed;	   /* those whose stall time is known */
	uint64_t total_ns; /* over the timed ones */
	uint64_t max_ns;
	uint64_t bucket[FP_STALL_BUCKETS];
};

/* Index of the bucket that holds @ns; the same arithmetic runs in the kernel. */
unsigned int stall_bucket(uint64_t ns);

/* Adds one fault; @ns 0 means its stall time is not known. */
void stall_add(struct stall *stall, uint64_t ns);

/* Adds what the kernel counted at one site. */
void stall_add_site(struct stall *stall, const struct fp_site_value *value);

/* Adds @from to @stall. */
void stall_merge(struct stall *stall, const struct stall *from);

/* How many of the timed faults took less than 2^@shift ns, exactly: a bucket begins there. @shift:
 * from FP_STALL_MIN_SHIFT to FP_STALL_MIN_SHIFT + FP_STALL_OCTAVES - 1. */
uint64_t stall_below(const struct stall *stall, unsigned int shift);

/* The @q quantile (0 < q <= 1) in ns: the fault of rank ceil(q * timed), so max_ns itself when that
 * is the slowest, else the middle of its bucket and never above max_ns; 0 with no timed fault. */
uint64_t stall_quantile(const struct stall *stall, double q);

#endif
