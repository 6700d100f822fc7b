/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The gate's judgement: the distribution against tables, the false alarms and the power against
 * simulated runs, and each way to a verdict. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/rates.h"
#include "model/tails.h"

static void assert_near(double got, double want, double share)
{
	if (fabs(got - want) > fabs(want) * share)
		fail_msg("%g is not %g", got, want);
}

/* From printed tables. */
static void test_student(void **state)
{
	static const struct {
		double p, df, t;
	} table[] = {
		{ .05, 1, 6.3138 },   { .01, 1, 31.821 },  { .001, 1, 318.31 },
		{ .05, 4, 2.1318 },   { .005, 4, 4.6041 }, { .0005, 4, 8.6103 },
		{ .01, 8, 2.8965 },   { .001, 8, 4.5008 }, { .025, 23, 2.0687 },
		{ .0005, 30, 3.646 }, { .1, 2, 1.8856 },   { .001, 1e6, 3.0902 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		assert_near(student_quantile(table[i].p, table[i].df), table[i].t, 5e-5);
		assert_near(student_above(table[i].t, table[i].df), table[i].p, 5e-4);
		assert_near(student_quantile(1 - table[i].p, table[i].df), -table[i].t, 5e-5);
	}
	assert_near(student_above(0, 7), .5, 1e-12);
	assert_near(fisher_above(6.388, 4, 4), .05, 1e-3);
	assert_near(fisher_above(2.895, 4, 19), .05, 1e-3);
	assert_near(fisher_above(4.50, 4, 19), .01, 1e-2);
	assert_near(fisher_above(5.811, 19, 4), .05, 1e-3);
	assert_true(fisher_above(0, 4, 4) == 1);
	assert_true(student_above(INFINITY, 3) == 0);
	assert_true(student_above(-INFINITY, 3) == 1);
}

/* ---- simulated runs ---- */

static uint64_t seed;

static double uniform(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return ((double)(seed >> 11) + .5) / 9007199254740992.0;
}

static double normal(void)
{
	double radius = sqrt(-2 * log(uniform()));

	return radius * cos(2 * M_PI * uniform());
}

static double poisson(double mean)
{
	double product = 1, least = exp(-mean);
	int n = -1;

	if (mean > 300)
		return floor(fmax(0, mean + sqrt(mean) * normal() + .5));
	do
		n++;
	while ((product *= uniform()) > least);
	return n;
}

/* Log-normal scatter of @cv from run to run, and chance on top of it. */
static double run_of(double mean, double cv)
{
	double sigma = sqrt(log(1 + cv * cv));

	return poisson(mean * exp(sigma * normal() - sigma * sigma / 2));
}

/* The share of comparisons in which a true @factor is taken to be surely above @ratio. */
static double alarms(double mean, double cv, size_t nr_base, size_t nr, double factor, double ratio,
		     double now_cv)
{
	enum { ROUNDS = 2000, LEVEL = 100 };
	double base[20], now[20], exposure[20];
	int found = 0;

	seed = 88172645463325252;
	for (size_t i = 0; i < 20; i++)
		exposure[i] = 1 + (double)(i % 3) / 2;
	for (int round = 0; round < ROUNDS; round++) {
		struct rate_side before = { base, exposure, nr_base },
				 after = { now, exposure, nr };
		struct rate_fit fit;

		for (size_t i = 0; i < nr_base; i++)
			base[i] = run_of(mean * exposure[i], cv);
		for (size_t i = 0; i < nr; i++)
			now[i] = run_of(mean * factor * exposure[i], now_cv);
		if (!rates_fit(&before, &after, &fit))
			found += rates_chance(&fit, ratio) <= 1. / LEVEL;
	}
	return (double)found / ROUNDS;
}

/* At most 1 % by construction; a standard error here is 0.22 %. */
static void test_false_alarms(void **state)
{
	static const double means[] = { .5, 5, 100, 5000 }, cvs[] = { 0, .03, .1, .5 };
	static const size_t runs[][2] = { { 5, 5 }, { 20, 5 }, { 3, 3 } };

	(void)state;
	for (size_t m = 0; m < 4; m++)
		for (size_t c = 0; c < 4; c++)
			for (size_t r = 0; r < 3; r++)
				assert_true(alarms(means[m], cvs[c], runs[r][0], runs[r][1], 1, 1,
						   cvs[c]) < .016);
	/* A busy machine: the new runs scatter five times as much as a long, quiet baseline. */
	assert_true(alarms(5000, .03, 20, 5, 1, 1, .15) < .03);
	/* And a single new run, held against what the baseline scatters. */
	assert_true(alarms(5000, .1, 20, 1, 1, 1, .1) < .02);
}

static void test_power(void **state)
{
	(void)state;
	assert_true(alarms(5000, .03, 5, 5, 1.3, 1.1, .03) > .99);
	assert_true(alarms(5000, .05, 20, 5, 1.3, 1.1, .05) > .99);
	assert_true(alarms(5000, .1, 20, 5, 1.3, 1.1, .1) > .6);
	/* Scatter that hides it, and a rise that is allowed. */
	assert_true(alarms(5000, .5, 5, 5, 1.3, 1.1, .5) < .1);
	assert_true(alarms(5000, .03, 5, 5, 1.1, 1.1, .03) < .016);
	assert_true(alarms(5000, .03, 5, 5, .7, 1.1, .03) == 0);
}

static struct rate_fit fit(const double *base, size_t nr_base, const double *now, size_t nr)
{
	static const double ones[] = { 1, 1, 1, 1, 1, 1, 1, 1 };
	struct rate_side before = { base, ones, nr_base }, after = { now, ones, nr };
	struct rate_fit ret;

	assert_int_equal(rates_fit(&before, &after, &ret), 0);
	return ret;
}

/* The interval is what a test rejects, from either side. */
static void test_interval(void **state)
{
	static const double base[] = { 100, 104, 97, 92, 107 }, now[] = { 131, 127, 140, 122, 130 };
	static const double none[] = { 0, 0, 0, 0, 0 };
	struct rate_fit f = fit(base, 5, now, 5);

	(void)state;
	assert_near(rates_ratio(&f), 1.3, 1e-12);
	assert_near(rates_chance(&f, rates_low(&f, .01)), .01, 1e-6);
	assert_near(1 - rates_chance(&f, rates_high(&f, .01)), .01, 1e-6);
	assert_true(rates_low(&f, .01) > 1.1 && rates_low(&f, .001) < rates_low(&f, .01));
	/* Equal counts do not prove that the next one is equal, and zeros not that none will come.
	 */
	f = fit((double[]){ 100, 100, 100, 100, 100 }, 5, (double[]){ 104, 104, 104, 104, 104 }, 5);
	assert_near(f.dispersion, 2. / 10, 1e-12);
	f = fit(none, 5, now, 5);
	assert_true(f.df == 4);
	/* What is new has a ratio above any, and a fall one below 1. */
	f = fit(none, 5, now, 5);
	assert_true(isinf(rates_ratio(&f)) && isinf(rates_high(&f, .01)));
	assert_true(rates_low(&f, .001) > 10 && rates_chance(&f, 1.1) < 1e-4);
	f = fit(now, 5, none, 5);
	assert_true(rates_ratio(&f) == 0 && rates_low(&f, .01) == 0);
	assert_true(rates_high(&f, .001) < .1);
	/* Nothing on either side, and a few by chance, are no rise. */
	f = fit(none, 5, none, 5);
	assert_true(rates_ratio(&f) == 1 && rates_chance(&f, 1.1) > .4);
	f = fit(none, 5, (double[]){ 0, 1, 0, 2, 0 }, 5);
	assert_true(rates_chance(&f, 1) > .01);
}

/* What can be seen is where the verdict turns. */
static void test_detectable(void **state)
{
	static const double base[] = { 100, 104, 97, 92, 107 };
	double now[] = { 100, 100, 100, 100, 100 }, from;
	struct rate_fit f = fit(base, 5, now, 5);

	(void)state;
	from = rates_detectable(&f, 1.1, .01);
	assert_true(from > 110 && from < 140);
	for (size_t i = 0; i < 5; i++)
		now[i] = from;
	f.now = 5 * from;
	assert_near(rates_chance(&f, 1.1), .01, 1e-6);
	f = fit((double[]){ 0, 0, 0 }, 3, (double[]){ 0, 0, 0 }, 3);
	from = rates_detectable(&f, 1.1, .01);
	assert_true(from > 1 && from < 100);
}

static void test_too_few(void **state)
{
	static const double one = 1, many[] = { 5, 6, 7 }, ones[] = { 1, 1, 1 };
	struct rate_side single = { many, &one, 1 }, three = { many, ones, 3 };
	struct rate_fit f;
	double chance;

	(void)state;
	assert_int_equal(rates_fit(&single, &single, &f), -ENODATA);
	assert_int_equal(rates_fit(&three, &single, &f), 0);
	assert_int_equal(rates_chance_over(&single, 4, &chance), -ENODATA);
	/* That it is not above needs no scatter, nor that there is one where none may be. */
	assert_int_equal(rates_chance_over(&single, 5, &chance), 0);
	assert_true(chance == 1);
	assert_int_equal(rates_chance_over(&single, 0, &chance), 0);
	assert_true(chance == 0);
	assert_int_equal(rates_chance_over(&three, 5.9, &chance), 0);
	assert_true(chance > .1);
	assert_int_equal(rates_chance_over(&three, 1, &chance), 0);
	assert_true(chance < .05);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_student),	   cmocka_unit_test(test_false_alarms),
		cmocka_unit_test(test_power),	   cmocka_unit_test(test_interval),
		cmocka_unit_test(test_detectable), cmocka_unit_test(test_too_few),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
