/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* As in stall.c, the bucket number is the octave and the bits below the leading one; but it begins
 * with whole units, and no time is too long for it. */
#include "model/durations.h"

#define SUB (1u << DURATIONS_SUB_BITS)

static unsigned int bucket_of(uint64_t ns)
{
	uint64_t units = ns >> DURATIONS_SHIFT;
	unsigned int octave;

	if (units < SUB)
		return (unsigned int)units;
	octave = 63 - (unsigned int)__builtin_clzll(units) - DURATIONS_SUB_BITS;
	return (octave + 1) * SUB + (unsigned int)(units >> octave & (SUB - 1));
}

static uint64_t bucket_middle(unsigned int bucket)
{
	unsigned int octave = bucket < SUB ? 0 : bucket / SUB - 1;
	uint64_t units = bucket < SUB ? bucket : SUB + bucket % SUB;

	return (units << (octave + DURATIONS_SHIFT)) + (1ull << (octave + DURATIONS_SHIFT) >> 1);
}

void durations_add(struct durations *durations, uint64_t ns)
{
	durations->nr++;
	durations->total_ns += ns;
	durations->bucket[bucket_of(ns)]++;
	if (ns > durations->max_ns)
		durations->max_ns = ns;
}

void durations_merge(struct durations *durations, const struct durations *from)
{
	durations->nr += from->nr;
	durations->total_ns += from->total_ns;
	for (unsigned int i = 0; i < DURATIONS_BUCKETS; i++)
		durations->bucket[i] += from->bucket[i];
	if (from->max_ns > durations->max_ns)
		durations->max_ns = from->max_ns;
}

uint64_t durations_below(const struct durations *durations, unsigned int shift)
{
	unsigned int end = bucket_of(1ull << shift);
	uint64_t sum = 0;

	for (unsigned int i = 0; i < end; i++)
		sum += durations->bucket[i];
	return sum;
}

uint64_t durations_quantile(const struct durations *durations, double q)
{
	double exact = q * (double)durations->nr;
	uint64_t rank = (uint64_t)exact, sum = 0, middle = 0;

	if ((double)rank < exact)
		rank++;
	if (rank >= durations->nr)
		return durations->max_ns;
	for (unsigned int i = 0; i < DURATIONS_BUCKETS; i++) {
		sum += durations->bucket[i];
		if (sum && sum >= rank) {
			middle = bucket_middle(i);
			break;
		}
	}
	return middle < durations->max_ns ? middle : durations->max_ns;
}
