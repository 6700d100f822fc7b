/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <errno.h>
#include <stdio.h>
#include <sysexits.h>

#include "base/log.h"
#include "session.h"

static int finish_stdout(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return 0;
	if (errno != EPIPE)
		log_error("cannot write to standard output: %m");
	return -EIO;
}

static int print_version(const struct options *options)
{
	(void)options;
	printf("faultprof %s\n", FP_VERSION);
	return 0;
}

static int print_formats(const struct options *options)
{
	(void)options;
	options_formats();
	return 0;
}

static int print_help(const struct options *options)
{
	options_help(options);
	return 0;
}

/* What they print themselves, to @stdout at once, has to get there. */
static const struct {
	int (*act)(const struct options *options); /* an exit status, or -errno; it told why */
	bool prints;
} actions[NR_ACTIONS] = {
	/* clang-format off */
	[ACTION_RUN] = { session_run, false },
	[ACTION_RECORD] = { session_run, false },
	[ACTION_REPORT] = { session_report, false },
	[ACTION_ARCHIVE] = { session_archive, false },
	[ACTION_DIFF] = { session_diff, false },
	[ACTION_GATE] = { session_gate, true },
	[ACTION_BASELINE] = { session_baseline, true },
	[ACTION_PROBE] = { session_probe, true },
	[ACTION_FORMATS] = { print_formats, true },
	[ACTION_VERSION] = { print_version, true },
	[ACTION_HELP] = { print_help, true },
	/* clang-format on */
};

int main(int argc, char **argv)
{
	struct options options;
	int r = options_parse(argc, argv, &options);

	if (r)
		return r == -EINVAL ? EX_USAGE : 1;
	log_set_verbose(options.verbose > 0);
	r = actions[options.action].act(&options);
	if (!r && actions[options.action].prints)
		r = finish_stdout();
	options_release(&options);
	return r < 0 ? 1 : r;
}
