/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Counts of several runs: of a baseline, or of what is compared with one. */
#ifndef GATE_SAMPLE_H
#define GATE_SAMPLE_H

#include "base/intern.h"
#include "model/profile.h"
#include "model/tier.h"

enum series_level {
	SERIES_TOTAL,  /* all faults */
	SERIES_MAJOR,  /* those that are major */
	SERIES_KIND,   /* of one kind */
	SERIES_SYMBOL, /* of one kind, in one function */
	NR_SERIES_LEVELS,
};

const char *series_level_name(enum series_level level); /* "total" … */

/* Strings live as long as the sample, and are clean text (base/text.h). */
struct sample_series {
	enum series_level level;
	enum fp_kind kind;	     /* of KIND and SYMBOL, else 0 */
	const char *module, *symbol; /* of SYMBOL, else "" */
	const char *file;	     /* NULL: not known */
	unsigned int line;	     /* in @file, 0: not known */
	double *faults;		     /* of the first @nr runs, the others have none; owned */
	size_t nr;
};

struct sample_run {
	double seconds;
	double work;	      /* units; 0: not known */
	int64_t begin_s;      /* since 1970 */
	unsigned int session; /* runs that were measured in a row have one number, from 1 on */
	uint64_t lost;
};

/* A program that was watched. */
struct sample_program {
	const char *comm, *build_id; /* build_id "": not known */
};

/* All zeros: no run yet. */
struct sample {
	/* What has to be equal for rates to be comparable; NULL: there is no run yet. */
	const char *tier;   /* as tier_name() */
	const char *kernel; /* what decides how it handles faults */
	const char *filter; /* what alone was counted; "": all */
	/* This may differ, but is worth a word. */
	const char *machine;		 /* ""; NULL: not known */
	struct sample_program *programs; /* of all runs */
	size_t nr_programs;
	struct sample_run *runs;
	size_t nr_runs;
	struct sample_series **series; /* as they came */
	size_t nr_series;
	struct sample_index *index; /* private: by what a series is of */
	struct strings strings;	    /* private */
};

void sample_release(struct sample *sample);

/* Of text from a target, or from a file. NULL: out of memory. */
const char *sample_text(struct sample *sample, const char *text);
/* Finds the series, or adds it, without a fault. NULL: out of memory. */
struct sample_series *sample_series(struct sample *sample, enum series_level level,
				    enum fp_kind kind, const char *module, const char *symbol);
/* The same one of another sample; NULL: it is not there. 0 or -ENOMEM. */
int sample_find(const struct sample *sample, const struct sample_series *like,
		const struct sample_series **ret);
/* Says where it is, unless that is known. 0 or -ENOMEM. */
int sample_place(struct sample *sample, struct sample_series *series, const char *file,
		 unsigned int line);
/* Adds to the series' faults of run number @run. 0 or -ENOMEM. */
int sample_add(struct sample_series *series, size_t run, double faults);
double sample_faults(const struct sample_series *series, size_t run);
double sample_sum(const struct sample_series *series); /* of all runs */

/* These copy. 0 or -ENOMEM. */
int sample_add_run(struct sample *sample, const struct sample_run *run);
int sample_add_program(struct sample *sample, const char *comm, const char *build_id);

/* What a run was measured on. */
struct sample_origin {
	enum tier tier;
	char kernel[128], machine[256]; /* machine "": not known */
	int64_t begin_s;		/* since 1970 */
};

/* Of a run on this machine that begins now. */
void sample_origin_here(struct sample_origin *ret, enum tier tier);
/* The kernel of a release like "6.18.5-1" on "x86_64". */
void sample_kernel_text(struct sample_origin *ret, const char *release, const char *machine);

/* Adds a finished profile as one run. Functions without a name
 * count as one of their module, as their addresses change with every build; and what compilers
 * append to the names of copies is cut off. 0 or -ENOMEM. */
int sample_add_profile(struct sample *sample, const struct profile *profile,
		       const struct sample_origin *origin);

/* In what they differ, so that rates are not comparable; NULL: in nothing. Then the two values go
 * to @a and @b. A sample without a run does not differ. */
const char *sample_differs(const struct sample *left, const struct sample *right, const char **a,
			   const char **b);
/* Adds the runs of @from, which does not differ; their sessions count on from those that are there.
 * 0 or -ENOMEM. */
int sample_merge(struct sample *into, const struct sample *from);
/* Forgets all but the last @keep runs. */
void sample_keep(struct sample *sample, size_t keep);

#endif
