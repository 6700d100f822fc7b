/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Two runs side by side, for people. */
#include <string.h>

#include "sink/report.h"

#define RATIO "%6s %14s %-5s "
#define HEAD "  %9s %9s " RATIO
#define HEAD_COLUMNS (2 + 9 + 1 + 9 + 1 + 6 + 1 + 14 + 1 + 5 + 1)

static struct text_cell times(double ratio)
{
	struct text_cell cell;

	snprintf(cell.text, sizeof(cell.text), "%.*f",
		 ratio < 9.995	 ? 2
		 : ratio < 99.95 ? 1
				 : 0,
		 ratio);
	return cell;
}

/* Without a fault in the first one, there is no bound above. */
static void put_ratio(FILE *out, const struct compared *row)
{
	struct text_cell low = times(row->ratio.low);
	char interval[32] = "-";

	if (row->verdict == VERDICT_UNKNOWN) {
		fprintf(out, RATIO, "-", "-", "-");
		return;
	}
	if (row->faults[0])
		snprintf(interval, sizeof(interval), "%.8s to %.8s", low.text,
			 times(row->ratio.high).text);
	else
		snprintf(interval, sizeof(interval), "%.8s or more", low.text);
	fprintf(out, RATIO, row->faults[0] ? times(row->ratio.value).text : "new", interval,
		verdict_name(row->verdict));
}

static void put_rates(FILE *out, const struct compared *row)
{
	fprintf(out, "  %9.1f %9.1f ", row->rate[0], row->rate[1]);
	put_ratio(out, row);
}

static void put_side(FILE *out, char letter, const struct comparison_side *side)
{
	put_line(out, 5, "  %c: %s: %.1f s, %s fault%s, %s lost", letter, side->name, side->seconds,
		 text_count(side->faults).text, side->faults == 1 ? "" : "s",
		 text_count(side->lost).text);
}

static void put_symbols_of(const struct report *report, const struct comparison *comparison)
{
	size_t top = report->options->top, rows = comparison->nr_symbols;
	size_t columns = WIDTH - HEAD_COLUMNS - 11 - 1 - MAX_COLUMN - 1;
	char module[CELL], symbol[CELL];

	if (top && rows > top)
		rows = top;
	if (!rows)
		return;
	put_title(report, "Faults by symbol (largest change first)");
	fprintf(report->out, HEAD "%-10s %-*s symbol\n", "A rate/s", "B rate/s", "B/A",
		"95 % interval", "", "kind", MAX_COLUMN, "module");
	for (size_t i = 0; i < rows; i++) {
		const struct compared *row = comparison->symbols[i];

		put_rates(report->out, row);
		fprintf(report->out, "%s%-10s%s ", kind_color(report, row->kind),
			kind_name(row->kind), kind_plain(report, row->kind));
		text_fit(module, strcmp(row->module, "[unknown]") ? row->module : "-", MAX_COLUMN);
		put_padded(report->out, module, MAX_COLUMN);
		text_fit(symbol, row->symbol, columns);
		fprintf(report->out, " %s\n", symbol);
	}
	if (rows < comparison->nr_symbols)
		put_line(report->out, 4, "  (… %s more; --top 0 shows all)",
			 text_count(comparison->nr_symbols - rows).text);
}

int diff_text(const struct comparison *comparison, const struct sink_options *options, FILE *out)
{
	struct report report = { .options = options, .out = out };

	fprintf(out, "%sfaultprof: how often B faulted for each time that A did%s\n",
		color(&report, BOLD), color(&report, PLAIN));
	put_side(out, 'A', &comparison->side[0]);
	put_side(out, 'B', &comparison->side[1]);
	put_line(out, 4,
		 "  noise: the interval holds 1.00, so chance may be all; of rows that did not "
		 "change, one in 20 looks as if");
	put_title(&report, "Faults by kind");
	fprintf(out, HEAD "kind\n", "A rate/s", "B rate/s", "B/A", "95 % interval", "");
	for (unsigned int i = 0; i < FP_NR_KINDS; i++) {
		const struct compared *row = &comparison->kinds[i];

		if (!row->faults[0] && !row->faults[1])
			continue;
		put_rates(out, row);
		fprintf(out, "%s%s%s\n", kind_color(&report, i), kind_name(i),
			kind_plain(&report, i));
	}
	put_symbols_of(&report, comparison);
	return 0;
}
