/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* From a recording to the profile that the run had. */
#ifndef SESSION_REPLAY_H
#define SESSION_REPLAY_H

#include "collect/recording_read.h"
#include "options.h"
#include "session_keep.h"
#include "symbolize/symbolize.h"

struct replay;
/* An interval is over. A nonzero return ends the reading. */
typedef int (*replay_tick_fn)(void *arg, struct replay *replay, uint64_t time_ns);

struct replay {
	const struct options *options;
	const char *path;
	char *directory; /* in which it is; owned */
	struct recording recording;
	struct symbolizer *symbolizer;
	replay_tick_fn tick;
	void *tick_arg;
	struct keeper keeper;
	struct tally tally;
	struct allocation_tally allocations;
	struct profile profile;	    /* without names so far */
	uint64_t piece_ns;	    /* what is in the tally happened since then */
	const struct binary **used; /* in which addresses of the tally lie; those with a file that
				     * is here are open */
	size_t nr_used;
};

/* Reads the recording at @path, of the faults that @options want; @tick may be NULL. 0; 1: it was
 * cut off or is damaged, and this is what is whole of it; or -errno. It has told why, also of 1.
 * @ret is to be released in any case. */
int replay_open(struct replay *ret, const char *path, const struct options *options,
		replay_tick_fn tick, void *tick_arg);
/* Fills in used. 0 or -ENOMEM. */
int replay_find_files(struct replay *replay);
/* Names all that is in the tally, and adds it to @profile. 0 or -ENOMEM. */
int replay_resolve(struct replay *replay, struct profile *profile);
/* Seconds that the recording at @path covers; 0 when that cannot be read, which is not told. */
double replay_seconds(const char *path);

/* Gets a piece of the run, with names. A nonzero return is an error. */
typedef int (*replay_piece_fn)(void *arg, struct replay *replay, struct profile *piece);
/* Hands what is in the tally to @fn as a profile that ends at @now_ns, and forgets it: to be called
 * at a tick, or at the end. 0, -ENOMEM, or what @fn returned. */
int replay_piece(struct replay *replay, uint64_t now_ns, replay_piece_fn fn, void *arg);
/* Names all, and completes the profile. 0, or -errno after it has told why. */
int replay_complete(struct replay *replay);
void replay_release(struct replay *replay);

#endif
