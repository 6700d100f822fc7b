/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "gate/groups.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"

struct finding {
	const struct sample *base, *now;
	struct groups *groups;
};

static void add_runs(double *sum, const struct sample *sample, const struct sample_series *series)
{
	for (size_t i = 0; i < sample->nr_runs; i++)
		sum[i] += sample_faults(series, i);
}

/* Takes @group over, with its vectors to come. NULL: out of memory. */
static struct group *add_group(struct finding *f, const struct group *group)
{
	struct groups *groups = f->groups;
	struct group *own;

	if (grow(&groups->at, groups->nr, sizeof(*own)))
		return NULL;
	own = &groups->at[groups->nr++];
	*own = *group;
	own->base = calloc(f->base->nr_runs + 1, sizeof(*own->base));
	own->now = calloc(f->now->nr_runs + 1, sizeof(*own->now));
	return own->base && own->now ? own : NULL;
}

static struct group *moved_group(struct finding *f, const struct sample_series *series)
{
	for (size_t i = 0; i < f->groups->nr; i++) {
		struct group *group = &f->groups->at[i];

		if (group->moved && group->kind == series->kind &&
		    !strcmp(group->module, series->module))
			return group;
	}
	return add_group(f, &(struct group){ .level = series->level,
					     .kind = series->kind,
					     .module = series->module,
					     .symbol = "",
					     .moved = true });
}

/* The group is called by the one that faults most. */
static void add_new_function(struct group *group, const struct sample_series *series)
{
	group->functions++;
	if (group->place && sample_sum(group->place) >= sample_sum(series))
		return;
	group->place = series;
	group->symbol = series->symbol;
}

/* @from is the new side, or else the old one. */
static int add_series(struct finding *f, const struct sample_series *series, bool from_now)
{
	const struct sample_series *other;
	struct group *group;
	bool both;

	if (sample_find(from_now ? f->base : f->now, series, &other))
		return -ENOMEM;
	both = other && sample_sum(other) > 0;
	/* Those of both sides are met twice. */
	if (sample_sum(series) <= 0 || (both && !from_now))
		return 0;
	if (both || series->level != SERIES_SYMBOL)
		group = add_group(f,
				  &(struct group){
					  .level = series->level,
					  .kind = series->kind,
					  .module = series->module,
					  .symbol = series->symbol,
					  .place = series->level == SERIES_SYMBOL ? series : NULL,
				  });
	else
		group = moved_group(f, series);
	if (!group)
		return -ENOMEM;
	if (both || !from_now)
		add_runs(group->base, f->base, both ? other : series);
	if (from_now)
		add_runs(group->now, f->now, series);
	if (from_now && group->moved)
		add_new_function(group, series);
	return 0;
}

static int find_all(struct finding *f, unsigned int levels)
{
	int r = 0;

	for (size_t i = 0; !r && i < f->now->nr_series; i++)
		if (levels >> f->now->series[i]->level & 1)
			r = add_series(f, f->now->series[i], true);
	for (size_t i = 0; !r && i < f->base->nr_series; i++)
		if (levels >> f->base->series[i]->level & 1)
			r = add_series(f, f->base->series[i], false);
	return r;
}

/* What a spec names, of all modules, is one group. */
static void sum_spec(const struct sample *sample, const struct series_spec *spec, double *sum,
		     struct group *group)
{
	for (size_t i = 0; i < sample->nr_series; i++) {
		const struct sample_series *series = sample->series[i];

		if (!series_spec_matches(spec, series))
			continue;
		add_runs(sum, sample, series);
		if (!group || spec->level != SERIES_SYMBOL)
			continue;
		group->module = series->module;
		group->symbol = series->symbol;
		group->place = series;
	}
}

static int find_spec(struct finding *f, const struct series_spec *spec)
{
	struct group *group = add_group(f, &(struct group){ .level = spec->level,
							    .kind = spec->kind,
							    .module = "",
							    .symbol = "",
							    .spec = spec });

	if (!group)
		return -ENOMEM;
	sum_spec(f->base, spec, group->base, group);
	sum_spec(f->now, spec, group->now, group);
	return 0;
}

int groups_find(const struct sample *base, const struct sample *now, const struct gate_rules *rules,
		struct groups *ret)
{
	struct groups groups = { 0 };
	struct finding f = { base, now, &groups };
	int r = rules->nr_specs ? 0 : find_all(&f, rules->levels);

	for (size_t i = 0; !r && i < rules->nr_specs; i++)
		r = find_spec(&f, &rules->specs[i]);
	if (r)
		groups_release(&groups);
	else
		*ret = groups;
	return r;
}

int groups_sum(const struct sample *sample, const struct series_spec *spec, double **ret)
{
	double *sum = calloc(sample->nr_runs + 1, sizeof(*sum));

	if (!sum)
		return -ENOMEM;
	sum_spec(sample, spec, sum, NULL);
	*ret = sum;
	return 0;
}

void groups_release(struct groups *groups)
{
	for (size_t i = 0; i < groups->nr; i++) {
		free(groups->at[i].base);
		free(groups->at[i].now);
	}
	free(groups->at);
	*groups = (struct groups){ 0 };
}
