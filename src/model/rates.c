/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Quasi-Poisson: the variance of a count is its mean times a dispersion that comes from how the
 * runs of each side scatter about their own mean (Pearson). A ratio is tested by the signed root of
 * the deviance, against Student's t; an interval is all ratios that are not rejected. By the
 * deviance, because intervals by the logarithm's variance (Wald) fail where one side has no fault,
 * and a function that is new among those that fault is what a gate is for.
 *
 * The dispersion is that of both sides together; but runs on a busy machine scatter more than a
 * quiet baseline, and where an F test says so, it is theirs alone. Below the Poisson one it is
 * drawn towards it with the weight of PRIOR_DF runs: five equal counts do not prove that the sixth
 * is equal. Of the ways that were tried on simulated counts (Poisson, gamma and log-normal scatter
 * of 3 to 100 %, rare bursts; 3 to 20 runs), this one kept its level nearly everywhere; t tests of
 * logarithms and Wald tests with a dispersion for each side did not. The larger of both dispersions
 * is safer still, and found 6 % fewer rises by 30 % in real runs.
 */
#include "model/rates.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>

#include "model/tails.h"

#define PRIOR_DF 2
#define UNEQUAL .05   /* an F test's level */
#define FARTHEST 1e12 /* ratios beyond cannot come from counts */
#define STEPS 200     /* halvings: to the last bit of a double */

struct spread {
	double faults, exposure, squares, df;
};

static struct spread spread_of(const struct rate_side *side)
{
	struct spread s = { 0 };

	for (size_t i = 0; i < side->nr; i++) {
		s.faults += side->faults[i];
		s.exposure += side->exposure[i];
	}
	for (size_t i = 0; s.faults > 0 && i < side->nr; i++) {
		double mean = s.faults * side->exposure[i] / s.exposure;
		double off = side->faults[i] - mean;

		s.squares += off * off / mean;
	}
	/* Where no fault came, none scattered. */
	s.df = s.faults > 0 ? (double)side->nr - 1 : 0;
	return s;
}

static double dispersion_of(double squares, double df)
{
	double own = squares / df, drawn = (squares + PRIOR_DF) / (df + PRIOR_DF);

	return own > drawn ? own : drawn;
}

static bool scatters_more(const struct spread *now, const struct spread *base)
{
	double own, others;

	if (now->df <= 0 || base->df <= 0)
		return false;
	own = dispersion_of(now->squares, now->df);
	others = dispersion_of(base->squares, base->df);
	return own > others && fisher_above(own / others, now->df, base->df) < UNEQUAL;
}

int rates_fit(const struct rate_side *base, const struct rate_side *now, struct rate_fit *ret)
{
	struct spread b = spread_of(base), n = spread_of(now);

	*ret = (struct rate_fit){ .base = b.faults,
				  .now = n.faults,
				  .base_exposure = b.exposure,
				  .now_exposure = n.exposure,
				  .df = b.df + n.df };
	if (b.faults + n.faults == 0) {
		ret->df = (double)base->nr + (double)now->nr - 2;
		ret->dispersion = ret->df > 0 ? 1 : 0;
		return ret->df > 0 ? 0 : -ENODATA;
	}
	if (ret->df <= 0)
		return -ENODATA;
	ret->dispersion = dispersion_of(b.squares + n.squares, ret->df);
	if (scatters_more(&n, &b))
		ret->dispersion = dispersion_of(n.squares, n.df);
	return 0;
}

double rates_ratio(const struct rate_fit *fit)
{
	if (fit->base > 0)
		return fit->now / fit->now_exposure / (fit->base / fit->base_exposure);
	return fit->now > 0 ? INFINITY : 1;
}

static double x_log(double x, double mean)
{
	return x > 0 ? x * log(x / mean) : 0;
}

static double signed_root(double deviance, bool above)
{
	double root = deviance > 0 ? sqrt(2 * deviance) : 0;

	return above ? root : -root;
}

/* How far @now faults are from what @ratio and all faults together would give. */
static double distance(const struct rate_fit *fit, double now, double ratio)
{
	double all = fit->base + now;
	double share = ratio * fit->now_exposure / (fit->base_exposure + ratio * fit->now_exposure);

	if (all <= 0)
		return 0;
	return signed_root(x_log(now, all * share) + x_log(fit->base, all * (1 - share)),
			   now > all * share) /
	       sqrt(fit->dispersion);
}

double rates_chance(const struct rate_fit *fit, double ratio)
{
	return student_above(distance(fit, fit->now, ratio), fit->df);
}

/* The ratio at which @fit is as far off as @wanted; the distance falls as the ratio grows. */
static double ratio_at(const struct rate_fit *fit, double wanted)
{
	double low = 1 / FARTHEST, high = FARTHEST;

	for (unsigned int i = 0; i < STEPS; i++) {
		double middle = sqrt(low * high);

		if (distance(fit, fit->now, middle) > wanted)
			low = middle;
		else
			high = middle;
	}
	return low;
}

double rates_low(const struct rate_fit *fit, double level)
{
	return fit->now > 0 ? ratio_at(fit, student_quantile(level, fit->df)) : 0;
}

double rates_high(const struct rate_fit *fit, double level)
{
	return fit->base > 0 ? ratio_at(fit, -student_quantile(level, fit->df)) : INFINITY;
}

double rates_detectable(const struct rate_fit *fit, double ratio, double level)
{
	double wanted = student_quantile(level, fit->df);
	double low = 0, high = 1;

	while (high < FARTHEST && distance(fit, high, ratio) < wanted)
		high *= 2;
	for (unsigned int i = 0; i < STEPS; i++) {
		double middle = (low + high) / 2;

		if (distance(fit, middle, ratio) < wanted)
			low = middle;
		else
			high = middle;
	}
	return high / fit->now_exposure;
}

int rates_chance_over(const struct rate_side *now, double rate, double *ret)
{
	struct spread s = spread_of(now);
	double mean = rate * s.exposure, root;

	/* One fault is more than none, however they scatter; and what is no more needs no test. */
	if (s.faults <= mean || rate <= 0) {
		*ret = s.faults <= mean ? 1 : 0;
		return 0;
	}
	if (s.df <= 0)
		return -ENODATA;
	root = signed_root(x_log(s.faults, mean) - (s.faults - mean), true);
	*ret = student_above(root / sqrt(dispersion_of(s.squares, s.df)), s.df);
	return 0;
}
