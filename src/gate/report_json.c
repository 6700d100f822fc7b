/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A verdict as JSON: the one that is ours, and the code quality report that GitLab reads. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "gate/report.h"

#define DUMP_FLAGS (JSON_INDENT(1) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15))

/* Takes the reference. */
static int dump(json_t *json, FILE *out)
{
	int r = json ? 0 : -ENOMEM;

	if (json && json_dumpf(json, out, DUMP_FLAGS) && !ferror(out))
		r = -ENOMEM;
	json_decref(json);
	fputc('\n', out);
	return r;
}

static json_t *text_or_null(const char *text)
{
	return text && *text ? json_string(text) : json_null();
}

static json_t *number_or_null(double number, bool known)
{
	return known && __builtin_isfinite(number) ? json_real(number) : json_null();
}

/* ---- ours ---- */

static const char *state_name(enum gate_state state)
{
	static const char *const names[] = {
		[GATE_WITHIN] = "within",
		[GATE_UNCONFIRMED] = "unconfirmed",
		[GATE_ROSE] = "rose",
		[GATE_EXCEEDED] = "exceeded",
	};

	return names[state];
}

static json_t *row_json(const struct gate_report *report, const struct gate_row *row)
{
	bool kind = row->level == SERIES_KIND || row->level == SERIES_SYMBOL, known = row->high > 0;

	/* clang-format off */
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:f, s:o, s:o, s:o, s:s}",
			 "name", row->name,
			 "compared_with", row->budget ? "budget" : "baseline",
			 "level", series_level_name(row->level),
			 "kind", text_or_null(kind ? kind_name(row->kind) : NULL),
			 "module", text_or_null(row->module),
			 "symbol", text_or_null(row->symbol),
			 "functions", row->functions ? json_integer(row->functions) : json_null(),
			 "file", text_or_null(gate_row_file(report, row)),
			 "line", row->place && row->place->line ? json_integer(row->place->line)
								: json_null(),
			 "allowed", row->base_rate,
			 "rate", row->now_rate,
			 "ratio", number_or_null(row->ratio, !row->budget),
			 "low", number_or_null(row->low, known),
			 "high", number_or_null(row->high, known),
			 "state", state_name(row->state));
	/* clang-format on */
}

static int write_json(const struct gate_report *report, FILE *out)
{
	const struct gate_verdict *verdict = report->verdict;
	json_t *rows = json_array();

	for (size_t i = 0; i < verdict->nr_rows; i++)
		if (json_array_append_new(rows, row_json(report, &verdict->rows[i]))) {
			json_decref(rows);
			return -ENOMEM;
		}
	/* clang-format off */
	return dump(json_pack("{s:s, s:s, s:o, s:s, s:I, s:o, s:o, s:o}",
			      "schema", "faultprof-gate/1",
			      "outcome", gate_outcome_text(verdict->outcome),
			      "why", text_or_null(verdict->why),
			      "per", rate_unit_name(report->rules->unit),
			      "runs", (json_int_t)report->now->nr_runs,
			      "baseline_runs", report->base ?
				      json_integer((json_int_t)report->base->nr_runs) : json_null(),
			      "detectable", number_or_null(verdict->detectable,
							   verdict->detectable > 0),
			      "rows", rows), out);
	/* clang-format on */
}

const struct gate_format gate_format_json = {
	.name = "json",
	.help = "all that was compared, for programs",
	.write = write_json,
};

/* ---- GitLab's ---- */

/* It tells the same finding of two pipelines from two findings (FNV-1a). */
static void fingerprint(const char *text, char ret[17])
{
	uint64_t hash = 0xcbf29ce484222325;

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
	snprintf(ret, 17, "%016llx", (unsigned long long)hash);
}

/* Every finding has to be somewhere: one without a function is where the gate is called. */
static json_t *finding(const char *key, const char *text, const char *severity, const char *file,
		       unsigned int line)
{
	char print[17];

	fingerprint(key, print);
	/* clang-format off */
	return json_pack("{s:s, s:s, s:s, s:s, s:{s:s, s:{s:i}}}",
			 "description", text,
			 "check_name", "faultprof-gate",
			 "fingerprint", print,
			 "severity", severity,
			 "location",
				"path", file ? file : ".gitlab-ci.yml",
				"lines", "begin", line ? (int)line : 1);
	/* clang-format on */
}

static int add_row_finding(json_t *findings, const struct gate_report *report,
			   const struct gate_row *row)
{
	char *text = gate_row_text(report, row);
	int r = text ? 0 : -ENOMEM;

	if (!r && json_array_append_new(findings, finding(row->name, text,
							  gate_row_is_bad(row) ? "major" : "info",
							  gate_row_file(report, row),
							  row->place ? row->place->line : 0)))
		r = -ENOMEM;
	free(text);
	return r;
}

static int write_gitlab(const struct gate_report *report, FILE *out)
{
	const struct gate_verdict *verdict = report->verdict;
	json_t *findings = json_array();
	int r = findings ? 0 : -ENOMEM;

	if (!r && verdict->outcome == GATE_NO_VERDICT &&
	    json_array_append_new(findings,
				  finding("no verdict", verdict->why, "critical", NULL, 0)))
		r = -ENOMEM;
	for (size_t i = 0; !r && i < verdict->nr_rows; i++)
		if (verdict->rows[i].state != GATE_WITHIN)
			r = add_row_finding(findings, report, &verdict->rows[i]);
	if (!r)
		return dump(findings, out);
	json_decref(findings);
	return r;
}

const struct gate_format gate_format_gitlab = {
	.name = "gitlab",
	.help = "a code quality report of GitLab",
	.write = write_gitlab,
};
