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

int main(int argc, char **argv)
{
	struct options options;
	int r = options_parse(argc, argv, &options);

	if (r)
		return r == -EINVAL ? EX_USAGE : 1;
	log_set_verbose(options.verbose > 0);
	switch (options.action) {
	case ACTION_RUN:
		r = session_run(&options);
		break;
	case ACTION_PROBE:
		r = session_probe();
		break;
	case ACTION_FORMATS:
		options_formats();
		break;
	case ACTION_VERSION:
		printf("faultprof %s\n", FP_VERSION);
		break;
	case ACTION_HELP:
		options_help();
	}
	if (!r && options.action != ACTION_RUN)
		r = finish_stdout();
	options_release(&options);
	return r ? 1 : 0;
}
