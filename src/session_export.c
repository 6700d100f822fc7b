/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "session_export.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/notify.h"
#include "collect/procmem.h"
#include "session_profile.h"
#include "sink/prometheus.h"
#include "symbolize/resolve.h"

#define MANY_PLACES \
	4096	/* of an instance: programs that are executed over and over have new ones */
#define TOLD 64 /* warnings that are remembered as told */

/* What one instance did since the last file. */
struct gathering {
	struct tally tally;
	struct profile profile;
};

struct exporter {
	const struct options *options;
	struct prometheus *prometheus;
	struct gathering *gatherings[PROMETHEUS_INSTANCES + 1]; /* NULL: no faults yet */
	uint64_t due_ns, watchdog_ns, alive_ns;
	struct prometheus_self self;
	int error; /* of the last file; 0: it was written */
	char *told[TOLD];
	unsigned int nr_told;
};

static volatile sig_atomic_t asked;

static void on_hangup(int number)
{
	(void)number;
	asked = 1;
}

int exporter_new(const struct options *options, struct exporter **ret)
{
	/* Without SA_RESTART: a wait has to end. */
	struct sigaction action = { .sa_handler = on_hangup };
	struct exporter *e = calloc(1, sizeof(*e));
	struct timespec now;

	if (!e || prometheus_new(options->top, &e->prometheus)) {
		free(e);
		return -ENOMEM;
	}
	sigaction(SIGHUP, &action, NULL);
	clock_gettime(CLOCK_REALTIME, &now);
	e->options = options;
	e->watchdog_ns = notify_watchdog_ns();
	e->self.start_s = (double)now.tv_sec + now.tv_nsec / 1e9;
	e->self.interval_s = options->interval_s;
	*ret = e;
	return 0;
}

static void gathering_free(struct gathering *g)
{
	if (!g)
		return;
	tally_release(&g->tally);
	profile_release(&g->profile);
	free(g);
}

void exporter_free(struct exporter *e)
{
	if (!e)
		return;
	for (unsigned int i = 0; i <= PROMETHEUS_INSTANCES; i++)
		gathering_free(e->gatherings[i]);
	for (unsigned int i = 0; i < TOLD; i++)
		free(e->told[i]);
	prometheus_free(e->prometheus);
	free(e);
}

int exporter_gather(struct exporter *e, struct symbolizer *symbolizer, const struct image *image,
		    struct keeper *keeper)
{
	unsigned int at = prometheus_instance(e->prometheus, image->comm, image->cgroup);
	struct gathering *g = e->gatherings[at];
	int r = 0;

	if (!g) {
		g = calloc(1, sizeof(*g));
		if (!g || profile_init(&g->profile)) {
			free(g);
			return -ENOMEM;
		}
		e->gatherings[at] = g;
	}
	if (HASH_COUNT(g->tally.first) >= MANY_PLACES) {
		r = resolve_tally(symbolizer, &g->tally, &g->profile);
		tally_release(&g->tally);
	}
	keeper->tally = &g->tally;
	keeper->profile = &g->profile;
	return r;
}

bool exporter_due(struct exporter *e, uint64_t now_ns)
{
	if (e->watchdog_ns && now_ns - e->alive_ns > e->watchdog_ns / 4) {
		e->alive_ns = now_ns;
		notify_send("WATCHDOG=1");
	}
	return asked || now_ns >= e->due_ns;
}

/* ---- one interval ---- */

static bool tell_once(struct exporter *e, const char *text)
{
	char **slot = &e->told[e->nr_told % TOLD];

	for (unsigned int i = 0; i < TOLD; i++)
		if (e->told[i] && !strcmp(e->told[i], text))
			return false;
	log_warn("could not observe: %s", text);
	free(*slot);
	*slot = strdup(text);
	e->nr_told++;
	return true;
}

static void tell_warnings(struct exporter *e, const struct profile *profile)
{
	for (size_t i = 0; i < profile->nr_warnings; i++)
		tell_once(e, profile->warnings[i]);
}

static int add_gatherings(struct exporter *e, struct symbolizer *symbolizer)
{
	int r = 0;

	for (unsigned int i = 0; !r && i <= PROMETHEUS_INSTANCES; i++) {
		struct gathering *g = e->gatherings[i];

		if (!g)
			continue;
		r = resolve_tally(symbolizer, &g->tally, &g->profile);
		if (r)
			break;
		profile_finish(&g->profile);
		tell_warnings(e, &g->profile);
		r = prometheus_add(e->prometheus, i, &g->profile);
		gathering_free(g);
		e->gatherings[i] = NULL;
	}
	return r;
}

static void add_process(void *arg, pid_t pid, const struct image *image)
{
	struct prometheus *p = arg;
	uint64_t swapped;

	if (!procmem_swapped(pid, &swapped))
		prometheus_process(p, prometheus_instance(p, image->comm, image->cgroup), swapped);
}

static void add_present(struct exporter *e, const struct mappings *mappings)
{
	for (struct image *image = mappings_first(mappings); image; image = image->next) {
		if (!image->swapped_out)
			continue;
		prometheus_swapped_out(
			e->prometheus,
			prometheus_instance(e->prometheus, image->comm, image->cgroup),
			image->swapped_out);
		image->swapped_out = 0;
	}
	prometheus_no_processes(e->prometheus);
	mappings_each_process(mappings, add_process, e->prometheus);
}

static void add_self(struct exporter *e)
{
	struct timespec cpu;
	unsigned long pages = 0;
	FILE *in = fopen("/proc/self/statm", "re");

	if (!in || fscanf(in, "%*u %lu", &pages) != 1)
		pages = 0;
	if (in)
		fclose(in);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	e->self.cpu_s = (double)cpu.tv_sec + cpu.tv_nsec / 1e9;
	e->self.resident_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* What the run's profile says of all of it. */
static void account(struct exporter *e, const struct exported *run)
{
	struct collect_counts counts;

	collector_counts(run->collector, &counts);
	profile_account(run->profile, &(struct finished){
					      .tier = run->collector->tier,
					      .description = run->collector->ops->description,
					      .kinds = e->options->kinds,
					      .modes = e->options->modes,
					      .counts = &counts,
					      .cut_stacks = run->keeper->cut_stacks,
				      });
	e->self.swapped_out_known = counts.swapped_out_known;
	tell_warnings(e, run->profile);
}

/* ---- the file ---- */

static const char *remedy(int error)
{
	switch (-error) {
	case ENOSPC:
	case EDQUOT:
		return "make room there";
	case EROFS:
		return "mount it for writing";
	case EACCES:
	case EPERM:
		return "let us write to its directory";
	case ENOENT:
		return "make its directory again";
	default:
		return "look after its directory";
	}
}

static int write_file(struct exporter *e, const struct profile *run, struct output *output)
{
	int r = output->file ? 0 : output_again(output);

	if (r)
		return r;
	prometheus_write(e->prometheus, run, &e->self, output->file);
	return output_replace(output);
}

static int write_or_tell(struct exporter *e, const struct profile *run, struct output *output)
{
	const char *path = e->options->textfile;
	int r = write_file(e, run, output), before = e->error;

	e->error = r;
	e->self.failed_writes += !!r;
	if (r == -ESRCH)
		log_error("cannot write %s any more: the process that would name the file is gone; "
			  "start again",
			  path);
	else if (r && r != before)
		log_warn("cannot write %s: %s; %s; counting goes on", path, strerror(-r),
			 remedy(r));
	else if (!r && before)
		log_warn("%s can be written again", path);
	return r == -ESRCH ? -ECANCELED : 0;
}

static void forget_binary(void *arg, const struct binary *binary)
{
	symbolizer_forget(arg, binary);
}

/* All that is of one interval, or of processes that are gone. */
static int forget(const struct exported *run)
{
	uint64_t begin_ns = run->profile->begin_ns;
	int r;

	hosts_forget(run->hosts);
	mappings_forget(run->collector->mappings, forget_binary, run->symbolizer);
	targets_forget(run->targets);
	profile_release(run->profile);
	malloc_trim(0); /* what a burst took is given back */
	r = profile_init(run->profile);
	run->profile->begin_ns = begin_ns;
	return r;
}

int exporter_write(struct exporter *e, const struct exported *run)
{
	bool first = !e->due_ns;
	int r = add_gatherings(e, run->symbolizer);

	if (r)
		return r;
	asked = 0;
	e->due_ns = clock_now_ns() + (uint64_t)(e->options->interval_s * 1e9);
	account(e, run);
	add_present(e, run->collector->mappings);
	add_self(e);
	r = write_or_tell(e, run->profile, run->output);
	if (first)
		notify_send("READY=1");
	return r ? r : forget(run);
}

int exporter_finish(struct exporter *e, const struct exported *run)
{
	int r;

	notify_send("STOPPING=1");
	r = exporter_write(e, run);
	return r ? r : e->error;
}
