/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "options_gate.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/log.h"
#include "options.h"
#include "options_check.h"

static int set_path(const char *option, const char *text, const char **ret)
{
	if (!*text) {
		log_error("%s wants the name of a file, not an empty one", option);
		return -EINVAL;
	}
	*ret = text;
	return 0;
}

static int add_value(struct option_list *list, const char *text)
{
	int r = grow(&list->values, list->nr, sizeof(*list->values));

	if (!r)
		list->values[list->nr++] = text;
	return r;
}

/* strtod() would take signs, blanks, infinity, and what is not a number. */
static int set_number(const char *option, const char *text, double least, double most, double *ret)
{
	char *end;
	double value = strtod(text, &end);

	if (isdigit((unsigned char)*text) && !*end && value >= least && value <= most) {
		*ret = value;
		return 0;
	}
	log_error("%s wants a number from %g to %g, not '%s'", option, least, most, text);
	return -EINVAL;
}

static int set_count(const char *option, const char *text, unsigned int most, unsigned int *ret)
{
	double value;
	int r = set_number(option, text, 1, most, &value);

	if (!r && value > (unsigned int)value) {
		log_error("%s wants a whole number, not '%s'", option, text);
		r = -EINVAL;
	}
	if (!r)
		*ret = (unsigned int)value;
	return r;
}

int set_baseline(struct options *o, const char *text)
{
	return set_path("--baseline", text, &o->gate.baseline);
}

int set_budget(struct options *o, const char *text)
{
	return add_value(&o->gate.budgets, text);
}

int set_series(struct options *o, const char *text)
{
	return add_value(&o->gate.series, text);
}

int set_by(struct options *o, const char *text)
{
	static const char *const names[] = { "total", "major", "kind", "symbol" };
	size_t length;

	o->gate.levels = 0;
	do {
		unsigned int i = 0;

		length = strcspn(text, ",");
		while (i < 4 && (strlen(names[i]) != length || strncmp(names[i], text, length)))
			i++;
		if (i == 4) {
			log_error("--by wants some of total,major,kind,symbol, not '%s'", text);
			return -EINVAL;
		}
		o->gate.levels |= 1U << i;
		text += length;
	} while (*text++ == ',');
	return 0;
}

int set_gate_report(struct options *o, const char *text)
{
	return add_value(&o->gate.reports, text);
}

int set_repeat(struct options *o, const char *text)
{
	return set_count("--repeat", text, 1000, &o->gate.repeat);
}

int set_keep(struct options *o, const char *text)
{
	return set_count("--keep", text, 10000, &o->gate.keep);
}

int set_max_ratio(struct options *o, const char *text)
{
	return set_number("--max-ratio", text, 1, 1e6, &o->gate.max_ratio);
}

int set_min_rise(struct options *o, const char *text)
{
	return set_number("--min-rise", text, 0, 1e12, &o->gate.min_rise);
}

int set_level(struct options *o, const char *text)
{
	return set_number("--level", text, 1e-9, .5, &o->gate.level);
}

int set_work(struct options *o, const char *text)
{
	return set_number("--work", text, 1e-9, 1e15, &o->gate.work);
}

int set_work_from(struct options *o, const char *text)
{
	return set_path("--work-from", text, &o->gate.work_from);
}

int set_per_request(struct options *o, const char *text)
{
	(void)text;
	o->gate.per_request = true;
	return 0;
}

int set_confirm(struct options *o, const char *text)
{
	(void)text;
	o->gate.confirm = true;
	return 0;
}

/* ---- together ---- */

static int check_work(const struct options *o)
{
	const struct gate_options *g = &o->gate;

	if ((g->work > 0) + !!g->work_from + g->per_request > 1)
		log_error("only one of --work, --work-from and --per-request says what a unit is");
	else if (g->per_request && !o->haproxy_socket)
		log_error("--per-request asks HAProxy how many requests it had: --haproxy-socket "
			  "says where; of other proxies, --work or --work-from tell it");
	else if (o->haproxy_socket && !g->per_request)
		log_error("--haproxy-socket is for --per-request here: nobody is asked whose the "
			  "memory is");
	else if (o->nr_files && (g->work_from || g->per_request))
		log_error("of recordings only --work tells how much was done");
	else
		return 0;
	return -EINVAL;
}

/* Recordings, a command, processes, or processes while a command runs. */
static int check_source(struct options *o, bool dashes)
{
	bool targets = o->nr_pids || o->comm || o->cgroup;

	if (o->nr_files && (targets || o->duration_s > 0)) {
		log_error("recordings are measured already: no -p, --comm, --cgroup or -d; and to "
			  "run a command, put -- before it");
		return -EINVAL;
	}
	if (o->nr_files)
		return 0;
	o->gate.load = targets && o->command;
	if (targets && !o->command && o->duration_s <= 0) {
		log_error("how long is a run? -d SECONDS, or a command after --");
		return -EINVAL;
	}
	return options_check_targets(o, dashes);
}

int options_check_gate(struct options *o, bool dashes)
{
	int r = check_source(o, dashes);

	if (!r && !o->gate.baseline && !o->gate.budgets.nr) {
		log_error("what is allowed? --baseline FILE (faultprof baseline update makes one), "
			  "--budget SERIES=NUMBER, or both");
		r = -EINVAL;
	}
	if (!r && !o->gate.baseline && (o->gate.series.nr || o->gate.levels)) {
		log_error("--by and --series choose what is compared with a --baseline");
		r = -EINVAL;
	}
	if (!r && o->gate.series.nr && o->gate.levels) {
		log_error("--series says already what --by would");
		r = -EINVAL;
	}
	if (!r && o->gate.confirm && o->nr_files) {
		log_error("--confirm runs it again, and recordings cannot be run");
		r = -EINVAL;
	}
	return r ? r : check_work(o);
}

int options_check_baseline(struct options *o, bool dashes)
{
	int r = check_source(o, dashes);

	if (!r && !o->gate.baseline) {
		log_error("which baseline? --baseline FILE");
		r = -EINVAL;
	}
	return r ? r : check_work(o);
}

void gate_options_release(struct gate_options *gate)
{
	free(gate->budgets.values);
	free(gate->series.values);
	free(gate->reports.values);
	gate->budgets = gate->series = gate->reports = (struct option_list){ 0 };
}
