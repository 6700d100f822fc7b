/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The log-linear histogram: the bucket number is the octave and the three bits below the leading
 * one, so a bucket is never wider than 1/8 of its lower bound and its middle is within 1/16 of any
 * value in it. Below 2^FP_STALL_MIN_SHIFT ns and in the last bucket only the maximum bounds it. */
#include "model/stall.h"

#define SUB (1u << FP_STALL_SUB_BITS)

unsigned int stall_bucket(uint64_t ns)
{
	uint64_t v = ns >> (FP_STALL_MIN_SHIFT - FP_STALL_SUB_BITS);
	unsigned int octave, bucket;

	if (v < SUB)
		return 0;
	octave = 63 - (unsigned int)__builtin_clzll(v) - FP_STALL_SUB_BITS;
	bucket = octave * SUB + 1 + (unsigned int)(v >> octave & (SUB - 1));
	return bucket < FP_STALL_BUCKETS ? bucket : FP_STALL_BUCKETS - 1;
}

static uint64_t bucket_middle(unsigned int bucket)
{
	unsigned int octave, shift;

	if (!bucket)
		return 1ull << (FP_STALL_MIN_SHIFT - 1);
	octave = (bucket - 1) / SUB;
	shift = octave + FP_STALL_MIN_SHIFT - FP_STALL_SUB_BITS;
	return ((uint64_t)(SUB + (bucket - 1) % SUB) << shift) + (1ull << shift >> 1);
}

void stall_add(struct stall *stall, uint64_t ns)
{
	stall->faults++;
	if (!ns)
		return;
	stall->timed++;
	stall->total_ns += ns;
	if (ns > stall->max_ns)
		stall->max_ns = ns;
	stall->bucket[stall_bucket(ns)]++;
}

void stall_add_site(struct stall *stall, const struct fp_site_value *value)
{
	uint64_t timed = 0;

	for (unsigned int i = 0; i < FP_STALL_BUCKETS; i++) {
		stall->bucket[i] += value->bucket[i];
		timed += value->bucket[i];
	}
	stall->faults += timed + value->untimed;
	stall->timed += timed;
	stall->total_ns += value->total_ns;
	if (value->max_ns > stall->max_ns)
		stall->max_ns = value->max_ns;
}

void stall_merge(struct stall *stall, const struct stall *from)
{
	stall->faults += from->faults;
	if (!from->timed)
		return;
	stall->timed += from->timed;
	stall->total_ns += from->total_ns;
	if (from->max_ns > stall->max_ns)
		stall->max_ns = from->max_ns;
	for (unsigned int i = 0; i < FP_STALL_BUCKETS; i++)
		stall->bucket[i] += from->bucket[i];
}

uint64_t stall_below(const struct stall *stall, unsigned int shift)
{
	unsigned int end = stall_bucket(1ull << shift);
	uint64_t sum = 0;

	for (unsigned int i = 0; i < end; i++)
		sum += stall->bucket[i];
	return sum;
}

uint64_t stall_quantile(const struct stall *stall, double q)
{
	double exact = q * (double)stall->timed;
	uint64_t rank = (uint64_t)exact, sum = 0, value;

	if (!stall->timed)
		return 0;
	if ((double)rank < exact)
		rank++;
	if (rank >= stall->timed)
		return stall->max_ns;
	for (unsigned int i = 0; i < FP_STALL_BUCKETS; i++) {
		sum += stall->bucket[i];
		if (sum && sum >= rank) {
			value = bucket_middle(i);
			return value < stall->max_ns ? value : stall->max_ns;
		}
	}
	return stall->max_ns;
}
