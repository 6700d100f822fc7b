/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* One table describes every option: getopt's tables and the help are made from it. */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/log.h"

#define TEXTFILE_TOP 50

static int set_pid(struct options *o, const char *text)
{
	const char *at = text;

	do {
		unsigned long pid;
		char *end;

		errno = 0;
		pid = strtoul(at, &end, 10);
		if (*at < '0' || *at > '9' || errno || (*end && *end != ',') || !pid ||
		    pid > INT32_MAX) {
			log_error("-p wants PIDs like 123,456, not '%s'", text);
			return -EINVAL;
		}
		if (grow(&o->pids, o->nr_pids, sizeof(*o->pids)))
			return -ENOMEM;
		o->pids[o->nr_pids++] = (pid_t)pid;
		at = *end ? end + 1 : NULL;
	} while (at);
	return 0;
}

/* An empty one is a shell variable that is not set. */
static int set_text(const char *option, const char *text, const char **ret)
{
	if (!*text) {
		log_error("%s wants a value, not an empty one; see faultprof --help", option);
		return -EINVAL;
	}
	*ret = text;
	return 0;
}

static int set_comm(struct options *o, const char *text)
{
	return set_text("--comm", text, &o->comm);
}

static int set_cgroup(struct options *o, const char *text)
{
	return set_text("--cgroup", text, &o->cgroup);
}

static int set_duration(struct options *o, const char *text)
{
	char *end;

	o->duration_s = strtod(text, &end);
	if (end != text && !*end && o->duration_s > 0 && o->duration_s <= 1e9)
		return 0;
	log_error("-d wants seconds, more than 0, not '%s'", text);
	return -EINVAL;
}

static int set_output(struct options *o, const char *text)
{
	return set_text("-o", text, &o->output);
}

static int set_format(struct options *o, const char *text)
{
	char known[128] = "";

	o->sink = sink_find(text);
	if (o->sink)
		return 0;
	for (unsigned int i = 0; sink_at(i); i++) {
		size_t used = strlen(known);

		snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "",
			 sink_at(i)->name);
	}
	log_error("no format '%s'; there are %s", text, known);
	return -EINVAL;
}

/* node_exporter reads no other files. */
static int set_textfile(struct options *o, const char *text)
{
	size_t length = strlen(text);

	if (length < 6 || strcmp(text + length - 5, ".prom") || text[length - 6] == '/') {
		log_error("--textfile wants a file that ends in .prom, in node_exporter's "
			  "--collector.textfile.directory, not '%s'",
			  text);
		return -EINVAL;
	}
	o->textfile = text;
	return 0;
}

static int set_interval(struct options *o, const char *text)
{
	char *end;

	o->interval_s = strtod(text, &end);
	if (end != text && !*end && o->interval_s >= 1 && o->interval_s <= 86400)
		return 0;
	log_error("--interval wants seconds, from 1 to 86400, not '%s'", text);
	return -EINVAL;
}

static int parse_number(const char *option, const char *text, unsigned long max, unsigned long *ret)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || value > max) {
		log_error("--%s wants a number from 0 to %lu, not '%s'", option, max, text);
		return -EINVAL;
	}
	*ret = value;
	return 0;
}

static int set_top(struct options *o, const char *text)
{
	unsigned long value;
	int r = parse_number("top", text, 1000000, &value);

	if (!r) {
		o->top = value;
		o->top_given = true;
	}
	return r;
}

static int set_kinds(struct options *o, const char *text)
{
	o->kinds = 0;
	do {
		size_t length = strcspn(text, ",");
		enum fp_kind kind;
		char name[32];

		snprintf(name, sizeof(name), "%.*s", (int)length, text);
		if (kind_parse(name, &kind)) {
			char known[128] = "";

			for (int i = 0; i < FP_NR_KINDS; i++) {
				size_t used = strlen(known);

				snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "",
					 kind_name(i));
			}
			log_error("no kind '%s'; there are %s", name, known);
			return -EINVAL;
		}
		o->kinds |= 1U << kind;
		text += length;
	} while (*text++ == ',');
	return 0;
}

static int set_mode(struct options *o, const char *text)
{
	o->modes = 0;
	if (!strcmp(text, "all"))
		o->modes = 1 << FP_USER | 1 << FP_KERNEL;
	else if (!strcmp(text, mode_name(FP_USER)))
		o->modes = 1 << FP_USER;
	else if (!strcmp(text, mode_name(FP_KERNEL)))
		o->modes = 1 << FP_KERNEL;
	else
		log_error("no mode '%s'; there are user, kernel, all", text);
	return o->modes ? 0 : -EINVAL;
}

static int set_no_stacks(struct options *o, const char *text)
{
	(void)text;
	o->stacks = false;
	return 0;
}

static int set_no_inherit(struct options *o, const char *text)
{
	(void)text;
	o->inherit = false;
	return 0;
}

static int set_slow(struct options *o, const char *text)
{
	unsigned long value;
	int r = parse_number("slow", text, 1000000000, &value);

	if (!r)
		o->slow_ns = value * 1000ULL;
	return r;
}

static int set_tier(struct options *o, const char *text)
{
	for (enum tier tier = TIER_AUTO; tier < NR_TIERS; tier++) {
		if (!strcmp(text, tier_name(tier))) {
			o->tier = tier;
			return 0;
		}
	}
	log_error("no tier '%s'; there are auto, fentry, tracepoint, perf", text);
	return -EINVAL;
}

static int set_provider(struct options *o, const char *text)
{
	return set_text("--provider", text, &o->providers);
}

static int set_alloc_min(struct options *o, const char *text)
{
	unsigned long value;
	int r = parse_number("alloc-min", text, 1 << 30, &value);

	if (!r) {
		o->alloc_min = value;
		o->alloc_given = true;
	}
	return r;
}

static void release_allocator(struct fp_allocator *allocator)
{
	free((char *)allocator->alloc);
	free((char *)allocator->free);
}

/* The number of an argument that stands in a register. */
static bool parse_argument(const char *text, int *ret)
{
	if (*text < '0' || *text > '5' || text[1])
		return false;
	*ret = *text - '0';
	return true;
}

static int parse_part(const char *part, struct fp_allocator *a)
{
	const char **text = NULL;
	bool fits = true;

	if (!strncmp(part, "alloc=", 6) && part[6])
		text = &a->alloc;
	else if (!strncmp(part, "free=", 5) && part[5])
		text = &a->free;
	else if (!strncmp(part, "size=", 5))
		fits = parse_argument(part + 5, &a->size_arg);
	else if (!strncmp(part, "object=", 7))
		fits = parse_argument(part + 7, &a->free_arg);
	else
		fits = false;
	if (!fits || (text && *text))
		return -EINVAL;
	if (text)
		*text = strdup(strchr(part, '=') + 1);
	return text && !*text ? -ENOMEM : 0;
}

static int set_alloc_fn(struct options *o, const char *text)
{
	struct fp_allocator a = { .size_arg = -1, .count_arg = -1, .old_arg = -1, .tag_arg = -1 };
	char *copy = strdup(text), *save, *part;
	int r = copy ? 0 : -ENOMEM;

	for (part = r ? NULL : strtok_r(copy, ",", &save); !r && part;
	     part = strtok_r(NULL, ",", &save))
		r = parse_part(part, &a);
	free(copy);
	if (!r && (!a.alloc || !a.free || a.size_arg < 0))
		r = -EINVAL;
	if (r == -EINVAL)
		log_error("--alloc-fn wants alloc=SYMBOL,free=SYMBOL,size=N and perhaps object=N, "
			  "numbers of arguments from 0 to 5, not '%s'",
			  text);
	if (!r)
		r = grow(&o->alloc_fns, o->nr_alloc_fns, sizeof(*o->alloc_fns));
	if (r) {
		release_allocator(&a);
		return r;
	}
	a.name = a.alloc;
	o->alloc_fns[o->nr_alloc_fns++] = a;
	return 0;
}

static int set_haproxy_socket(struct options *o, const char *text)
{
	return set_text("--haproxy-socket", text, &o->haproxy_socket);
}

static int set_sites(struct options *o, const char *text)
{
	unsigned long value;
	int r = parse_number("sites", text, 1 << 20, &value);

	if (!r)
		o->sites = value;
	return r;
}

static int set_ring(struct options *o, const char *text)
{
	unsigned long kb;
	int r = parse_number("ring", text, 1 << 20, &kb);

	if (!r && kb && (kb < 4 || kb & (kb - 1))) {
		log_error("--ring wants a power of two, 4 or more, not '%s'", text);
		r = -EINVAL;
	}
	if (!r)
		o->ring_bytes = kb << 10;
	return r;
}

static int set_verbose(struct options *o, const char *text)
{
	(void)text;
	o->verbose++;
	return 0;
}

static int set_probe(struct options *o, const char *text)
{
	(void)text;
	o->action = ACTION_PROBE;
	return 0;
}

static int set_version(struct options *o, const char *text)
{
	(void)text;
	o->action = ACTION_VERSION;
	return 0;
}

static int set_help(struct options *o, const char *text)
{
	(void)text;
	o->action = ACTION_HELP;
	return 0;
}

static const struct {
	char letter; /* 0: none */
	const char *name, *argument;
	int (*set)(struct options *options, const char *text);
	const char *help;
} table[] = {
	{ 'p', "pid", "PID[,PID]", set_pid, "watch these processes, with all their threads" },
	{ 0, "comm", "NAME", set_comm, "watch all processes of this name" },
	{ 0, "cgroup", "PATH", set_cgroup, "watch all processes in this control group" },
	{ 0, "no-inherit", NULL, set_no_inherit, "do not follow the processes that they start" },
	{ 'd', "duration", "SECONDS", set_duration, "end after this time (else: until Ctrl-C)" },
	{ 'o', "output", "FILE", set_output,
	  "write the report to this file, whole, then rename it" },
	{ 0, "format", "FORMAT", set_format, "text (the default), json or folded" },
	{ 0, "textfile", "FILE.prom", set_textfile,
	  "no report: go on, and write metrics for node_exporter" },
	{ 0, "interval", "SECONDS", set_interval, "how often to write them (default 15)" },
	{ 0, "top", "N", set_top, "rows in each table; 0: all (default: text 20, others all)" },
	{ 0, "kind", "KIND[,KIND]", set_kinds, "only these: swap-in, swap-cache, file-read, …" },
	{ 0, "mode", "MODE", set_mode, "only faults in user or in kernel mode (default: all)" },
	{ 0, "no-stacks", NULL, set_no_stacks, "list functions alone, no call stacks" },
	{ 0, "slow", "USEC", set_slow,
	  "record faults that take so long one by one (default 1000)" },
	{ 0, "tier", "TIER", set_tier, "measure by fentry, tracepoint or perf (default: auto)" },
	{ 0, "provider", "NAME|FILE", set_provider,
	  "ask this one, too, whose memory it is; none: ask nobody" },
	{ 0, "alloc-min", "BYTES", set_alloc_min,
	  "ages of what malloc gives, from this size on (default 4096)" },
	{ 0, "alloc-fn", "FUNCTIONS", set_alloc_fn,
	  "and of what alloc=SYMBOL,free=SYMBOL,size=ARGUMENT give" },
	{ 0, "haproxy-socket", "PATH", set_haproxy_socket,
	  "ask HAProxy's stats socket, too; it swaps in its sessions for that" },
	{ 0, "sites", "N", set_sites, "places in the code that can be told apart (default 8192)" },
	{ 0, "ring", "KB", set_ring, "buffer for faults recorded one by one (default 4096)" },
	{ 0, "probe", NULL, set_probe, "say what this kernel and these privileges allow" },
	{ 'v', "verbose", NULL, set_verbose,
	  "say more on standard error; -vv: why BPF is refused" },
	{ 'V', "version", NULL, set_version, "print the version" },
	{ 'h', "help", NULL, set_help, "print this" },
};
#define NR (sizeof(table) / sizeof(*table))

void options_help(void)
{
	printf("Usage: faultprof [options] -p PID[,PID...] | --comm NAME | --cgroup PATH\n"
	       "       faultprof [options] -- COMMAND [ARGUMENT...]\n"
	       "Which code of a process stalls on page faults, on what kind, and for how "
	       "long.\n\n");
	for (size_t i = 0; i < NR; i++) {
		char name[40], letter[8] = "    ";

		if (table[i].letter)
			snprintf(letter, sizeof(letter), "-%c, ", table[i].letter);
		snprintf(name, sizeof(name), "%s--%s%s%s", letter, table[i].name,
			 table[i].argument ? " " : "", table[i].argument ? table[i].argument : "");
		printf("  %-26s %s\n", name, table[i].help);
	}
	printf("\nExit status: 0 done, 1 failed, 64 wrong usage. See faultprof(8).\n");
}

static int bad_option(int argc, char **argv, int c)
{
	(void)argc;
	if (c == ':')
		log_error("option %s needs a value; see faultprof --help", argv[optind - 1]);
	else if (optopt)
		log_error("unknown option -%c; see faultprof --help", optopt);
	else
		log_error("unknown option %s; see faultprof --help", argv[optind - 1]);
	return -EINVAL;
}

static int check_targets(const struct options *o, bool dashes)
{
	int given = (o->nr_pids > 0) + !!o->comm + !!o->cgroup + !!o->command;

	if (o->action != ACTION_RUN)
		return 0;
	if (!given && dashes)
		log_error("no command after --; see faultprof --help");
	else if (!given)
		log_error("what to watch? -p PID, --comm NAME, --cgroup PATH or -- COMMAND");
	else if (given > 1)
		log_error("only one of -p, --comm, --cgroup and a command; see faultprof --help");
	return given == 1 ? 0 : -EINVAL;
}

/* Is @name an element of the comma-separated @list? */
static bool has_element(const char *list, const char *name)
{
	size_t length = strlen(name);

	while (strncmp(list, name, length) || (list[length] && list[length] != ',')) {
		list = strchr(list, ',');
		if (!list)
			return false;
		list++;
	}
	return true;
}

/* What allocators give is known to one provider alone. */
static int check_providers(struct options *o)
{
	if (!o->alloc_given && !o->nr_alloc_fns)
		return 0;
	if (!o->providers)
		o->providers = "malloc";
	if (has_element(o->providers, "malloc"))
		return 0;
	log_error("--alloc-min and --alloc-fn are for the provider malloc: --provider %s,malloc",
		  o->providers);
	return -EINVAL;
}

/* There is no report at the end, and the series have to be bounded. */
static int check_textfile(struct options *o)
{
	if (!o->textfile && o->interval_s > 0)
		log_error("--interval is for --textfile");
	else if (o->textfile && o->output)
		log_error("--textfile writes no report: not with -o");
	else if (o->textfile && o->sink)
		log_error("--textfile has a format of its own: not with --format");
	else if (o->textfile && o->top_given && (!o->top || o->top > 10000))
		log_error("--textfile keeps a series of each function for ever: --top from 1 to "
			  "10000");
	else if (!o->textfile)
		return 0;
	else {
		if (!o->top_given)
			o->top = TEXTFILE_TOP;
		if (!o->interval_s)
			o->interval_s = 15;
		o->top_given = true;
		o->stacks = false;
		return 0;
	}
	return -EINVAL;
}

/* It is asked before the run, and is for one provider alone. */
static int check_socket(const struct options *o)
{
	if (!o->haproxy_socket || o->action != ACTION_RUN)
		return 0;
	if (o->command)
		log_error("--haproxy-socket is for a process that runs already: -p, --comm or "
			  "--cgroup");
	else if (o->providers && !strcmp(o->providers, "none"))
		log_error("--haproxy-socket is for the provider haproxy, not for --provider none");
	else
		return 0;
	return -EINVAL;
}

int options_parse(int argc, char **argv, struct options *ret)
{
	struct options o = {
		.kinds = (1U << FP_NR_KINDS) - 1,
		.modes = 1 << FP_USER | 1 << FP_KERNEL,
		.stacks = true,
		.inherit = true,
		.slow_ns = 1000000,
		.alloc_min = 4096,
	};
	struct option longs[NR + 1] = { 0 };
	char shorts[2 * NR + 3] = "+:";
	int c, r = 0;

	for (size_t i = 0, at = 2; i < NR; i++) {
		longs[i] = (struct option){ table[i].name, table[i].argument != NULL, NULL,
					    256 + (int)i };
		if (table[i].letter)
			shorts[at++] = table[i].letter;
		if (table[i].letter && table[i].argument)
			shorts[at++] = ':';
	}
	opterr = 0;
	while (!r && (c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		size_t i = c >= 256 ? (size_t)c - 256 : 0;

		while (c < 256 && i < NR && table[i].letter != c)
			i++;
		r = c == '?' || c == ':' ? bad_option(argc, argv, c) : table[i].set(&o, optarg);
	}
	if (!r)
		r = check_textfile(&o);
	if (!o.sink)
		o.sink = sink_find("text");
	if (!o.top_given)
		o.top = o.sink->top;
	if (!r && optind < argc)
		o.command = argv + optind;
	if (!r)
		r = check_providers(&o);
	if (!r)
		r = check_socket(&o);
	if (!r)
		r = check_targets(&o, optind > 1 && !strcmp(argv[optind - 1], "--"));
	if (r)
		options_release(&o);
	else
		*ret = o;
	return r;
}

void options_release(struct options *options)
{
	for (size_t i = 0; i < options->nr_alloc_fns; i++)
		release_allocator(&options->alloc_fns[i]);
	free(options->alloc_fns);
	free(options->pids);
	options->alloc_fns = NULL;
	options->nr_alloc_fns = 0;
	options->pids = NULL;
}
