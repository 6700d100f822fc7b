/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The text report's cells and lines. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "sink/report.h"

#define RED "\033[31m"
#define SECOND 1000000000ull

struct text_cell stall_cell(bool known, uint64_t ns)
{
	struct text_cell unknown = { "-" };

	return known ? text_duration(ns) : unknown;
}

struct text_cell wall_cell(const struct report *report, bool known, uint64_t ns)
{
	struct text_cell cell = { "-" };

	if (known && report->seconds > 0)
		snprintf(cell.text, sizeof(cell.text), "%.1f%%",
			 (double)ns / 1e7 / report->seconds);
	return cell;
}

struct text_cell age_cell(bool known, bool at_least, uint64_t ns, uint64_t resolution_ns)
{
	static const struct {
		double below_s;
		uint64_t unit_s;
		char name;
	} forms[] = {
		{ 99.95, 1, 's' },
		{ 99.95 * 60, 60, 'm' },
		{ 48 * 3600, 3600, 'h' },
		{ 999.95 * 86400, 86400, 'd' },
	};
	const char *sign = at_least ? ">=" : "";
	double seconds = (double)ns / 1e9, value;
	uint64_t whole; /* a lower bound is never rounded up */
	struct text_cell cell = { "-" };
	unsigned int i = 0;

	while (i < 4 && seconds >= forms[i].below_s)
		i++;
	if (!known)
		return cell;
	if (i == 4) {
		whole = ns / SECOND / 86400;
		value = at_least ? (double)whole : seconds / 86400;
		snprintf(cell.text, sizeof(cell.text), "%s%.0fd", sign, value);
	} else if (resolution_ns >= SECOND && seconds < 99.5) {
		whole = ns / SECOND;
		value = at_least ? (double)whole : seconds;
		snprintf(cell.text, sizeof(cell.text), ns < SECOND && !at_least ? "<1s" : "%s%.0fs",
			 sign, value);
	} else if (ns < SECOND && at_least) {
		snprintf(cell.text, sizeof(cell.text), ">=%ums", (unsigned int)(ns / 1000000));
	} else if (ns < SECOND) {
		return text_duration(ns);
	} else {
		whole = ns * 10 / SECOND / forms[i].unit_s;
		value = at_least ? (double)whole / 10 : seconds / (double)forms[i].unit_s;
		snprintf(cell.text, sizeof(cell.text), "%s%.1f%c", sign, value, forms[i].name);
	}
	return cell;
}

struct text_cell size_cell(bool known, uint64_t bytes)
{
	static const char units[] = "BKMGTPE";
	double value = (double)bytes;
	struct text_cell cell = { "-" };
	unsigned int unit = 0;

	for (; value >= 999.5; unit++)
		value /= 1024;
	if (known)
		snprintf(cell.text, sizeof(cell.text), unit && value < 99.95 ? "%.1f%c" : "%.0f%c",
			 value, units[unit]);
	return cell;
}

double percent_of(uint64_t some, uint64_t all)
{
	return all ? 100.0 * (double)some / (double)all : 0;
}

double share(const struct report *report, uint64_t faults)
{
	return percent_of(faults, report->faults);
}

bool timed(const struct report *report, const struct stall *stall)
{
	return report->profile->stall_known && stall->timed;
}

const char *color(const struct report *report, const char *code)
{
	return report->options->color ? code : "";
}

const char *kind_color(const struct report *report, enum fp_kind kind)
{
	return color(report, kind == FP_SWAP_IN || kind == FP_FILE_READ ? RED : "");
}

const char *kind_plain(const struct report *report, enum fp_kind kind)
{
	return color(report, kind == FP_SWAP_IN || kind == FP_FILE_READ ? PLAIN : "");
}

/* printf pads by bytes; a name has to be padded by columns. */
void put_padded(FILE *out, const char *text, size_t columns)
{
	char buf[CELL];
	size_t used = text_fit(buf, text, columns);

	fprintf(out, "%s%*s", buf, (int)(columns - used), "");
}

void put_wrapped(FILE *out, const char *text, size_t indent)
{
	size_t column = 0;

	while (*text) {
		size_t spaces = strspn(text, " "), length = strcspn(text + spaces, " ");
		char *word = strndup(text + spaces, length);
		size_t columns = word ? text_columns(word) : 0;
		const char *at = word ? word : "";
		char bytes[TEXT_CHAR_BYTES];

		if (column > indent && column + spaces + columns > WIDTH) {
			fprintf(out, "\n%*s", (int)indent, "");
			column = indent;
		} else {
			fprintf(out, "%*s", (int)spaces, "");
			column += spaces;
		}
		for (; *at; column++) {
			if (column == WIDTH) {
				fprintf(out, "\n%*s", (int)indent, "");
				column = indent;
			}
			fwrite(bytes, 1, text_char(&at, bytes), out);
		}
		free(word);
		text += spaces + length;
	}
	fputc('\n', out);
}

void put_line(FILE *out, size_t indent, const char *format, ...)
{
	va_list args;
	char *text;
	int bytes;

	va_start(args, format);
	bytes = vasprintf(&text, format, args);
	va_end(args);
	if (bytes < 0)
		return;
	put_wrapped(out, text, indent);
	free(text);
}

void put_title(const struct report *report, const char *title)
{
	fprintf(report->out, "\n%s%s%s\n", color(report, BOLD), title, color(report, PLAIN));
}
