/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the value of each option may be. */
#include "options_set.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/log.h"

int set_pid(struct options *o, const char *text)
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

int set_comm(struct options *o, const char *text)
{
	return set_text("--comm", text, &o->comm);
}

int set_cgroup(struct options *o, const char *text)
{
	return set_text("--cgroup", text, &o->cgroup);
}

int set_duration(struct options *o, const char *text)
{
	char *end;

	o->duration_s = strtod(text, &end);
	if (end != text && !*end && o->duration_s > 0 && o->duration_s <= 1e9)
		return 0;
	log_error("-d wants seconds, more than 0, not '%s'", text);
	return -EINVAL;
}

int set_output(struct options *o, const char *text)
{
	return set_text("-o", text, &o->output);
}

int set_recording(struct options *o, const char *text)
{
	return set_text("-o", text, &o->recording);
}

int set_report(struct options *o, const char *text)
{
	return set_text("--report", text, &o->output);
}

int set_debug_dir(struct options *o, const char *text)
{
	return set_text("--debug-dir", text, &o->debug_dir);
}

int set_format(struct options *o, const char *text)
{
	char known[128] = "";

	if (!strcmp(text, "help")) {
		o->action = ACTION_FORMATS;
		return 0;
	}
	o->sink = sink_find(text);
	o->sink_given = true;
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
int set_textfile(struct options *o, const char *text)
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

int set_interval(struct options *o, const char *text)
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

int set_top(struct options *o, const char *text)
{
	unsigned long value;
	int r = parse_number("top", text, 1000000, &value);

	if (!r) {
		o->top = value;
		o->top_given = true;
	}
	return r;
}

int set_kinds(struct options *o, const char *text)
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

int set_mode(struct options *o, const char *text)
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

int set_no_stacks(struct options *o, const char *text)
{
	(void)text;
	o->stacks = false;
	return 0;
}

int set_no_inherit(struct options *o, const char *text)
{
	(void)text;
	o->inherit = false;
	return 0;
}

int set_slow(struct options *o, const char *text)
{
	unsigned long value;
	int r = parse_number("slow", text, 1000000000, &value);

	if (!r)
		o->slow_ns = value * 1000ULL;
	return r;
}

int set_tier(struct options *o, const char *text)
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

int set_provider(struct options *o, const char *text)
{
	return set_text("--provider", text, &o->providers);
}

int set_alloc_min(struct options *o, const char *text)
{
	unsigned long value;
	int r = parse_number("alloc-min", text, 1 << 30, &value);

	if (!r) {
		o->alloc_min = value;
		o->alloc_given = true;
	}
	return r;
}

void options_release_allocator(struct fp_allocator *allocator)
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

int set_alloc_fn(struct options *o, const char *text)
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
		options_release_allocator(&a);
		return r;
	}
	a.name = a.alloc;
	o->alloc_fns[o->nr_alloc_fns++] = a;
	return 0;
}

int set_alloc_stacks(struct options *o, const char *text)
{
	(void)text;
	o->alloc_stacks = true;
	return 0;
}

int set_haproxy_socket(struct options *o, const char *text)
{
	return set_text("--haproxy-socket", text, &o->haproxy_socket);
}

int set_sites(struct options *o, const char *text)
{
	unsigned long value;
	int r = parse_number("sites", text, 1 << 20, &value);

	if (!r)
		o->sites = value;
	return r;
}

int set_ring(struct options *o, const char *text)
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

int set_verbose(struct options *o, const char *text)
{
	(void)text;
	o->verbose++;
	return 0;
}

int set_probe(struct options *o, const char *text)
{
	(void)text;
	o->action = ACTION_PROBE;
	return 0;
}

int set_version(struct options *o, const char *text)
{
	(void)text;
	o->action = ACTION_VERSION;
	return 0;
}

int set_help(struct options *o, const char *text)
{
	(void)text;
	o->action = ACTION_HELP;
	return 0;
}
