/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "session_record.h"

#include <errno.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/log.h"

#define TICK_NS 1000000000ULL

static int tell(struct recorder *r, int error)
{
	if (!error || r->error)
		return error;
	r->error = error;
	log_error("cannot write the recording to %s: %s%s", r->options->recording, strerror(-error),
		  r->writer ? "; it ends where it was whole" : "");
	return error;
}

int recorder_open(struct recorder *r, const struct options *options)
{
	int error;

	r->options = options;
	if (!options->recording)
		return 0;
	error = output_open(&r->output, options->recording);
	if (!error && isatty(fileno(r->output.file))) {
		log_error("%s is a terminal; a recording is not for reading", options->recording);
		return -EINVAL;
	}
	return tell(r, error);
}

static const char *build_id_of(void *arg, const struct binary *binary)
{
	return symbolizer_build_id(arg, binary);
}

int recorder_begin(struct recorder *r, pid_t command)
{
	struct utsname system = { 0 };
	struct recording_run run = {
		.version = FP_VERSION,
		.system = system.sysname,
		.release = system.release,
		.machine = system.machine,
		.node = system.nodename,
		.tier = r->collector->tier,
		.description = r->collector->ops->description,
		.kinds = r->options->kinds,
		.modes = r->options->modes,
		.stacks = r->options->stacks,
		.alloc_stacks = r->alloc_stacks,
		.slow_ns = r->options->slow_ns,
		.begin_ns = r->profile->begin_ns,
		.begin_date_ns = r->profile->begin_date_ns,
		.command = command,
	};
	int error;

	if (!r->options->recording)
		return 0;
	uname(&system);
	error = recording_begin(fileno(r->output.file), &run, build_id_of, r->symbolizer,
				&r->writer);
	if (!error)
		error = output_publish(&r->output);
	r->tick_ns = run.begin_ns;
	return error ? tell(r, error) : recorder_tick(r, run.begin_ns, false);
}

int recorder_fault(struct recorder *r, const struct fault *fault,
		   const struct object_answer *answer)
{
	int error = 0;

	if (r->writer)
		error = recording_images(r->writer, mappings_first(r->collector->mappings), false);
	if (r->writer && !error)
		error = recording_fault(r->writer, fault, answer);
	return tell(r, error);
}

int recorder_live(struct recorder *r, uint32_t pid, const char *provider,
		  const struct fp_object *object, uint64_t now_ns, uint64_t present_bytes,
		  uint64_t swapped_bytes)
{
	return tell(r, r->writer ? recording_live(r->writer, pid, provider, object, now_ns,
						  present_bytes, swapped_bytes)
				 : 0);
}

int recorder_provider(struct recorder *r, uint32_t pid, const char *provider)
{
	return tell(r, r->writer ? recording_provider(r->writer, pid, provider) : 0);
}

bool recorder_due(const struct recorder *r, uint64_t now_ns)
{
	return r->writer && now_ns >= r->tick_ns;
}

/* What a profile lists, as far as it is not written yet. */
static int put_lists(struct recorder *r)
{
	const struct profile *profile = r->profile;
	int error = 0;

	for (; !error && r->nr_targets < profile->nr_targets; r->nr_targets++)
		error = recording_target(r->writer, &profile->targets[r->nr_targets]);
	for (; !error && r->nr_added < r->targets->added.nr; r->nr_added++)
		error = recording_added(r->writer, r->targets->added.pids[r->nr_added]);
	for (; !error && r->nr_warnings < profile->nr_warnings; r->nr_warnings++)
		error = recording_warning(r->writer, profile->warnings[r->nr_warnings]);
	return error;
}

int recorder_tick(struct recorder *r, uint64_t now_ns, bool end)
{
	struct collect_counts counts;
	int error;

	if (!r->writer)
		return 0;
	error = recording_images(r->writer, mappings_first(r->collector->mappings), true);
	if (!error)
		error = put_lists(r);
	collector_counts(r->collector, &counts);
	if (!error)
		error = recording_tick(r->writer, now_ns, &counts, end);
	while (r->tick_ns <= now_ns)
		r->tick_ns += TICK_NS;
	return tell(r, error);
}

void recorder_release(struct recorder *r)
{
	recording_free(r->writer);
	output_abort(&r->output);
}
