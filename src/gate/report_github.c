/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* GitHub Actions: workflow commands, which become annotations, and the summary of a job. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gate/report.h"

/* Whatever could end a message, or in a property the property, is written as the runner reads it.
 */
static void put_escaped(FILE *out, const char *text, bool property)
{
	for (; *text; text++) {
		if (*text == '%' || *text == '\r' || *text == '\n' ||
		    (property && (*text == ':' || *text == ',')))
			fprintf(out, "%%%02X", (unsigned int)(unsigned char)*text);
		else
			fputc(*text, out);
	}
}

static void put_command(FILE *out, const char *command, const char *file, unsigned int line,
			const char *title, const char *message)
{
	fprintf(out, "::%s ", command);
	if (file) {
		fputs("file=", out);
		put_escaped(out, file, true);
		fprintf(out, ",line=%u,", line);
	}
	fputs("title=faultprof: ", out);
	put_escaped(out, title, true);
	fputs("::", out);
	put_escaped(out, message, false);
	fputc('\n', out);
}

static int write_annotations(const struct gate_report *report, FILE *out)
{
	const struct gate_verdict *verdict = report->verdict;
	char *headline = gate_headline(report);

	if (!headline)
		return -ENOMEM;
	if (verdict->outcome != GATE_REGRESSION)
		put_command(out, verdict->outcome == GATE_PASSED ? "notice" : "error", NULL, 0,
			    gate_outcome_text(verdict->outcome), headline);
	free(headline);
	for (size_t i = 0; i < verdict->nr_rows; i++) {
		const struct gate_row *row = &verdict->rows[i];
		char *text;

		if (row->state == GATE_WITHIN)
			continue;
		text = gate_row_text(report, row);
		if (!text)
			return -ENOMEM;
		put_command(out, gate_row_is_bad(row) ? "error" : "warning",
			    gate_row_file(report, row), row->place ? row->place->line : 0,
			    gate_row_is_bad(row) ? "more page faults" : "a rise was not confirmed",
			    text);
		free(text);
	}
	return 0;
}

const struct gate_format gate_format_github = {
	.name = "github",
	.help = "annotations of GitHub Actions, for standard output",
	.write = write_annotations,
};

/* Markdown acts on most of ASCII's punctuation, and all of it may be escaped. */
static void put_markdown(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (ispunct((unsigned char)*text))
			fputc('\\', out);
		fputc(*text, out);
	}
}

static void put_table_row(FILE *out, const struct gate_report *report, const struct gate_row *row)
{
	const char *file = gate_row_file(report, row);

	fputs("| ", out);
	put_markdown(out, row->name);
	fprintf(out, " | %s | %s | ", gate_rate(row->base_rate).text,
		gate_rate(row->now_rate).text);
	if (!row->budget)
		fprintf(out, "%s", gate_ratio(row->ratio).text);
	fprintf(out, " | %s | ", row->budget ? "" : gate_interval(row).text);
	if (gate_row_is_bad(row))
		fputs(row->budget ? "**exceeded**" : "**rose**", out);
	else if (row->state == GATE_UNCONFIRMED)
		fputs("not confirmed", out);
	fputs(" | ", out);
	if (file && row->state != GATE_WITHIN) {
		put_markdown(out, file);
		fprintf(out, ":%u", row->place->line);
	}
	fputs(" |\n", out);
}

static int write_summary(const struct gate_report *report, FILE *out)
{
	const struct gate_verdict *verdict = report->verdict;
	char *headline = gate_headline(report);

	if (!headline)
		return -ENOMEM;
	fputs("### faultprof gate: ", out);
	put_markdown(out, headline);
	free(headline);
	fprintf(out,
		"\n\n| faults %s | baseline or budget | now | ratio | interval | | |\n"
		"|---|--:|--:|--:|--:|---|---|\n",
		rate_unit_name(report->rules->unit));
	for (size_t i = 0; i < verdict->nr_rows; i++)
		if (gate_row_is_shown(&verdict->rows[i]))
			put_table_row(out, report, &verdict->rows[i]);
	fprintf(out, "\n%zu runs", report->now->nr_runs);
	if (report->base)
		fprintf(out, "; the baseline has %zu", report->base->nr_runs);
	if (verdict->detectable > 0)
		fprintf(out, ". A rise of all faults to less than %s times would not be seen",
			gate_ratio(verdict->detectable).text);
	fputs(".\n", out);
	return 0;
}

const struct gate_format gate_format_summary = {
	.name = "summary",
	.help = "a table in Markdown, for $GITHUB_STEP_SUMMARY",
	.write = write_summary,
};
