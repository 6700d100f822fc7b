/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "gate/sample.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/grow.h"
#include "base/text.h"

#define TEXT_BYTES 4096 /* demangled names get long; what is cut off tells nothing to anyone */

struct sample_index {
	UT_hash_handle hh;
	struct sample_series series;
	char key[];
};

static const char *const levels[NR_SERIES_LEVELS] = {
	[SERIES_TOTAL] = "total",
	[SERIES_MAJOR] = "major",
	[SERIES_KIND] = "kind",
	[SERIES_SYMBOL] = "symbol",
};

const char *series_level_name(enum series_level level)
{
	return (unsigned int)level < NR_SERIES_LEVELS ? levels[level] : "?";
}

void sample_release(struct sample *sample)
{
	struct sample_index *entry, *next;

	HASH_ITER (hh, sample->index, entry, next) {
		HASH_DEL(sample->index, entry);
		free(entry->series.faults);
		free(entry);
	}
	free(sample->series);
	free(sample->programs);
	free(sample->runs);
	strings_release(&sample->strings);
	memset(sample, 0, sizeof(*sample));
}

const char *sample_text(struct sample *sample, const char *text)
{
	char clean[TEXT_BYTES];

	text_clean(clean, sizeof(clean), text);
	return strings_intern(&sample->strings, clean);
}

static struct sample_series *find(const struct sample *sample, const char *key)
{
	struct sample_index *entry;

	HASH_FIND_STR(sample->index, key, entry);
	return entry ? &entry->series : NULL;
}

/* One text for what a series is of; a clean text has no tab. NULL: out of memory. */
static char *series_key(enum series_level level, enum fp_kind kind, const char *module,
			const char *symbol)
{
	char *key;

	if (asprintf(&key, "%d\t%d\t%s\t%s", (int)level, (int)kind, module, symbol) < 0)
		return NULL;
	return key;
}

static struct sample_series *add_series(struct sample *sample, const char *key)
{
	size_t length = strlen(key);
	struct sample_index *entry = calloc(1, sizeof(*entry) + length + 1);

	if (!entry || grow(&sample->series, sample->nr_series, sizeof(*sample->series))) {
		free(entry);
		return NULL;
	}
	memcpy(entry->key, key, length + 1);
	HASH_ADD_KEYPTR(hh, sample->index, entry->key, length, entry);
	if (!entry->hh.tbl) {
		free(entry);
		return NULL;
	}
	sample->series[sample->nr_series++] = &entry->series;
	return &entry->series;
}

struct sample_series *sample_series(struct sample *sample, enum series_level level,
				    enum fp_kind kind, const char *module, const char *symbol)
{
	struct sample_series *series;
	char *key;

	module = sample_text(sample, module);
	symbol = sample_text(sample, symbol);
	key = module && symbol ? series_key(level, kind, module, symbol) : NULL;
	if (!key)
		return NULL;
	series = find(sample, key);
	if (!series) {
		series = add_series(sample, key);
		if (series)
			*series = (struct sample_series){
				.level = level, .kind = kind, .module = module, .symbol = symbol
			};
	}
	free(key);
	return series;
}

int sample_find(const struct sample *sample, const struct sample_series *like,
		const struct sample_series **ret)
{
	char *key = series_key(like->level, like->kind, like->module, like->symbol);

	if (!key)
		return -ENOMEM;
	*ret = find(sample, key);
	free(key);
	return 0;
}

int sample_place(struct sample *sample, struct sample_series *series, const char *file,
		 unsigned int line)
{
	if (series->file || !file)
		return 0;
	series->file = sample_text(sample, file);
	series->line = line;
	return series->file ? 0 : -ENOMEM;
}

int sample_add(struct sample_series *series, size_t run, double faults)
{
	while (series->nr <= run) {
		if (grow(&series->faults, series->nr, sizeof(*series->faults)))
			return -ENOMEM;
		series->faults[series->nr++] = 0;
	}
	series->faults[run] += faults;
	return 0;
}

double sample_sum(const struct sample_series *series)
{
	double sum = 0;

	for (size_t i = 0; i < series->nr; i++)
		sum += series->faults[i];
	return sum;
}

double sample_faults(const struct sample_series *series, size_t run)
{
	return run < series->nr ? series->faults[run] : 0;
}

int sample_add_run(struct sample *sample, const struct sample_run *run)
{
	if (grow(&sample->runs, sample->nr_runs, sizeof(*run)))
		return -ENOMEM;
	sample->runs[sample->nr_runs++] = *run;
	return 0;
}

int sample_add_program(struct sample *sample, const char *comm, const char *build_id)
{
	struct sample_program program = { sample_text(sample, comm),
					  sample_text(sample, build_id ? build_id : "") };

	if (!program.comm || !program.build_id)
		return -ENOMEM;
	for (size_t i = 0; i < sample->nr_programs; i++)
		if (sample->programs[i].comm == program.comm &&
		    sample->programs[i].build_id == program.build_id)
			return 0;
	if (grow(&sample->programs, sample->nr_programs, sizeof(program)))
		return -ENOMEM;
	sample->programs[sample->nr_programs++] = program;
	return 0;
}

const char *sample_differs(const struct sample *left, const struct sample *right, const char **a,
			   const char **b)
{
	const struct {
		const char *what, *left, *right;
	} same[] = {
		{ "tier", left->tier, right->tier },
		{ "kernel", left->kernel, right->kernel },
		{ "filter", left->filter, right->filter },
	};

	for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++) {
		if (!same[i].left || !same[i].right || !strcmp(same[i].left, same[i].right))
			continue;
		*a = same[i].left;
		*b = same[i].right;
		return same[i].what;
	}
	return NULL;
}

static int merge_origin(struct sample *into, const struct sample *from)
{
	if (!into->tier && from->tier) {
		into->tier = sample_text(into, from->tier);
		into->kernel = sample_text(into, from->kernel);
		into->filter = sample_text(into, from->filter);
		if (!into->tier || !into->kernel || !into->filter)
			return -ENOMEM;
	}
	/* The last one counts: its runs are those that stay longest. */
	if (from->machine) {
		into->machine = sample_text(into, from->machine);
		if (!into->machine)
			return -ENOMEM;
	}
	for (size_t i = 0; i < from->nr_programs; i++)
		if (sample_add_program(into, from->programs[i].comm, from->programs[i].build_id))
			return -ENOMEM;
	return 0;
}

int sample_merge(struct sample *into, const struct sample *from)
{
	unsigned int sessions = into->nr_runs ? into->runs[into->nr_runs - 1].session : 0;
	size_t before = into->nr_runs;
	int r = merge_origin(into, from);

	for (size_t i = 0; !r && i < from->nr_runs; i++) {
		struct sample_run run = from->runs[i];

		run.session += sessions;
		r = sample_add_run(into, &run);
	}
	for (size_t i = 0; !r && i < from->nr_series; i++) {
		const struct sample_series *s = from->series[i];
		struct sample_series *own =
			sample_series(into, s->level, s->kind, s->module, s->symbol);

		r = own ? sample_place(into, own, s->file, s->line) : -ENOMEM;
		for (size_t run = 0; !r && run < s->nr; run++)
			r = sample_add(own, before + run, s->faults[run]);
	}
	return r;
}

void sample_keep(struct sample *sample, size_t keep)
{
	size_t cut = sample->nr_runs > keep ? sample->nr_runs - keep : 0;

	if (!cut)
		return;
	memmove(sample->runs, sample->runs + cut, keep * sizeof(*sample->runs));
	sample->nr_runs = keep;
	for (size_t i = 0; i < sample->nr_series; i++) {
		struct sample_series *s = sample->series[i];

		s->nr = s->nr > cut ? s->nr - cut : 0;
		if (s->nr)
			memmove(s->faults, s->faults + cut, s->nr * sizeof(*s->faults));
	}
}
