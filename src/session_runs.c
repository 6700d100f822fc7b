/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What a run found comes back as a baseline of one run, in a file without a name: that has names
 * and counts, and whoever reads them need not trust what the run has read of its target. */
#include "session_runs.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "gate/baseline.h"
#include "session.h"
#include "session_end.h"
#include "session_replay.h"

/* A single recording tells how it scatters by its parts: so many, of no less than that. The longer
 * they are, the less does what goes on for a while look like several accidents. */
#define MIN_PARTS 3
#define MAX_PARTS 10
#define LEAST_PART_S 1

enum child_exit {
	CHILD_DONE,
	CHILD_FAILED, /* it told why */
	CHILD_INTERRUPTED,
};

struct child {
	const struct options *options;
	FILE *out;
};

/* ---- in the process of a run ---- */

static int tell_status(const struct options *o, int status)
{
	if (status > 0)
		log_error("%s ended with exit status %d: what it did not do cannot be judged",
			  o->command[0], status);
	else if (status < 0)
		log_error("%s was ended by signal %d (%s): what it did not do cannot be judged",
			  o->command[0], -status, strsignal(-status));
	return status ? -ECANCELED : 0;
}

static int on_measured(void *arg, const struct measured *measured)
{
	const struct child *child = arg;
	const struct options *o = child->options;
	struct sample sample = { 0 };
	struct sample_origin origin;
	int r;

	if (measured->interrupted)
		return -EINTR;
	r = tell_status(o, measured->command_status);
	if (r)
		return r;
	sample_origin_here(&origin, measured->tier);
	r = sample_add_profile(&sample, measured->profile, &origin);
	if (!r) {
		sample.runs[0].work = o->gate.per_request ? measured->requests : o->gate.work;
		r = baseline_write(&sample, child->out);
	}
	if (!r && fflush(child->out))
		r = -errno;
	if (r)
		log_error("cannot hand on what was counted: %s", strerror(-r));
	sample_release(&sample);
	return r;
}

static int run_child(const struct options *options, FILE *out)
{
	struct child child = { options, out };
	struct options own = *options;
	int r;

	/* Until the run has its own handlers, ours would keep it from ending. */
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	/* Who owns the memory does not matter here, and neither does who called whom. */
	own.providers = "none";
	own.stacks = false;
	r = session_measure(&own, on_measured, &child);
	if (r == -EINTR)
		return CHILD_INTERRUPTED;
	return r ? CHILD_FAILED : CHILD_DONE;
}

/* ---- in ours ---- */

static volatile sig_atomic_t interrupted;
static volatile pid_t child_pid;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
	/* A terminal has told it, too, by another signal: it ends at once when it gets one twice.
	 */
	if (child_pid)
		kill(child_pid, SIGTERM);
}

void runs_catch_signals(void)
{
	end_on_interrupt(on_signal);
}

static int wait_child(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	child_pid = 0;
	if (interrupted || (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_INTERRUPTED))
		return -EINTR;
	if (WIFSIGNALED(status))
		log_error("a run was ended by signal %d (%s)", WTERMSIG(status),
			  strsignal(WTERMSIG(status)));
	return WIFEXITED(status) && WEXITSTATUS(status) == CHILD_DONE ? 0 : -ECANCELED;
}

static int add_run(FILE *in, struct sample *ret)
{
	struct sample run = { 0 };
	char why[256];
	int r;

	rewind(in);
	r = baseline_read(in, &run, why, sizeof(why));
	if (r)
		log_error("cannot take on what was counted: %s", why);
	else if (sample_merge(ret, &run))
		r = -ENOMEM;
	if (r == -ENOMEM)
		log_error("out of memory");
	sample_release(&run);
	return r;
}

/* The units of work that the run has written, if it did write the file. 0: it is not known. */
static double read_work(const char *path, const struct timespec *begin)
{
	FILE *in = fopen(path, "re");
	double work = 0;
	struct stat st;
	char text[64];

	if (!in)
		return 0;
	if (!fstat(fileno(in), &st) &&
	    (st.st_mtim.tv_sec > begin->tv_sec ||
	     (st.st_mtim.tv_sec == begin->tv_sec && st.st_mtim.tv_nsec >= begin->tv_nsec)) &&
	    fgets(text, sizeof(text), in))
		work = strtod(text, NULL);
	fclose(in);
	return work > 0 && work <= 1e15 ? work : 0;
}

static int measure_one(const struct options *options, struct sample *ret)
{
	FILE *file = NULL;
	struct timespec begin;
	int fd = memfd_create("faultprof-run", MFD_CLOEXEC), r = 0;
	pid_t pid = -1;

	if (fd >= 0)
		file = fdopen(fd, "w+");
	if (file) {
		/* The kernel's own idea of now, which is that of the files' times. */
		clock_gettime(CLOCK_REALTIME_COARSE, &begin);
		fflush(stdout);
		pid = fork();
	}
	if (!pid)
		_exit(run_child(options, file));
	if (pid < 0) {
		log_error("cannot start a run: %s", strerror(errno));
		r = -errno;
	} else {
		child_pid = pid;
		r = wait_child(pid);
	}
	if (!r)
		r = add_run(file, ret);
	if (!r && options->gate.work_from)
		ret->runs[ret->nr_runs - 1].work = read_work(options->gate.work_from, &begin);
	if (file)
		fclose(file);
	else if (fd >= 0)
		close(fd);
	return r;
}

static int measure_runs(const struct options *options, struct sample *ret)
{
	unsigned int session = ret->nr_runs ? ret->runs[ret->nr_runs - 1].session + 1 : 1;
	int r = 0;

	for (unsigned int i = 0; !r && i < options->gate.repeat; i++) {
		log_info("run %u of %u", i + 1, options->gate.repeat);
		r = interrupted ? -EINTR : measure_one(options, ret);
		if (!r)
			ret->runs[ret->nr_runs - 1].session = session;
	}
	return r;
}

/* ---- recordings ---- */

/* A recording as runs: whole, or in parts. */
struct taking {
	const struct options *options;
	struct sample *sample;
	double seconds, part_s; /* of the run, and of a part of it */
};

static int add_part(struct taking *t, struct replay *replay, struct profile *profile)
{
	const struct recording_run *run = &replay->recording.run;
	struct sample_origin origin = { .tier = run->tier,
					.begin_s = (int64_t)(run->begin_date_ns / 1000000000) };
	int r;

	sample_kernel_text(&origin, run->release, run->machine);
	r = sample_add_profile(t->sample, profile, &origin);
	if (!r)
		t->sample->runs[t->sample->nr_runs - 1].work =
			t->options->gate.work * profile_seconds(profile) / t->seconds;
	return r;
}

static int on_piece(void *arg, struct replay *replay, struct profile *piece)
{
	profile_finish(piece);
	return add_part(arg, replay, piece);
}

/* The last part takes what is left. */
static int on_tick(void *arg, struct replay *replay, uint64_t time_ns)
{
	struct taking *t = arg;
	uint64_t end_ns = replay->profile.begin_ns + (uint64_t)(t->seconds * 1e9);

	if ((double)(time_ns - replay->piece_ns) < .95 * t->part_s * 1e9 ||
	    (double)(end_ns - time_ns) < .95 * t->part_s * 1e9)
		return 0;
	return replay_piece(replay, time_ns, on_piece, t);
}

/* 0: it is not to be cut. What cannot be read is told later. */
static double find_parts(const char *path, struct taking *t)
{
	double parts = 0;

	t->seconds = replay_seconds(path);
	if (t->options->nr_files == 1)
		parts = t->seconds / LEAST_PART_S;
	parts = parts > MAX_PARTS ? MAX_PARTS : parts;
	t->part_s = parts >= MIN_PARTS ? t->seconds / parts : 0;
	return t->part_s;
}

/* Its programs, and what it lost, are known at the end. */
static int finish_parts(struct taking *t, struct replay *replay)
{
	int r = replay_piece(replay, replay->profile.end_ns, on_piece, t);

	for (size_t i = 0; !r && i < replay->profile.nr_targets; i++)
		r = sample_add_program(t->sample, replay->profile.targets[i].comm, NULL);
	if (!r)
		t->sample->runs[t->sample->nr_runs - 1].lost +=
			losses_that_count(replay->recording.counts.lost);
	return r;
}

static int take_recording(struct taking *t, const char *path)
{
	bool cut = find_parts(path, t) > 0;
	struct replay replay;
	int r = replay_open(&replay, path, t->options, cut ? on_tick : NULL, t);

	if (cut && !r) {
		r = finish_parts(t, &replay);
		log_info("%s: its scatter is that of %zu parts of it", path, t->sample->nr_runs);
	} else if (!r) {
		r = replay_complete(&replay);
		if (!r)
			r = add_part(t, &replay, &replay.profile);
	}
	if (r == -ENOMEM)
		log_error("out of memory");
	replay_release(&replay);
	/* It told that it is not whole: counts of half a run are none. */
	return r > 0 ? -EBADMSG : r;
}

/* A baseline is runs that were measured already, too. */
static int read_runs(const struct options *options, const char *path, struct sample *ret)
{
	FILE *in = fopen(path, "re");
	char why[256];
	int first = in ? fgetc(in) : EOF, r;

	if (first != '{') {
		if (in)
			fclose(in);
		return take_recording(&(struct taking){ .options = options, .sample = ret }, path);
	}
	rewind(in);
	r = baseline_read(in, ret, why, sizeof(why));
	if (r)
		log_error("%s: %s", path, why);
	fclose(in);
	return r;
}

static int add_file(const struct options *options, const char *path, struct sample *ret)
{
	const char *a, *b, *what;
	struct sample runs = { 0 };
	int r = read_runs(options, path, &runs);

	what = r ? NULL : sample_differs(ret, &runs, &a, &b);
	if (what) {
		log_error("%s has another %s than the files before it: \"%s\", not \"%s\"", path,
			  what, b, a);
		r = -EINVAL;
	}
	if (!r) {
		r = sample_merge(ret, &runs);
		if (r)
			log_error("out of memory");
	}
	sample_release(&runs);
	return r;
}

int runs_measure(const struct options *options, struct sample *ret)
{
	int r = 0;

	if (!options->nr_files)
		return measure_runs(options, ret);
	for (unsigned int i = 0; !r && i < options->nr_files; i++)
		r = add_file(options, options->files[i], ret);
	return r;
}
