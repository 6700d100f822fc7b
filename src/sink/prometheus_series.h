/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What is kept between two files: prometheus.c adds to it, prometheus_text.c prints it. */
#ifndef SINK_PROMETHEUS_SERIES_H
#define SINK_PROMETHEUS_SERIES_H

#include <uthash.h>

#include "base/text.h"
#include "sink/prometheus.h"

#define OTHER "other"
#define LABEL_COLUMNS 240
#define LABEL TEXT_FIT_BYTES(LABEL_COLUMNS)

/*
 * Boundaries are powers of two of ns: there a bucket of the log-linear histograms ends, so no count
 * is interpolated. Times are whole ns, and less than 2^n is at most 2^n - 1: that is what "le"
 * says. Stalls: 1 us to 4.3 s. Ages: 1.07 s to 13 days.
 */
struct bounds {
	unsigned int first, last, step; /* exponents of two */
};
#define STALL_BOUNDS      \
	{                 \
		10, 32, 2 \
	}
#define AGE_BOUNDS        \
	{                 \
		30, 50, 2 \
	}
#define MAX_BOUNDS 12

struct histogram {
	uint64_t below[MAX_BOUNDS]; /* cumulative, by boundary */
	uint64_t nr;
	double sum_ns;
};

struct instance {
	char *comm, *cgroup;
	struct histogram stalls[FP_NR_KINDS];
	double cost_ns;			    /* of all its faults */
	uint64_t other_faults[FP_NR_KINDS]; /* of symbols that have no series of their own */
	uint64_t swapped_out;		    /* pages */
	uint64_t processes, swapped_bytes;  /* now */
};

/* Of a hash: instance and two names, as text_fit() and terminated, one after the other. */
struct series_key {
	unsigned int instance;
	char names[2 * LABEL];
};

struct symbol_series {
	unsigned int instance;
	const char *module, *symbol; /* in key */
	bool listed;		     /* else its faults are among the instance's others */
	uint64_t faults[FP_NR_KINDS];
	double cost_ns; /* of all its faults: listed ones and earlier */
	UT_hash_handle hh;
	struct series_key key; /* cut after the names */
};

struct type_series {
	unsigned int instance;
	const char *provider, *type; /* in key */
	uint64_t faults;
	struct histogram ages; /* those of the faults whose object's age is known */
	UT_hash_handle hh;
	struct series_key key;
};

struct prometheus {
	unsigned int top;
	struct instance instances[PROMETHEUS_INSTANCES + 1]; /* the last one is all others */
	unsigned int nr_instances;			     /* without that one */
	struct symbol_series *symbols;
	unsigned int nr_listed;
	struct type_series *types;
};

#endif
