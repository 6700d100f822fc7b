/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Nothing that a file says is believed before it is checked: it decides what passes. */
#include "gate/baseline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#define SCHEMA "faultprof-baseline/"
#define VERSION 1
#define MAX_RUNS 100000
#define MAX_FAULTS 9007199254740992.0 /* counts beyond are not exact in a double */
#define DUMP_FLAGS (JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15) | JSON_ENCODE_ANY)

/* ---- writing ---- */

static int series_order(const void *left, const void *right)
{
	const struct sample_series *a = *(struct sample_series *const *)left;
	const struct sample_series *b = *(struct sample_series *const *)right;
	int order;

	if (a->level != b->level)
		return (int)a->level - (int)b->level;
	if (a->kind != b->kind)
		return (int)a->kind - (int)b->kind;
	order = strcmp(a->module, b->module);
	return order ? order : strcmp(a->symbol, b->symbol);
}

/* Takes the reference. */
static int put(FILE *out, const char *before, json_t *json)
{
	int r;

	if (!json)
		return -ENOMEM;
	fputs(before, out);
	r = json_dumpf(json, out, DUMP_FLAGS) && !ferror(out) ? -ENOMEM : 0;
	json_decref(json);
	return r;
}

static json_t *text_or_null(const char *text)
{
	return text && *text ? json_string(text) : json_null();
}

static json_t *run_json(const struct sample_run *run)
{
	/* clang-format off */
	return json_pack("{s:I, s:I, s:f, s:o, s:I}",
			 "session", (json_int_t)run->session,
			 "begin", (json_int_t)run->begin_s,
			 "seconds", run->seconds,
			 "work", run->work > 0 ? json_real(run->work) : json_null(),
			 "lost", (json_int_t)run->lost);
	/* clang-format on */
}

static json_t *series_json(const struct sample_series *s, size_t nr_runs)
{
	json_t *faults = json_array(), *json = json_object();
	bool kind = s->level == SERIES_KIND || s->level == SERIES_SYMBOL;

	json_object_set_new(json, "level", json_string(series_level_name(s->level)));
	if (kind)
		json_object_set_new(json, "kind", json_string(kind_name(s->kind)));
	if (s->level == SERIES_SYMBOL) {
		json_object_set_new(json, "module", json_string(s->module));
		json_object_set_new(json, "symbol", json_string(s->symbol));
		json_object_set_new(json, "file", text_or_null(s->file));
		json_object_set_new(json, "line", s->line ? json_integer(s->line) : json_null());
	}
	for (size_t i = 0; i < nr_runs; i++)
		json_array_append_new(faults, json_integer((json_int_t)sample_faults(s, i)));
	if (json_array_size(faults) != nr_runs || json_object_set_new(json, "faults", faults)) {
		json_decref(json);
		return NULL;
	}
	return json;
}

static int write_series(const struct sample *sample, FILE *out)
{
	struct sample_series **sorted = calloc(sample->nr_series + 1, sizeof(*sorted));
	const char *before = "\n  ";
	size_t nr = 0;
	int r = 0;

	if (!sorted)
		return -ENOMEM;
	/* Those of old runs that are not kept any more have none. */
	for (size_t i = 0; i < sample->nr_series; i++)
		if (sample_sum(sample->series[i]) > 0)
			sorted[nr++] = sample->series[i];
	qsort(sorted, nr, sizeof(*sorted), series_order);
	for (size_t i = 0; !r && i < nr; i++, before = ",\n  ")
		r = put(out, before, series_json(sorted[i], sample->nr_runs));
	free(sorted);
	return r;
}

int baseline_write(const struct sample *sample, FILE *out)
{
	const char *before = "\n  ";
	int r;

	fprintf(out, "{\"schema\":\"" SCHEMA "%d\"", VERSION);
	r = put(out, ",\n \"tier\":", json_string(sample->tier));
	if (!r)
		r = put(out, ",\n \"kernel\":", json_string(sample->kernel));
	if (!r)
		r = put(out, ",\n \"machine\":", text_or_null(sample->machine));
	if (!r)
		r = put(out, ",\n \"filter\":", text_or_null(sample->filter));
	fputs(",\n \"programs\":[", out);
	for (size_t i = 0; !r && i < sample->nr_programs; i++, before = ",\n  ")
		r = put(out, before,
			json_pack("{s:s, s:o}", "comm", sample->programs[i].comm, "build_id",
				  text_or_null(sample->programs[i].build_id)));
	fputs("\n ],\n \"runs\":[", out);
	before = "\n  ";
	for (size_t i = 0; !r && i < sample->nr_runs; i++, before = ",\n  ")
		r = put(out, before, run_json(&sample->runs[i]));
	fputs("\n ],\n \"series\":[", out);
	if (!r)
		r = write_series(sample, out);
	fputs("\n ]\n}\n", out);
	return r;
}

/* ---- reading ---- */

struct reading {
	struct sample *sample;
	char *why;
	size_t size;
};

__attribute__((format(printf, 2, 3))) static int refuse(struct reading *r, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(r->why, r->size, format, args);
	va_end(args);
	return -EINVAL;
}

static int out_of_memory(struct reading *r)
{
	refuse(r, "%s", strerror(ENOMEM));
	return -ENOMEM;
}

/* A text that may be absent where @optional says so; then it is "". */
static int read_text(struct reading *r, const json_t *object, const char *key, bool optional,
		     const char **ret)
{
	const json_t *json = json_object_get(object, key);

	if (!json_is_string(json) && !(optional && (!json || json_is_null(json))))
		return refuse(r, "\"%s\" is missing, or no text", key);
	*ret = sample_text(r->sample, json_is_string(json) ? json_string_value(json) : "");
	return *ret ? 0 : out_of_memory(r);
}

/* A number from 0 to @max; absent, where @optional, it is 0. */
static int read_number(struct reading *r, const json_t *object, const char *key, bool optional,
		       double max, double *ret)
{
	const json_t *json = json_object_get(object, key);
	double value = json_number_value(json);

	if (!json_is_number(json) && !(optional && (!json || json_is_null(json))))
		return refuse(r, "\"%s\" is missing, or no number", key);
	if (!(value >= 0 && value <= max))
		return refuse(r, "\"%s\" is %g", key, value);
	*ret = value;
	return 0;
}

static int read_schema(struct reading *r, const json_t *root)
{
	const char *schema = json_string_value(json_object_get(root, "schema"));
	unsigned long version;
	char *end;

	if (!schema || strncmp(schema, SCHEMA, strlen(SCHEMA)))
		return refuse(r, "it is no baseline of faultprof");
	version = strtoul(schema + strlen(SCHEMA), &end, 10);
	if (*end || version < VERSION)
		return refuse(r, "its schema is not known");
	if (version > VERSION)
		return refuse(r, "it was made by a newer faultprof (schema " SCHEMA "%lu)",
			      version);
	return 0;
}

static int read_array(struct reading *r, const json_t *root, const char *key, const json_t **ret)
{
	*ret = json_object_get(root, key);
	return json_is_array(*ret) ? 0 : refuse(r, "\"%s\" is missing, or no list", key);
}

static int read_origin(struct reading *r, const json_t *root)
{
	const json_t *programs, *program;
	size_t i;
	int error = read_text(r, root, "tier", false, &r->sample->tier);

	if (!error)
		error = read_text(r, root, "kernel", false, &r->sample->kernel);
	if (!error)
		error = read_text(r, root, "machine", true, &r->sample->machine);
	if (!error)
		error = read_text(r, root, "filter", true, &r->sample->filter);
	if (!error)
		error = read_array(r, root, "programs", &programs);
	if (error)
		return error;
	json_array_foreach(programs, i, program)
	{
		const char *comm, *build_id;

		error = read_text(r, program, "comm", false, &comm);
		if (!error)
			error = read_text(r, program, "build_id", true, &build_id);
		if (!error && sample_add_program(r->sample, comm, build_id))
			error = out_of_memory(r);
		if (error)
			return error;
	}
	return 0;
}

static int read_runs(struct reading *r, const json_t *root)
{
	const json_t *runs, *json;
	size_t i;
	int error = read_array(r, root, "runs", &runs);

	if (!error && (!json_array_size(runs) || json_array_size(runs) > MAX_RUNS))
		error = refuse(r, "it has %zu runs", json_array_size(runs));
	if (error)
		return error;
	json_array_foreach(runs, i, json)
	{
		double session, begin, lost;
		struct sample_run run;

		error = read_number(r, json, "session", false, MAX_RUNS, &session);
		if (!error)
			error = read_number(r, json, "begin", false, MAX_FAULTS, &begin);
		if (!error)
			error = read_number(r, json, "seconds", false, 1e9, &run.seconds);
		if (!error)
			error = read_number(r, json, "work", true, 1e300, &run.work);
		if (!error)
			error = read_number(r, json, "lost", true, MAX_FAULTS, &lost);
		if (error)
			return error;
		run.session = (unsigned int)session;
		run.begin_s = (int64_t)begin;
		run.lost = (uint64_t)lost;
		if (sample_add_run(r->sample, &run))
			return out_of_memory(r);
	}
	return 0;
}

static int read_key(struct reading *r, const json_t *json, struct sample_series **ret)
{
	const char *name, *kind_text = "", *module = "", *symbol = "", *file = NULL;
	enum series_level level = 0;
	enum fp_kind kind = 0;
	double line = 0;
	int error = read_text(r, json, "level", false, &name);

	while (!error && level < NR_SERIES_LEVELS && strcmp(name, series_level_name(level)))
		level++;
	if (!error && level == NR_SERIES_LEVELS)
		error = refuse(r, "level \"%s\" is not known", name);
	if (!error && (level == SERIES_KIND || level == SERIES_SYMBOL))
		error = read_text(r, json, "kind", false, &kind_text);
	if (!error && *kind_text && kind_parse(kind_text, &kind))
		error = refuse(r, "kind \"%s\" is not known", kind_text);
	if (!error && level == SERIES_SYMBOL) {
		error = read_text(r, json, "module", false, &module);
		if (!error)
			error = read_text(r, json, "symbol", false, &symbol);
		if (!error)
			error = read_text(r, json, "file", true, &file);
		if (!error)
			error = read_number(r, json, "line", true, 1e9, &line);
	}
	if (error)
		return error;
	*ret = sample_series(r->sample, level, kind, module, symbol);
	if (!*ret || (file && *file && sample_place(r->sample, *ret, file, (unsigned int)line)))
		return out_of_memory(r);
	return 0;
}

static int read_faults(struct reading *r, const json_t *json, struct sample_series *series)
{
	const json_t *list, *faults;
	size_t i;
	int error = read_array(r, json, "faults", &list);

	if (!error && (json_array_size(list) != r->sample->nr_runs || series->nr))
		error = refuse(r, "the runs and the faults of a series do not match");
	if (error)
		return error;
	json_array_foreach(list, i, faults)
	{
		json_int_t n = json_integer_value(faults);

		if (!json_is_integer(faults) || n < 0 || (double)n > MAX_FAULTS)
			return refuse(r, "a number of faults is none");
		if (sample_add(series, i, (double)n))
			return out_of_memory(r);
	}
	return 0;
}

static int read_root(struct reading *r, const json_t *root)
{
	const json_t *list, *json;
	size_t i;
	int error = read_schema(r, root);

	if (!error)
		error = read_origin(r, root);
	if (!error)
		error = read_runs(r, root);
	if (!error)
		error = read_array(r, root, "series", &list);
	if (error)
		return error;
	json_array_foreach(list, i, json)
	{
		struct sample_series *series;

		error = read_key(r, json, &series);
		if (!error)
			error = read_faults(r, json, series);
		if (error)
			return error;
	}
	return 0;
}

int baseline_read(FILE *in, struct sample *ret, char *why, size_t size)
{
	struct reading r = { ret, why, size };
	json_error_t error;
	json_t *root = json_loadf(in, JSON_REJECT_DUPLICATES, &error);
	int result;

	if (!root && json_error_code(&error) == json_error_out_of_memory)
		return out_of_memory(&r);
	if (!root)
		return refuse(&r, "line %d: %s", error.line, error.text);
	result = read_root(&r, root);
	json_decref(root);
	if (result)
		sample_release(ret);
	return result;
}
