/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The command line. Only session and main see it. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "faultprof/provider.h"
#include "model/sink.h"
#include "model/tier.h"
#include "options_gate.h"

enum action {
	ACTION_RUN,
	ACTION_RECORD,
	ACTION_REPORT,
	ACTION_ARCHIVE,
	ACTION_DIFF,
	ACTION_GATE,
	ACTION_BASELINE,
	ACTION_PROBE,
	ACTION_FORMATS,
	ACTION_VERSION,
	ACTION_HELP,
	NR_ACTIONS,
};

#define RECORDING_DEFAULT "faultprof.fp"

struct subcommand;

struct options {
	enum action action;
	const struct subcommand *subcommand; /* that the options were given to */
	pid_t *pids;			     /* owned */
	size_t nr_pids;
	const char *comm, *cgroup; /* NULL: not given */
	char *const *command;	   /* ends with NULL; NULL: none */
	double duration_s;	   /* 0: until interrupted */
	const char *output;	   /* of the report; NULL: standard output */
	const char *recording;	   /* to be written; NULL: none */
	char *const *files;	   /* recordings to be read */
	unsigned int nr_files;
	const char *debug_dir; /* where their binaries are; NULL: where they were */
	const struct sink *sink;
	const char *textfile; /* for node_exporter, over and over; NULL: one report at the end */
	double interval_s;    /* of that; 0: not given */
	unsigned int top;     /* rows a table; 0: all */
	bool sink_given;      /* false: sink is the default */
	bool top_given;	      /* false: top is the sink's own */
	uint32_t kinds;	      /* bit by enum fp_kind */
	uint32_t modes;	      /* bit by enum fp_mode */
	bool stacks, inherit;
	uint64_t slow_ns;
	enum tier tier;
	const char *providers; /* names and paths, or "none"; NULL: the default ones */
	uint64_t alloc_min;    /* bytes */
	bool alloc_given, alloc_stacks;
	struct fp_allocator *alloc_fns; /* owned, as their names are */
	size_t nr_alloc_fns;
	const char *haproxy_socket;	/* NULL: it is not asked */
	unsigned int sites, ring_bytes; /* 0: default */
	unsigned int verbose;
	struct gate_options gate;
};

/* Fills @ret. On bad usage, which it has told, returns -EINVAL; -ENOMEM. Strings are borrowed from
 * @argv. */
int options_parse(int argc, char **argv, struct options *ret);
void options_release(struct options *options);
void options_help(const struct options *options);
void options_formats(void); /* each with its help line */

#endif
