/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What options say together. */
#include "options_check.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define TEXTFILE_INTERVAL_S 15
#define TEXTFILE_TOP 50
#define TEXTFILE_TOP_MAX 10000

int options_check_targets(const struct options *o, bool dashes)
{
	bool command = o->command && !o->gate.load;
	int given = (o->nr_pids > 0) + !!o->comm + !!o->cgroup + command;

	if (!given && dashes)
		log_error("no command after --; see faultprof --help");
	else if (!given)
		log_error("what to watch? -p PID, --comm NAME, --cgroup PATH or -- COMMAND");
	else if (given > 1)
		log_error("only one of -p, --comm, --cgroup and a command; see faultprof --help");
	return given == 1 ? 0 : -EINVAL;
}

/* Told now, not at the end of a run. */
static int check_output(const struct options *o)
{
	if (o->output || !o->sink->binary || !isatty(STDOUT_FILENO))
		return 0;
	log_error("--format %s is nothing for a terminal: -o FILE, or a pipe", o->sink->name);
	return -EINVAL;
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
	if (!o->alloc_given && !o->nr_alloc_fns && !o->alloc_stacks)
		return 0;
	if (!o->providers)
		o->providers = "malloc";
	if (has_element(o->providers, "malloc"))
		return 0;
	log_error("--alloc-min, --alloc-fn and --alloc-stacks are for the provider malloc: "
		  "--provider %s,malloc",
		  o->providers);
	return -EINVAL;
}

/* It is asked before the run, and is for one provider alone. */
static int check_socket(const struct options *o)
{
	if (!o->haproxy_socket)
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

/* There is no report at the end, and the series have to be bounded. */
static int check_textfile(struct options *o)
{
	if (!o->textfile) {
		if (!o->interval_s)
			return 0;
		log_error("--interval is for --textfile");
		return -EINVAL;
	}
	if (!o->interval_s)
		o->interval_s = TEXTFILE_INTERVAL_S;
	if (!o->top_given)
		o->top = TEXTFILE_TOP;
	o->stacks = false;
	if (o->output)
		log_error("--textfile writes no report: not with -o");
	else if (o->sink_given)
		log_error("--textfile has a format of its own: not with --format");
	else if (o->alloc_stacks)
		log_error("--textfile has no stacks: not with --alloc-stacks");
	else if (!o->top || o->top > TEXTFILE_TOP_MAX)
		log_error("--textfile keeps the series of a function for ever: --top from 1 to %d",
			  TEXTFILE_TOP_MAX);
	else
		return 0;
	return -EINVAL;
}

int options_check_run(struct options *o, bool dashes)
{
	int r = check_providers(o);

	if (!r)
		r = check_textfile(o);
	if (!r)
		r = check_socket(o);
	if (!r && !o->recording)
		r = check_output(o);
	return r ? r : options_check_targets(o, dashes);
}

int options_check_report(struct options *o, bool dashes)
{
	(void)dashes;
	return check_output(o);
}

int options_check_record(struct options *o, bool dashes)
{
	if (!o->recording)
		o->recording = RECORDING_DEFAULT;
	if (o->output && !strcmp(o->output, o->recording)) {
		log_error("the report would take the place of the recording, %s; give it another "
			  "name",
			  o->output);
		return -EINVAL;
	}
	if (!o->output && (o->sink_given || o->top_given)) {
		log_error("--format and --top are for a report: --report FILE writes one, too");
		return -EINVAL;
	}
	return options_check_run(o, dashes);
}

int options_check_diff(struct options *o, bool dashes)
{
	(void)dashes;
	if (o->sink->compare)
		return 0;
	log_error("faultprof diff has no format '%s'; there are text, json", o->sink->name);
	return -EINVAL;
}
