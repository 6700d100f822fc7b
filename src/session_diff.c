/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* faultprof diff: two recordings, each cut into pieces of time, side by side. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "model/comparison.h"
#include "session.h"
#include "session_profile.h"
#include "session_replay.h"
#include "symbolize/resolve.h"

#define PIECES 24 /* of a long run; ticks do not come to the millisecond, so it may be more */
#define EARLY .9  /* a piece may be so much shorter */

struct differ {
	struct comparison *comparison;
	unsigned int side;
	double piece_s;
	uint64_t begin_ns; /* of the piece */
};

static int end_piece(struct differ *d, struct replay *replay, uint64_t now_ns)
{
	struct profile piece;
	int r = profile_init(&piece);

	if (r)
		return r;
	r = replay_resolve(replay, &piece);
	if (!r)
		r = comparison_add(d->comparison, d->side, &piece,
				   (double)(now_ns - d->begin_ns) / 1e9);
	profile_release(&piece);
	tally_release(&replay->tally);
	d->begin_ns = now_ns;
	return r;
}

static int on_tick(void *arg, struct replay *replay, uint64_t time_ns)
{
	struct differ *d = arg;
	unsigned int nr = d->comparison->side[d->side].nr_pieces;

	if (!d->begin_ns)
		d->begin_ns = replay->profile.begin_ns;
	if (time_ns <= d->begin_ns || nr >= COMPARISON_PIECES - 1 ||
	    (double)(time_ns - d->begin_ns) / 1e9 < d->piece_s * EARLY)
		return 0;
	return end_piece(d, replay, time_ns);
}

/* Pieces of a second, or so many of them that they are longer: faults that come in bursts of
 * seconds are not independent in shorter ones. What cannot be read is told later. */
static double piece_seconds(const char *path)
{
	const struct recording_visitor nobody = { 0 };
	struct recording recording;
	double seconds = 1;

	if (!recording_read(path, &nobody, &recording) && recording.end_ns > recording.run.begin_ns)
		seconds = (double)(recording.end_ns - recording.run.begin_ns) / 1e9 / PIECES;
	recording_release(&recording);
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
	if (!d.begin_ns)
		d.begin_ns = replay.profile.begin_ns;
	if (!r && replay.profile.end_ns > d.begin_ns) {
		r = end_piece(&d, &replay, replay.profile.end_ns);
		if (r)
			log_error("cannot compare %s: %s", path, strerror(-r));
	}
	comparison->side[side].name = path;
	for (unsigned int i = 0; i < FP_NR_LOSSES; i++)
		comparison->side[side].lost += loss_counts(i) ? replay.recording.counts.lost[i] : 0;
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
