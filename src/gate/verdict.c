/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Of many series some rise by chance. Those that could matter (others cannot come out as a rise, so
 * looking at them costs nothing) share the level by Holm's method: kinds among themselves, and
 * functions among themselves, with half of it each, so that a thousand functions do not blind the
 * few kinds.
 */
#include "gate/verdict.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "gate/groups.h"

/* What could not have seen a doubling of all faults is no gate. */
#define MUST_SEE 2
/* Fewer faults a run come and go with where the kernel happens to place things. */
#define LEAST_FAULTS 10
/* The time of shorter runs is that of starting and ending them. */
#define LEAST_SECONDS .1

static const struct series_spec everything = { .text = "total", .length = 5, .any_kind = true };

struct judging {
	const struct sample *base, *now;
	const struct gate_rules *rules;
	const struct gate_verdict *suspects;
	struct gate_verdict *verdict;
	double *base_exposure, *now_exposure;
	double least_rise; /* of a rate, that matters */
};

const char *gate_outcome_text(enum gate_outcome outcome)
{
	static const char *const texts[] = {
		[GATE_PASSED] = "passed",
		[GATE_REGRESSION] = "regression",
		[GATE_NO_VERDICT] = "no verdict",
	};

	return texts[outcome];
}

void gate_release(struct gate_verdict *verdict)
{
	for (size_t i = 0; i < verdict->nr_rows; i++)
		free(verdict->rows[i].name);
	free(verdict->rows);
	*verdict = (struct gate_verdict){ 0 };
}

__attribute__((format(printf, 2, 3))) static void no_verdict(struct judging *j, const char *format,
							     ...)
{
	va_list args;

	if (j->verdict->outcome == GATE_NO_VERDICT)
		return;
	j->verdict->outcome = GATE_NO_VERDICT;
	va_start(args, format);
	vsnprintf(j->verdict->why, sizeof(j->verdict->why), format, args);
	va_end(args);
}

/* ---- may these be compared? ---- */

static double seconds_of(const struct sample *sample)
{
	double seconds = 0;

	for (size_t i = 0; i < sample->nr_runs; i++)
		seconds += sample->runs[i].seconds;
	return seconds;
}

static void check_runs(struct judging *j, const struct sample *sample, const char *which)
{
	uint64_t lost = 0;

	if (!sample->nr_runs)
		no_verdict(j, "there are no runs in %s", which);
	for (size_t i = 0; i < sample->nr_runs; i++) {
		lost += sample->runs[i].lost;
		if (sample->runs[i].seconds <= 0)
			no_verdict(j, "a run in %s took no time at all", which);
	}
	if (j->base && j->rules->unit == PER_SECOND && sample->nr_runs &&
	    seconds_of(sample) < LEAST_SECONDS * (double)sample->nr_runs)
		no_verdict(
			j,
			"the runs in %s are too short for rates per second (%.3g s): longer ones, "
			"or --work 1, which counts per run",
			which, seconds_of(sample) / (double)sample->nr_runs);
	if (lost)
		no_verdict(j,
			   "%llu faults were lost in %s: raise --ring or --sites, or narrow the "
			   "run down with --kind",
			   (unsigned long long)lost, which);
}

static void check_work(struct judging *j, const struct sample *sample, enum rate_unit unit,
		       const char *which, const char *remedy)
{
	for (size_t i = 0; i < sample->nr_runs; i++)
		if (rate_unit_of(unit, &sample->runs[i]) <= 0) {
			no_verdict(j, "in %s the work that was done is not known: %s", which,
				   remedy);
			return;
		}
}

static void check_sides(struct judging *j)
{
	const char *a, *b, *what;

	check_runs(j, j->now, "what was measured");
	check_work(j, j->now, j->rules->unit, "what was measured",
		   "nothing was done, or --work-from told nothing");
	for (size_t i = 0; i < j->rules->nr_budgets; i++)
		check_work(j, j->now, j->rules->budgets[i].unit, "what was measured",
			   "a budget of so many /work needs --work, --work-from or --per-request");
	if (!j->base)
		return;
	what = sample_differs(j->base, j->now, &a, &b);
	if (what)
		no_verdict(j, "the baseline's %s is \"%s\", and here it is \"%s\": make one here",
			   what, a, b);
	check_runs(j, j->base, "the baseline");
	check_work(j, j->base, j->rules->unit, "the baseline",
		   "make a new one with --work, --work-from or --per-request");
}

static int exposures(const struct sample *sample, enum rate_unit unit, double **ret)
{
	double *exposure = calloc(sample->nr_runs + 1, sizeof(*exposure));

	if (!exposure)
		return -ENOMEM;
	for (size_t i = 0; i < sample->nr_runs; i++)
		exposure[i] = rate_unit_of(unit, &sample->runs[i]);
	*ret = exposure;
	return 0;
}

static double sum_of(const double *values, size_t nr)
{
	double sum = 0;

	for (size_t i = 0; i < nr; i++)
		sum += values[i];
	return sum;
}

static void find_least_rise(struct judging *j)
{
	double exposure = sum_of(j->now_exposure, j->now->nr_runs);
	double by_time = j->rules->min_rise * seconds_of(j->now) / exposure;
	double by_run = LEAST_FAULTS * (double)j->now->nr_runs / exposure;

	j->least_rise = by_time > by_run ? by_time : by_run;
}

/* ---- rows ---- */

static char *name_of(const struct group *group)
{
	const char *kind =
		group->spec && group->spec->any_kind ? "any kind" : kind_name(group->kind);
	char *name = NULL;
	int n;

	if (group->level == SERIES_TOTAL || group->level == SERIES_MAJOR)
		return strdup(series_level_name(group->level));
	if (group->level == SERIES_KIND)
		return strdup(kind);
	if (group->functions > 1)
		n = asprintf(&name, "%s in %s and %u more new ones (%s)", kind, group->symbol,
			     group->functions - 1, group->module);
	else
		n = asprintf(&name, "%s in %s (%s)", kind, group->symbol, group->module);
	return n < 0 ? NULL : name;
}

static bool same_row(const struct gate_row *a, const struct gate_row *b)
{
	/* The first of several new functions may be another one next time. */
	return a->budget == b->budget && a->level == b->level && a->kind == b->kind &&
	       !a->functions == !b->functions && !strcmp(a->module, b->module) &&
	       (a->functions || !strcmp(a->symbol, b->symbol));
}

static bool is_bad(enum gate_state state)
{
	return state == GATE_ROSE || state == GATE_EXCEEDED;
}

static bool is_wanted(const struct judging *j, const struct gate_row *row)
{
	for (size_t i = 0; j->suspects && i < j->suspects->nr_rows; i++)
		if (is_bad(j->suspects->rows[i].state) && same_row(&j->suspects->rows[i], row))
			return true;
	return !j->suspects;
}

/* Takes the row's name over. */
static int add_row(struct judging *j, struct gate_row *row)
{
	if (!row->name || grow(&j->verdict->rows, j->verdict->nr_rows, sizeof(*row))) {
		free(row->name);
		return -ENOMEM;
	}
	j->verdict->rows[j->verdict->nr_rows++] = *row;
	return 0;
}

static int fit_vectors(const struct judging *j, const double *base, const double *now,
		       struct rate_fit *ret)
{
	struct rate_side before = { base, j->base_exposure, j->base->nr_runs };
	struct rate_side after = { now, j->now_exposure, j->now->nr_runs };

	return rates_fit(&before, &after, ret);
}

/* With fewer faults it cannot be a rise that matters, however they are spread over both sides. */
static bool may_matter(const struct judging *j, const struct rate_fit *fit)
{
	return fit->base + fit->now >= j->least_rise * fit->now_exposure;
}

static int add_group_row(struct judging *j, const struct group *group)
{
	struct gate_row row = {
		.place = group->place,
		.level = group->level,
		.kind = group->kind,
		.module = group->module,
		.symbol = group->symbol,
		.functions = group->functions,
		.chance = 1,
	};
	int r;

	/* Of functions that are gone there is nothing to name. */
	if (group->moved && !group->functions)
		return 0;
	r = fit_vectors(j, group->base, group->now, &row.fit);
	if (!is_wanted(j, &row) || (!group->spec && !may_matter(j, &row.fit)))
		return 0;
	row.base_rate = row.fit.base / row.fit.base_exposure;
	row.now_rate = row.fit.now / row.fit.now_exposure;
	row.ratio = rates_ratio(&row.fit);
	if (!r)
		row.chance = rates_chance(&row.fit, j->rules->max_ratio);
	row.name = name_of(group);
	return add_row(j, &row);
}

static int chance_order(const void *left, const void *right)
{
	const struct gate_row *a = *(struct gate_row *const *)left;
	const struct gate_row *b = *(struct gate_row *const *)right;

	if (a->chance != b->chance)
		return a->chance < b->chance ? -1 : 1;
	return a < b ? -1 : a > b;
}

/* Holm: the least likely is held to the level of all, the next one to that of the others … */
static void judge_family(struct judging *j, struct gate_row **rows, size_t nr, double level)
{
	bool all = true;

	qsort(rows, nr, sizeof(*rows), chance_order);
	for (size_t i = 0; i < nr; i++) {
		struct gate_row *row = rows[i];

		row->share = level / (double)(all ? nr - i : nr);
		all = row->chance <= row->share;
		if (all && row->ratio > j->rules->max_ratio &&
		    row->now_rate - row->base_rate >= j->least_rise)
			row->state = GATE_ROSE;
		if (row->fit.dispersion <= 0)
			continue;
		row->low = rates_low(&row->fit, row->share);
		row->high = rates_high(&row->fit, row->share);
	}
}

static int judge_families(struct judging *j, size_t first)
{
	size_t all = j->verdict->nr_rows - first, nr[2] = { 0 };
	struct gate_row **rows = calloc(2 * all + 1, sizeof(*rows));

	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < all; i++) {
		struct gate_row *row = &j->verdict->rows[first + i];
		bool function = row->level == SERIES_SYMBOL;

		rows[(function ? all : 0) + nr[function]++] = row;
	}
	for (int i = 0; i < 2; i++)
		judge_family(j, rows + (i ? all : 0), nr[i],
			     j->rules->level / (nr[0] && nr[1] ? 2 : 1));
	free(rows);
	return 0;
}

/* A gate that could not have seen much is none. */
static void check_power(struct judging *j, const char *name, const struct rate_fit *fit)
{
	double base_rate = fit->base / fit->base_exposure, from;

	if (fit->dispersion <= 0 || fit->df < 2) {
		no_verdict(j,
			   "%zu and %zu runs do not tell how much %s faults scatter from run to "
			   "run: more runs (--repeat, faultprof baseline update)",
			   j->base->nr_runs, j->now->nr_runs, name);
		return;
	}
	from = rates_detectable(fit, j->rules->max_ratio, j->rules->level);
	if (fit->base > 0)
		j->verdict->detectable = from / base_rate;
	if (from <= MUST_SEE * base_rate || from - base_rate <= j->least_rise)
		return;
	no_verdict(j,
		   "the runs are too short, too few, or scatter too much: %s faults would have to "
		   "rise from %.4g to %.4g %s to be seen",
		   name, base_rate, from, rate_unit_name(j->rules->unit));
}

static int check_total(struct judging *j)
{
	double *base, *now = NULL;
	struct rate_fit fit;
	int r = groups_sum(j->base, &everything, &base);

	if (r)
		return r;
	r = groups_sum(j->now, &everything, &now);
	if (!r) {
		fit_vectors(j, base, now, &fit);
		if (fit.base > 0 && fit.now <= 0 && !*j->now->filter)
			no_verdict(j, "no fault at all was counted: was there any load?");
		else if (!j->rules->nr_specs)
			check_power(j, "all", &fit);
	}
	free(base);
	free(now);
	return r;
}

static int compare(struct judging *j)
{
	size_t first = j->verdict->nr_rows;
	struct groups groups = { 0 };
	int r = groups_find(j->base, j->now, j->rules, &groups);

	for (size_t i = 0; !r && i < groups.nr; i++) {
		r = add_group_row(j, &groups.at[i]);
		if (!r && groups.at[i].spec && !j->suspects)
			check_power(j, j->verdict->rows[j->verdict->nr_rows - 1].name,
				    &j->verdict->rows[j->verdict->nr_rows - 1].fit);
	}
	groups_release(&groups);
	if (!r)
		r = judge_families(j, first);
	return r || j->suspects ? r : check_total(j);
}

/* ---- budgets ---- */

static int judge_budget(struct judging *j, const struct budget *budget)
{
	struct rate_side side = { .nr = j->now->nr_runs };
	double *faults = NULL, *exposure = NULL;
	struct gate_row row = { .budget = budget,
				.level = budget->spec.level,
				.kind = budget->spec.kind,
				.module = "",
				.symbol = "",
				.base_rate = budget->limit };
	int r;

	if (!is_wanted(j, &row))
		return 0;
	r = groups_sum(j->now, &budget->spec, &faults);
	if (!r)
		r = exposures(j->now, budget->unit, &exposure);
	if (!r) {
		side.faults = faults;
		side.exposure = exposure;
		row.now_rate = sum_of(faults, side.nr) / sum_of(exposure, side.nr);
		row.share = j->rules->level / (double)j->rules->nr_budgets;
		row.name = strdup(budget->text);
		if (rates_chance_over(&side, budget->limit, &row.chance))
			no_verdict(j,
				   "%s is exceeded in the only run, maybe by chance: more runs "
				   "(--repeat)",
				   budget->text);
		else if (row.chance <= row.share)
			row.state = GATE_EXCEEDED;
		r = add_row(j, &row);
	}
	free(faults);
	free(exposure);
	return r;
}

/* ---- the verdict ---- */

static int judge(struct judging *j)
{
	int r = exposures(j->now, j->rules->unit, &j->now_exposure);

	if (!r && j->base)
		r = exposures(j->base, j->rules->unit, &j->base_exposure);
	if (r)
		return r;
	find_least_rise(j);
	for (size_t i = 0; !r && i < j->rules->nr_budgets; i++)
		r = judge_budget(j, &j->rules->budgets[i]);
	if (!r && j->base)
		r = compare(j);
	return r;
}

int gate_judge(const struct sample *base, const struct sample *now, const struct gate_rules *rules,
	       const struct gate_verdict *suspects, struct gate_verdict *ret)
{
	struct judging j = {
		.base = base, .now = now, .rules = rules, .suspects = suspects, .verdict = ret
	};
	bool bad = false;
	int r = 0;

	check_sides(&j);
	if (ret->outcome != GATE_NO_VERDICT)
		r = judge(&j);
	free(j.base_exposure);
	free(j.now_exposure);
	for (size_t i = 0; i < ret->nr_rows; i++)
		bad |= is_bad(ret->rows[i].state);
	/* What was seen was seen, also by a gate that could not have seen less. */
	if (!r && bad) {
		ret->outcome = GATE_REGRESSION;
		ret->why[0] = '\0';
	}
	return r;
}

void gate_confirm(struct gate_verdict *first, const struct gate_verdict *again)
{
	if (again->outcome == GATE_NO_VERDICT) {
		first->outcome = GATE_NO_VERDICT;
		snprintf(first->why, sizeof(first->why),
			 "a suspected regression was run again: %.200s", again->why);
		return;
	}
	first->outcome = GATE_PASSED;
	for (size_t i = 0; i < first->nr_rows; i++) {
		struct gate_row *row = &first->rows[i];
		bool found = false;

		for (size_t k = 0; k < again->nr_rows; k++)
			found |= is_bad(again->rows[k].state) && same_row(&again->rows[k], row);
		if (is_bad(row->state) && found)
			first->outcome = GATE_REGRESSION;
		else if (is_bad(row->state))
			row->state = GATE_UNCONFIRMED;
	}
}
