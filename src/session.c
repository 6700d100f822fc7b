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
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/output.h"
#include "base/privilege.h"
#include "base/text.h"
#include "collect/command.h"
#include "collect/live.h"
#include "collect/perf.h"
#include "collect/probe.h"
#include "collect/procfs.h"
#include "symbolize/resolve.h"

#define SLICE_MS 100
#define SCAN_NS 250000000ULL
#define MAX_TARGETS 64 /* listed in the report */

struct session {
	const struct options *options;
	enum tier tier;
	struct probe probe;
	struct binary_table binaries;
	struct mappings *mappings;
	struct live_collector *live; /* or */
	struct perf_collector *perf;
	struct symbolizer *symbolizer;
	struct command command;
	struct output output;
	struct pid_list targets; /* all that were ever added */
	struct tally tally;
	struct profile profile;
	uint64_t cut_stacks; /* FP_LOSS_STACK found here */
	uint64_t scanned_ns, progress_ns;
	uint64_t faults, major; /* perf tier: for the progress line */
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	/* Without SA_RESTART: a wait has to end. */
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
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
		if (s->live)
			live_collector_teach(s->live, fault->image, ips, rules, nr);
	}
	if (!(o->kinds >> fault->kind & 1) || !(o->modes >> fault->mode & 1))
		return 0;
	if (fault->site)
		return tally_add(&s->tally, fault, fault->ips, fault->nr_ips, false);
	s->faults++;
	s->major += fault->major;
	return keep_fault(s, fault, fault->raw ? ips : fault->ips, fault->raw ? nr : fault->nr_ips,
			  end);
}

/* ---- targets ---- */

static int tell_add(pid_t pid, int r)
{
	switch (-r) {
	case ESRCH:
	case ENOENT:
		log_error("no process %d; ps shows those that are there", pid);
		break;
	case EINVAL:
		log_error("%d is a thread; give the PID of its process", pid);
		break;
	case EACCES:
	case EPERM:
		log_error("not allowed to watch process %d: run as root, or with CAP_BPF, CAP_PERFMON, "
			  "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH", pid);
		break;
	case E2BIG:
		log_error("too many processes at once; watch fewer of them");
		break;
	default:
		log_error("cannot watch process %d: %s", pid, strerror(-r));
	}
	return r;
}

static int add_target(struct session *s, pid_t pid, bool on_exec)
{
	char comm[16] = "", exe[4096];
	unsigned int threads = 0;
	bool has_exe;
	int r;

	if (procfs_is_kernel_thread(pid))
		return -ENOEXEC;
	has_exe = !procfs_exe(pid, exe, sizeof(exe));
	procfs_comm(pid, comm);
	procfs_threads(pid, &threads);
	r = s->live ? live_collector_add(s->live, pid, on_exec) :
		      perf_collector_add(s->perf, pid, on_exec);
	if (!r)
		r = pid_list_add(&s->targets, pid);
	if (!r && s->profile.nr_targets < MAX_TARGETS && !on_exec)
		r = profile_add_target(&s->profile, pid, comm, has_exe ? exe : NULL, NULL, threads);
	return r;
}

static int find_targets(const struct session *s, struct pid_list *list)
{
	const struct options *o = s->options;
	int r = 0;

	if (o->comm)
		r = procfs_pids_by_comm(o->comm, list);
	else if (o->cgroup)
		r = procfs_pids_of_cgroup(o->cgroup, list);
	else
		for (size_t i = 0; !r && i < o->nr_pids; i++)
			r = pid_list_add(list, o->pids[i]);
	return r;
}

/* --comm and --cgroup: processes come and go; one that is gone, or not ours, is passed by. */
static int scan_targets(struct session *s, size_t *refused)
{
	struct pid_list found = { 0 };
	int r = find_targets(s, &found);

	for (size_t i = 0; !r && i < found.nr; i++) {
		if (found.pids[i] == getpid() || (s->perf && pid_list_has(&s->targets, found.pids[i])))
			continue;
		r = add_target(s, found.pids[i], false);
		if (r == -EACCES || r == -EPERM)
			++*refused;
		if (r != -ENOMEM)
			r = 0;
	}
	pid_list_release(&found);
	return r;
}

static int first_targets(struct session *s)
{
	const struct options *o = s->options;
	size_t refused = 0;
	int r;

	if (o->command) {
		r = add_target(s, s->command.pid, true);
		return r ? tell_add(s->command.pid, r) : 0;
	}
	for (size_t i = 0; i < o->nr_pids; i++) {
		r = add_target(s, o->pids[i], false);
		if (r == -ENOEXEC) {
			log_error("%d is a kernel thread: it has no memory of its own to fault on",
				  o->pids[i]);
			return r;
		}
		if (r && r != -EEXIST)
			return tell_add(o->pids[i], r);
	}
	if (o->nr_pids)
		return 0;
	r = scan_targets(s, &refused);
	if (r) {
		log_error("cannot find the processes of %s: %s", o->cgroup ? o->cgroup : o->comm,
			  strerror(-r));
	} else if (!s->targets.nr && refused) {
		log_error("not allowed to watch the processes of %s: run as root",
			  o->cgroup ? o->cgroup : o->comm);
		r = -EPERM;
	} else if (!s->targets.nr && o->comm) {
		log_error("no process is called '%s'; names are those of ps -e, 15 bytes at most",
			  o->comm);
		r = -ESRCH;
	}
	return r;
}

/* ---- the tier ---- */

static bool tier_works(const struct session *s, enum tier tier)
{
	return tier == TIER_FENTRY ? s->probe.fentry :
	       tier == TIER_TRACEPOINT ? s->probe.tracepoint : s->probe.perf;
}

static enum probe_what tier_obstacle(const struct session *s, enum tier tier)
{
	static const enum probe_what needs[][6] = {
		[TIER_FENTRY] = { PROBE_BPF, PROBE_BTF, PROBE_START, PROBE_FENTRY, PROBE_PERF_ALL,
				  PROBE_NR },
		[TIER_TRACEPOINT] = { PROBE_BPF, PROBE_BTF, PROBE_START, PROBE_RSS_STAT,
				      PROBE_PERF_ALL, PROBE_NR },
		[TIER_PERF] = { PROBE_PERF_USER, PROBE_NR },
	};

	for (const enum probe_what *what = needs[tier]; *what != PROBE_NR; what++)
		if (s->probe.error[*what])
			return *what;
	return PROBE_NR;
}

static int new_mappings(struct session *s, bool perf)
{
	struct mappings_options options = { .data = perf, .self_numbered = perf,
					    .scope = MAPPINGS_SYSTEM };

	return mappings_new(&s->binaries, &options, &s->mappings);
}

static int open_live(struct session *s, enum tier tier)
{
	struct live_options options = {
		.fentry = tier == TIER_FENTRY,
		.inherit = s->options->inherit,
		.comm = s->options->comm,
		.slow_ns = s->options->slow_ns,
		.sites = s->options->sites,
		.ring_bytes = s->options->ring_bytes,
		.debug = s->options->verbose > 1,
	};
	int r = new_mappings(s, false);

	if (!r)
		r = live_collector_new(&options, s->mappings, &s->live);
	if (r) {
		mappings_free(s->mappings);
		s->mappings = NULL;
	}
	return r;
}

static int open_perf(struct session *s)
{
	struct collect_options options = { 0 };
	int r = new_mappings(s, true);

	return r ? r : perf_collector_new(&options, s->mappings, &s->perf);
}

static int open_tier(struct session *s, enum tier tier)
{
	s->tier = tier;
	return tier == TIER_PERF ? open_perf(s) : open_live(s, tier);
}

static int tell_obstacle(const struct session *s, enum tier tier, int r)
{
	enum probe_what what = tier_obstacle(s, tier);

	if (what == PROBE_NR) {
		log_error("cannot measure by %s: %s; -vv says more, --tier perf may do",
			  tier_name(tier), strerror(-r));
		return r;
	}
	log_error("cannot measure by %s: %s: %s; it takes %s", tier_name(tier), probe_name(what),
		  strerror(s->probe.error[what]), probe_remedy(what, &s->probe));
	return -s->probe.error[what];
}

static int choose_tier(struct session *s)
{
	enum tier wanted = s->options->tier;
	int r = -ENOTSUP;

	probe_run(&s->probe);
	if (wanted != TIER_AUTO) {
		if (tier_works(s, wanted))
			r = open_tier(s, wanted);
		return r ? tell_obstacle(s, wanted, r) : 0;
	}
	for (enum tier tier = TIER_FENTRY; r && tier <= TIER_PERF; tier++) {
		if (!tier_works(s, tier))
			continue;
		r = open_tier(s, tier);
		if (r)
			log_info("not by %s: %s", tier_name(tier), strerror(-r));
	}
	return r ? tell_obstacle(s, TIER_PERF, r) : 0;
}

/* ---- the run ---- */

static int give_up_privileges(struct session *s)
{
	bool open_ended = s->options->comm || s->options->cgroup;
	enum privilege_keep keep = PRIVILEGE_READ;
	int r;

	if (s->live) {
		r = privilege_suspend_bpf(true);
		if (!r && !live_collector_usable(s->live))
			keep = PRIVILEGE_BPF;
	} else if (open_ended) {
		keep = PRIVILEGE_PERFMON;
	}
	r = privilege_drop(keep);
	if (r)
		log_error("cannot give up capabilities: %s", strerror(-r));
	return r;
}

static int start(struct session *s)
{
	int r = s->live ? live_collector_start(s->live) : perf_collector_start(s->perf);

	if (r) {
		log_error("cannot attach to page faults: %s; see faultprof --probe", strerror(-r));
		return r;
	}
	r = give_up_privileges(s);
	if (!r)
		r = output_check(&s->output);
	if (r && s->options->output)
		log_error("cannot write to the directory of %s without root's privileges, which are "
			  "given up: %s; take another one", s->options->output, strerror(-r));
	if (r)
		return r;
	s->profile.begin_ns = now_ns();
	if (s->command.pid) {
		r = command_go(&s->command);
		if (r)
			log_error("cannot run %s: %s", s->options->command[0], strerror(-r));
	}
	return r;
}

static void show_progress(struct session *s, uint64_t now)
{
	uint64_t faults = s->faults, major = s->major;

	if (!isatty(STDERR_FILENO) || now - s->progress_ns < 500000000ULL)
		return;
	s->progress_ns = now;
	if (s->live)
		live_collector_progress(s->live, &faults, &major);
	fprintf(stderr, "\rfaultprof: %.0f s, %s faults, %s major%s", (now - s->profile.begin_ns) / 1e9,
		text_count(faults).text, text_count(major).text,
		s->options->duration_s ? "" : ", Ctrl-C ends");
	fflush(stderr);
}

static void clear_progress(const struct session *s)
{
	if (s->progress_ns)
		fputs("\r\033[K", stderr);
}

static bool process_gone(pid_t pid)
{
	int fd = syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	bool gone = fd < 0 || poll(&p, 1, 0) > 0;

	if (fd >= 0)
		close(fd);
	return gone;
}

static bool all_gone(const struct session *s)
{
	if (s->options->comm || s->options->cgroup)
		return false;
	if (s->live)
		return !live_collector_alive(s->live);
	for (size_t i = 0; i < s->targets.nr; i++)
		if (!process_gone(s->targets.pids[i]))
			return false;
	return true;
}

static int collect(struct session *s)
{
	uint64_t end = s->options->duration_s ?
			       s->profile.begin_ns + (uint64_t)(s->options->duration_s * 1e9) : UINT64_MAX;
	size_t refused = 0;
	int r = 0;

	while (!r && !interrupted) {
		uint64_t now = now_ns();
		int slice = SLICE_MS;

		if (now >= end)
			break;
		if (end - now < SLICE_MS * 1000000ULL)
			slice = (end - now) / 1000000 + 1;
		r = s->live ? live_collector_poll(s->live, slice, on_fault, s) :
			      perf_collector_poll(s->perf, slice, on_fault, s);
		if (r == -EINTR)
			r = 0;
		show_progress(s, now);
		if (r || now - s->scanned_ns < SCAN_NS)
			continue;
		s->scanned_ns = now;
		if (all_gone(s))
			break;
		if (s->options->comm || s->options->cgroup)
			r = scan_targets(s, &refused);
	}
	s->profile.end_ns = now_ns();
	if (!r)
		r = s->live ? live_collector_stop(s->live, on_fault, s) :
			      perf_collector_stop(s->perf, on_fault, s);
	clear_progress(s);
	if (r)
		log_error("collecting failed: %s", strerror(-r));
	return r;
}

/* ---- the report ---- */

static void add_warnings(struct session *s, const struct collect_counts *counts)
{
	FILE *file = fopen("/proc/sys/kernel/numa_balancing", "re");
	enum probe_what what = tier_obstacle(s, TIER_TRACEPOINT);

	if (s->perf && what != PROBE_NR && s->options->tier == TIER_AUTO)
		profile_warn(&s->profile, "no BPF (%s: %s), so no stall times, and kinds are inferred from "
			     "the mapping: %s", probe_name(what), strerror(s->probe.error[what]),
			     probe_remedy(what, &s->probe));
	else if (s->perf)
		profile_warn(&s->profile, "measured by perf events alone: no stall times, and kinds are "
			     "inferred from the mapping");
	if (!counts->kernel_seen)
		profile_warn(&s->profile, "faults in user mode only: those raised in kernel mode (recv into "
			     "a swapped-out buffer) need root or CAP_PERFMON (kernel.perf_event_paranoid "
			     "is %d)", s->probe.paranoid);
	if (mappings_scope(s->mappings) == MAPPINGS_SNAPSHOT)
		profile_warn(&s->profile, "code that was loaded during the run has no names: no perf events");
	if (s->tier == TIER_TRACEPOINT && file && fgetc(file) != '0')
		profile_warn(&s->profile, "kernel.numa_balancing is on: its hint faults cannot be told from "
			     "first touches here, and count as zero");
	if (file)
		fclose(file);
}

static int build_profile(struct session *s)
{
	struct collect_counts counts;
	int r;

	if (s->live)
		live_collector_counts(s->live, &counts);
	else
		perf_collector_counts(s->perf, &counts);
	s->profile.tier = s->tier == TIER_FENTRY ? "fentry (BPF at fault handlers)" :
			  s->tier == TIER_TRACEPOINT ? "tracepoint (BPF at tracepoints)" :
						       "perf (events alone, no BPF)";
	s->profile.stall_known = counts.stall_known;
	s->profile.kinds_inferred = counts.kinds_inferred;
	s->profile.kernel_unseen = !counts.kernel_seen;
	s->profile.access_unknown = !counts.access_known;
	s->profile.failed = counts.failed;
	memcpy(s->profile.lost, counts.lost, sizeof(counts.lost));
	s->profile.lost[FP_LOSS_STACK] += s->cut_stacks;
	add_warnings(s, &counts);
	r = resolve_tally(s->symbolizer, &s->tally, &s->profile);
	if (!r)
		r = profile_finish(&s->profile);
	return r;
}

/* Targets that were added know their program; its build ID is read only now. */
static int name_targets(struct session *s)
{
	int r = 0;

	for (size_t i = 0; !r && i < s->profile.nr_targets; i++) {
		struct profile_target *target = &s->profile.targets[i];
		const struct image *image = mappings_first(s->mappings);
		const char *id;

		for (; image && (image->pid != target->pid || !image->own); image = image->next)
			;
		id = image ? symbolizer_build_id(s->symbolizer, image->own) : NULL;
		target->build_id = id ? strdup(id) : NULL;
		r = id && !target->build_id ? -ENOMEM : 0;
	}
	for (const struct image *image = mappings_first(s->mappings); !r && image; image = image->next)
		if (s->command.pid == (pid_t)image->pid && !s->profile.nr_targets && image->own && image->id > 1)
			r = profile_add_target(&s->profile, image->pid, image->comm, image->own->path,
					       symbolizer_build_id(s->symbolizer, image->own), 0);
	return r;
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
		log_error("cannot build the report: %s", strerror(-r));
		return r;
	}
	r = s->options->sink->write(&s->profile, &options, s->output.file);
	if (!r)
		r = output_commit(&s->output);
	if (r)
		log_error("cannot write the report to %s: %s",
			  s->options->output ? s->options->output : "standard output", strerror(-r));
	return r;
}

static void release(struct session *s)
{
	live_collector_free(s->live);
	perf_collector_free(s->perf);
	mappings_free(s->mappings);
	symbolizer_free(s->symbolizer);
	binary_table_release(&s->binaries);
	command_release(&s->command);
	output_abort(&s->output);
	pid_list_release(&s->targets);
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
			log_error("cannot start a process: %s", strerror(-r));
	}
	return r;
}

int session_run(const struct options *options)
{
	struct session s = { .options = options };
	int r = prepare(&s);

	if (!r)
		r = choose_tier(&s);
	if (!r)
		r = first_targets(&s);
	if (!r) {
		catch_signals();
		r = start(&s);
	}
	if (!r) {
		log_info("collecting");
		r = collect(&s);
	}
	if (!r)
		r = report(&s);
	release(&s);
	return r;
}

int session_probe(void)
{
	struct probe probe;

	probe_run(&probe);
	for (enum probe_what what = 0; what < PROBE_NR; what++) {
		int error = probe.error[what];

		printf("%-22s %-10s %s\n", probe_name(what), error ? "missing" : "works", probe_use(what));
		if (error)
			printf("%-22s %s; it takes %s\n", "", strerror(error), probe_remedy(what, &probe));
	}
	printf("\n%-22s %s\n", "tier fentry", probe.fentry ? "works: counts, kinds, stall times, stacks" : "not here");
	printf("%-22s %s\n", "tier tracepoint", probe.tracepoint ? "works: counts, kinds, stall times, stacks" : "not here");
	printf("%-22s %s\n", "tier perf", probe.perf ? "works: counts, inferred kinds, stacks; no stall times" : "not here");
	printf("\nChosen by --tier auto: %s\n", probe.fentry ? "fentry" : probe.tracepoint ? "tracepoint" :
	       probe.perf ? "perf" : "none");
	return 0;
}
