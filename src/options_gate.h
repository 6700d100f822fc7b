/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the gate and its baseline are asked for. */
#ifndef OPTIONS_GATE_H
#define OPTIONS_GATE_H

#include <stdbool.h>
#include <stddef.h>

struct options;

/* Values of an option that may be given several times; borrowed, as strings of all options are. */
struct option_list {
	const char **values; /* owned */
	size_t nr;
};

struct gate_options {
	const char *baseline; /* a path; NULL: none */
	struct option_list budgets, series, reports;
	unsigned int levels; /* that --by names, a bit each by their order there; 0: not given */
	unsigned int repeat; /* runs */
	unsigned int keep;   /* runs of a baseline that are kept */
	double max_ratio, min_rise, level;
	double work;	       /* units a run; 0: not given */
	const char *work_from; /* a file that tells them; NULL: none */
	bool per_request;      /* units are requests that HAProxy counts */
	bool confirm;
	bool load; /* the command is no target: others are watched while it runs */
};

#define GATE_DEFAULTS                                                                  \
	{                                                                              \
		.repeat = 5, .keep = 50, .max_ratio = 1.1, .min_rise = 1, .level = .01 \
	}

int set_baseline(struct options *o, const char *text);
int set_budget(struct options *o, const char *text);
int set_series(struct options *o, const char *text);
int set_by(struct options *o, const char *text);
int set_gate_report(struct options *o, const char *text);
int set_repeat(struct options *o, const char *text);
int set_keep(struct options *o, const char *text);
int set_max_ratio(struct options *o, const char *text);
int set_min_rise(struct options *o, const char *text);
int set_level(struct options *o, const char *text);
int set_work(struct options *o, const char *text);
int set_work_from(struct options *o, const char *text);
int set_per_request(struct options *o, const char *text);
int set_confirm(struct options *o, const char *text);

/* As in options_check.h. */
int options_check_gate(struct options *o, bool dashes);
int options_check_baseline(struct options *o, bool dashes);
void gate_options_release(struct gate_options *gate);

#endif
