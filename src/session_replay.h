/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* From a recording to the profile that the run had. */
#ifndef SESSION_REPLAY_H
#define SESSION_REPLAY_H

#include "collect/recording_read.h"
#include "options.h"
#include "session_keep.h"
#include "symbolize/symbolize.h"

/* A part of a run; all zeros: all of it. */
struct replay_window {
	uint64_t from_ns, to_ns; /* CLOCK_MONOTONIC; whole intervals of the recording */
};

struct replay {
	const struct options *options;
	const char *path;
	struct recording recording;
	struct symbolizer *symbolizer;
	struct replay_window window;
	uint64_t told_ns;    /* up to here, all was told */
	uint64_t covered_ns; /* of that, in the window */
	struct keeper keeper;
	struct tally tally;
	struct profile profile; /* complete; private until then */
};

/* Reads the recording at @path, of the faults that @options want. 0; 1: it was cut off or is
 * damaged, and the profile is of what is whole; or -errno. It has told why, also of 1. @ret is to
 * be released in any case. */
int replay_read(struct replay *ret, const char *path, const struct options *options);
/* Only what happened in @window, without a word on what is not whole. */
int replay_read_part(struct replay *ret, const char *path, const struct options *options,
		     const struct replay_window *window);
void replay_release(struct replay *replay);

#endif
