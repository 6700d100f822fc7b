/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* JUnit's XML: what is compared, functions only when they rose, are test cases. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gate/report.h"

static void put_xml(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (strchr("&<>\"'", *text))
			fprintf(out, "&#%d;", *text);
		else
			fputc(*text, out);
	}
}

static void put_attribute(FILE *out, const char *name, const char *value)
{
	fprintf(out, " %s=\"", name);
	put_xml(out, value);
	fputc('"', out);
}

static int put_case(FILE *out, const struct gate_report *report, const struct gate_row *row)
{
	const char *file = gate_row_file(report, row);
	char *text = gate_row_text(report, row);

	if (!text)
		return -ENOMEM;
	fprintf(out, "  <testcase classname=\"faultprof.%s\"",
		row->budget ? "budget" : series_level_name(row->level));
	put_attribute(out, "name", row->name);
	if (file) {
		put_attribute(out, "file", file);
		fprintf(out, " line=\"%u\"", row->place->line);
	}
	fputs(">\n", out);
	if (gate_row_is_bad(row)) {
		fprintf(out, "   <failure type=\"%s\"", row->budget ? "budget" : "regression");
		put_attribute(out, "message", text);
		fputs("/>\n", out);
	} else {
		fputs("   <system-out>", out);
		put_xml(out, text);
		fputs(row->state == GATE_UNCONFIRMED ? " (rose, but not when it was run again)"
						     : "",
		      out);
		fputs("</system-out>\n", out);
	}
	fputs("  </testcase>\n", out);
	free(text);
	return 0;
}

static int write_junit(const struct gate_report *report, FILE *out)
{
	const struct gate_verdict *verdict = report->verdict;
	bool none = verdict->outcome == GATE_NO_VERDICT;
	double seconds = 0;
	size_t cases = 1, bad = 0;
	int r = 0;

	for (size_t i = 0; i < verdict->nr_rows; i++) {
		cases += gate_row_is_shown(&verdict->rows[i]);
		bad += gate_row_is_bad(&verdict->rows[i]);
	}
	for (size_t i = 0; i < report->now->nr_runs; i++)
		seconds += report->now->runs[i].seconds;
	fprintf(out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n"
		" <testsuite name=\"faultprof gate\" tests=\"%zu\" failures=\"%zu\" errors=\"%d\" "
		"time=\"%.3f\">\n",
		cases, bad, none, seconds);
	fputs("  <testcase classname=\"faultprof\" name=\"verdict\">\n", out);
	if (none) {
		fputs("   <error type=\"no verdict\"", out);
		put_attribute(out, "message", verdict->why);
		fputs("/>\n", out);
	}
	fputs("  </testcase>\n", out);
	for (size_t i = 0; !r && i < verdict->nr_rows; i++)
		if (gate_row_is_shown(&verdict->rows[i]))
			r = put_case(out, report, &verdict->rows[i]);
	fputs(" </testsuite>\n</testsuites>\n", out);
	return r;
}

const struct gate_format gate_format_junit = {
	.name = "junit",
	.help = "test cases in JUnit's XML",
	.write = write_junit,
};
