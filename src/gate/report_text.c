/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "gate/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAME_COLUMNS 43

static const char *state_text(enum gate_state state)
{
	static const char *const texts[] = {
		[GATE_WITHIN] = "",
		[GATE_UNCONFIRMED] = "not confirmed",
		[GATE_ROSE] = "ROSE",
		[GATE_EXCEEDED] = "EXCEEDED",
	};

	return texts[state];
}

static double seconds_of(const struct sample *sample)
{
	double seconds = 0;

	for (size_t i = 0; i < sample->nr_runs; i++)
		seconds += sample->runs[i].seconds;
	return seconds;
}

static void put_name(FILE *out, const char *name)
{
	char cell[TEXT_FIT_BYTES(NAME_COLUMNS)];

	fprintf(out, "  %s%*s", cell, (int)(NAME_COLUMNS - text_fit(cell, name, NAME_COLUMNS)), "");
}

static void put_sides(const struct gate_report *report, FILE *out)
{
	const struct sample *base = report->base, *now = report->now;

	fprintf(out, "  %zu runs, %.4g s in all", now->nr_runs, seconds_of(now));
	if (base)
		fprintf(out, "; the baseline has %zu, %.4g s", base->nr_runs, seconds_of(base));
	if (now->tier)
		fprintf(out, " (%s; %s)", now->tier, now->kernel);
	fputc('\n', out);
	if (base && base->machine && now->machine && strcmp(base->machine, now->machine) != 0)
		fprintf(out, "  another machine than the baseline's: %s, not %s\n", now->machine,
			base->machine);
}

static void put_row(FILE *out, const struct gate_report *report, const struct gate_row *row)
{
	const char *file = gate_row_file(report, row);

	put_name(out, row->name);
	fprintf(out, " %9s %9s %6s %13s", gate_rate(row->base_rate).text,
		gate_rate(row->now_rate).text, gate_ratio(row->ratio).text,
		gate_interval(row).text);
	fprintf(out, "%s%s\n", row->state == GATE_WITHIN ? "" : " ", state_text(row->state));
	if (file && row->state != GATE_WITHIN)
		fprintf(out, "    at %s:%u\n", file, row->place->line);
}

static void put_rates(const struct gate_report *report, FILE *out)
{
	const struct gate_verdict *verdict = report->verdict;
	size_t others = 0, shown = 0;
	char title[64];

	for (size_t i = 0; i < verdict->nr_rows; i++) {
		shown += !verdict->rows[i].budget && gate_row_is_shown(&verdict->rows[i]);
		others += !gate_row_is_shown(&verdict->rows[i]);
	}
	if (!shown && !others)
		return;
	snprintf(title, sizeof(title), "faults %s", rate_unit_name(report->rules->unit));
	fputc('\n', out);
	put_name(out, title);
	fprintf(out, " %9s %9s %6s %13s\n", "baseline", "now", "ratio", "interval");
	for (size_t i = 0; i < verdict->nr_rows; i++)
		if (!verdict->rows[i].budget && gate_row_is_shown(&verdict->rows[i]))
			put_row(out, report, &verdict->rows[i]);
	if (others)
		fprintf(out, "  and %zu function%s that did not rise\n", others,
			others > 1 ? "s" : "");
	fprintf(out, "  (ROSE: all of the interval is above %.4g, and it is %s a second more)\n",
		report->rules->max_ratio, gate_rate(report->rules->min_rise).text);
	if (verdict->detectable > 0)
		fprintf(out, "  A rise of all faults to less than %s times would not be seen.\n",
			gate_ratio(verdict->detectable).text);
}

static void put_budgets(const struct gate_report *report, FILE *out)
{
	const struct gate_verdict *verdict = report->verdict;
	bool first = true;

	for (size_t i = 0; i < verdict->nr_rows; i++) {
		const struct gate_row *row = &verdict->rows[i];

		if (!row->budget)
			continue;
		if (first) {
			fputc('\n', out);
			put_name(out, "budget");
			fprintf(out, " %9s %9s\n", "allowed", "now");
		}
		first = false;
		put_name(out, row->name);
		fprintf(out, " %9s %9s %s%s%s\n", gate_rate(row->base_rate).text,
			gate_rate(row->now_rate).text, rate_unit_name(row->budget->unit),
			row->state == GATE_WITHIN ? "" : " ", state_text(row->state));
	}
}

int gate_write_text(const struct gate_report *report, FILE *out)
{
	char *headline = gate_headline(report);

	if (!headline)
		return -ENOMEM;
	fprintf(out, "faultprof gate: %s\n", headline);
	free(headline);
	put_sides(report, out);
	put_rates(report, out);
	put_budgets(report, out);
	if (report->confirmed)
		fprintf(out, "\n  What rose was run again, %zu times.\n", report->confirmed);
	return 0;
}
