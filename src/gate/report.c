/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "gate/report.h"

#include <stdlib.h>
#include <string.h>

static const struct gate_format *const formats[] = { &gate_format_github, &gate_format_summary,
						     &gate_format_gitlab, &gate_format_junit,
						     &gate_format_json };

const struct gate_format *gate_format_at(unsigned int i)
{
	return i < sizeof(formats) / sizeof(*formats) ? formats[i] : NULL;
}

const struct gate_format *gate_format_find(const char *name, size_t length)
{
	const struct gate_format *format;

	for (unsigned int i = 0; (format = gate_format_at(i)); i++)
		if (strlen(format->name) == length && !strncmp(format->name, name, length))
			return format;
	return NULL;
}

bool gate_row_is_bad(const struct gate_row *row)
{
	return row->state == GATE_ROSE || row->state == GATE_EXCEEDED;
}

struct text_cell gate_rate(double rate)
{
	struct text_cell cell;

	if (rate >= 9999.5)
		return text_count((uint64_t)(rate + .5));
	snprintf(cell.text, sizeof(cell.text), rate >= .001 || rate <= 0 ? "%.4g" : "%.2g", rate);
	return cell;
}

struct text_cell gate_ratio(double ratio)
{
	struct text_cell cell;

	snprintf(cell.text, sizeof(cell.text),
		 ratio < 100   ? "%.2f"
		 : ratio < 1e5 ? "%.0f"
			       : "new",
		 ratio);
	return cell;
}

struct text_cell gate_interval(const struct gate_row *row)
{
	struct text_cell cell = { "" };

	if (row->high > 0 && __builtin_isfinite(row->high))
		snprintf(cell.text, sizeof(cell.text), "%.14s - %.14s", gate_ratio(row->low).text,
			 gate_ratio(row->high).text);
	else if (row->high > 0)
		snprintf(cell.text, sizeof(cell.text), "> %.14s", gate_ratio(row->low).text);
	return cell;
}

char *gate_row_text(const struct gate_report *report, const struct gate_row *row)
{
	char *text = NULL;
	int n;

	if (row->budget)
		n = asprintf(&text, "budget %s: there are %s %s", row->budget->text,
			     gate_rate(row->now_rate).text, rate_unit_name(row->budget->unit));
	else if (row->base_rate > 0)
		n = asprintf(&text,
			     "%s: from %s to %s %s, %s times as many (surely more than %s; %.4g "
			     "are allowed)",
			     row->name, gate_rate(row->base_rate).text,
			     gate_rate(row->now_rate).text, rate_unit_name(report->rules->unit),
			     gate_ratio(row->ratio).text, gate_ratio(row->low).text,
			     report->rules->max_ratio);
	else
		n = asprintf(&text, "%s: from none to %s %s", row->name,
			     gate_rate(row->now_rate).text, rate_unit_name(report->rules->unit));
	return n < 0 ? NULL : text;
}

const char *gate_row_file(const struct gate_report *report, const struct gate_row *row)
{
	const char *file = row->place ? row->place->file : NULL;
	size_t length = report->directory ? strlen(report->directory) : 0;

	if (file && length && !strncmp(file, report->directory, length) && file[length] == '/')
		file += length + 1;
	while (file && !strncmp(file, "./", 2))
		file += 2;
	return file;
}

char *gate_headline(const struct gate_report *report)
{
	const struct gate_verdict *verdict = report->verdict;
	size_t bad = 0, first = verdict->nr_rows;
	char *text = NULL;
	int n;

	for (size_t i = verdict->nr_rows; i-- > 0;)
		if (gate_row_is_bad(&verdict->rows[i])) {
			bad++;
			first = i;
		}
	if (verdict->outcome == GATE_NO_VERDICT)
		n = asprintf(&text, "no verdict: %s", verdict->why);
	else if (bad > 1)
		n = asprintf(&text, "regression: %s and %zu more", verdict->rows[first].name,
			     bad - 1);
	else if (bad)
		n = asprintf(&text, "regression: %s", verdict->rows[first].name);
	else
		n = asprintf(&text, "passed");
	return n < 0 ? NULL : text;
}
