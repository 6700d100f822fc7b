/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the runs say: did a rate rise by more than is allowed? */
#ifndef GATE_VERDICT_H
#define GATE_VERDICT_H

#include "model/rates.h"
#include "gate/rules.h"

enum gate_outcome {
	GATE_PASSED,
	GATE_REGRESSION,
	GATE_NO_VERDICT,
};

const char *gate_outcome_text(enum gate_outcome outcome); /* "passed" … */

enum gate_state {
	GATE_WITHIN,	  /* of what is allowed, or not surely above it */
	GATE_UNCONFIRMED, /* it rose, and did not when it was run again */
	GATE_ROSE,	  /* against the baseline */
	GATE_EXCEEDED,	  /* a budget */
};

/* Strings live as long as the samples and the rules that it was judged by, but for name. */
struct gate_row {
	char *name; /* for people: "swap-in", "swap-in in recv_data (haproxy)"; owned */
	const struct sample_series *place; /* that says where it is; NULL: no function */
	enum series_level level;
	enum fp_kind kind;
	const char *module, *symbol; /* of a function, or the first of several, else "" */
	unsigned int functions;	     /* that are new to the baseline, taken together; 0: none is */
	const struct budget *budget; /* NULL: compared with the baseline */
	double base_rate, now_rate;  /* per unit; base_rate is the limit of a budget */
	double chance;		     /* that it is so high and no more than allowed */
	double share;		     /* of the rules' level: what chance is held against */
	/* Not of a budget: */
	struct rate_fit fit;
	double ratio;	  /* may be infinite */
	double low, high; /* what it is between, but for @share each; both 0: not known */
	enum gate_state state;
};

struct gate_verdict { /* all zeros: none */
	enum gate_outcome outcome;
	char why[256]; /* there is no verdict; "" otherwise */
	struct gate_row *rows;
	size_t nr_rows;
	double detectable; /* the ratio of all faults from which on a rise is seen; 0: not known */
};

/* @base NULL: only budgets are looked at. @suspects, NULL allowed: only what rose, or was exceeded,
 * there is looked at. Fills @ret, all zeros before. 0 or -ENOMEM. */
int gate_judge(const struct sample *base, const struct sample *now, const struct gate_rules *rules,
	       const struct gate_verdict *suspects, struct gate_verdict *ret);
/* What rose in @first, and did not when it was run @again, is unconfirmed. */
void gate_confirm(struct gate_verdict *first, const struct gate_verdict *again);
void gate_release(struct gate_verdict *verdict);

#endif
