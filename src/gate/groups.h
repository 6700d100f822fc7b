/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What is compared as one: the series of both sides that belong together, as vectors. */
#ifndef GATE_GROUPS_H
#define GATE_GROUPS_H

#include "gate/rules.h"

struct group {
	enum series_level level;
	enum fp_kind kind;
	const char *module, *symbol;	   /* as in struct gate_row */
	const struct sample_series *place; /* NULL: no function */
	const struct series_spec *spec;	   /* that asked for it; NULL: none did */
	bool moved;			   /* of several functions that one side alone has */
	unsigned int functions;		   /* then: those that are new */
	double *base, *now;		   /* by run; owned */
};

struct groups {
	struct group *at;
	size_t nr;
};

/*
 * Functions that fault on one side alone are taken together by module and kind: a function that was
 * renamed, or inlined into another one, leaves as many faults as come, and is no rise.
 *
 * 0 or -ENOMEM.
 */
int groups_find(const struct sample *base, const struct sample *now, const struct gate_rules *rules,
		struct groups *ret);
/* Of one side alone. 0 or -ENOMEM. */
int groups_sum(const struct sample *sample, const struct series_spec *spec, double **ret);
void groups_release(struct groups *groups);

#endif
