/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "session_profile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "symbolize/resolve.h"

static void add_warnings(const struct finished *f, const struct collect_counts *counts)
{
	FILE *file = fopen("/proc/sys/kernel/numa_balancing", "re");
	enum probe_what what = probe_obstacle(f->probe, TIER_TRACEPOINT);
	enum tier tier = f->collector->tier;

	if (tier == TIER_PERF && what != PROBE_NR && f->options->tier == TIER_AUTO)
		profile_warn(f->profile,
			     "no BPF (%s: %s), so no stall times, and kinds are inferred from "
			     "the mapping: %s",
			     probe_name(what), strerror(f->probe->error[what]),
			     probe_remedy(what, f->probe));
	else if (tier == TIER_PERF)
		profile_warn(f->profile,
			     "measured by perf events alone: no stall times, and kinds are "
			     "inferred from the mapping");
	if (!counts->kernel_seen)
		profile_warn(f->profile,
			     "faults in user mode only: those raised in kernel mode (recv into "
			     "a swapped-out buffer) need root or CAP_PERFMON "
			     "(kernel.perf_event_paranoid "
			     "is %d)",
			     f->probe->paranoid);
	if (mappings_scope(f->collector->mappings) == MAPPINGS_SNAPSHOT)
		profile_warn(f->profile,
			     "code that was loaded during the run has no names: no perf events");
	if (tier == TIER_TRACEPOINT && file && fgetc(file) != '0')
		profile_warn(f->profile,
			     "kernel.numa_balancing is on: its hint faults cannot be told from "
			     "first touches here, and count as zero");
	if (file)
		fclose(file);
}

void profile_describe(const struct finished *f)
{
	struct collect_counts counts;

	collector_counts(f->collector, &counts);
	if (f->options->kinds != (1U << FP_NR_KINDS) - 1)
		f->profile->only_kinds = f->options->kinds;
	if (f->options->modes != (1U << FP_NR_MODES) - 1)
		f->profile->only_modes = f->options->modes;
	f->profile->tier = f->collector->ops->description;
	f->profile->stall_known = counts.stall_known;
	f->profile->kinds_inferred = counts.kinds_inferred;
	f->profile->kernel_unseen = !counts.kernel_seen;
	f->profile->access_unknown = !counts.access_known;
	f->profile->failed = counts.failed;
	f->profile->failed_unseen = f->collector->tier == TIER_PERF;
	memcpy(f->profile->lost, counts.lost, sizeof(counts.lost));
	f->profile->lost[FP_LOSS_STACK] += f->cut_stacks;
	add_warnings(f, &counts);
}

/* What targets started since the run began, as far as there is room. A fork alone is no program. */
static int list_later(const struct finished *f)
{
	struct profile *profile = f->profile;
	size_t at;
	int r = 0;

	for (const struct image *image = mappings_first(f->collector->mappings); !r && image;
	     image = image->next) {
		if (!image->pid || pid_list_has(&f->targets->added, image->pid))
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
static int name_targets(const struct finished *f)
{
	int r = 0;

	for (size_t i = 0; !r && i < f->profile->nr_targets; i++) {
		struct profile_target *target = &f->profile->targets[i];
		const struct image *image = mappings_first(f->collector->mappings);
		const char *id;

		for (; image && (image->pid != target->pid || !image->own); image = image->next)
			;
		id = image ? symbolizer_build_id(f->symbolizer, image->own) : NULL;
		target->build_id = id ? strdup(id) : NULL;
		r = id && !target->build_id ? -ENOMEM : 0;
	}
	for (const struct image *image = mappings_first(f->collector->mappings); !r && image;
	     image = image->next)
		if (f->command == (pid_t)image->pid && !f->profile->nr_targets && image->own &&
		    image->id > 1)
			r = profile_add_target(f->profile, image->pid, image->comm,
					       image->own->path,
					       symbolizer_build_id(f->symbolizer, image->own), 0);
	if (f->targets->added.nr > f->profile->nr_targets)
		f->profile->nr_unlisted = f->targets->added.nr - f->profile->nr_targets;
	return r ? r : list_later(f);
}

int profile_complete(const struct finished *f)
{
	int r;

	profile_describe(f);
	r = resolve_tally(f->symbolizer, f->tally, f->profile);
	if (r)
		return r;
	profile_finish(f->profile);
	return name_targets(f);
}
