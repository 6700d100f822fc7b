/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Adds up profiles. A label is what text_fit() makes of a name: two names that read the same then
 * are one series, for node_exporter refuses a file with two of the same labels, and all of it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include "sink/prometheus_series.h"

#define UNTIMED_NS 10000 /* what a fault counts that could not be timed */
#define WORTH_NS 1000000 /* what a function has to cost, in all, to have a series */
#define SHARES 4	 /* and of its instance's cost, 1/(SHARES * top) */
#define CANDIDATES 1024	 /* functions that may come to have one */

static const struct bounds stall_bounds = STALL_BOUNDS, age_bounds = AGE_BOUNDS;

int prometheus_new(unsigned int top, struct prometheus **ret)
{
	struct prometheus *p = calloc(1, sizeof(*p));
	struct instance *others;

	if (!p)
		return -ENOMEM;
	p->top = top;
	others = &p->instances[PROMETHEUS_INSTANCES];
	others->comm = strdup(OTHER);
	others->cgroup = strdup("");
	if (!others->comm || !others->cgroup) {
		prometheus_free(p);
		return -ENOMEM;
	}
	*ret = p;
	return 0;
}

void prometheus_free(struct prometheus *p)
{
	struct symbol_series *symbol, *next_symbol;
	struct type_series *type, *next_type;

	if (!p)
		return;
	HASH_ITER (hh, p->symbols, symbol, next_symbol) {
		HASH_DEL(p->symbols, symbol);
		free(symbol);
	}
	HASH_ITER (hh, p->types, type, next_type) {
		HASH_DEL(p->types, type);
		free(type);
	}
	for (unsigned int i = 0; i <= PROMETHEUS_INSTANCES; i++) {
		free(p->instances[i].comm);
		free(p->instances[i].cgroup);
	}
	free(p);
}

/* ---- instances ---- */

unsigned int prometheus_instance(struct prometheus *p, const char *comm, const char *cgroup)
{
	char comm_label[LABEL], cgroup_label[LABEL];
	struct instance *instance;

	text_fit(comm_label, comm, LABEL_COLUMNS);
	text_fit(cgroup_label, cgroup ? cgroup : "", LABEL_COLUMNS);
	for (unsigned int i = 0; i < p->nr_instances; i++)
		if (!strcmp(p->instances[i].comm, comm_label) &&
		    !strcmp(p->instances[i].cgroup, cgroup_label))
			return i;
	/* Of that name it would be taken for the others. */
	if (p->nr_instances == PROMETHEUS_INSTANCES ||
	    (!strcmp(comm_label, OTHER) && !*cgroup_label))
		return PROMETHEUS_INSTANCES;
	instance = &p->instances[p->nr_instances];
	instance->comm = strdup(comm_label);
	instance->cgroup = strdup(cgroup_label);
	if (!instance->comm || !instance->cgroup) {
		free(instance->comm);
		free(instance->cgroup);
		instance->comm = instance->cgroup = NULL;
		return PROMETHEUS_INSTANCES;
	}
	return p->nr_instances++;
}

void prometheus_swapped_out(struct prometheus *p, unsigned int instance, uint64_t pages)
{
	p->instances[instance].swapped_out += pages;
}

void prometheus_no_processes(struct prometheus *p)
{
	for (unsigned int i = 0; i <= PROMETHEUS_INSTANCES; i++)
		p->instances[i].processes = p->instances[i].swapped_bytes = 0;
}

void prometheus_process(struct prometheus *p, unsigned int instance, uint64_t swapped_bytes)
{
	p->instances[instance].processes++;
	p->instances[instance].swapped_bytes += swapped_bytes;
}

/* ---- what a profile adds ---- */

static void add_stalls(struct histogram *histogram, const struct stall *stall)
{
	const struct bounds *b = &stall_bounds;

	for (unsigned int i = 0, shift = b->first; shift <= b->last; i++, shift += b->step)
		histogram->below[i] += stall_below(stall, shift);
	histogram->nr += stall->timed;
	histogram->sum_ns += (double)stall->total_ns;
}

static void add_ages(struct histogram *histogram, const struct durations *ages)
{
	const struct bounds *b = &age_bounds;

	for (unsigned int i = 0, shift = b->first; shift <= b->last; i++, shift += b->step)
		histogram->below[i] += durations_below(ages, shift);
	histogram->nr += ages->nr;
	histogram->sum_ns += ages->total_ns;
}

/* Returns the bytes that count; *@second: where the second name stands. */
static size_t make_key(struct series_key *key, unsigned int instance, const char *first,
		       const char *second, size_t *at_second)
{
	key->instance = instance;
	text_fit(key->names, first, LABEL_COLUMNS);
	*at_second = strlen(key->names) + 1;
	text_fit(key->names + *at_second, second, LABEL_COLUMNS);
	return offsetof(struct series_key, names) + *at_second + strlen(key->names + *at_second) +
	       1;
}

static double cost_of(const struct stall *stall)
{
	return (double)stall->total_ns + (double)(stall->faults - stall->timed) * UNTIMED_NS;
}

/* Makes room among those that are not listed: those that cost less than the average of them, or
 * just as much, go. */
static void drop_cheap(struct prometheus *p)
{
	struct symbol_series *series, *next;
	double sum_ns = 0;
	unsigned int nr = HASH_COUNT(p->symbols) - p->nr_listed;

	HASH_ITER (hh, p->symbols, series, next)
		sum_ns += series->listed ? 0 : series->cost_ns;
	HASH_ITER (hh, p->symbols, series, next) {
		if (series->listed || series->cost_ns > sum_ns / nr)
			continue;
		HASH_DEL(p->symbols, series);
		free(series);
	}
}

/* NULL only when out of memory. */
static struct symbol_series *symbol_of(struct prometheus *p, unsigned int instance,
				       const char *module, const char *symbol)
{
	struct symbol_series *series;
	struct series_key key;
	size_t second, bytes = make_key(&key, instance, module, symbol, &second);

	HASH_FIND(hh, p->symbols, &key, bytes, series);
	if (series)
		return series;
	if (HASH_COUNT(p->symbols) - p->nr_listed >= CANDIDATES)
		drop_cheap(p);
	series = calloc(1, offsetof(struct symbol_series, key) + bytes);
	if (!series)
		return NULL;
	series->instance = instance;
	memcpy(&series->key, &key, bytes);
	series->module = series->key.names;
	series->symbol = series->key.names + second;
	HASH_ADD_KEYPTR(hh, p->symbols, &series->key, bytes, series);
	if (!series->hh.tbl) {
		free(series);
		return NULL;
	}
	return series;
}

/* A series stays for ever, so it has to be worth it: what runs once when a program starts must not
 * take the place of what stalls it every day. */
static void list_if_worth(struct prometheus *p, struct symbol_series *series)
{
	double all_ns = p->instances[series->instance].cost_ns;

	if (series->listed || p->nr_listed == p->top || series->cost_ns < WORTH_NS ||
	    series->cost_ns * SHARES * p->top < all_ns)
		return;
	series->listed = true;
	p->nr_listed++;
}

/* The last type of an instance, without a provider, is that of all others. */
static struct type_series *type_of(struct prometheus *p, unsigned int instance,
				   const char *provider, const char *type)
{
	struct type_series *series;
	struct series_key key;
	size_t second, bytes = make_key(&key, instance, provider, type, &second);

	HASH_FIND(hh, p->types, &key, bytes, series);
	if (series)
		return series;
	if (*provider && HASH_COUNT(p->types) >= PROMETHEUS_TYPES)
		return type_of(p, instance, "", OTHER);
	series = calloc(1, offsetof(struct type_series, key) + bytes);
	if (!series)
		return NULL;
	series->instance = instance;
	memcpy(&series->key, &key, bytes);
	series->provider = series->key.names;
	series->type = series->key.names + second;
	HASH_ADD_KEYPTR(hh, p->types, &series->key, bytes, series);
	if (!series->hh.tbl) {
		free(series);
		return NULL;
	}
	return series;
}

static int add_type(struct prometheus *p, unsigned int instance, const char *provider,
		    const char *type, uint64_t faults, const struct durations *ages)
{
	struct type_series *series = faults ? type_of(p, instance, provider, type) : NULL;

	if (!series)
		return faults ? -ENOMEM : 0;
	series->faults += faults;
	if (ages)
		add_ages(&series->ages, ages);
	return 0;
}

/* In two rounds, for a function stands in several rows: by kind, by mode, by what it called. */
static int add_symbols(struct prometheus *p, unsigned int instance, const struct profile *profile)
{
	struct instance *in = &p->instances[instance];

	for (size_t i = 0; i < profile->nr_symbols; i++) {
		const struct profile_symbol *symbol = profile->symbols[i];
		struct symbol_series *series =
			symbol_of(p, instance, symbol->module, symbol->symbol);

		if (!series)
			return -ENOMEM;
		series->cost_ns += cost_of(&symbol->stall);
		in->cost_ns += cost_of(&symbol->stall);
	}
	for (size_t i = 0; i < profile->nr_symbols; i++) {
		const struct profile_symbol *symbol = profile->symbols[i];
		struct symbol_series *series =
			symbol_of(p, instance, symbol->module, symbol->symbol);

		if (!series)
			return -ENOMEM;
		list_if_worth(p, series);
		*(series->listed ? &series->faults[symbol->kind]
				 : &in->other_faults[symbol->kind]) += symbol->stall.faults;
	}
	return 0;
}

int prometheus_add(struct prometheus *p, unsigned int instance, const struct profile *profile)
{
	const struct objects *objects = profile->objects;
	int r = add_symbols(p, instance, profile);

	for (unsigned int kind = 0; kind < FP_NR_KINDS; kind++)
		add_stalls(&p->instances[instance].stalls[kind], &profile->kinds[kind]);
	for (size_t i = 0; !r && i < objects->nr_objects; i++) {
		const struct profile_object *object = objects->objects[i];

		r = add_type(p, instance, object->kind.provider, object->kind.type,
			     object->stall.faults, &object->age);
	}
	if (!r)
		r = add_type(p, instance, "", "unknown", objects->absent.faults, NULL);
	if (!r)
		r = add_type(p, instance, "", "none", objects->none.faults, NULL);
	return r;
}
