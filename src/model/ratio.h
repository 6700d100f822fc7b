/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* How many times as often something happens in one group as in another. */
#ifndef MODEL_RATIO_H
#define MODEL_RATIO_H

#include <stdbool.h>
#include <stdint.h>

struct ratio {
	double value, low, high; /* value and high are infinite when base_hits is 0 */
};

/* @hits of @nr, divided by @base_hits of @base_nr, with its 95 % interval. False, and *@ret
 * untouched: a group is empty, or there is no hit at all. */
bool ratio_of(uint64_t hits, uint64_t nr, uint64_t base_hits, uint64_t base_nr, struct ratio *ret);

#endif
