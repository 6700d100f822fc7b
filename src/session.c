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
#include "collect/births.h"
#include "collect/collector.h"
#include "collect/command.h"
#include "provider/haproxy_socket.h"
#include "provider/haproxy_requests.h"
#include "provider/malloc.h"
#include "session_end.h"
#include "session_export.h"
#include "session_keep.h"
#include "session_objects.h"
#include "session_profile.h"
#include "session_record.h"
#include "session_targets.h"
#include "symbolize/symbolize.h"

#define SLICE_MS 100
#define YOUNG_SLICE_MS 10 /* while a command may be a short one */
#define YOUNG_NS 1000000000ULL
#define SCAN_NS 250000000ULL

struct session {
	const struct options *options;
	session_measured_fn measured; /* gets the profile; NULL: it is printed */
	void *arg;
	struct probe probe;
	struct binary_table binaries;
	struct collector *collector;
	struct symbolizer *symbolizer;
	struct command command;
	struct output output;
	struct targets targets;
	struct providers providers;
	struct birth_register *births; /* NULL: nobody asks for it, or it is refused */
	int births_error;
	struct hosts hosts;
	struct recorder recorder;
	struct keeper keeper;
	struct exporter *exporter; /* NULL: one report at the end */
	struct tally tally;
	struct allocation_tally allocations;
	struct profile profile;
	struct haproxy_requests requests;
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

/* ---- what comes from the collector ---- */

static int on_fault(void *arg, const struct fault *fault)
{
	static struct fp_rule rules[FP_MAX_FRAMES];
	static uint64_t ips[FP_MAX_FRAMES];
	struct session *s = arg;
	struct fault whole = *fault;
	struct object_answer answer = { 0 };
	int r;

	if (fault->raw) {
		whole.raw = NULL;
		whole.ips = ips;
		whole.nr_ips =
			symbolizer_unwind(s->symbolizer, fault->image, fault->time_ns, fault->raw,
					  ips, rules, FP_MAX_FRAMES, &whole.stack_end);
		collector_teach(s->collector, fault->image, ips, rules, whole.nr_ips);
	}
	if (!keeper_wants(&s->keeper, fault))
		return 0;
	if (!fault->site)
		hosts_fault(&s->hosts, fault, &answer);
	r = recorder_fault(&s->recorder, &whole, &answer);
	if (!r && s->exporter)
		r = exporter_gather(s->exporter, s->symbolizer, fault->image, &s->keeper);
	return r ? r : keeper_add(&s->keeper, &whole, &answer);
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
		.swapped_out = o->textfile != NULL,
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
	bool load = s->options->gate.load;

	s->targets = (struct targets){
		.options = s->options,
		.collector = s->collector,
		.profile = &s->profile,
		.helpers = { s->output.helper, s->recorder.output.helper, 0,
			     load ? s->command.pid : 0 },
		.family = s->measured ? getppid() : 0,
	};
	return targets_first(&s->targets, load ? 0 : s->command.pid);
}

/* Without privileges: external ones are other people's code. */
static int choose_providers(struct session *s)
{
	char why[512];
	int r = providers_choose(&s->providers, s->options->providers, why, sizeof(why));

	if (r)
		log_error("--provider: %s", *why ? why : strerror(-r));
	s->hosts = (struct hosts){
		.services = {
			.providers = &s->providers,
			.symbolizer = s->symbolizer,
			.births = s->births,
			.births_error = s->births_error,
			.profile = &s->profile,
			.recorder = &s->recorder,
		},
		.mappings = s->collector->mappings,
		.alloc_stacks = s->allocations.wanted,
	};
	return r;
}

/* Only providers that were asked for watch allocators. That it is refused, they will tell. */
static void open_births(struct session *s)
{
	const struct options *o = s->options;
	const struct births_options options = { .stacks = o->alloc_stacks,
						.inherit = o->inherit,
						.debug = o->verbose > 1 };

	if (!o->providers || !strcmp(o->providers, "none"))
		return;
	s->births_error = births_open(&options, &s->births);
	if (s->births)
		s->targets.helpers[2] = births_helper(s->births);
	s->allocations.wanted = o->alloc_stacks && s->births;
	provider_malloc_set(o->alloc_min, o->alloc_fns, o->nr_alloc_fns);
}

static int tell_requests(const struct session *s, int r)
{
	if (r)
		log_error("--haproxy-socket %s: %s", s->requests.path, s->requests.why);
	return r;
}

/* Before faults are counted: to answer, the proxy reads much of what it has in swap. */
static int ask_haproxy(struct session *s)
{
	const struct pid_list *targets = &s->targets.added;
	const char *path = s->options->haproxy_socket;
	char why[256];
	int r;

	if (s->options->gate.per_request)
		return tell_requests(s, haproxy_requests_open(&s->requests, path));
	r = path ? provider_haproxy_ask(path, targets->pids, targets->nr, why, sizeof(why)) : 0;
	if (r)
		log_error("--haproxy-socket %s: %s", path, why);
	return r;
}

static int start_recorder(struct session *s)
{
	s->recorder.profile = &s->profile;
	s->recorder.collector = s->collector;
	s->recorder.targets = &s->targets;
	s->recorder.symbolizer = s->symbolizer;
	s->recorder.alloc_stacks = s->allocations.wanted;
	return recorder_begin(&s->recorder, s->command.pid);
}

static int start(struct session *s)
{
	int r = ask_haproxy(s);

	if (r)
		return r;
	r = collector_start(s->collector);
	if (r) {
		log_error("cannot attach to page faults: %s; %s", strerror(-r), error_remedy(r));
		return r;
	}
	open_births(s);
	r = collector_drop_privileges(s->collector);
	if (r) {
		log_error(
			"cannot give up capabilities: %s; a sandbox or security module may refuse "
			"it, and without it nothing is measured",
			strerror(-r));
		return r;
	}
	r = choose_providers(s);
	if (r)
		return r;
	if (s->requests.path)
		r = tell_requests(s, haproxy_requests_begin(&s->requests));
	if (r)
		return r;
	s->profile.begin_ns = clock_now_ns();
	s->profile.begin_date_ns = clock_read_ns(CLOCK_REALTIME);
	profile_describe(&s->profile, s->options, &s->probe, s->collector);
	r = start_recorder(s);
	if (r)
		return r;
	hosts_start(&s->hosts, &s->targets.added);
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
	if (s->options->gate.load && end_of_command_ns())
		return true;
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

static int record_interval(struct session *s, uint64_t now)
{
	int r = collector_drain(s->collector, on_fault, s);

	return r ? r : recorder_tick(&s->recorder, now, false);
}

static struct exported exported(struct session *s)
{
	return (struct exported){
		.collector = s->collector,
		.symbolizer = s->symbolizer,
		.hosts = &s->hosts,
		.targets = &s->targets,
		.keeper = &s->keeper,
		.profile = &s->profile,
		.output = &s->output,
	};
}

static int export_interval(struct session *s)
{
	const struct exported run = exported(s);
	int r = collector_drain(s->collector, on_fault, s);

	return r ? r : exporter_write(s->exporter, &run);
}

static int poll_all(struct session *s)
{
	uint64_t now = clock_now_ns(), before = now, ended;
	int slice, r = 0;

	while (!r && !end_interrupted() && (slice = next_slice(s, now))) {
		r = collector_poll(s->collector, slice, on_fault, s);
		if (r == -EINTR)
			r = 0;
		hosts_round(&s->hosts);
		before = now;
		now = clock_now_ns();
		show_progress(s, now);
		if (!r && recorder_due(&s->recorder, now))
			r = record_interval(s, now);
		if (r || all_gone(s))
			break;
		r = scan_now_and_then(s, now);
		if (!r && s->exporter && exporter_due(s->exporter, now))
			r = export_interval(s);
	}
	/* What it started was there still when we looked before, unless it ended since. */
	ended = end_of_command_ns();
	s->profile.end_ns = ended > before && ended < now ? ended : now;
	return r;
}

static int collect(struct session *s)
{
	int r = poll_all(s), stopped = collector_stop(s->collector, on_fault, s), recorded;

	r = r ? r : stopped;
	if (!r && !s->exporter)
		r = hosts_finish(&s->hosts);
	clear_progress(s);
	if (r && r != -ECANCELED && !s->recorder.error)
		log_error("collecting failed: %s; %s", strerror(-r), error_remedy(r));
	if (r)
		profile_warn(&s->profile, "all of the run: collecting failed (%s)", strerror(-r));
	recorded = s->recorder.error ? s->recorder.error
				     : recorder_tick(&s->recorder, s->profile.end_ns, true);
	return r ? r : recorded;
}

/* ---- the report ---- */

static int complete(struct session *s)
{
	struct collect_counts counts;
	int r;

	collector_counts(s->collector, &counts);
	r = profile_complete(&s->profile, &(struct finished){
						  .tier = s->collector->tier,
						  .description = s->collector->ops->description,
						  .kinds = s->options->kinds,
						  .modes = s->options->modes,
						  .counts = &counts,
						  .images = mappings_first(s->collector->mappings),
						  .added = &s->targets.added,
						  .command = s->command.pid,
						  .cut_stacks = s->keeper.cut_stacks,
						  .symbolizer = s->symbolizer,
						  .tally = &s->tally,
						  .allocations = &s->allocations,
					  });
	if (r)
		log_error("cannot build the report: %s; %s", strerror(-r), error_remedy(r));
	return r;
}

static int hand_over(struct session *s)
{
	struct measured measured = { .profile = &s->profile,
				     .tier = s->collector->tier,
				     .interrupted = end_interrupted() };
	int r = 0;

	if (s->requests.path)
		r = tell_requests(s, haproxy_requests_end(&s->requests, &measured.requests));
	measured.command_status = end_command(&s->command);
	return r ? r : s->measured(s->arg, &measured);
}

static int report(struct session *s)
{
	const struct exported run = exported(s);
	int r;

	if (s->exporter)
		return exporter_finish(s->exporter, &run);
	if (s->options->recording && !s->options->output)
		return 0;
	r = complete(s);
	if (r)
		return r;
	return s->measured ? hand_over(s) : profile_print(&s->profile, s->options, &s->output);
}

static void release(struct session *s)
{
	hosts_release(&s->hosts);
	exporter_free(s->exporter);
	provider_haproxy_forget();
	haproxy_requests_close(&s->requests);
	births_close(s->births);
	providers_release(&s->providers);
	collector_free(s->collector);
	symbolizer_free(s->symbolizer);
	binary_table_release(&s->binaries);
	command_release(&s->command);
	output_abort(&s->output);
	recorder_release(&s->recorder);
	targets_release(&s->targets);
	tally_release(&s->tally);
	tally_release(&s->allocations.stacks);
	profile_release(&s->profile);
}

static int prepare(struct session *s)
{
	const char *path = s->options->textfile ? s->options->textfile : s->options->output;
	int r = profile_init(&s->profile);

	s->keeper = (struct keeper){
		.kinds = s->options->kinds,
		.modes = s->options->modes,
		.stacks = s->options->stacks,
		.slow_ns = s->options->slow_ns,
		.tally = &s->tally,
		.profile = &s->profile,
		.allocations = &s->allocations,
	};
	if (!r)
		r = symbolizer_new(&s->symbolizer);
	if (!r && s->options->textfile)
		r = exporter_new(s->options, &s->exporter);
	if (r) {
		log_error("out of memory");
		return r;
	}
	r = output_open(&s->output, path);
	if (!r && s->exporter && !s->output.helper)
		r = -ENOTSUP; /* a device or FIFO, which nothing replaces */
	if (r) {
		log_error("cannot write %s: %s", path, strerror(-r));
		return r;
	}
	r = recorder_open(&s->recorder, s->options);
	if (r)
		return r;
	if (s->options->command) {
		r = command_prepare(&s->command, s->options->command);
		if (r)
			log_error("cannot start a process: %s; %s", strerror(-r), error_remedy(r));
	}
	return r;
}

int session_measure(const struct options *options, session_measured_fn measured, void *arg)
{
	struct session s = { .options = options, .measured = measured, .arg = arg };
	int r = prepare(&s), reported;

	if (!r)
		r = open_collector(&s);
	if (!r)
		r = find_targets(&s);
	if (!r) {
		end_catch(&s.command);
		r = start(&s);
	}
	if (!r) {
		log_info("collecting");
		r = collect(&s);
		/* What there is may be what the run was for. */
		reported = !r || s.tally.first || s.exporter ? report(&s) : r;
		r = r ? r : reported;
	}
	release(&s);
	return r;
}

int session_run(const struct options *options)
{
	return session_measure(options, NULL, NULL);
}
