/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The gate's verdicts: each way to one, and above all each refusal; baselines as files. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gate/baseline.h"
#include "gate/verdict.h"

#define RUNS 5

static const struct gate_rules usual = {
	.max_ratio = 1.1,
	.min_rise = 1,
	.level = .01,
	.unit = PER_SECOND,
	.levels = 1 << SERIES_KIND | 1 << SERIES_SYMBOL,
};

/* Runs of a second, scattered by some percent, whatever is added to them. */
static void begin(struct sample *sample, size_t nr)
{
	*sample = (struct sample){ 0 };
	sample->tier = sample_text(sample, "tracepoint");
	sample->kernel = sample_text(sample, "Linux 6.18 x86_64, pages of 4096 bytes");
	sample->filter = sample_text(sample, "");
	sample->machine = sample_text(sample, "a CPU");
	assert_int_equal(sample_add_program(sample, "proxy", "abcd"), 0);
	for (size_t i = 0; i < nr; i++)
		assert_int_equal(
			sample_add_run(sample, &(struct sample_run){ .seconds = 1,
								     .work = 10,
								     .begin_s = 1000 + (int)i,
								     .session = 1 }),
			0);
}

/* @faults of a function, with all sums that they are part of. */
static void add_scattered(struct sample *sample, enum fp_kind kind, const char *symbol,
			  double faults, const double scatter[5])
{
	struct sample_series *series[] = {
		sample_series(sample, SERIES_TOTAL, 0, "", ""),
		sample_series(sample, SERIES_KIND, kind, "", ""),
		sample_series(sample, SERIES_SYMBOL, kind, "proxy", symbol),
		kind == FP_SWAP_IN ? sample_series(sample, SERIES_MAJOR, 0, "", "") : NULL,
	};

	for (size_t s = 0; s < 4; s++)
		for (size_t i = 0; series[s] && i < sample->nr_runs; i++)
			assert_int_equal(sample_add(series[s], i,
						    (double)(int64_t)(faults * scatter[i % 5])),
					 0);
}

static void add(struct sample *sample, enum fp_kind kind, const char *symbol, double faults)
{
	add_scattered(sample, kind, symbol, faults, (double[]){ 1, 1.02, .97, .99, 1.03 });
}

static void add_in(struct sample *sample, const char *module, enum fp_kind kind, const char *symbol,
		   double faults)
{
	struct sample_series *series = sample_series(sample, SERIES_SYMBOL, kind, module, symbol);

	for (size_t i = 0; i < sample->nr_runs; i++)
		assert_int_equal(sample_add(series, i, faults), 0);
}

static const double wildly[] = { .05, 3, .02, .8, 9 };

static struct gate_verdict judged(const struct sample *base, const struct sample *now,
				  const struct gate_rules *rules)
{
	struct gate_verdict verdict = { 0 };

	assert_int_equal(gate_judge(base, now, rules, NULL, &verdict), 0);
	return verdict;
}

static const struct gate_row *row(const struct gate_verdict *verdict, const char *name)
{
	for (size_t i = 0; i < verdict->nr_rows; i++)
		if (!strcmp(verdict->rows[i].name, name))
			return &verdict->rows[i];
	return NULL;
}

/* Judges, releases, and says what came out: the outcome, or why there is none. */
static void expect(struct sample *base, struct sample *now, const struct gate_rules *rules,
		   enum gate_outcome outcome, const char *why)
{
	struct gate_verdict verdict = judged(base, now, rules);

	if (verdict.outcome != outcome || !strstr(verdict.why, why))
		fail_msg("%s: %s, not %s: %s", gate_outcome_text(verdict.outcome), verdict.why,
			 gate_outcome_text(outcome), why);
	gate_release(&verdict);
	if (base)
		sample_release(base);
	sample_release(now);
}

/* A usual pair; the tests spoil one of them. */
static void pair(struct sample *base, struct sample *now, double swap_ins)
{
	begin(base, RUNS);
	begin(now, RUNS);
	for (int side = 0; side < 2; side++) {
		struct sample *sample = side ? now : base;

		add(sample, FP_SWAP_IN, "receive", side ? swap_ins : 1000);
		add(sample, FP_ZERO, "allocate", 5000);
		add(sample, FP_ZERO, "start", 300);
	}
}

static void test_passes(void **state)
{
	struct sample base, now;
	struct gate_verdict verdict;

	(void)state;
	pair(&base, &now, 1000);
	verdict = judged(&base, &now, &usual);
	assert_int_equal(verdict.outcome, GATE_PASSED);
	assert_int_equal(verdict.nr_rows, 5);
	assert_true(verdict.detectable > 1.1 && verdict.detectable < 1.3);
	for (size_t i = 0; i < verdict.nr_rows; i++)
		assert_int_equal(verdict.rows[i].state, GATE_WITHIN);
	gate_release(&verdict);
	sample_release(&base);
	sample_release(&now);
	/* A rise that is allowed, and a fall. */
	pair(&base, &now, 1080);
	expect(&base, &now, &usual, GATE_PASSED, "");
	pair(&base, &now, 300);
	expect(&base, &now, &usual, GATE_PASSED, "");
}

static void test_regression(void **state)
{
	const struct gate_row *found;
	struct gate_verdict verdict;
	struct sample base, now;

	(void)state;
	pair(&base, &now, 1300);
	verdict = judged(&base, &now, &usual);
	assert_int_equal(verdict.outcome, GATE_REGRESSION);
	found = row(&verdict, "swap-in");
	assert_int_equal(found->state, GATE_ROSE);
	assert_true(found->ratio > 1.29 && found->ratio < 1.31);
	assert_true(found->low > 1.1 && found->high < 1.5);
	assert_int_equal(row(&verdict, "swap-in in receive (proxy)")->state, GATE_ROSE);
	assert_int_equal(row(&verdict, "zero")->state, GATE_WITHIN);
	assert_int_equal(row(&verdict, "zero in start (proxy)")->state, GATE_WITHIN);
	gate_release(&verdict);
	sample_release(&base);
	sample_release(&now);
}

/* A function that none of the kinds gives away. */
static void test_function_alone(void **state)
{
	struct gate_verdict verdict;
	struct sample base, now;

	(void)state;
	pair(&base, &now, 1000);
	add(&base, FP_ZERO, "parse", 50);
	add(&now, FP_ZERO, "parse", 200);
	verdict = judged(&base, &now, &usual);
	assert_int_equal(verdict.outcome, GATE_REGRESSION);
	assert_int_equal(row(&verdict, "zero")->state, GATE_WITHIN);
	assert_int_equal(row(&verdict, "zero in parse (proxy)")->state, GATE_ROSE);
	gate_release(&verdict);
	sample_release(&base);
	sample_release(&now);
}

/* What would be a rise alone may be chance among many. */
static void test_many(void **state)
{
	struct gate_rules rules = usual;
	struct gate_verdict verdict;
	const struct gate_row *found;
	struct sample base, now;
	char name[32];

	(void)state;
	rules.levels = 1 << SERIES_SYMBOL;
	for (int others = 0; others <= 100; others += 100) {
		begin(&base, RUNS);
		begin(&now, RUNS);
		add(&base, FP_ZERO, "grows", 1000);
		add(&now, FP_ZERO, "grows", 1172);
		for (int i = 0; i < others; i++) {
			snprintf(name, sizeof(name), "other_%d", i);
			add(&base, FP_ZERO, name, 1000);
			add(&now, FP_ZERO, name, 1000);
		}
		verdict = judged(&base, &now, &rules);
		found = row(&verdict, "zero in grows (proxy)");
		assert_true(found->chance < .01 && found->chance > .01 / 100);
		assert_int_equal(found->state, others ? GATE_WITHIN : GATE_ROSE);
		assert_true(found->low > (others ? 0 : 1.1) && found->low < (others ? 1.1 : 2));
		gate_release(&verdict);
		sample_release(&base);
		sample_release(&now);
	}
}

/* The same faults under another name are no rise; new ones are. */
static void test_moved(void **state)
{
	struct gate_verdict verdict;
	struct gate_rules rules = usual;
	struct sample base, now;

	(void)state;
	pair(&base, &now, 1000);
	add(&base, FP_ZERO, "old_name", 500);
	add(&now, FP_ZERO, "new_name", 400);
	add(&now, FP_ZERO, "its_helper", 100);
	expect(&base, &now, &usual, GATE_PASSED, "");
	pair(&base, &now, 1000);
	add(&base, FP_ZERO, "old_name", 500);
	add(&now, FP_ZERO, "leak", 700);
	add(&now, FP_ZERO, "its_helper", 100);
	verdict = judged(&base, &now, &usual);
	assert_int_equal(verdict.outcome, GATE_REGRESSION);
	assert_int_equal(row(&verdict, "zero in leak and 1 more new ones (proxy)")->state,
			 GATE_ROSE);
	gate_release(&verdict);
	sample_release(&base);
	sample_release(&now);
	/* Of another kind, or in another module, it is no move. */
	rules.levels = 1 << SERIES_SYMBOL;
	pair(&base, &now, 1000);
	add(&base, FP_ZERO, "old_name", 500);
	add(&now, FP_COW, "new_name", 500);
	expect(&base, &now, &rules, GATE_REGRESSION, "");
	pair(&base, &now, 1000);
	add(&base, FP_ZERO, "old_name", 500);
	add_in(&now, "library", FP_ZERO, "new_name", 500);
	expect(&base, &now, &rules, GATE_REGRESSION, "");
}

/* What is surely a rise, and of no matter. */
static void test_least_rise(void **state)
{
	struct gate_rules rules = usual;
	struct sample base, now;

	(void)state;
	rules.min_rise = 400;
	pair(&base, &now, 1300);
	expect(&base, &now, &rules, GATE_PASSED, "");
	rules.min_rise = 200;
	pair(&base, &now, 1300);
	expect(&base, &now, &rules, GATE_REGRESSION, "");
	/* Of so few faults a run, whatever the ratio and the time. */
	pair(&base, &now, 1000);
	add(&base, FP_COW, "f", 1);
	add(&now, FP_COW, "f", 9);
	expect(&base, &now, &usual, GATE_PASSED, "");
	pair(&base, &now, 1000);
	add(&base, FP_COW, "f", 1);
	add(&now, FP_COW, "f", 13);
	expect(&base, &now, &usual, GATE_REGRESSION, "");
	/* By work, it is faults a second still: 30 a unit are 300 a second here. */
	rules.unit = PER_WORK;
	pair(&base, &now, 1300);
	expect(&base, &now, &rules, GATE_REGRESSION, "");
	rules.min_rise = 400;
	pair(&base, &now, 1300);
	expect(&base, &now, &rules, GATE_PASSED, "");
	rules = usual;
	rules.max_ratio = 1.35;
	pair(&base, &now, 1300);
	expect(&base, &now, &rules, GATE_PASSED, "");
}

/* The unit decides: as many faults a second, for half of the work. */
static void test_unit(void **state)
{
	struct gate_rules rules = usual;
	struct sample base, now;

	(void)state;
	pair(&base, &now, 1000);
	for (size_t i = 0; i < RUNS; i++)
		now.runs[i].work = 5;
	expect(&base, &now, &rules, GATE_PASSED, "");
	rules.unit = PER_WORK;
	pair(&base, &now, 1000);
	for (size_t i = 0; i < RUNS; i++)
		now.runs[i].work = 5;
	expect(&base, &now, &rules, GATE_REGRESSION, "");
}

static void test_refusals(void **state)
{
	struct gate_rules rules = usual;
	struct sample base, now;

	(void)state;
	pair(&base, &now, 2000);
	now.runs[3].lost = 7;
	expect(&base, &now, &usual, GATE_NO_VERDICT, "7 faults were lost in what was measured");
	pair(&base, &now, 2000);
	base.runs[0].lost = 1;
	expect(&base, &now, &usual, GATE_NO_VERDICT, "1 faults were lost in the baseline");
	pair(&base, &now, 2000);
	now.tier = sample_text(&now, "perf");
	expect(&base, &now, &usual, GATE_NO_VERDICT,
	       "the baseline's tier is \"tracepoint\", and here it is \"perf\"");
	pair(&base, &now, 2000);
	now.kernel = sample_text(&now, "Linux 6.1 x86_64, pages of 4096 bytes");
	expect(&base, &now, &usual, GATE_NO_VERDICT, "kernel");
	pair(&base, &now, 2000);
	now.filter = sample_text(&now, "swap-in");
	expect(&base, &now, &usual, GATE_NO_VERDICT, "filter");
	pair(&base, &now, 2000);
	now.runs[2].seconds = 0;
	expect(&base, &now, &usual, GATE_NO_VERDICT, "no time");
	pair(&base, &now, 2000);
	sample_keep(&now, 0);
	expect(&base, &now, &usual, GATE_NO_VERDICT, "no runs");
	rules.unit = PER_WORK;
	pair(&base, &now, 2000);
	now.runs[4].work = 0;
	expect(&base, &now, &rules, GATE_NO_VERDICT, "work that was done is not known");
	pair(&base, &now, 2000);
	base.runs[4].work = 0;
	expect(&base, &now, &rules, GATE_NO_VERDICT, "make a new one with --work");
}

/* Too little to see even a doubling. */
static void test_too_short(void **state)
{
	struct sample base, now;

	(void)state;
	begin(&base, 1);
	begin(&now, 1);
	add(&base, FP_ZERO, "f", 1000);
	add(&now, FP_ZERO, "f", 1000);
	expect(&base, &now, &usual, GATE_NO_VERDICT, "do not tell how much all faults scatter");
	begin(&base, RUNS);
	begin(&now, RUNS);
	add_scattered(&base, FP_ZERO, "f", 1000, wildly);
	add_scattered(&now, FP_ZERO, "f", 1000, wildly);
	expect(&base, &now, &usual, GATE_NO_VERDICT, "too short, too few, or scatter too much");
	/* Hardly any, but then no rise that matters could be missed. */
	begin(&base, RUNS);
	begin(&now, RUNS);
	add(&base, FP_ZERO, "f", 2);
	add(&now, FP_ZERO, "f", 2);
	expect(&base, &now, &usual, GATE_PASSED, "");
	/* Time so short is that of a start; by work it does not matter. */
	for (int by_work = 0; by_work < 2; by_work++) {
		struct gate_rules rules = usual;

		rules.unit = by_work ? PER_WORK : PER_SECOND;
		pair(&base, &now, 1000);
		for (size_t i = 0; i < RUNS; i++)
			now.runs[i].seconds = .09;
		expect(&base, &now, &rules, by_work ? GATE_PASSED : GATE_NO_VERDICT,
		       by_work ? "" : "too short for rates per second");
	}
	/* No load at all. */
	pair(&base, &now, 1000);
	sample_release(&now);
	begin(&now, RUNS);
	expect(&base, &now, &usual, GATE_NO_VERDICT, "no fault at all");
}

static void parse(struct gate_rules *rules, const char *text)
{
	static struct series_spec spec;
	char why[256];

	assert_int_equal(series_spec_parse(text, strlen(text), &spec, why, sizeof(why)), 0);
	rules->specs = &spec;
	rules->nr_specs = 1;
}

static void test_specs(void **state)
{
	static const struct {
		const char *text;
		enum gate_outcome outcome;
	} table[] = {
		{ "swap-in", GATE_REGRESSION },
		{ "major", GATE_REGRESSION },
		{ "swap-in:receive", GATE_REGRESSION },
		{ "total:receive", GATE_REGRESSION },
		{ "zero", GATE_PASSED },
		{ "zero:allocate", GATE_PASSED },
		{ "total:allocate", GATE_PASSED },
		/* All of them together rose by 5 %. */
		{ "total", GATE_PASSED },
	};
	struct gate_rules rules = usual;
	struct sample base, now;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		parse(&rules, table[i].text);
		pair(&base, &now, 1300);
		expect(&base, &now, &rules, table[i].outcome, "");
	}
	/* These scatter too much to see anything. */
	parse(&rules, "cow");
	pair(&base, &now, 1000);
	add_scattered(&base, FP_COW, "f", 100, wildly);
	add_scattered(&now, FP_COW, "f", 100, wildly);
	expect(&base, &now, &rules, GATE_NO_VERDICT, "cow faults would have to rise");
	pair(&base, &now, 1000);
	parse(&rules, "swap-in:recieve");
	assert_false(series_spec_is_known(rules.specs, &base));
	parse(&rules, "swap-in:receive");
	assert_true(series_spec_is_known(rules.specs, &base));
	parse(&rules, "zero:receive");
	assert_false(series_spec_is_known(rules.specs, &base));
	parse(&rules, "huge");
	assert_true(series_spec_is_known(rules.specs, &base));
	sample_release(&base);
	sample_release(&now);
}

static void test_confirm(void **state)
{
	struct gate_verdict first, again = { 0 };
	struct sample base, now, more;

	(void)state;
	pair(&base, &now, 1300);
	add(&base, FP_COW, "fork", 100);
	add(&now, FP_COW, "fork", 200);
	first = judged(&base, &now, &usual);
	assert_int_equal(first.outcome, GATE_REGRESSION);
	begin(&more, RUNS);
	add(&more, FP_SWAP_IN, "receive", 1300);
	add(&more, FP_COW, "fork", 100);
	add(&more, FP_ZERO, "not_suspected", 9999);
	assert_int_equal(gate_judge(&base, &more, &usual, &first, &again), 0);
	gate_confirm(&first, &again);
	assert_int_equal(first.outcome, GATE_REGRESSION);
	assert_int_equal(row(&first, "swap-in")->state, GATE_ROSE);
	assert_int_equal(row(&first, "swap-in in receive (proxy)")->state, GATE_ROSE);
	assert_int_equal(row(&first, "cow")->state, GATE_UNCONFIRMED);
	assert_int_equal(row(&first, "cow in fork (proxy)")->state, GATE_UNCONFIRMED);
	assert_null(row(&again, "zero in not_suspected (proxy)"));
	gate_release(&first);
	gate_release(&again);
	sample_release(&more);

	first = judged(&base, &now, &usual);
	begin(&more, RUNS);
	add(&more, FP_SWAP_IN, "receive", 1000);
	add(&more, FP_COW, "fork", 100);
	assert_int_equal(gate_judge(&base, &more, &usual, &first, &again), 0);
	gate_confirm(&first, &again);
	assert_int_equal(first.outcome, GATE_PASSED);
	gate_release(&first);
	gate_release(&again);

	first = judged(&base, &now, &usual);
	more.runs[0].lost = 3;
	assert_int_equal(gate_judge(&base, &more, &usual, &first, &again), 0);
	gate_confirm(&first, &again);
	assert_int_equal(first.outcome, GATE_NO_VERDICT);
	assert_non_null(strstr(first.why, "run again: 3 faults were lost"));
	gate_release(&first);
	gate_release(&again);
	sample_release(&base);
	sample_release(&now);
	sample_release(&more);
}

/* ---- a profile as a run ---- */

static void add_faults(struct profile *profile, const char *function, uint64_t start, uint64_t n)
{
	struct frame frame = { .function = function, .module = "proxy", .start = start };
	struct stall stall = { .faults = n };
	struct resolved_fault fault = {
		.comm = "proxy", .kind = FP_ZERO, .stall = &stall, .frames = &frame, .nr_frames = 1
	};

	assert_int_equal(profile_add(profile, &fault), 0);
}

/* Copies of a function are the function, and those without a name are one of their module. */
static void test_profile(void **state)
{
	static const struct {
		const char *symbol;
		double faults;
	} wanted[] = { { "copy", 1 + 2 + 4 + 8 },
		       { "[functions without a name]", 16 + 32 },
		       { "keeps.2", 64 },
		       { "a.cold.b", 128 } };
	struct sample_origin origin = { .tier = TIER_PERF };
	struct sample sample = { 0 };
	struct profile profile;

	(void)state;
	assert_int_equal(profile_init(&profile), 0);
	profile.end_ns = 2000000000;
	profile.lost[FP_LOSS_SITE] = 3;
	add_faults(&profile, "copy", 1, 1);
	add_faults(&profile, "copy.part.0", 2, 2);
	add_faults(&profile, "copy.constprop.1.cold", 3, 4);
	add_faults(&profile, "copy.isra.0", 4, 8);
	add_faults(&profile, NULL, 0x1000, 16);
	add_faults(&profile, NULL, 0x2000, 32);
	add_faults(&profile, "keeps.2", 5, 64);
	add_faults(&profile, "a.cold.b", 6, 128);
	profile_finish(&profile);
	sample_kernel_text(&origin, "6.18.5-1", "x86_64");
	assert_int_equal(sample_add_profile(&sample, &profile, &origin), 0);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		assert_true(sample_sum(sample_series(&sample, SERIES_SYMBOL, FP_ZERO, "proxy",
						     wanted[i].symbol)) == wanted[i].faults);
	assert_true(sample_sum(sample_series(&sample, SERIES_TOTAL, 0, "", "")) == 255);
	assert_true(sample.runs[0].seconds == 2 && sample.runs[0].lost == 3);
	assert_string_equal(sample.tier, "perf");
	assert_string_equal(sample.kernel, "Linux 6.18 x86_64");
	profile_release(&profile);
	sample_release(&sample);
}

/* ---- budgets ---- */

static void test_budgets(void **state)
{
	static const struct {
		const char *text;
		enum gate_outcome outcome;
	} table[] = {
		{ "major=0", GATE_REGRESSION },
		{ "cow=0", GATE_PASSED },
		{ "swap-in=900/s", GATE_REGRESSION },
		{ "swap-in=1100/s", GATE_PASSED },
		{ "swap-in=1000/s", GATE_PASSED }, /* a little more, and maybe by chance */
		{ "swap-in:receive=900", GATE_REGRESSION },
		{ "swap-in:nothing=0", GATE_PASSED },
		{ "total:receive=90/work", GATE_REGRESSION },
		{ "total:receive=110/work", GATE_PASSED },
		{ "total=6000/run", GATE_REGRESSION },
		{ "total=7000/run", GATE_PASSED },
	};
	struct gate_rules rules = usual;
	struct sample base, now;
	struct budget budget;
	char why[256];

	(void)state;
	rules.budgets = &budget;
	rules.nr_budgets = 1;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		pair(&base, &now, 1000);
		sample_release(&base);
		assert_int_equal(budget_parse(table[i].text, &budget, why, sizeof(why)), 0);
		expect(NULL, &now, &rules, table[i].outcome, "");
	}
	/* One run does not tell how it scatters. */
	begin(&now, 1);
	add(&now, FP_SWAP_IN, "receive", 1000);
	assert_int_equal(budget_parse("swap-in=5/s", &budget, why, sizeof(why)), 0);
	expect(NULL, &now, &rules, GATE_NO_VERDICT, "exceeded in the only run");
	begin(&now, 5);
	add(&now, FP_SWAP_IN, "receive", 1000);
	now.runs[0].work = 0;
	assert_int_equal(budget_parse("swap-in=500/work", &budget, why, sizeof(why)), 0);
	expect(NULL, &now, &rules, GATE_NO_VERDICT, "needs --work");
}

static void test_bad_budgets(void **state)
{
	static const char *const bad[] = {
		"",	     "major",	  "=5",	       "major=",      "major=-1", "major=nan",
		"major=inf", "major=+1",  "major= 1",  "major=1e999", "swapin=1", "swap-in:=1",
		"major:f=1", "major=1/m", "major=1 s", "total=1/s/s", "KIND:f=0",
	};
	struct budget budget;
	char why[256];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		why[0] = 0;
		if (!budget_parse(bad[i], &budget, why, sizeof(why)))
			fail_msg("'%s' is taken", bad[i]);
		assert_true(why[0]);
	}
	assert_int_equal(budget_parse("zero:a::operator==1.5/s", &budget, why, sizeof(why)), 0);
	assert_true(budget.limit == 1.5 && budget.unit == PER_SECOND);
	assert_memory_equal(budget.text + budget.spec.symbol, "a::operator=", 12);
	assert_int_equal(budget.spec.length, strlen("zero:a::operator="));
}

/* ---- baselines as files ---- */

static char *written(const struct sample *sample)
{
	size_t size;
	char *text;
	FILE *out = open_memstream(&text, &size);

	assert_int_equal(baseline_write(sample, out), 0);
	fclose(out);
	return text;
}

static int parsed(const char *text, struct sample *ret, char *why, size_t size)
{
	FILE *in = fmemopen((char *)text, strlen(text), "r");
	int r;

	*ret = (struct sample){ 0 };
	r = baseline_read(in, ret, why, size);
	fclose(in);
	return r;
}

static void test_round_trip(void **state)
{
	struct sample base, now, again;
	char *text, *second, why[256];

	(void)state;
	pair(&base, &now, 1300);
	add(&base, FP_COW, "odd \"name\" \xff\n", 3);
	base.runs[2].work = 0;
	assert_int_equal(
		sample_place(&base,
			     sample_series(&base, SERIES_SYMBOL, FP_SWAP_IN, "proxy", "receive"),
			     "src/recv.c", 31),
		0);
	text = written(&base);
	assert_int_equal(parsed(text, &again, why, sizeof(why)), 0);
	second = written(&again);
	assert_string_equal(text, second);
	assert_int_equal(again.nr_runs, RUNS);
	assert_true(again.runs[2].work == 0 && again.runs[1].work == 10);
	free(text);
	free(second);
	/* It is judged as what it was made of. */
	sample_release(&base);
	expect(&again, &now, &usual, GATE_REGRESSION, "");
}

static void test_merge(void **state)
{
	struct sample base, now;
	const char *a, *b;

	(void)state;
	pair(&base, &now, 1300);
	add(&now, FP_COW, "late", 10);
	assert_null(sample_differs(&base, &now, &a, &b));
	assert_int_equal(sample_merge(&base, &now), 0);
	assert_int_equal(base.nr_runs, 2 * RUNS);
	assert_int_equal(base.runs[RUNS - 1].session, 1);
	assert_int_equal(base.runs[RUNS].session, 2);
	assert_int_equal(base.nr_programs, 1);
	assert_true(sample_faults(sample_series(&base, SERIES_KIND, FP_SWAP_IN, "", ""), 5) ==
		    1300);
	assert_true(sample_faults(sample_series(&base, SERIES_KIND, FP_COW, "", ""), 4) == 0);
	assert_true(sample_faults(sample_series(&base, SERIES_KIND, FP_COW, "", ""), 5) == 10);
	sample_keep(&base, 3);
	assert_int_equal(base.nr_runs, 3);
	assert_int_equal(base.runs[0].session, 2);
	assert_true(sample_sum(sample_series(&base, SERIES_KIND, FP_SWAP_IN, "", "")) ==
		    1261 + 1287 + 1339);
	sample_release(&base);
	sample_release(&now);
}

/* @from in a good baseline becomes @to. */
static void spoil(const char *good, const char *from, const char *to, const char *word)
{
	char *at = strstr(good, from), *text, why[256];
	struct sample sample;

	assert_non_null(at);
	assert_true(asprintf(&text, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from)) > 0);
	if (parsed(text, &sample, why, sizeof(why)) != -EINVAL || !strstr(why, word))
		fail_msg("'%s' for '%s': %s", to, from, why);
	assert_null(sample.runs);
	assert_null(sample.series);
	free(text);
}

static void test_corrupt(void **state)
{
	struct sample base, now, read;
	char *good, why[256];

	(void)state;
	pair(&base, &now, 1000);
	good = written(&base);
	spoil(good, "faultprof-baseline/1", "faultprof-baseline/2", "newer faultprof");
	spoil(good, "faultprof-baseline/1", "faultprof/1", "no baseline");
	spoil(good, "\"schema\"", "\"scheme\"", "no baseline");
	spoil(good, "\"tier\":\"tracepoint\"", "\"tier\":7", "\"tier\"");
	spoil(good, "\"kernel\"", "\"colonel\"", "\"kernel\"");
	spoil(good, "\"seconds\":1.0", "\"seconds\":-1.0", "\"seconds\" is -1");
	spoil(good, "\"seconds\":1.0", "\"seconds\":1e999", "line");
	spoil(good, "\"seconds\":1.0", "\"seconds\":\"1\"", "\"seconds\"");
	spoil(good, "\"work\":10.0", "\"work\":-2", "\"work\"");
	spoil(good, "\"runs\"", "\"walks\"", "\"runs\"");
	spoil(good, "\"series\"", "\"serious\"", "\"series\"");
	spoil(good, "1000,1020", "1000,-1020", "a number of faults");
	spoil(good, "1000,1020", "1000,1.5", "a number of faults");
	spoil(good, "1000,1020", "1000,null", "a number of faults");
	spoil(good, "1000,1020", "1000", "do not match");
	spoil(good, "\"level\":\"kind\"", "\"level\":\"sort\"", "level");
	spoil(good, "\"kind\":\"swap-in\"", "\"kind\":\"swapping\"", "kind");
	spoil(good, "\"symbol\":\"receive\"", "\"symbol\":null", "\"symbol\"");
	spoil(good, "\"level\":\"total\"", "\"level\":\"total\",\"level\":\"total\"", "line");
	spoil(good, "\"symbol\":\"allocate\"", "\"symbol\":\"start\"", "do not match");
	/* Cut short anywhere, it is refused. */
	for (size_t i = 0; i < strlen(good) - 2; i += 13) {
		char *cut = strndup(good, i ? i : 1);

		assert_int_equal(parsed(cut, &read, why, sizeof(why)), -EINVAL);
		assert_true(why[0] && !strchr(why, '\n'));
		free(cut);
	}
	free(good);
	sample_release(&base);
	sample_release(&now);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passes),	       cmocka_unit_test(test_regression),
		cmocka_unit_test(test_function_alone), cmocka_unit_test(test_moved),
		cmocka_unit_test(test_many),	       cmocka_unit_test(test_least_rise),
		cmocka_unit_test(test_unit),	       cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_too_short),      cmocka_unit_test(test_specs),
		cmocka_unit_test(test_confirm),	       cmocka_unit_test(test_budgets),
		cmocka_unit_test(test_profile),	       cmocka_unit_test(test_bad_budgets),
		cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_merge),
		cmocka_unit_test(test_corrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
