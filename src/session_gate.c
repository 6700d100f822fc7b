/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Runs against what is allowed: measure, judge, run again what seems to have risen, report. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "base/output.h"
#include "gate/baseline.h"
#include "gate/report.h"
#include "session.h"
#include "session_runs.h"

#define EXIT_REGRESSION 2
#define EXIT_NO_VERDICT 3
#define MAX_REPORTS 16

struct wanted_report {
	const struct gate_format *format;
	const char *path; /* NULL: standard output */
	struct output output;
};

struct gate {
	const struct options *options;
	struct gate_rules rules;
	struct series_spec *specs; /* owned, as the budgets are */
	struct budget *budgets;
	struct wanted_report reports[MAX_REPORTS];
	size_t nr_reports;
	struct sample base, now, again;
	struct gate_verdict verdict;
};

/* ---- what is asked for ---- */

static int parse_rules(struct gate *g)
{
	const struct gate_options *o = &g->options->gate;
	char why[256];

	g->specs = calloc(o->series.nr + 1, sizeof(*g->specs));
	g->budgets = calloc(o->budgets.nr + 1, sizeof(*g->budgets));
	if (!g->specs || !g->budgets)
		return -ENOMEM;
	for (size_t i = 0; i < o->series.nr; i++) {
		const char *text = o->series.values[i];

		if (!series_spec_parse(text, strlen(text), &g->specs[i], why, sizeof(why)))
			continue;
		log_error("--series %s: %s", text, why);
		return -EINVAL;
	}
	for (size_t i = 0; i < o->budgets.nr; i++) {
		if (!budget_parse(o->budgets.values[i], &g->budgets[i], why, sizeof(why)))
			continue;
		log_error("--budget %s: %s", o->budgets.values[i], why);
		return -EINVAL;
	}
	g->rules = (struct gate_rules){
		.max_ratio = o->max_ratio,
		.min_rise = o->min_rise,
		.level = o->level,
		.unit = o->work > 0 || o->work_from || o->per_request ? PER_WORK : PER_SECOND,
		.levels = o->levels ? o->levels : 1 << SERIES_KIND | 1 << SERIES_SYMBOL,
		.specs = g->specs,
		.nr_specs = o->series.nr,
		.budgets = g->budgets,
		.nr_budgets = o->budgets.nr,
	};
	return 0;
}

/* What is not counted would never be exceeded. */
static int check_counted(const struct gate *g)
{
	uint32_t kinds = g->options->kinds, major = 1 << FP_SWAP_IN | 1 << FP_FILE_READ;

	for (size_t i = 0; i < g->rules.nr_specs + g->rules.nr_budgets; i++) {
		const struct series_spec *spec = i < g->rules.nr_specs
							 ? &g->specs[i]
							 : &g->budgets[i - g->rules.nr_specs].spec;
		bool counted = kinds >> spec->kind & 1;

		if (spec->level == SERIES_MAJOR)
			counted = (kinds & major) == major;
		if (spec->any_kind || counted)
			continue;
		log_error("%.*s faults are not counted, as --kind wants others", (int)spec->length,
			  spec->text);
		return -EINVAL;
	}
	return 0;
}

static int parse_reports(struct gate *g)
{
	const struct option_list *list = &g->options->gate.reports;
	const struct gate_format *format;

	for (size_t i = 0; i < list->nr; i++) {
		const char *text = list->values[i], *equals = strchr(text, '=');

		format = equals ? gate_format_find(text, (size_t)(equals - text)) : NULL;
		if (!format || !equals[1] || g->nr_reports == MAX_REPORTS) {
			log_error(
				"--report wants KIND=FILE, and the kinds github, summary, gitlab, "
				"junit, json, not '%s'",
				text);
			return -EINVAL;
		}
		g->reports[g->nr_reports++] = (struct wanted_report){
			.format = format, .path = strcmp(equals + 1, "-") ? equals + 1 : NULL
		};
	}
	return 0;
}

static int open_reports(struct gate *g)
{
	for (size_t i = 0; i < g->nr_reports; i++) {
		int r = output_open(&g->reports[i].output, g->reports[i].path);

		if (!r)
			continue;
		log_error("cannot write %s: %s", g->reports[i].path, strerror(-r));
		g->nr_reports = i;
		return r;
	}
	return 0;
}

/* ---- baselines ---- */

/* 0; -ENOENT, which was not told; or -errno after it has told why. */
static int read_baseline(const char *path, struct sample *ret)
{
	FILE *in = fopen(path, "re");
	char why[256];
	int r;

	if (!in && errno == ENOENT)
		return -ENOENT;
	if (!in) {
		r = -errno;
		log_error("cannot read the baseline %s: %s", path, strerror(-r));
		return r;
	}
	r = baseline_read(in, ret, why, sizeof(why));
	if (r)
		log_error("the baseline %s cannot be used: %s", path, why);
	fclose(in);
	return r;
}

static int open_baseline(struct gate *g)
{
	const char *path = g->options->gate.baseline;
	int r = path ? read_baseline(path, &g->base) : 0;

	if (r == -ENOENT)
		log_error(
			"there is no baseline %s; faultprof baseline update --baseline %s makes it",
			path, path);
	for (size_t i = 0; !r && i < g->rules.nr_specs; i++) {
		if (series_spec_is_known(&g->specs[i], &g->base))
			continue;
		log_error("the baseline %s has no faults in %s: is the function's name right?",
			  path, g->specs[i].text);
		r = -ENOENT;
	}
	return r;
}

/* ---- the gate ---- */

static int judge(struct gate *g, const struct sample *now, const struct gate_verdict *suspects,
		 struct gate_verdict *ret)
{
	int r = gate_judge(g->options->gate.baseline ? &g->base : NULL, now, &g->rules, suspects,
			   ret);

	if (r)
		log_error("out of memory");
	return r;
}

static int confirm(struct gate *g)
{
	struct gate_verdict again = { 0 };
	int r;

	log_info("running again what seems to have risen");
	r = runs_measure(g->options, &g->again);
	if (!r)
		r = judge(g, &g->again, &g->verdict, &again);
	if (!r)
		gate_confirm(&g->verdict, &again);
	gate_release(&again);
	return r;
}

static int measure(struct gate *g)
{
	int r = runs_measure(g->options, &g->now);

	if (!r)
		r = judge(g, &g->now, NULL, &g->verdict);
	if (!r && g->options->gate.confirm && g->verdict.outcome == GATE_REGRESSION)
		r = confirm(g);
	if (r != -EINTR)
		return r;
	g->verdict.outcome = GATE_NO_VERDICT;
	snprintf(g->verdict.why, sizeof(g->verdict.why), "it was interrupted");
	return 0;
}

static int report(struct gate *g)
{
	char directory[4096];
	struct gate_report report = {
		.verdict = &g->verdict,
		.rules = &g->rules,
		.base = g->options->gate.baseline ? &g->base : NULL,
		.now = &g->now,
		.directory = getcwd(directory, sizeof(directory)),
		.confirmed = g->again.nr_runs,
	};
	int r = gate_write_text(&report, stdout);

	fflush(stdout);
	for (size_t i = 0; !r && i < g->nr_reports; i++) {
		struct wanted_report *wanted = &g->reports[i];

		r = wanted->format->write(&report, wanted->output.file);
		if (!r)
			r = output_commit(&wanted->output);
		if (r)
			log_error("cannot write %s: %s",
				  wanted->path ? wanted->path : "standard output", strerror(-r));
	}
	return r;
}

static void release(struct gate *g)
{
	for (size_t i = 0; i < g->nr_reports; i++)
		output_abort(&g->reports[i].output);
	gate_release(&g->verdict);
	sample_release(&g->base);
	sample_release(&g->now);
	sample_release(&g->again);
	free(g->specs);
	free(g->budgets);
}

int session_gate(const struct options *options)
{
	static const int exits[] = {
		[GATE_PASSED] = 0,
		[GATE_REGRESSION] = EXIT_REGRESSION,
		[GATE_NO_VERDICT] = EXIT_NO_VERDICT,
	};
	struct gate g = { .options = options };
	int r = parse_rules(&g);

	if (!r)
		r = check_counted(&g);
	if (!r)
		r = parse_reports(&g);
	if (r) {
		g.nr_reports = 0;
		release(&g);
		return r == -EINVAL ? EX_USAGE : r;
	}
	r = open_reports(&g);
	if (!r)
		r = open_baseline(&g);
	if (!r) {
		runs_catch_signals();
		r = measure(&g);
	}
	if (!r)
		r = report(&g);
	if (!r)
		r = exits[g.verdict.outcome];
	release(&g);
	return r;
}

/* ---- faultprof baseline update ---- */

static int check_usable(const struct sample *base, const struct sample *now, const char *path)
{
	const char *a, *b, *what = sample_differs(base, now, &a, &b);
	uint64_t lost = 0;
	double faults = 0;

	for (size_t i = 0; i < now->nr_runs; i++)
		lost += now->runs[i].lost;
	for (size_t i = 0; i < now->nr_series; i++)
		faults += sample_sum(now->series[i]);
	if (what)
		log_error("%s is of %s \"%s\", and here it is \"%s\": make another one", path, what,
			  a, b);
	else if (lost)
		log_error(
			"%llu faults were lost, so it is no baseline: raise --ring or --sites, or "
			"narrow the run down with --kind",
			(unsigned long long)lost);
	else if (faults <= 0)
		log_error("no fault at all was counted, so it is no baseline: was there any load?");
	else
		return 0;
	return -EINVAL;
}

static int write_baseline(const struct sample *base, struct output *output, const char *path)
{
	int r = baseline_write(base, output->file);

	if (!r)
		r = output_commit(output);
	if (r)
		log_error("cannot write %s: %s", path, strerror(-r));
	return r;
}

int session_baseline(const struct options *options)
{
	const char *path = options->gate.baseline;
	struct sample base = { 0 }, now = { 0 };
	struct output output;
	int r = output_open(&output, path);

	if (r) {
		log_error("cannot write %s: %s", path, strerror(-r));
		return r;
	}
	r = read_baseline(path, &base);
	if (!r || r == -ENOENT) {
		runs_catch_signals();
		r = runs_measure(options, &now);
		if (r == -EINTR)
			log_error("interrupted: %s is as it was", path);
	}
	if (!r)
		r = check_usable(&base, &now, path);
	if (!r) {
		r = sample_merge(&base, &now);
		if (r)
			log_error("out of memory");
	}
	if (!r) {
		sample_keep(&base, options->gate.keep);
		r = write_baseline(&base, &output, path);
	}
	if (!r)
		printf("%s has %zu runs now, %zu of them new\n", path, base.nr_runs, now.nr_runs);
	output_abort(&output);
	sample_release(&base);
	sample_release(&now);
	return r;
}
