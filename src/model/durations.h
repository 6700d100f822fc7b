/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Times from microseconds to years, as ages are: count, maximum and a log-linear histogram. */
#ifndef MODEL_DURATIONS_H
#define MODEL_DURATIONS_H

#include <stdint.h>

#define DURATIONS_SHIFT 10   /* the unit is 2^10 ns; below 8 units a bucket is one unit wide, */
#define DURATIONS_SUB_BITS 3 /* above there are 8 buckets an octave */
#define DURATIONS_BUCKETS ((64 - DURATIONS_SHIFT - DURATIONS_SUB_BITS + 1) << DURATIONS_SUB_BITS)

struct durations {
	uint64_t nr, max_ns;
	unsigned __int128 total_ns; /* of many long ones: more than 64 bits hold */
	uint32_t bucket[DURATIONS_BUCKETS];
};

void durations_add(struct durations *durations, uint64_t ns);
void durations_merge(struct durations *durations, const struct durations *from);

/* How many are shorter than 2^@shift ns, exactly: a bucket begins there. @shift: at least
 * DURATIONS_SHIFT. */
uint64_t durations_below(const struct durations *durations, unsigned int shift);

/* The @q quantile (0 < q <= 1) in ns, of rank ceil(q * nr): max_ns itself when that is the longest,
 * else within 1/16 (below 8 units: half a unit) of it, and never above max_ns. 0 when there is
 * none. */
uint64_t durations_quantile(const struct durations *durations, double q);

#endif
