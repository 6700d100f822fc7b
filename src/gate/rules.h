/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What is allowed: which series are looked at, how much they may rise, how much there may be. */
#ifndef GATE_RULES_H
#define GATE_RULES_H

#include "gate/sample.h"

/* "total", "major", KIND, or "KIND:SYMBOL", "total:SYMBOL". */
struct series_spec {
	const char *text; /* @length bytes of it; borrowed */
	size_t length;
	enum series_level level;
	bool any_kind; /* of SYMBOL */
	enum fp_kind kind;
	size_t symbol; /* where its name begins in @text */
};

/* 0, or -EINVAL after filling @why with one clause for the user. */
int series_spec_parse(const char *text, size_t length, struct series_spec *ret, char *why,
		      size_t size);
bool series_spec_matches(const struct series_spec *spec, const struct sample_series *series);

/* Has the sample such a function, if it is one? Of kinds it need not have any. */
bool series_spec_is_known(const struct series_spec *spec, const struct sample *sample);

enum rate_unit {
	PER_RUN,
	PER_SECOND,
	PER_WORK, /* a unit of work */
};

const char *rate_unit_name(enum rate_unit unit); /* "a run", "a second" … */
/* What run @run has of it; 0: not known. */
double rate_unit_of(enum rate_unit unit, const struct sample_run *run);

struct budget {
	const char *text; /* as it was given; borrowed */
	struct series_spec spec;
	double limit;
	enum rate_unit unit;
};

/* "SERIES=NUMBER", per run, or with "/s" or "/work" at the end. As above. */
int budget_parse(const char *text, struct budget *ret, char *why, size_t size);

struct gate_rules {
	double max_ratio;		 /* that a rate may rise to */
	double min_rise;		 /* faults a second more that matter, whatever the ratio */
	double level;			 /* probability of a false alarm, of all series together */
	enum rate_unit unit;		 /* that rates are compared by */
	unsigned int levels;		 /* that are compared, a bit each; not used with specs */
	const struct series_spec *specs; /* these alone are compared */
	size_t nr_specs;		 /* 0: all of @levels */
	const struct budget *budgets;
	size_t nr_budgets;
};

#endif
