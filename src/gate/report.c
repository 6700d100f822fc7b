/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "gate/report.h"

#include <stdlib.h>
#include <string.h>

#define HEADLINE_NAMES 3

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

/* Of functions only what is worth a word: there may be thousands. */
bool gate_row_is_shown(const struct gate_row *row)
{
	return row->budget || row->level != SERIES_SYMBOL || row->state != GATE_WITHIN;
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

/* "a, b and 3 more" */
static void put_bad_rows(const struct gate_verdict *verdict, FILE *out)
{
	size_t bad = 0, named = 0;

	for (size_t i = 0; i < verdict->nr_rows; i++)
		bad += gate_row_is_bad(&verdict->rows[i]);
	for (size_t i = 0; i < verdict->nr_rows && named < HEADLINE_NAMES; i++)
		if (gate_row_is_bad(&verdict->rows[i]))
			fprintf(out, "%s%s", named++ ? ", " : "", verdict->rows[i].name);
	if (bad > named)
		fprintf(out, " and %zu more", bad - named);
}

char *gate_headline(const struct gate_report *report)
{
	const struct gate_verdict *verdict = report->verdict;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	fputs(gate_outcome_text(verdict->outcome), out);
	if (verdict->outcome != GATE_PASSED)
		fputs(": ", out);
	if (verdict->outcome == GATE_REGRESSION)
		put_bad_rows(verdict, out);
	else
		fputs(verdict->why, out);
	if (!fclose(out))
		return text;
	free(text);
	return NULL;
}
