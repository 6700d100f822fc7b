/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* faultprof diff: two recordings, each cut into pieces of time, side by side. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "model/comparison.h"
#include "session.h"
#include "session_profile.h"
#include "session_replay.h"

#define PIECES 24 /* of a long run; ticks do not come to the millisecond, so it may be more */
#define EARLY .9  /* a piece may be so much shorter */

struct differ {
	struct comparison *comparison;
	unsigned int side;
	double piece_s;
};

static int add_piece(void *arg, struct replay *replay, struct profile *piece)
{
	struct differ *d = arg;

	(void)replay;
	return comparison_add(d->comparison, d->side, piece, profile_seconds(piece));
}

static int on_tick(void *arg, struct replay *replay, uint64_t time_ns)
{
	struct differ *d = arg;
	unsigned int nr = d->comparison->side[d->side].nr_pieces;

	if (time_ns <= replay->piece_ns || nr >= COMPARISON_PIECES - 1 ||
	    (double)(time_ns - replay->piece_ns) / 1e9 < d->piece_s * EARLY)
		return 0;
	return replay_piece(replay, time_ns, add_piece, d);
}

/* Pieces of a second, or so many of them that they are longer: faults that come in bursts of
 * seconds are not independent in shorter ones. What cannot be read is told later. */
static double piece_seconds(const char *path)
{
	double seconds = replay_seconds(path) / PIECES;

	return seconds > 1 ? seconds : 1;
}

static int add_side(struct comparison *comparison, unsigned int side, const char *path,
		    const struct options *options)
{
	struct differ d = { .comparison = comparison, .side = side };
	struct replay replay;
	int r, state;

	d.piece_s = piece_seconds(path);
	state = replay_open(&replay, path, options, on_tick, &d);
	r = state < 0 ? state : 0;
	/* What is left is a piece, too. */
	if (!r && replay.profile.end_ns > replay.piece_ns) {
		r = replay_piece(&replay, replay.profile.end_ns, add_piece, &d);
		if (r)
			log_error("cannot compare %s: %s", path, strerror(-r));
	}
	comparison->side[side].name = path;
	comparison->side[side].lost = losses_that_count(replay.recording.counts.lost);
	replay_release(&replay);
	return r ? r : state;
}

int session_diff(const struct options *options)
{
	struct comparison comparison;
	struct output output;
	int r = output_open(&output, options->output), state = 0;

	if (r) {
		log_error("cannot write %s: %s", options->output, strerror(-r));
		return r;
	}
	r = comparison_init(&comparison);
	for (unsigned int i = 0; r >= 0 && i < 2; i++) {
		r = add_side(&comparison, i, options->files[i], options);
		state = r > 0 ? r : state;
	}
	if (r >= 0) {
		comparison_finish(&comparison);
		r = diff_print(&comparison, options, &output);
	}
	output_abort(&output);
	comparison_release(&comparison);
	return r ? r : state;
}
