/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Two runs side by side: how often each kind of fault, and each symbol, faulted in the second for
 * once in the first, and whether chance explains it. Faults come in bursts, so chance is measured:
 * each run is cut into pieces of time, and how the counts of the pieces scatter, as a multiple of
 * what independent faults would, widens the interval.
 */
#ifndef MODEL_COMPARISON_H
#define MODEL_COMPARISON_H

#include "model/profile.h"
#include "model/ratio.h"

#define COMPARISON_PIECES 32 /* of a run, at most */
#define COMPARISON_MIN_PIECES 3

enum verdict {
	VERDICT_UNKNOWN, /* too few pieces to say how the counts scatter */
	VERDICT_NOISE,	 /* the interval holds 1 */
	VERDICT_FEWER,
	VERDICT_MORE,
};

struct compared {
	enum fp_kind kind;
	const char *symbol, *module; /* as in profile_symbol; NULL: all faults of the kind */
	uint64_t faults[2];
	double rate[2]; /* a second */
	enum verdict verdict;
	struct ratio ratio; /* of the second to the first; when the verdict is known */
	double dispersion;  /* variance of a count as a multiple of its mean; likewise */
	double pieces[2][COMPARISON_PIECES]; /* faults */
};

struct comparison_side {
	const char *name; /* of the recording; borrowed */
	double seconds;
	uint64_t faults, lost;
	double pieces[COMPARISON_PIECES]; /* seconds each; above 0 */
	unsigned int nr_pieces;
};

struct comparison {
	struct comparison_side side[2];
	struct compared kinds[FP_NR_KINDS];
	struct compared **symbols; /* owned; sorted by comparison_finish(): largest change first */
	size_t nr_symbols;
	struct comparison_index *index; /* private */
};

int comparison_init(struct comparison *comparison);
void comparison_release(struct comparison *comparison);
/* Adds to @side what happened in its next piece, of @seconds: above 0, and not more of them than
 * COMPARISON_PIECES. 0 or -ENOMEM. */
int comparison_add(struct comparison *comparison, unsigned int side, const struct profile *profile,
		   double seconds);
/* Once all is added. */
void comparison_finish(struct comparison *comparison);
const char *verdict_name(enum verdict verdict); /* "noise" …; NULL: unknown */

#endif
