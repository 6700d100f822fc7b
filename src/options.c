/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Two tables describe the command line, subcommands and options: getopt's tables and the help are
 * made from them. */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "options_check.h"
#include "options_set.h"

#define MAX_RUNS 10000 /* recordings at a time */

static const struct subcommand {
	const char *name; /* "": none was given */
	const char *full; /* as it is typed, maybe with a word more */
	enum action action;
	const char *operands; /* as usage has it; NULL: a command to be run, after "--" */
	/* Of a command, @max_operands: so many files may stand for it, without "--". */
	unsigned int min_operands, max_operands;
	int (*check)(struct options *options, bool dashes); /* NULL: nothing to check */
	const char *help;
} subcommands[] = {
	{ "", "faultprof", ACTION_RUN, NULL, 0, 0, options_check_run,
	  "Which code of a process stalls on page faults, on what kind, and for how long." },
	{ "record", "faultprof record", ACTION_RECORD, NULL, 0, 0, options_check_record,
	  "Keep a run in a file, to be reported later or elsewhere." },
	{ "gate", "faultprof gate", ACTION_GATE, NULL, 0, MAX_RUNS, options_check_gate,
	  "Fail when faults are more than a baseline, or a budget, allows." },
	{ "baseline", "faultprof baseline update", ACTION_BASELINE, NULL, 0, MAX_RUNS,
	  options_check_baseline, "Make a baseline for the gate, or add runs to it." },
	{ "report", "faultprof report", ACTION_REPORT, "[RECORDING]", 0, 1, options_check_report,
	  "Print of a recording what the run would have printed." },
	{ "archive", "faultprof archive", ACTION_ARCHIVE, "[RECORDING]", 0, 1, NULL,
	  "Pack a recording with the files that name its faults." },
	{ "diff", "faultprof diff", ACTION_DIFF, "RECORDING RECORDING", 2, 2, options_check_diff,
	  "Compare how often the faults of two recordings came." },
};
#define NR_SUBCOMMANDS (sizeof(subcommands) / sizeof(*subcommands))

/* Who takes an option, a bit for each action. */
#define BARE (1U << ACTION_RUN)
#define RECORD (1U << ACTION_RECORD)
#define REPORT (1U << ACTION_REPORT)
#define ARCHIVE (1U << ACTION_ARCHIVE)
#define DIFF (1U << ACTION_DIFF)
#define GATE (1U << ACTION_GATE)
#define BASELINE (1U << ACTION_BASELINE)
#define GATES (GATE | BASELINE)
#define READS (REPORT | ARCHIVE | DIFF | GATES) /* those that read recordings */
#define REPORTS (BARE | RECORD)			/* those that watch processes for a report */
#define MEASURES (REPORTS | GATES)
#define PRINTS (REPORTS | REPORT | DIFF)
#define ALL UINT_MAX

/* Rows of one name are for different subcommands. */
static const struct {
	unsigned int of; /* the subcommands that take it */
	char letter;	 /* 0: none */
	const char *name, *argument;
	int (*set)(struct options *options, const char *text);
	const char *help;
} table[] = {
	{ MEASURES, 'p', "pid", "PID[,PID]", set_pid,
	  "watch these processes, with all their threads" },
	{ MEASURES, 0, "comm", "NAME", set_comm, "watch all processes of this name" },
	{ MEASURES, 0, "cgroup", "PATH", set_cgroup, "watch all processes in this control group" },
	{ MEASURES, 0, "no-inherit", NULL, set_no_inherit,
	  "do not follow the processes that they start" },
	{ MEASURES, 'd', "duration", "SECONDS", set_duration,
	  "end after this time (else: until Ctrl-C)" },
	{ BARE | REPORT | DIFF, 'o', "output", "FILE", set_output,
	  "write the report to this file, whole, then rename it" },
	{ RECORD, 'o', "output", "FILE", set_recording,
	  "write the recording to this file (default " RECORDING_DEFAULT ")" },
	{ RECORD, 0, "report", "FILE", set_report, "write a report as well, to this file" },
	{ ARCHIVE, 'o', "output", "FILE", set_output,
	  "write this file, packed as its name says (default: RECORDING.tar.gz)" },
	{ READS, 0, "debug-dir", "DIRECTORY", set_debug_dir,
	  "look there, too, for the files that were recorded, by build ID" },
	{ PRINTS, 0, "format", "FORMAT", set_format,
	  "of the report; help lists them (default: text)" },
	{ BARE, 0, "textfile", "FILE.prom", set_textfile,
	  "no report: go on, and write metrics for node_exporter" },
	{ BARE, 0, "interval", "SECONDS", set_interval, "how often to write them (default 15)" },
	{ PRINTS, 0, "top", "N", set_top,
	  "rows in each table; 0: all (default: text 20, others all)" },
	{ PRINTS | GATES, 0, "kind", "KIND[,KIND]", set_kinds,
	  "only these: swap-in, swap-cache, file-read, …" },
	{ PRINTS | GATES, 0, "mode", "MODE", set_mode,
	  "only faults in user or in kernel mode (default: all)" },
	{ PRINTS & ~DIFF, 0, "no-stacks", NULL, set_no_stacks,
	  "list functions alone, no call stacks" },
	{ REPORTS, 0, "slow", "USEC", set_slow,
	  "record faults that take so long one by one (default 1000)" },
	{ MEASURES, 0, "tier", "TIER", set_tier,
	  "measure by fentry, tracepoint or perf (default: auto)" },
	{ REPORTS, 0, "provider", "NAME|FILE", set_provider,
	  "ask this one, too, whose memory it is; none: ask nobody" },
	{ REPORTS, 0, "alloc-min", "BYTES", set_alloc_min,
	  "ages of what malloc gives, from this size on (default 4096)" },
	{ REPORTS, 0, "alloc-fn", "FUNCTIONS", set_alloc_fn,
	  "and of what alloc=SYMBOL,free=SYMBOL,size=ARGUMENT give" },
	{ REPORTS, 0, "alloc-stacks", NULL, set_alloc_stacks, "and who allocated what faults hit" },
	{ REPORTS, 0, "haproxy-socket", "PATH", set_haproxy_socket,
	  "ask HAProxy's stats socket, too; it swaps in its sessions for that" },
	{ MEASURES, 0, "sites", "N", set_sites,
	  "places in the code that can be told apart (default 8192)" },
	{ MEASURES, 0, "ring", "KB", set_ring,
	  "buffer for faults recorded one by one (default 4096)" },
	{ GATES, 0, "baseline", "FILE", set_baseline, "what is usual" },
	{ GATES, 0, "repeat", "N", set_repeat, "runs (default 5)" },
	{ BASELINE, 0, "keep", "N", set_keep, "keep the last N runs (default 50)" },
	{ GATES, 0, "work", "N", set_work, "faults per unit, not per second: a run does N units" },
	{ GATES, 0, "work-from", "FILE", set_work_from,
	  "or as many as the run writes to this file" },
	{ GATES, 0, "per-request", NULL, set_per_request, "or as many requests as HAProxy had" },
	{ GATES, 0, "haproxy-socket", "PATH", set_haproxy_socket, "its stats socket, for that" },
	{ GATE, 0, "budget", "SERIES=N", set_budget,
	  "so many a run, or with /s, /work: major=0, swap-in:FUNCTION=5/s" },
	{ GATE, 0, "max-ratio", "RATIO", set_max_ratio,
	  "how many times the baseline's rate is allowed (default 1.1)" },
	{ GATE, 0, "min-rise", "FAULTS", set_min_rise, "and how many more a second (default 1)" },
	{ GATE, 0, "level", "P", set_level, "how likely a false alarm may be (default 0.01)" },
	{ GATE, 0, "by", "LEVEL[,LEVEL]", set_by,
	  "compare total,major,kind,symbol (default: kind,symbol)" },
	{ GATE, 0, "series", "SERIES", set_series, "compare only this: swap-in, swap-in:FUNCTION" },
	{ GATE, 0, "confirm", NULL, set_confirm, "run again what seems to have risen" },
	{ GATE, 0, "report", "KIND=FILE", set_gate_report,
	  "also as github, summary, gitlab, junit or json; - is standard output" },
	{ BARE, 0, "probe", NULL, set_probe, "say what this kernel and these privileges allow" },
	{ ALL, 'v', "verbose", NULL, set_verbose,
	  "say more on standard error; -vv: why BPF is refused" },
	{ BARE, 'V', "version", NULL, set_version, "print the version" },
	{ ALL, 'h', "help", NULL, set_help, "print this" },
};
#define NR (sizeof(table) / sizeof(*table))

static bool takes(const struct subcommand *subcommand, size_t row)
{
	return table[row].of >> subcommand->action & 1;
}

static void put_usage(const struct subcommand *subcommand)
{
	const char *name = subcommand->full;

	if (subcommand->operands)
		printf("Usage: %s [options] %s\n", name, subcommand->operands);
	else if (subcommand->max_operands)
		printf("Usage: %s [options] -- COMMAND [ARGUMENT...]\n"
		       "       %s [options] -p PID[,PID...]|--comm NAME|--cgroup PATH -d SECONDS\n"
		       "       %s [options] -p PID[,PID...]|--comm NAME|--cgroup PATH -- LOAD\n"
		       "       %s [options] RECORDING...\n",
		       name, name, name, name);
	else
		printf("Usage: %s [options] -p PID[,PID...] | --comm NAME | --cgroup PATH\n"
		       "       %s [options] -- COMMAND [ARGUMENT...]\n",
		       name, name);
	if (!*subcommand->name)
		puts("       faultprof SUBCOMMAND [options] ...");
	printf("%s\n\n", subcommand->help);
}

void options_help(const struct options *options)
{
	const struct subcommand *subcommand = options->subcommand;

	put_usage(subcommand);
	for (size_t i = 0; i < NR; i++) {
		char name[40], letter[8] = "    ";

		if (!takes(subcommand, i))
			continue;
		if (table[i].letter)
			snprintf(letter, sizeof(letter), "-%c, ", table[i].letter);
		snprintf(name, sizeof(name), "%s--%s%s%s", letter, table[i].name,
			 table[i].argument ? " " : "", table[i].argument ? table[i].argument : "");
		printf("  %-26s %s\n", name, table[i].help);
	}
	if (!*subcommand->name) {
		puts("\nSubcommands (faultprof SUBCOMMAND --help says more):");
		for (size_t i = 1; i < NR_SUBCOMMANDS; i++)
			printf("  %-26s %s\n", subcommands[i].name, subcommands[i].help);
	}
	if (subcommand->action == ACTION_GATE)
		puts("\nExit status: 0 passed, 2 regression, 3 no verdict, 1 failed, 64 wrong "
		     "usage. "
		     "See faultprof(8).");
	else
		puts("\nExit status: 0 done, 1 failed, 64 wrong usage. See faultprof(8).");
}

void options_formats(void)
{
	const struct sink *sink;

	for (unsigned int i = 0; (sink = sink_at(i)); i++)
		printf("%-12s %s\n", sink->name, sink->help);
}

/* ---- parsing ---- */

/* NULL: there is none of that name. */
static const struct subcommand *find_subcommand(const char *name)
{
	for (size_t i = 1; i < NR_SUBCOMMANDS; i++)
		if (!strcmp(subcommands[i].name, name))
			return &subcommands[i];
	return NULL;
}

/* A word that is no option, in front of all options, is a subcommand; some want a second one. */
static int choose_subcommand(int argc, char **argv, const struct subcommand **ret, int *words)
{
	const struct subcommand *found;
	const char *verb;

	*words = 0;
	*ret = &subcommands[0];
	if (argc < 2 || *argv[1] == '-')
		return 0;
	found = find_subcommand(argv[1]);
	if (!found) {
		log_error("no subcommand '%s'; see faultprof --help, and to run a command, put -- "
			  "before it",
			  argv[1]);
		return -EINVAL;
	}
	verb = strstr(found->full, found->name) + strlen(found->name);
	*words = *verb && argc > 2 && !strcmp(argv[2], verb + 1) ? 2 : 1;
	if (*verb && *words == 1 && (argc < 3 || *argv[2] != '-')) {
		log_error("what about the %s? %s it has to be", found->name, found->full);
		return -EINVAL;
	}
	*ret = found;
	return 0;
}

/* getopt stops at an option that it does not know: do others? @name: of a long one, with its
 * dashes; @letter: 0, or a short one. */
static bool is_of_others(const char *name, int letter)
{
	size_t length = strcspn(name, "=");

	for (size_t i = 0; i < NR; i++) {
		if (letter ? table[i].letter == letter
			   : length == strlen(table[i].name) + 2 &&
				     !strncmp(table[i].name, name + 2, length - 2))
			return true;
	}
	return false;
}

static int bad_option(const struct subcommand *subcommand, const char *word, int c)
{
	const char letter[] = { '-', (char)optopt, 0 };
	const char *name = optopt && c == '?' ? letter : word;

	if (c == ':')
		log_error("option %s needs a value; see %s --help", name, subcommand->full);
	else if (is_of_others(name, optopt))
		log_error("%s takes no %.*s; see %s --help", subcommand->full,
			  (int)strcspn(name, "="), name, subcommand->full);
	else
		log_error("unknown option %s; see %s --help", name, subcommand->full);
	return -EINVAL;
}

/* Takes the options off @argv, of which the first word is nobody's. */
static int parse_options(int argc, char **argv, const struct subcommand *subcommand,
			 struct options *o)
{
	struct option longs[NR + 1] = { 0 };
	/* What follows a command's name is the command's; files may stand among the options. */
	char shorts[2 * NR + 3] = "+:", *at = shorts + 2;
	size_t nr = 0;
	int c, r = 0;

	if (subcommand->operands)
		at = stpcpy(shorts, ":");
	for (size_t i = 0; i < NR; i++) {
		if (!takes(subcommand, i))
			continue;
		longs[nr++] = (struct option){ table[i].name, table[i].argument != NULL, NULL,
					       256 + (int)i };
		if (table[i].letter)
			*at++ = table[i].letter;
		if (table[i].letter && table[i].argument)
			*at++ = ':';
	}
	*at = 0;
	opterr = optind = 0;
	while (!r && (c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		size_t i = c >= 256 ? (size_t)c - 256 : 0;

		while (c < 256 && i < NR && (table[i].letter != c || !takes(subcommand, i)))
			i++;
		r = c == '?' || c == ':' ? bad_option(subcommand, argv[optind - 1], c)
					 : table[i].set(o, optarg);
	}
	return r;
}

/* What is behind the options: a command to be run, or files. */
static int take_operands(const struct subcommand *subcommand, char *const *words, unsigned int nr,
			 bool dashes, struct options *o)
{
	bool files = subcommand->operands || (subcommand->max_operands && !dashes);

	if (!files) {
		o->command = nr ? words : NULL;
		if (nr && *words[0] && find_subcommand(words[0]) && !dashes) {
			log_error("a subcommand comes first: faultprof %s [options]", words[0]);
			return -EINVAL;
		}
		return 0;
	}
	if (nr < subcommand->min_operands || nr > subcommand->max_operands) {
		log_error("%s takes %s after its options; see %s --help", subcommand->full,
			  subcommand->operands ? subcommand->operands : "fewer recordings",
			  subcommand->full);
		return -EINVAL;
	}
	o->files = words;
	o->nr_files = nr;
	return 0;
}

int options_parse(int argc, char **argv, struct options *ret)
{
	const struct subcommand *subcommand;
	struct options o = {
		.sink = sink_find("text"),
		.kinds = (1U << FP_NR_KINDS) - 1,
		.modes = 1 << FP_USER | 1 << FP_KERNEL,
		.stacks = true,
		.inherit = true,
		.slow_ns = 1000000,
		.alloc_min = 4096,
		.gate = GATE_DEFAULTS,
	};
	int skip, r = choose_subcommand(argc, argv, &subcommand, &skip);
	bool dashes;

	if (r)
		return r;
	o.subcommand = subcommand;
	o.action = subcommand->action;
	argc -= skip;
	argv += skip;
	r = parse_options(argc, argv, subcommand, &o);
	dashes = !r && optind > 1 && !strcmp(argv[optind - 1], "--");
	if (!r && !o.top_given)
		o.top = o.sink->top;
	if (!r && o.action == subcommand->action) {
		r = take_operands(subcommand, argv + optind, argc - optind, dashes, &o);
		if (!r && subcommand->check)
			r = subcommand->check(&o, dashes);
	}
	if (r)
		options_release(&o);
	else
		*ret = o;
	return r;
}

void options_release(struct options *options)
{
	for (size_t i = 0; i < options->nr_alloc_fns; i++)
		options_release_allocator(&options->alloc_fns[i]);
	gate_options_release(&options->gate);
	free(options->alloc_fns);
	free(options->pids);
	options->alloc_fns = NULL;
	options->nr_alloc_fns = 0;
	options->pids = NULL;
}
