/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The text report's cells and lines. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "sink/report.h"

#define RED "\033[31m"

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

double share(const struct report *report, uint64_t faults)
{
	return report->faults ? 100.0 * (double)faults / (double)report->faults : 0;
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
