/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "session_replay.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "session_profile.h"

#define MISSING_LISTED 8 /* binaries that are not here */

static int on_run(void *arg, const struct recording_run *run)
{
	struct replay *replay = arg;
	const struct options *o = replay->options;

	replay->profile.begin_ns = replay->told_ns = run->begin_ns;
	replay->keeper = (struct keeper){
		.kinds = o->kinds & run->kinds,
		.modes = o->modes & run->modes,
		.stacks = o->stacks && run->stacks,
		.slow_ns = run->slow_ns,
		.tally = &replay->tally,
		.profile = &replay->profile,
	};
	return replay->keeper.kinds && replay->keeper.modes ? 0 : -ENOMSG;
}

/* An interval is in the window of its beginning. */
static bool in_window(const struct replay *replay)
{
	const struct replay_window *window = &replay->window;

	return !window->to_ns ||
	       (replay->told_ns >= window->from_ns && replay->told_ns < window->to_ns);
}

static int on_tick(void *arg, uint64_t time_ns, const struct collect_counts *counts)
{
	struct replay *replay = arg;

	(void)counts;
	if (in_window(replay))
		replay->covered_ns += time_ns - replay->told_ns;
	replay->told_ns = time_ns;
	return 0;
}

static int on_fault(void *arg, const struct fault *fault, const struct object_answer *answer)
{
	struct replay *replay = arg;

	if (!in_window(replay))
		return 0;

	return keeper_wants(&replay->keeper, fault) ? keeper_add(&replay->keeper, fault, answer)
						    : 0;
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

/* ---- what is not here ---- */

/* Code that could be read when it was recorded. */
static const struct binary *missing_at(const struct tally_entry *entry, unsigned int at)
{
	uint64_t ip = entry->key.ip[at];
	const struct region *region =
		ip ? image_find(entry->key.image, ip - (at > 0), entry->time_ns) : NULL;
	const struct binary *binary = region ? region->binary : NULL;

	return binary && binary->fd < 0 && binary->path[0] != '[' &&
			       (binary->build_id || binary->size)
		       ? binary
		       : NULL;
}

static void warn_missing(struct replay *replay)
{
	const struct binary *listed[MISSING_LISTED];
	size_t nr = 0, known;

	for (const struct tally_entry *entry = replay->tally.first; entry; entry = entry->hh.next) {
		for (unsigned int i = 0; nr < MISSING_LISTED && i < entry->key.nr_ips; i++) {
			const struct binary *binary = missing_at(entry, i);

			for (known = 0; known < nr && listed[known] != binary;)
				known++;
			if (!binary || known < nr)
				continue;
			listed[nr++] = binary;
			profile_warn(&replay->profile,
				     "names of code in %s: its file is not here (build ID %s); "
				     "--debug-dir says where it is",
				     binary->path, binary->build_id ? binary->build_id : "none");
		}
	}
}

static int complete(struct replay *replay)
{
	struct recording *recording = &replay->recording;
	int r = symbolizer_new(&replay->symbolizer);

	if (r)
		return r;
	for (struct binary *binary = recording->binaries.first; binary; binary = binary->next)
		symbolizer_find(binary, replay->options->debug_dir);
	warn_missing(replay);
	return profile_complete(&replay->profile, &(struct finished){
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
						  });
}

static int read_window(struct replay *ret, const char *path, const struct options *options,
		       const struct replay_window *window)
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

	*ret = (struct replay){ .options = options, .path = path, .window = *window };
	r = profile_init(&ret->profile);
	return r ? r : recording_read(path, &visitor, &ret->recording);
}

int replay_read(struct replay *ret, const char *path, const struct options *options)
{
	int r = read_window(ret, path, options, &(struct replay_window){ 0 }), state;

	if (r)
		return tell(ret, r);
	ret->profile.end_ns = ret->recording.end_ns;
	state = tell_end(ret);
	r = complete(ret);
	return r ? tell(ret, r) : state;
}

int replay_read_part(struct replay *ret, const char *path, const struct options *options,
		     const struct replay_window *window)
{
	int r = read_window(ret, path, options, window);

	if (!r) {
		ret->profile.end_ns = ret->profile.begin_ns + ret->covered_ns;
		r = complete(ret);
	}
	return tell(ret, r);
}

void replay_release(struct replay *replay)
{
	symbolizer_free(replay->symbolizer);
	tally_release(&replay->tally);
	profile_release(&replay->profile);
	recording_release(&replay->recording);
}
