/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The report for people: a header that says what was measured and what was not, then one table a
 * question. No line is wider than WIDTH and every row tells all of itself, so that one line can be
 * copied into a ticket. Names come from targets: each goes through text_char() before it is
 * printed, and what does not fit is elided where it says least. Colour is put around cells that are
 * padded already.
 */
#include <string.h>

#include "sink/report.h"

#define NR_STACKS 5

static struct text_cell rate_cell(const struct report *report, uint64_t faults)
{
	struct text_cell cell = { "-" };

	if (report->seconds > 0)
		snprintf(cell.text, sizeof(cell.text), "%.1f", (double)faults / report->seconds);
	return cell;
}

static void put_kind(const struct report *report, const struct stall *stall)
{
	bool known = timed(report, stall);

	fprintf(report->out, "%14s %12s %9s %9s %9s %9s %8s\n", text_count(stall->faults).text,
		rate_cell(report, stall->faults).text,
		stall_cell(known, stall_quantile(stall, .5)).text,
		stall_cell(known, stall_quantile(stall, .99)).text,
		stall_cell(known, stall->max_ns).text, stall_cell(known, stall->total_ns).text,
		wall_cell(report, known, stall->total_ns).text);
}

static void put_kinds(const struct report *report, const struct stall *all)
{
	put_title(report, "Faults by kind (stall time of one fault: p50, p99, max; of all: total)");
	fprintf(report->out, "  %-10s %14s %12s %9s %9s %9s %9s %8s\n", "kind", "faults", "rate/s",
		"p50", "p99", "max", "total", "of wall");
	for (unsigned int i = 0; i < FP_NR_KINDS; i++) {
		if (!report->profile->kinds[i].faults)
			continue;
		fprintf(report->out, "  %s%-10s%s ", kind_color(report, i), kind_name(i),
			kind_plain(report, i));
		put_kind(report, &report->profile->kinds[i]);
	}
	fprintf(report->out, "  %-10s ", "all");
	put_kind(report, all);
}

/* A frame that is too long for a line is elided. */
void put_call_chain(FILE *out, const char *const *frames, unsigned int nr)
{
	const size_t indent = 8;
	size_t column = 0;

	for (unsigned int i = nr; i--;) {
		char name[CELL];
		size_t columns = text_fit(name, frames[i], WIDTH - indent - strlen("< "));

		if (!column || column + strlen(" < ") + columns > WIDTH) {
			fprintf(out, "%s%*s%s", column ? "\n" : "", (int)indent, "",
				column ? "< " : "");
			column = indent + (column ? strlen("< ") : 0);
		} else {
			fputs(" < ", out);
			column += strlen(" < ");
		}
		fputs(name, out);
		column += columns;
	}
	fputc('\n', out);
}

static void put_stacks(const struct report *report)
{
	const struct profile *profile = report->profile;
	size_t rows = profile->nr_stacks, top = report->options->top;
	uint64_t shown = 0, all = 0;

	if (top)
		rows = rows < top ? rows : top;
	if (top && rows > NR_STACKS)
		rows = NR_STACKS;
	put_title(report,
		  "Stacks of the faults that were followed one by one (innermost < caller)");
	for (size_t i = 0; i < profile->nr_stacks; i++)
		all += profile->stacks[i]->faults;
	for (size_t i = 0; i < rows; i++) {
		const struct profile_stack *stack = profile->stacks[i];
		bool known = profile->stall_known && stack->timed;
		char comm[CELL];

		shown += stack->faults;
		text_fit(comm, stack->comm, MAX_COLUMN);
		fprintf(report->out, "  %s fault%s, stalled %s, %s%s%s, %s\n",
			text_count(stack->faults).text, stack->faults == 1 ? "" : "s",
			stall_cell(known, stack->stall_ns).text, kind_color(report, stack->kind),
			kind_name(stack->kind), kind_plain(report, stack->kind), comm);
		put_call_chain(report->out, stack->frames, stack->nr_frames);
	}
	if (rows < profile->nr_stacks)
		put_line(report->out, 4,
			 "  (… %s more stack%s, %s of the %s faults with a stack; "
			 "--top 0 shows all)",
			 text_count(profile->nr_stacks - rows).text,
			 profile->nr_stacks - rows == 1 ? "" : "s", text_count(all - shown).text,
			 text_count(all).text);
}

static int write_text(const struct profile *profile, const struct sink_options *options, FILE *out)
{
	struct report report = { .profile = profile, .options = options, .out = out };
	struct stall all = { 0 };
	int ret;

	report.faults = profile_faults(profile);
	report.seconds = profile_seconds(profile);
	for (unsigned int i = 0; i < FP_NR_KINDS; i++)
		stall_merge(&all, &profile->kinds[i]);
	ret = put_header(&report, &all);
	if (ret)
		return ret;
	if (!report.faults) {
		fprintf(out, "\nNo page fault %scompleted in %.1f s.\n",
			profile->only_kinds || profile->only_modes ? "of that kind " : "",
			report.seconds);
		put_objects(&report);
		return 0;
	}
	put_kinds(&report, &all);
	put_symbols(&report);
	put_objects(&report);
	put_connections(&report);
	if (options->stacks && profile->nr_stacks)
		put_stacks(&report);
	return 0;
}

const struct sink sink_text = {
	.name = "text",
	.help = "the report for people (default)",
	.top = 20,
	.write = write_text,
	.compare = diff_text,
};
