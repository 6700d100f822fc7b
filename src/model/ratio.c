/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The ratio of two proportions, with the score interval (Koopman 1984): all ratios that a
 * chi-squared test of 5 % does not reject. Unlike the interval by the logarithm's variance (Katz)
 * it stands when a group has no hit, or nothing but hits; and those are the clear cases.
 */
#include "model/ratio.h"

#include <math.h>

#define CHI2 3.841458820694124 /* of one degree of freedom, 95 % */
#define FARTHEST 1e12	       /* ratios beyond cannot come from counts */
#define STEPS 200	       /* halvings of the exponent: to the last bit of a double */

struct groups {
	double hits, nr, base_hits, base_nr;
};

static double deviation(double hits, double nr, double p)
{
	double off = hits - nr * p, variance = nr * p * (1 - p);

	if (variance > 0)
		return off * off / variance;
	return fabs(off) > 1e-9 * nr ? INFINITY : 0;
}

/* How badly @ratio fits: chi-squared, with the most likely proportions that have this ratio. They
 * solve a quadratic, written so that nothing cancels. */
static double misfit(const struct groups *g, double ratio)
{
	double a = ratio * (g->nr + g->base_nr);
	double b = ratio * (g->nr + g->base_hits) + g->hits + g->base_nr;
	double c = g->hits + g->base_hits;
	double root = b * b - 4 * a * c;
	double base = 2 * c / (b + sqrt(root > 0 ? root : 0));

	base = base < 1 ? base : 1;
	return deviation(g->base_hits, g->base_nr, base) +
	       deviation(g->hits, g->nr, ratio * base < 1 ? ratio * base : 1);
}

/* Between @inside, which fits, and @outside, which does not. */
static double edge(const struct groups *g, double inside, double outside)
{
	for (unsigned int i = 0; i < STEPS; i++) {
		double middle = sqrt(inside * outside);

		if (misfit(g, middle) > CHI2)
			outside = middle;
		else
			inside = middle;
	}
	return inside;
}

bool ratio_of(uint64_t hits, uint64_t nr, uint64_t base_hits, uint64_t base_nr, struct ratio *ret)
{
	struct groups g = { (double)hits, (double)nr, (double)base_hits, (double)base_nr };
	double value;

	if (!nr || !base_nr || (!hits && !base_hits))
		return false;
	value = base_hits ? (g.hits / g.nr) / (g.base_hits / g.base_nr) : INFINITY;
	ret->value = value;
	ret->low = hits ? edge(&g, base_hits ? value : FARTHEST, 1 / FARTHEST) : 0;
	ret->high = base_hits ? edge(&g, hits ? value : 1 / FARTHEST, FARTHEST) : INFINITY;
	return true;
}
