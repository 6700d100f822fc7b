/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "session_profile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "session_targets.h"
#include "symbolize/resolve.h"

void profile_describe(struct profile *profile, const struct options *options,
		      const struct probe *probe, const struct collector *collector)
{
	struct collect_counts counts;
	FILE *file = fopen("/proc/sys/kernel/numa_balancing", "re");
	enum probe_what what = probe_obstacle(probe, TIER_TRACEPOINT);
	enum tier tier = collector->tier;

	collector_counts(collector, &counts);
	if (tier == TIER_PERF && what != PROBE_NR && options->tier == TIER_AUTO)
		profile_warn(profile,
			     "no BPF (%s: %s), so no stall times, and kinds are inferred from "
			     "the mapping: %s",
			     probe_name(what), strerror(probe->error[what]),
			     probe_remedy(what, probe));
	else if (tier == TIER_PERF)
		profile_warn(profile,
			     "measured by perf events alone: no stall times, and kinds are "
			     "inferred from the mapping");
	if (!counts.kernel_seen)
		profile_warn(profile,
			     "faults in user mode only: those raised in kernel mode (recv into "
			     "a swapped-out buffer) need root or CAP_PERFMON "
			     "(kernel.perf_event_paranoid "
			     "is %d)",
			     probe->paranoid);
	if (mappings_scope(collector->mappings) == MAPPINGS_SNAPSHOT)
		profile_warn(profile,
			     "code that was loaded during the run has no names: no perf events");
	if (tier == TIER_TRACEPOINT && file && fgetc(file) != '0')
		profile_warn(profile,
			     "kernel.numa_balancing is on: its hint faults cannot be told from "
			     "first touches here, and count as zero");
	if (file)
		fclose(file);
}

void profile_filter(struct profile *profile, uint32_t kinds, uint32_t modes)
{
	if (kinds != (1U << FP_NR_KINDS) - 1)
		profile->only_kinds = kinds;
	if (modes != (1U << FP_NR_MODES) - 1)
		profile->only_modes = modes;
}

void profile_account(struct profile *profile, const struct finished *f)
{
	profile_filter(profile, f->kinds, f->modes);
	profile->tier = f->description;
	profile->stall_known = f->counts->stall_known;
	profile->kinds_inferred = f->counts->kinds_inferred;
	profile->kernel_unseen = !f->counts->kernel_seen;
	profile->access_unknown = !f->counts->access_known;
	profile->failed = f->counts->failed;
	profile->failed_unseen = f->tier == TIER_PERF;
	memcpy(profile->lost, f->counts->lost, sizeof(profile->lost));
	profile->lost[FP_LOSS_STACK] += f->cut_stacks;
}

/* What targets started since the run began, as far as there is room. A fork alone is no program. */
static int list_later(struct profile *profile, const struct finished *f)
{
	size_t at;
	int r = 0;

	for (const struct image *image = f->images; !r && image; image = image->next) {
		if (!image->pid || pid_list_has(f->added, image->pid))
			continue;
		profile->later++;
		for (at = 0; at < profile->nr_targets; at++)
			if (profile->targets[at].pid == image->pid)
				break;
		if (at < profile->nr_targets || at >= TARGETS_LISTED)
			continue;
		r = profile_add_target(
			profile, image->pid, image->comm, image->own ? image->own->path : NULL,
			image->own ? symbolizer_build_id(f->symbolizer, image->own) : NULL, 0);
		if (!r)
			profile->targets[at].later = true;
	}
	return r;
}

/* Targets that were added know their program; its build ID is read only now. */
static int name_targets(struct profile *profile, const struct finished *f)
{
	int r = 0;

	for (size_t i = 0; !r && i < profile->nr_targets; i++) {
		struct profile_target *target = &profile->targets[i];
		const struct image *image = f->images;
		const char *id;

		for (; image && (image->pid != target->pid || !image->own); image = image->next)
			;
		id = image ? symbolizer_build_id(f->symbolizer, image->own) : NULL;
		target->build_id = id ? strdup(id) : NULL;
		r = id && !target->build_id ? -ENOMEM : 0;
	}
	for (const struct image *image = f->images; !r && image; image = image->next)
		if (f->command == (pid_t)image->pid && !profile->nr_targets && image->own &&
		    image->id > 1)
			r = profile_add_target(profile, image->pid, image->comm, image->own->path,
					       symbolizer_build_id(f->symbolizer, image->own), 0);
	if (f->added->nr > profile->nr_targets)
		profile->nr_unlisted = f->added->nr - profile->nr_targets;
	return r ? r : list_later(profile, f);
}

int profile_complete(struct profile *profile, const struct finished *f)
{
	int r;

	profile_account(profile, f);
	r = resolve_tally(f->symbolizer, f->tally, profile);
	if (!r)
		r = allocation_tally_complete(f->allocations, f->symbolizer, profile);
	if (r)
		return r;
	profile_finish(profile);
	return name_targets(profile, f);
}

static struct sink_options sink_options_of(const struct options *options)
{
	const char *no_color = getenv("NO_COLOR");

	return (struct sink_options){
		.top = options->top,
		.stacks = options->stacks,
		.color = !options->output && isatty(STDOUT_FILENO) && !(no_color && *no_color),
	};
}

static int finish(int r, const struct options *options, struct output *output)
{
	if (!r)
		r = output_commit(output);
	/* Who reads through a pipe, and ends, has what it wanted. */
	if (r && r != -EPIPE)
		log_error("cannot write the report to %s: %s",
			  options->output ? options->output : "standard output", strerror(-r));
	return r;
}

int profile_print(const struct profile *profile, const struct options *options,
		  struct output *output)
{
	const struct sink_options how = sink_options_of(options);

	return finish(options->sink->write(profile, &how, output->file), options, output);
}

int diff_print(const struct comparison *comparison, const struct options *options,
	       struct output *output)
{
	const struct sink_options how = sink_options_of(options);

	return finish(options->sink->compare(comparison, &how, output->file), options, output);
}
