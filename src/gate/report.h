/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A verdict for people, and for what runs continuous integration. */
#ifndef GATE_REPORT_H
#define GATE_REPORT_H

#include <stdio.h>

#include "base/text.h"
#include "gate/verdict.h"

struct gate_report {
	const struct gate_verdict *verdict;
	const struct gate_rules *rules;
	const struct sample *base; /* NULL: none, only budgets */
	const struct sample *now;
	const char *baseline;  /* its path; NULL: none */
	const char *directory; /* that paths of source files are told from; NULL: as they are */
	size_t confirmed;      /* runs that a suspected regression was run again with */
};

struct gate_format {
	const char *name; /* as --report takes it */
	const char *help; /* one line */
	/* 0 or -errno; a write error stays in ferror(@out). */
	int (*write)(const struct gate_report *report, FILE *out);
};

/* For people; the others are in the registry. */
int gate_write_text(const struct gate_report *report, FILE *out);
extern const struct gate_format gate_format_github, gate_format_summary, gate_format_gitlab,
	gate_format_junit, gate_format_json;
/* NULL: there is none of that name. */
const struct gate_format *gate_format_find(const char *name, size_t length);
/* Walks the registry: NULL after the last. */
const struct gate_format *gate_format_at(unsigned int i);

/* What the formats share. */
bool gate_row_is_bad(const struct gate_row *row);
bool gate_row_is_shown(const struct gate_row *row); /* to people */
struct text_cell gate_rate(double rate);   /* four digits, and all that stand before the point */
struct text_cell gate_ratio(double ratio); /* "1.47", "new" */
struct text_cell gate_interval(const struct gate_row *row); /* "1.21 - 1.78", "> 5.21", "" */
/* One sentence without its end: rates, ratio, interval. To be freed; NULL: out of memory. */
char *gate_row_text(const struct gate_report *report, const struct gate_row *row);
/* Where its function is, from the report's directory; NULL: not known. */
const char *gate_row_file(const struct gate_report *report, const struct gate_row *row);
/* One line on the whole. To be freed; NULL: out of memory. */
char *gate_headline(const struct gate_report *report);

#endif
