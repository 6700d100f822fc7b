/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The tails are incomplete beta functions, and these a continued fraction (Abramowitz and Stegun
 * 26.5.8, evaluated by Lentz's method). */
#include "model/tails.h"

#include <math.h>

#define TINY 1e-300
#define CLOSE 1e-15
#define MAX_TERMS 10000
#define STEPS 200      /* halvings: to the last bit of a double */
#define FARTHEST 1e150 /* its square is a number still */

static double away_from_zero(double x)
{
	return fabs(x) < TINY ? TINY : x;
}

static double beta_fraction(double x, double a, double b)
{
	double c = 1, d = 1 / away_from_zero(1 - (a + b) * x / (a + 1)), value = d;

	for (unsigned int i = 1; i < MAX_TERMS; i++) {
		double even = i * (b - i) * x / ((a + 2 * i - 1) * (a + 2 * i));
		double odd = -(a + i) * (a + b + i) * x / ((a + 2 * i) * (a + 2 * i + 1));
		double step;

		d = 1 / away_from_zero(1 + even * d);
		c = away_from_zero(1 + even / c);
		value *= c * d;
		d = 1 / away_from_zero(1 + odd * d);
		c = away_from_zero(1 + odd / c);
		step = c * d;
		value *= step;
		if (fabs(step - 1) < CLOSE)
			break;
	}
	return value;
}

/* lgamma() writes a global; with arguments above 0 there is no sign to tell. */
static double log_gamma(double x)
{
	int sign;

	return lgamma_r(x, &sign);
}

/* I_x(a, b); @y is 1 - x, which may be too close to 1 to come from x. */
static double beta_incomplete(double x, double y, double a, double b)
{
	double front;

	if (x <= 0 || y <= 0)
		return x <= 0 ? 0 : 1;
	front = exp(log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * log(x) + b * log(y));
	if (x < (a + 1) / (a + b + 2))
		return front * beta_fraction(x, a, b) / a;
	return 1 - front * beta_fraction(y, b, a) / b;
}

double student_above(double t, double df)
{
	double tail;

	if (fabs(t) > FARTHEST)
		return t > 0 ? 0 : 1;
	tail = beta_incomplete(df / (df + t * t), t * t / (df + t * t), df / 2, .5) / 2;
	return t > 0 ? tail : 1 - tail;
}

double student_quantile(double p, double df)
{
	double low = 0, high = 1;

	if (p > .5)
		return -student_quantile(1 - p, df);
	while (high < FARTHEST && student_above(high, df) > p)
		high *= 2;
	for (unsigned int i = 0; i < STEPS; i++) {
		double middle = (low + high) / 2;

		if (student_above(middle, df) > p)
			low = middle;
		else
			high = middle;
	}
	return (low + high) / 2;
}

double fisher_above(double f, double df, double base_df)
{
	double sum = base_df + df * f;

	return beta_incomplete(base_df / sum, df * f / sum, base_df / 2, df / 2);
}
