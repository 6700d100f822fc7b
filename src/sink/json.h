/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the parts of the JSON report share. A json_t that could not be had is NULL, and makes NULL
 * of all that it is packed into, until put_key() and put_row() return it as -ENOMEM. */
#ifndef SINK_JSON_H
#define SINK_JSON_H

#include <jansson.h>

#include "model/sink.h"

struct array {
	FILE *out;
	size_t rows;
};

json_t *text_json(const char *text); /* any bytes; NULL gives null */
json_t *count_json(uint64_t n);
json_t *count_if(bool known, uint64_t n); /* else null */
json_t *stall_json(const struct stall *stall, bool known);
double percent(uint64_t part, uint64_t whole);			/* two decimals */
size_t rows_of(const struct sink_options *options, size_t all); /* as --top says */

/* These take the reference. 0 or -ENOMEM; a write error stays in ferror(). */
int put_key(FILE *out, const char *key, json_t *json);
int put_row(struct array *array, json_t *json);
struct array begin_array(FILE *out, const char *key);
void end_array(const struct array *array);

json_t *shares_json(const struct profile_symbol *symbol);
int put_objects_json(const struct profile *profile, const struct sink_options *options, FILE *out);

/* json_diff.c: as struct sink's compare. */
int diff_json(const struct comparison *comparison, const struct sink_options *options, FILE *out);

#endif
