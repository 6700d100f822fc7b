/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "session_replay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/grow.h"
#include "base/log.h"
#include "session_profile.h"
#include "symbolize/resolve.h"

#define MAX_GROUPS (1U << 19) /* of faults: bounds what a recording can cost */
#define MISSING_LISTED 8      /* binaries whose file is not here */

static void tell_origin(const struct replay *replay, const struct recording_run *run)
{
	time_t seconds = (time_t)(run->begin_date_ns / 1000000000ULL);
	char date[32] = "at an unknown time";
	struct tm utc;

	if (run->begin_date_ns && gmtime_r(&seconds, &utc))
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &utc);
	log_info("%s: recorded by faultprof %s on %s, %s %s %s, %s", replay->path, run->version,
		 run->node, run->system, run->release, run->machine, date);
}

static int on_run(void *arg, const struct recording_run *run)
{
	struct replay *replay = arg;
	const struct options *o = replay->options;

	tell_origin(replay, run);
	replay->profile.begin_ns = replay->piece_ns = run->begin_ns;
	replay->profile.begin_date_ns = run->begin_date_ns;
	replay->keeper = (struct keeper){
		.kinds = o->kinds & run->kinds,
		.modes = o->modes & run->modes,
		.stacks = o->stacks && run->stacks,
		.slow_ns = run->slow_ns,
		.tally = &replay->tally,
		.profile = &replay->profile,
		.allocations = &replay->allocations,
	};
	replay->allocations.wanted = run->alloc_stacks;
	return replay->keeper.kinds && replay->keeper.modes ? 0 : -ENOMSG;
}

static int on_fault(void *arg, const struct fault *fault, const struct object_answer *answer)
{
	struct replay *replay = arg;

	if (!keeper_wants(&replay->keeper, fault))
		return 0;
	return HASH_COUNT(replay->tally.first) + HASH_COUNT(replay->allocations.stacks.first) <
			       MAX_GROUPS
		       ? keeper_add(&replay->keeper, fault, answer)
		       : -EFBIG;
}

static int on_live(void *arg, uint32_t pid, const char *provider, const struct fp_object *object,
		   uint64_t now_ns, uint64_t present_bytes, uint64_t swapped_bytes)
{
	struct replay *replay = arg;

	return profile_add_live_object(&replay->profile, pid, provider, object, now_ns,
				       present_bytes, swapped_bytes);
}

static int on_target(void *arg, uint32_t pid, const char *comm, const char *exe,
		     unsigned int threads)
{
	struct replay *replay = arg;

	return profile_add_target(&replay->profile, pid, comm, exe, NULL, threads);
}

static int on_provider(void *arg, uint32_t pid, const char *provider)
{
	struct replay *replay = arg;

	return profile_set_provider(&replay->profile, pid, provider);
}

static int on_warning(void *arg, const char *text)
{
	struct replay *replay = arg;

	return profile_warn(&replay->profile, "%s", text);
}

static int on_tick(void *arg, uint64_t time_ns, const struct collect_counts *counts)
{
	struct replay *replay = arg;

	(void)counts;
	return replay->tick ? replay->tick(replay->tick_arg, replay, time_ns) : 0;
}

/* ---- what cannot be read ---- */

static int tell(const struct replay *replay, int r)
{
	switch (-r) {
	case 0:
		break;
	case EBADMSG:
		log_error("%s is no recording of faultprof, or not even its beginning is whole",
			  replay->path);
		break;
	case ENOTSUP:
		log_error("%s is of version %u of the format, and this faultprof knows %u: read it "
			  "with a newer one",
			  replay->path, replay->recording.version, RECORDING_VERSION);
		break;
	case ENOEXEC:
		log_error(
			"%s was recorded on another kind of machine; this faultprof is for x86-64",
			replay->path);
		break;
	case EFBIG:
		log_error("%s would take more memory than a report is worth: it was not made by a "
			  "run, or by one that has to be cut into shorter ones",
			  replay->path);
		break;
	case ENOMSG:
		log_error("%s has no faults of that kind or mode: others were recorded",
			  replay->path);
		break;
	default:
		log_error("cannot read %s: %s", replay->path, strerror(-r));
	}
	return r;
}

/* 0; 1: it should have had an end. */
static int tell_end(struct replay *replay)
{
	const struct recording *recording = &replay->recording;
	double seconds = profile_seconds(&replay->profile);

	switch (recording->state) {
	case RECORDING_WHOLE:
		return 0;
	case RECORDING_GROWING:
		profile_warn(&replay->profile, "what comes after %.1f s: it is being recorded",
			     seconds);
		return 0;
	case RECORDING_CUT:
		profile_warn(&replay->profile, "what came after %.1f s: the recording was cut off",
			     seconds);
		log_error("%s was cut off: this is what it has of the first %.1f s", replay->path,
			  seconds);
		break;
	case RECORDING_DAMAGED:
		profile_warn(&replay->profile, "what came after %.1f s: the recording is damaged",
			     seconds);
		log_error("%s is damaged behind byte %llu: this is what it has of the first %.1f s",
			  replay->path, (unsigned long long)recording->whole_bytes, seconds);
	}
	return 1;
}

/* ---- the files of its binaries ---- */

static bool is_used(const struct replay *replay, const struct binary *binary)
{
	for (size_t i = 0; i < replay->nr_used; i++)
		if (replay->used[i] == binary)
			return true;
	return false;
}

static int use_address(struct replay *replay, const struct tally_entry *entry, unsigned int at)
{
	uint64_t ip = entry->key.ip[at];
	const struct region *region =
		ip ? image_find(entry->key.image, ip - (at > 0), entry->time_ns) : NULL;
	const struct binary *binary = region ? region->binary : NULL;

	if (!binary || binary->path[0] == '[' || is_used(replay, binary))
		return 0;
	if (grow(&replay->used, replay->nr_used, sizeof(binary)))
		return -ENOMEM;
	replay->used[replay->nr_used++] = binary;
	return 0;
}

static const char *debug_dir(const struct replay *replay)
{
	return replay->options->debug_dir ? replay->options->debug_dir : replay->directory;
}

static void open_files(struct replay *replay)
{
	for (struct binary *binary = replay->recording.binaries.first; binary;
	     binary = binary->next)
		if (binary->fd < 0)
			symbolizer_find(binary, debug_dir(replay));
}

static int use_addresses(struct replay *replay, const struct tally *tally)
{
	int r = 0;

	for (const struct tally_entry *entry = tally->first; entry; entry = entry->hh.next)
		for (unsigned int i = 0; !r && i < entry->key.nr_ips; i++)
			r = use_address(replay, entry, i);
	return r;
}

int replay_find_files(struct replay *replay)
{
	int r;

	open_files(replay);
	r = use_addresses(replay, &replay->tally);
	return r ? r : use_addresses(replay, &replay->allocations.stacks);
}

/* What could not be read when it was recorded either is not missed. */
static int warn_missing(struct replay *replay)
{
	unsigned int told = 0;
	int r = 0;

	for (size_t i = 0; !r && i < replay->nr_used; i++) {
		const struct binary *binary = replay->used[i];

		if (binary->fd >= 0 || !(binary->build_id || binary->size) ||
		    told++ >= MISSING_LISTED)
			continue;
		r = profile_warn(&replay->profile,
				 "names of code in %s: its file is not here (build ID %s); "
				 "--debug-dir says where it is",
				 binary->path, binary->build_id ? binary->build_id : "none");
	}
	return r;
}

int replay_resolve(struct replay *replay, struct profile *profile)
{
	open_files(replay);
	return resolve_tally(replay->symbolizer, &replay->tally, profile);
}

double replay_seconds(const char *path)
{
	const struct recording_visitor nobody = { 0 };
	struct recording recording;
	double seconds = 0;

	if (!recording_read(path, &nobody, &recording) && recording.end_ns > recording.run.begin_ns)
		seconds = (double)(recording.end_ns - recording.run.begin_ns) / 1e9;
	recording_release(&recording);
	return seconds;
}

int replay_piece(struct replay *replay, uint64_t now_ns, replay_piece_fn fn, void *arg)
{
	struct profile piece;
	int r = profile_init(&piece);

	if (r)
		return r;
	piece.begin_ns = replay->piece_ns;
	piece.end_ns = now_ns;
	piece.kernel_unseen = !replay->recording.counts.kernel_seen;
	profile_filter(&piece, replay->keeper.kinds, replay->keeper.modes);
	r = replay_resolve(replay, &piece);
	if (!r)
		r = fn(arg, replay, &piece);
	profile_release(&piece);
	tally_release(&replay->tally);
	replay->piece_ns = now_ns;
	return r;
}

static int set_directory(struct replay *replay)
{
	const char *slash = strrchr(replay->path, '/');

	replay->directory =
		slash ? strndup(replay->path, (size_t)(slash - replay->path) + 1) : strdup(".");
	return replay->directory ? 0 : -ENOMEM;
}

int replay_open(struct replay *ret, const char *path, const struct options *options,
		replay_tick_fn tick, void *tick_arg)
{
	const struct recording_visitor visitor = {
		.arg = ret,
		.run = on_run,
		.fault = on_fault,
		.live = on_live,
		.target = on_target,
		.provider = on_provider,
		.warning = on_warning,
		.tick = on_tick,
	};
	int r;

	*ret = (struct replay){
		.options = options, .path = path, .tick = tick, .tick_arg = tick_arg
	};
	r = set_directory(ret);
	if (!r)
		r = symbolizer_new(&ret->symbolizer);
	if (!r)
		symbolizer_set_debug_dir(ret->symbolizer, debug_dir(ret));
	if (!r)
		r = profile_init(&ret->profile);
	if (!r)
		r = recording_read(path, &visitor, &ret->recording);
	if (r)
		return tell(ret, r);
	ret->profile.end_ns = ret->recording.end_ns;
	return tell_end(ret);
}

int replay_complete(struct replay *replay)
{
	const struct recording *recording = &replay->recording;
	int r = replay_find_files(replay);

	if (!r)
		r = warn_missing(replay);
	if (r)
		return tell(replay, r);
	r = profile_complete(&replay->profile, &(struct finished){
						       .tier = recording->run.tier,
						       .description = recording->run.description,
						       .kinds = replay->keeper.kinds,
						       .modes = replay->keeper.modes,
						       .counts = &recording->counts,
						       .images = recording->images.first,
						       .added = &recording->added,
						       .command = recording->run.command,
						       .cut_stacks = replay->keeper.cut_stacks,
						       .symbolizer = replay->symbolizer,
						       .tally = &replay->tally,
						       .allocations = &replay->allocations,
					       });
	return tell(replay, r);
}

void replay_release(struct replay *replay)
{
	symbolizer_free(replay->symbolizer);
	tally_release(&replay->tally);
	tally_release(&replay->allocations.stacks);
	profile_release(&replay->profile);
	recording_release(&replay->recording);
	free(replay->used);
	free(replay->directory);
}
