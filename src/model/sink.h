/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A sink prints a finished profile, and sees nothing else. */
#ifndef MODEL_SINK_H
#define MODEL_SINK_H

#include <stdio.h>

#include "model/comparison.h"

struct sink_options {
	unsigned int top; /* rows a table; 0: all */
	bool color;
	bool stacks;
};

struct sink {
	const char *name; /* as --format takes it */
	const char *help; /* one line */
	bool binary;	  /* nothing for a terminal */
	unsigned int top; /* rows a table unless the user says; 0: all */
	/* Returns 0 or -errno; a write error stays in ferror(@out). */
	int (*write)(const struct profile *profile, const struct sink_options *options, FILE *out);
	/* The same, of two runs side by side; NULL: it has no form for that. */
	int (*compare)(const struct comparison *comparison, const struct sink_options *options,
		       FILE *out);
};

extern const struct sink sink_text, sink_json, sink_csv, sink_folded, sink_pprof, sink_speedscope,
	sink_flamegraph;

/* NULL when there is no sink of that name. */
const struct sink *sink_find(const char *name);
/* Walks the registry: NULL after the last. */
const struct sink *sink_at(unsigned int i);

#endif
