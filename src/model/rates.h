/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * How much higher a rate is now than it was, when counts scatter more than chance alone would have
 * it. What the runs are counted by (the exposure) is seconds or units of work, any one unit.
 */
#ifndef MODEL_RATES_H
#define MODEL_RATES_H

#include <stddef.h>

/* Runs of one side: so many faults in so much exposure, above 0, each. */
struct rate_side {
	const double *faults, *exposure;
	size_t nr;
};

struct rate_fit {
	double base, now; /* faults of all runs */
	double base_exposure, now_exposure;
	double dispersion; /* variance of a count, as a multiple of its mean */
	double df;	   /* degrees of freedom that the dispersion comes with */
};

/* 0; -ENODATA: too few runs with faults to know how they scatter. Then all but df and dispersion
 * (0) is filled. */
int rates_fit(const struct rate_side *base, const struct rate_side *now, struct rate_fit *ret);

double rates_ratio(const struct rate_fit *fit); /* infinite when there were none; 1: none at all */
/* The probability of a rise like this one if the ratio were truly @ratio: small means it is more.
 */
double rates_chance(const struct rate_fit *fit, double ratio);
/* The ratio that it is above, or below, except with probability @level each. */
double rates_low(const struct rate_fit *fit, double level);
double rates_high(const struct rate_fit *fit, double level);
/* The rate now from which on rates_low() at @level would be above @ratio. */
double rates_detectable(const struct rate_fit *fit, double ratio, double level);

/* The probability of so many faults if the rate were truly @rate. -ENODATA: as above. */
int rates_chance_over(const struct rate_side *now, double rate, double *ret);

#endif
