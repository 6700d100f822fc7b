/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the parts of the text report share: cells, colours, and lines that keep to the width. */
#ifndef SINK_REPORT_H
#define SINK_REPORT_H

#include "base/text.h"
#include "model/sink.h"

#define WIDTH 100
#define CELL TEXT_FIT_BYTES(WIDTH)
#define MAX_COLUMN 12 /* of comm and module */

#define BOLD "\033[1m"
#define PLAIN "\033[0m"

struct report {
	const struct profile *profile;
	const struct sink_options *options;
	FILE *out;
	uint64_t faults;
	double seconds;
};

/* "-" for what is not known. */
struct text_cell stall_cell(bool known, uint64_t ns);
/* "18.2s", ">=3.1h"; whole seconds where @resolution_ns says no more. At most nine columns. */
struct text_cell age_cell(bool known, bool at_least, uint64_t ns, uint64_t resolution_ns);
struct text_cell size_cell(bool known, uint64_t bytes); /* "840B" "16.0K", in powers of 1024 */
/* Of the run's wall time; above 100 % when several threads stalled at once. */
struct text_cell wall_cell(const struct report *report, bool known, uint64_t ns);
double percent_of(uint64_t some, uint64_t all);
double share(const struct report *report, uint64_t faults); /* percent of all faults */
bool timed(const struct report *report, const struct stall *stall);

/* "" when the report has no colours; kind_plain() ends what kind_color() began. */
const char *color(const struct report *report, const char *code);
const char *kind_color(const struct report *report, enum fp_kind kind);
const char *kind_plain(const struct report *report, enum fp_kind kind);

void put_padded(FILE *out, const char *text, size_t columns);
/* Prints @text in lines of at most WIDTH, broken at spaces, the second and later ones indented. */
void put_wrapped(FILE *out, const char *text, size_t indent);
__attribute__((format(printf, 3, 4))) void put_line(FILE *out, size_t indent, const char *format,
						    ...);
void put_title(const struct report *report, const char *title);
/* "inner < caller < …" of frames that begin with the outermost: lines broken between frames, never
 * in one. */
void put_call_chain(FILE *out, const char *const *frames, unsigned int nr);

/* The parts. */
int put_header(const struct report *report, const struct stall *all); /* 0 or -ENOMEM */
/* The header for other formats, which break its lines themselves: what was measured, and what is
 * missing. To be freed; NULL: no memory. */
char *header_text(const struct profile *profile);
void put_symbols(const struct report *report);
/* Nothing where no provider was asked. */
void put_objects(const struct report *report);
void put_connections(const struct report *report);

/* text_diff.c: as struct sink's compare. */
int diff_text(const struct comparison *comparison, const struct sink_options *options, FILE *out);

#endif
