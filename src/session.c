/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A run: choose a tier, attach to the targets, give up privileges, collect until the end, name what
 * was found, print it. Faults are kept as addresses during the run; their names come at the end.
 * Only unwinding is done at once, because what it learns makes the kernel side do it alone.
 */
#include "session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/output.h"
#include "base/privilege.h"
#include "base/text.h"
#include "collect/collector.h"
#include "collect/command.h"
#include "session_targets.h"
#include "symbolize/resolve.h"

#define SLICE_MS 100
#define YOUNG_SLICE_MS 10 /* while a command may be a short one */
#define YOUNG_NS 1000000000ULL
#define SCAN_NS 250000000ULL

struct session {
	const struct options *options;
	struct probe probe;
	struct binary_table binaries;
	struct collector *collector;
	struct symbolizer *symbolizer;
	struct command command;
	struct output output;
	struct targets targets;
	struct tally tally;
	struct profile profile;
	uint64_t cut_stacks; /* FP_LOSS_STACK found here */
	uint64_t scanned_ns, progress_ns;
};

/* What to do about an error that may come from anywhere. */
static const char *error_remedy(int error)
{
	switch (-error) {
	case EMFILE:
		return "raise the number of open files (ulimit -n)";
	case ENFILE:
		return "the system has too many open files (fs.file-max)";
	case ENOMEM:
		return "there is too little memory, or a limit (ulimit -l, cgroup) is too low";
	default:
		return "-v and faultprof --probe say more";
	}
}

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

static volatile pid_t command_pid;
static volatile uint64_t command_end_ns; /* 0: it runs */

/* Its end as it was: we may be busy with its faults for a while. */
static void on_child(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	if (info->si_pid == command_pid)
		command_end_ns = clock_now_ns();
}

static void catch_signals(const struct command *command)
{
	struct sigaction child = { .sa_sigaction = on_child,
				   .sa_flags = SA_SIGINFO | SA_RESTART | SA_NOCLDSTOP };
	/* Without SA_RESTART: a wait has to end. The second one ends us at once. */
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	command_pid = command->pid;
	if (command->pid)
		sigaction(SIGCHLD, &child, NULL);
}

/* ---- what comes from the collector ---- */

static bool wants_detail(const struct session *s, const struct fault *fault)
{
	return fault->major || fault->kind == FP_SWAP_IN || fault->kind == FP_SWAP_CACHE ||
	       fault->stall_ns >= s->options->slow_ns;
}

static int keep_fault(struct session *s, const struct fault *fault, const uint64_t *ips,
		      unsigned int nr, enum fp_stack_end end)
{
	bool detail = wants_detail(s, fault), owned;
	uint64_t site[3];

	owned = resolve_owner(fault->image, fault->time_ns, fault->mode, ips, nr, site);
	/* One that is kept without its stack lacks nothing once its owner is known. */
	if (end != FP_STACK_WHOLE && (detail ? s->options->stacks || !owned : !owned))
		s->cut_stacks++;
	if (detail && s->options->stacks && nr)
		return tally_add(&s->tally, fault, ips, nr, true);
	return tally_add(&s->tally, fault, site, 3, false);
}

static int on_fault(void *arg, const struct fault *fault)
{
	static struct fp_rule rules[FP_MAX_FRAMES];
	static uint64_t ips[FP_MAX_FRAMES];
	enum fp_stack_end end = fault->stack_end;
	const struct options *o;
	struct session *s = arg;
	unsigned int nr = 0;

	o = s->options;
	if (fault->raw) {
		nr = symbolizer_unwind(s->symbolizer, fault->image, fault->time_ns, fault->raw, ips,
				       rules, FP_MAX_FRAMES, &end);
		collector_teach(s->collector, fault->image, ips, rules, nr);
	}
	if (!(o->kinds >> fault->kind & 1) || !(o->modes >> fault->mode & 1))
		return 0;
	if (fault->site)
		return tally_add(&s->tally, fault, fault->ips, fault->nr_ips, false);
	return keep_fault(s, fault, fault->raw ? ips : fault->ips, fault->raw ? nr : fault->nr_ips,
			  end);
}

/* ---- the tier ---- */

static int tell_obstacle(const struct session *s, enum tier tier, int r)
{
	enum probe_what what = probe_obstacle(&s->probe, tier);

	if (what == PROBE_NR && (r == -EMFILE || r == -ENFILE)) {
		log_error("cannot measure by %s: %s; %s", tier_name(tier), strerror(-r),
			  error_remedy(r));
		return r;
	}
	if (what == PROBE_NR) {
		log_error("cannot measure by %s: %s; -vv says more, --tier perf may do",
			  tier_name(tier), strerror(-r));
		return r;
	}
	log_error("cannot measure by %s: %s: %s; %s", tier_name(tier), probe_name(what),
		  strerror(s->probe.error[what]), probe_remedy(what, &s->probe));
	return -s->probe.error[what];
}

static int open_collector(struct session *s)
{
	const struct options *o = s->options;
	struct collector_options options = {
		.inherit = o->inherit,
		.comm = o->comm,
		.open_ended = o->comm || o->cgroup,
		.slow_ns = o->slow_ns,
		.sites = o->sites,
		.ring_bytes = o->ring_bytes,
		.debug = o->verbose > 1,
	};
	int r;

	probe_run(&s->probe);
	r = collector_open(o->tier, &options, &s->probe, &s->binaries, &s->collector);
	probe_release();
	return r ? tell_obstacle(s, o->tier == TIER_AUTO ? TIER_PERF : o->tier, r) : 0;
}

/* ---- the run ---- */

static int find_targets(struct session *s)
{
	s->targets = (struct targets){
		.options = s->options,
		.collector = s->collector,
		.profile = &s->profile,
		.helper = s->output.helper,
	};
	return targets_first(&s->targets, s->command.pid);
}

static int start(struct session *s)
{
	int r = collector_start(s->collector);

	if (r) {
		log_error("cannot attach to page faults: %s; %s", strerror(-r), error_remedy(r));
		return r;
	}
	r = collector_drop_privileges(s->collector);
	if (r) {
		log_error(
			"cannot give up capabilities: %s; a sandbox or security module may refuse "
			"it, and without it nothing is measured",
			strerror(-r));
		return r;
	}
	s->profile.begin_ns = clock_now_ns();
	if (s->command.pid) {
		r = command_go(&s->command);
		if (r)
			log_error("cannot run %s: %s; %s", s->options->command[0], strerror(-r),
				  r == -ENOENT ? "check its path"
					       : "check its path and permissions");
	}
	return r;
}

static void show_progress(struct session *s, uint64_t now)
{
	struct collect_counts counts;

	if (!isatty(STDERR_FILENO) || now - s->progress_ns < 500000000ULL)
		return;
	s->progress_ns = now;
	collector_counts(s->collector, &counts);
	fprintf(stderr, "\rfaultprof: %.0f s, %s faults, %s major%s",
		(now - s->profile.begin_ns) / 1e9, text_count(counts.faults).text,
		text_count(counts.major).text,
		s->options->duration_s || s->options->command ? "" : ", Ctrl-C ends");
	fflush(stderr);
}

static void clear_progress(const struct session *s)
{
	if (s->progress_ns)
		fputs("\r\033[K", stderr);
}

static bool all_gone(const struct session *s)
{
	return !s->options->comm && !s->options->cgroup && !collector_alive(s->collector);
}

/* How long to wait for faults, in ms; 0: the run's time is over. */
static int next_slice(const struct session *s, uint64_t now)
{
	uint64_t end = s->profile.begin_ns + (uint64_t)(s->options->duration_s * 1e9);
	int slice = SLICE_MS;

	if (s->options->command && now < s->profile.begin_ns + YOUNG_NS)
		slice = YOUNG_SLICE_MS;
	if (!s->options->duration_s)
		return slice;
	if (now >= end)
		return 0;
	return end - now < slice * 1000000ULL ? (int)((end - now) / 1000000) + 1 : slice;
}

static int scan_now_and_then(struct session *s, uint64_t now)
{
	if (now - s->scanned_ns < SCAN_NS)
		return 0;
	s->scanned_ns = now;
	return targets_scan(&s->targets);
}

static int poll_all(struct session *s)
{
	uint64_t now = clock_now_ns(), before = now;
	int slice, r = 0;

	while (!r && !interrupted && (slice = next_slice(s, now))) {
		r = collector_poll(s->collector, slice, on_fault, s);
		if (r == -EINTR)
			r = 0;
		before = now;
		now = clock_now_ns();
		show_progress(s, now);
		if (r || all_gone(s))
			break;
		r = scan_now_and_then(s, now);
	}
	/* What it started was there still when we looked before, unless it ended since. */
	s->profile.end_ns = command_end_ns > before && command_end_ns < now ? command_end_ns : now;
	return r;
}

static int collect(struct session *s)
{
	int r = poll_all(s), stopped = collector_stop(s->collector, on_fault, s);

	r = r ? r : stopped;
	clear_progress(s);
	if (r) {
		log_error("collecting failed: %s; %s", strerror(-r), error_remedy(r));
		profile_warn(&s->profile, "all of the run: collecting failed (%s)", strerror(-r));
	}
	return r;
}

/* ---- the report ---- */

static void add_warnings(struct session *s, const struct collect_counts *counts)
{
	FILE *file = fopen("/proc/sys/kernel/numa_balancing", "re");
	enum probe_what what = probe_obstacle(&s->probe, TIER_TRACEPOINT);
	enum tier tier = s->collector->tier;

	if (tier == TIER_PERF && what != PROBE_NR && s->options->tier == TIER_AUTO)
		profile_warn(&s->profile,
			     "no BPF (%s: %s), so no stall times, and kinds are inferred from "
			     "the mapping: %s",
			     probe_name(what), strerror(s->probe.error[what]),
			     probe_remedy(what, &s->probe));
	else if (tier == TIER_PERF)
		profile_warn(&s->profile,
			     "measured by perf events alone: no stall times, and kinds are "
			     "inferred from the mapping");
	if (!counts->kernel_seen)
		profile_warn(&s->profile,
			     "faults in user mode only: those raised in kernel mode (recv into "
			     "a swapped-out buffer) need root or CAP_PERFMON "
			     "(kernel.perf_event_paranoid "
			     "is %d)",
			     s->probe.paranoid);
	if (mappings_scope(s->collector->mappings) == MAPPINGS_SNAPSHOT)
		profile_warn(&s->profile,
			     "code that was loaded during the run has no names: no perf events");
	if (tier == TIER_TRACEPOINT && file && fgetc(file) != '0')
		profile_warn(&s->profile,
			     "kernel.numa_balancing is on: its hint faults cannot be told from "
			     "first touches here, and count as zero");
	if (file)
		fclose(file);
}

static int build_profile(struct session *s)
{
	struct collect_counts counts;
	int r;

	collector_counts(s->collector, &counts);
	if (s->options->kinds != (1U << FP_NR_KINDS) - 1)
		s->profile.only_kinds = s->options->kinds;
	if (s->options->modes != (1U << FP_NR_MODES) - 1)
		s->profile.only_modes = s->options->modes;
	s->profile.tier = s->collector->ops->description;
	s->profile.stall_known = counts.stall_known;
	s->profile.kinds_inferred = counts.kinds_inferred;
	s->profile.kernel_unseen = !counts.kernel_seen;
	s->profile.access_unknown = !counts.access_known;
	s->profile.failed = counts.failed;
	s->profile.failed_unseen = s->collector->tier == TIER_PERF;
	memcpy(s->profile.lost, counts.lost, sizeof(counts.lost));
	s->profile.lost[FP_LOSS_STACK] += s->cut_stacks;
	add_warnings(s, &counts);
	r = resolve_tally(s->symbolizer, &s->tally, &s->profile);
	if (!r)
		profile_finish(&s->profile);
	return r;
}

/* What targets started since the run began, as far as there is room. A fork alone is no program. */
static int list_later(struct session *s)
{
	struct profile *profile = &s->profile;
	size_t at;
	int r = 0;

	for (const struct image *image = mappings_first(s->collector->mappings); !r && image;
	     image = image->next) {
		if (!image->pid || pid_list_has(&s->targets.added, image->pid))
			continue;
		profile->later++;
		for (at = 0; at < profile->nr_targets; at++)
			if (profile->targets[at].pid == image->pid)
				break;
		if (at < profile->nr_targets || at >= TARGETS_LISTED)
			continue;
		r = profile_add_target(
			profile, image->pid, image->comm, image->own ? image->own->path : NULL,
			image->own ? symbolizer_build_id(s->symbolizer, image->own) : NULL, 0);
		if (!r)
			profile->targets[at].later = true;
	}
	return r;
}

/* Targets that were added know their program; its build ID is read only now. */
static int name_targets(struct session *s)
{
	int r = 0;

	for (size_t i = 0; !r && i < s->profile.nr_targets; i++) {
		struct profile_target *target = &s->profile.targets[i];
		const struct image *image = mappings_first(s->collector->mappings);
		const char *id;

		for (; image && (image->pid != target->pid || !image->own); image = image->next)
			;
		id = image ? symbolizer_build_id(s->symbolizer, image->own) : NULL;
		target->build_id = id ? strdup(id) : NULL;
		r = id && !target->build_id ? -ENOMEM : 0;
	}
	for (const struct image *image = mappings_first(s->collector->mappings); !r && image;
	     image = image->next)
		if (s->command.pid == (pid_t)image->pid && !s->profile.nr_targets && image->own &&
		    image->id > 1)
			r = profile_add_target(&s->profile, image->pid, image->comm,
					       image->own->path,
					       symbolizer_build_id(s->symbolizer, image->own), 0);
	if (s->targets.added.nr > s->profile.nr_targets)
		s->profile.nr_unlisted = s->targets.added.nr - s->profile.nr_targets;
	return r ? r : list_later(s);
}

static int report(struct session *s)
{
	const char *no_color = getenv("NO_COLOR");
	struct sink_options options = {
		.top = s->options->top,
		.stacks = s->options->stacks,
		.color = !s->options->output && isatty(STDOUT_FILENO) && !(no_color && *no_color),
	};
	int r = build_profile(s);

	if (!r)
		r = name_targets(s);
	if (r) {
		log_error("cannot build the report: %s; %s", strerror(-r), error_remedy(r));
		return r;
	}
	r = s->options->sink->write(&s->profile, &options, s->output.file);
	if (!r)
		r = output_commit(&s->output);
	/* Who reads through a pipe, and ends, has what it wanted. */
	if (r && r != -EPIPE)
		log_error("cannot write the report to %s: %s",
			  s->options->output ? s->options->output : "standard output",
			  strerror(-r));
	return r;
}

static void release(struct session *s)
{
	collector_free(s->collector);
	symbolizer_free(s->symbolizer);
	binary_table_release(&s->binaries);
	command_release(&s->command);
	output_abort(&s->output);
	targets_release(&s->targets);
	tally_release(&s->tally);
	profile_release(&s->profile);
}

static int prepare(struct session *s)
{
	int r = profile_init(&s->profile);

	if (!r)
		r = symbolizer_new(&s->symbolizer);
	if (r) {
		log_error("out of memory");
		return r;
	}
	r = output_open(&s->output, s->options->output);
	if (r) {
		log_error("cannot write %s: %s", s->options->output, strerror(-r));
		return r;
	}
	if (s->options->command) {
		r = command_prepare(&s->command, s->options->command);
		if (r)
			log_error("cannot start a process: %s; %s", strerror(-r), error_remedy(r));
	}
	return r;
}

int session_run(const struct options *options)
{
	struct session s = { .options = options };
	int r = prepare(&s), reported;

	if (!r)
		r = open_collector(&s);
	if (!r)
		r = find_targets(&s);
	if (!r) {
		catch_signals(&s.command);
		r = start(&s);
	}
	if (!r) {
		log_info("collecting");
		r = collect(&s);
		/* What there is may be what the run was for. */
		reported = !r || s.tally.first ? report(&s) : r;
		r = r ? r : reported;
	}
	release(&s);
	return r;
}
