/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The report of a recording: its faults go where those of a run go, and come out the same. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "session.h"
#include "session_profile.h"
#include "session_replay.h"

int session_report(const struct options *options)
{
	struct options how = *options;
	struct output output;
	struct replay replay;
	int r = output_open(&output, options->output), state;

	if (r) {
		log_error("cannot write %s: %s", options->output, strerror(-r));
		return r;
	}
	state = replay_open(&replay, options->nr_files ? options->files[0] : RECORDING_DEFAULT,
			    options, NULL, NULL);
	r = state < 0 ? state : replay_complete(&replay);
	how.stacks = replay.keeper.stacks;
	if (!r)
		r = profile_print(&replay.profile, &how, &output);
	output_abort(&output);
	replay_release(&replay);
	return r ? r : state;
}
