/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The history of processes: which image each ran, since when. The records come from sideband.c.
 *
 * An exec is COMM (with its exec flag), then the mappings of the new program, then the tracepoint
 * that the owner hears of. From the COMM on, a process's records are kept pending until the owner
 * says which number the new image has; self-numbered images are made at the COMM. The kernel maps
 * the program before its interpreter: the first executable file after the COMM is the image's own.
 *
 * A process is known from its FORK record on, even if the owner has not told yet. What nobody
 * confirms, or what is self-numbered, is forgotten some time after its exit.
 */
#include "collect/mappings.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/perf_event.h>

#include "base/clock.h"
#include "base/grow.h"
#include "collect/images.h"
#include "collect/procfs.h"
#include "collect/procmem.h"
#include "collect/regions.h"
#include "collect/sideband.h"
#include "collect/tasks.h"

#define FORGET_NS (10 * 1000000000ULL)
#define BINARIES_KEPT 64 /* that nobody maps: short-lived programs come back */
#define MAX_COPIES 1024	 /* of images: bounds what children that all map something else can cost */

struct mappings {
	struct mappings_options options;
	struct binary_table *binaries;
	struct sideband *sideband; /* NULL: MAPPINGS_SNAPSHOT */
	struct task *tasks;
	struct images images;
	unsigned int copies;
	uint64_t lost; /* beside what the sideband lost */
	uint64_t swept_ns;
};

/* A process stays in its control group when it executes another program, or nearly always. */
static char *cgroup_of(const struct task *task)
{
	const struct image *before = task_image(task);
	char *cgroup = NULL;

	if (before)
		return before->cgroup ? strdup(before->cgroup) : NULL;
	procmem_cgroup(task->pid, &cgroup);
	return cgroup;
}

static int new_run(struct mappings *m, struct task *task, uint32_t id, const char *comm,
		   uint64_t since_ns, struct image **ret)
{
	struct image *image;
	int r = images_add(&m->images, id, task->pid, comm, &image);

	if (r)
		return r;
	image->cgroup = cgroup_of(task);
	r = task_runs(task, image, since_ns);
	if (!r)
		*ret = image;
	return r;
}

struct holders {
	const struct mappings *m;
	const struct image *image;
};

static bool held_by_others(void *arg, const struct region *region, const struct region *old)
{
	const struct holders *h = arg;
	const struct task *task, *next;

	/* What is counted in the kernel has no time: then code counts even if its process ended. */
	if (!h->m->options.self_numbered && (!old->exec || old->pid != region->pid))
		return old->exec;
	HASH_ITER (hh, h->m->tasks, task, next)
		if ((uint32_t)task->pid != region->pid && task_image(task) == h->image &&
		    !task->exit_ns && !task->nr_pending &&
		    (!old->pid || old->pid == (uint32_t)task->pid ||
		     task->since_ns >= old->born_ns))
			return true;
	return false;
}

/* From now on the process has an image of its own, a copy of the one that it shared: what others
 * have mapped there by themselves is no harm as long as this one has nothing at that address. */
static int leave_shared(struct mappings *m, struct task *task, uint64_t time_ns, struct image **ret)
{
	const struct image *shared = task_image(task);
	struct image *image;
	int r = new_run(m, task, m->images.last_id + 1, shared->comm, time_ns, &image);

	for (size_t i = 0; !r && i < shared->nr_regions; i++)
		r = image_add_region(image, &shared->regions[i]);
	if (r)
		return r;
	image->own = shared->own;
	m->copies++;
	*ret = image;
	return 0;
}

static int apply_mmap(struct mappings *m, struct task *task, struct image *image,
		      const struct sideband_record *record)
{
	struct procfs_mapping from;
	struct region region;
	int r;

	sideband_mapping(record, &from);
	r = regions_make(m->binaries, record->pid, &from, record->time_ns, &region, &m->lost);
	if (r)
		return r;
	if (image->forked &&
	    regions_conflict(image, &region, held_by_others, &(struct holders){ m, image })) {
		if (!m->options.self_numbered || m->copies == MAX_COPIES) {
			m->lost++;
			return regions_add_unsure(image, &region, &m->lost);
		}
		r = leave_shared(m, task, record->time_ns, &image);
	}
	if (!r)
		r = regions_add(image, &region, &m->lost);
	if (!r && !image->own && region.exec && region.binary && region.binary->inode)
		image->own = region.binary;
	return r;
}

static int keep_pending(struct task *task, struct sideband_record *record)
{
	int r = grow(&task->pending, task->nr_pending, sizeof(*task->pending));

	if (r)
		return r;
	task->pending[task->nr_pending++] = *record;
	record->text = NULL;
	return 0;
}

static int apply_exec(struct mappings *m, struct task *task, struct sideband_record *record)
{
	struct image *image = task_image(task);

	if (!m->options.self_numbered)
		return keep_pending(task, record);
	/* Two events can tell of one exec: then nothing is mapped between the two records. */
	if (image && task->exec_seen && !image->nr_regions)
		return 0;
	task->exec_seen = true;
	return new_run(m, task, m->images.last_id + 1, record->text, record->time_ns, &image);
}

static int apply_fork(struct mappings *m, const struct sideband_record *record)
{
	const struct task *parent = task_find(m->tasks, record->parent);
	struct image *image = parent ? task_image(parent) : NULL;
	struct task *task;
	int r;

	if (!image || record->pid == record->parent)
		return 0;
	r = task_get(&m->tasks, record->pid, &task);
	if (r)
		return r;
	if (task->since_ns >= record->time_ns)
		return 0;
	sideband_records_free(task->pending, task->nr_pending);
	task->pending = NULL;
	task->nr_pending = 0;
	task->confirmed = false;
	task->exec_seen = false;
	task->exit_ns = 0;
	task->since_ns = record->time_ns;
	image->forked = true;
	return task_runs(task, image, record->time_ns);
}

static int apply(void *arg, struct sideband_record *record)
{
	struct mappings *m = arg;
	struct task *task;

	if (record->type == PERF_RECORD_FORK)
		return apply_fork(m, record);
	task = task_find(m->tasks, record->pid);
	if (!task || record->time_ns <= task->since_ns || !task_image(task))
		return 0;
	if (record->type == PERF_RECORD_EXIT)
		task->exit_ns = record->time_ns;
	else if (record->type == PERF_RECORD_COMM)
		return apply_exec(m, task, record);
	else if (task->nr_pending)
		return keep_pending(task, record);
	else
		return apply_mmap(m, task, task_image(task), record);
	return 0;
}

/* Forgets processes that exited long ago and whose exit nobody will tell. */
static void sweep(struct mappings *m, uint64_t now)
{
	struct task *task, *next;

	if (now - m->swept_ns < FORGET_NS)
		return;
	m->swept_ns = now;
	HASH_ITER (hh, m->tasks, task, next)
		if (task->exit_ns && task->exit_ns + FORGET_NS < now &&
		    (!task->confirmed || m->options.self_numbered) && kill(task->pid, 0) &&
		    errno == ESRCH)
			task_free(&m->tasks, task);
}

int mappings_poll(struct mappings *m, uint64_t until_ns)
{
	int r = m->sideband ? sideband_read(m->sideband, until_ns, apply, m) : 0;

	sweep(m, clock_now_ns());
	return r;
}

static bool refused(int r)
{
	return r == -EACCES || r == -EPERM || r == -ENOSYS;
}

int mappings_new(struct binary_table *binaries, const struct mappings_options *options,
		 struct mappings **ret)
{
	struct mappings *m = calloc(1, sizeof(*m));
	int r = 0;

	if (!m)
		return -ENOMEM;
	m->options = options ? *options : (struct mappings_options){ .scope = MAPPINGS_SYSTEM };
	m->binaries = binaries;
	m->swept_ns = clock_now_ns();
	if (m->options.scope == MAPPINGS_SYSTEM) {
		r = sideband_new(true, m->options.data, &m->sideband);
		if (refused(r)) {
			m->options.scope = MAPPINGS_PROCESS;
			r = 0;
		}
	}
	if (!r && m->options.scope == MAPPINGS_PROCESS)
		r = sideband_new(false, m->options.data, &m->sideband);
	if (r)
		mappings_free(m);
	else
		*ret = m;
	return r;
}

void mappings_free(struct mappings *m)
{
	struct task *task, *next_task;

	if (!m)
		return;
	HASH_ITER (hh, m->tasks, task, next_task)
		task_free(&m->tasks, task);
	images_release(&m->images);
	sideband_free(m->sideband);
	free(m);
}

enum mappings_scope mappings_scope(const struct mappings *m)
{
	return m->options.scope;
}

int mappings_image_attached(struct mappings *m, uint32_t id, pid_t pid, struct image **ret)
{
	char comm[16] = "";
	struct image *image;
	struct task *task;
	uint64_t since;
	int r = procfs_comm(pid, comm);

	if (r)
		return r;
	if (m->options.scope == MAPPINGS_PROCESS) {
		r = sideband_add_process(m->sideband, pid);
		/* Without the right to see its records there is still the snapshot. */
		if (refused(r))
			m->lost++;
		else if (r)
			return r;
	}
	r = task_get(&m->tasks, pid, &task);
	if (r)
		return r;
	since = clock_now_ns();
	r = new_run(m, task, id, comm, task->nr_runs ? since : 0, &image);
	if (!r)
		r = regions_snapshot(m->binaries, image, pid, 0, &m->lost);
	if (r) {
		if (!task->nr_runs)
			task_free(&m->tasks, task);
		return r;
	}
	task->confirmed = true;
	task->since_ns = since;
	task->exit_ns = 0;
	*ret = image;
	return 0;
}

int mappings_attach(struct mappings *m, pid_t pid, struct image **ret)
{
	const struct task *task = task_find(m->tasks, pid);
	struct image *image = task && !task->exit_ns ? task_image(task) : NULL;

	if (!image)
		return mappings_image_attached(m, m->images.last_id + 1, pid, ret);
	*ret = image;
	return 0;
}

int mappings_fork(struct mappings *m, pid_t child, pid_t parent, uint64_t time_ns)
{
	struct task *task = task_find(m->tasks, parent);
	struct image *image = task ? mappings_image_of(m, parent, time_ns) : NULL;
	int r;

	if (!image)
		return -ESRCH;
	r = task_get(&m->tasks, child, &task);
	if (r)
		return r;
	/* Else its FORK record came first, and perhaps more of it. */
	if (!task->nr_runs || task->confirmed) {
		image->forked = true;
		r = task_runs(task, image, time_ns);
		task->exit_ns = 0;
		if (task->since_ns < time_ns)
			task->since_ns = time_ns;
	}
	task->confirmed = true;
	return r;
}

/* Moves the pending records up to @time_ns into the new image, those before its exec into the old
 * one; from then on, up to the next exec that the owner has not told, they belong to it, too. */
static int bind_pending(struct mappings *m, struct task *task, struct image *old,
			struct image *image, uint64_t time_ns, bool *found)
{
	size_t i, last = SIZE_MAX;
	int r = 0;

	*found = false;
	for (i = 0; i < task->nr_pending && task->pending[i].time_ns <= time_ns; i++)
		if (task->pending[i].type == PERF_RECORD_COMM)
			last = i;
	*found = last != SIZE_MAX;
	for (i = 0; !r && i < task->nr_pending; i++) {
		struct sideband_record *record = &task->pending[i];

		if (record->type == PERF_RECORD_COMM && record->time_ns > time_ns)
			break;
		if (record->type != PERF_RECORD_COMM && (*found && i > last ? image : old))
			r = apply_mmap(m, task, *found && i > last ? image : old, record);
		free(record->text);
	}
	/* grow() takes what is left for an array that was never longer: it only has more room. */
	task->nr_pending -= i;
	if (task->nr_pending) {
		memmove(task->pending, task->pending + i,
			task->nr_pending * sizeof(*task->pending));
	} else {
		free(task->pending);
		task->pending = NULL;
	}
	return r;
}

int mappings_exec(struct mappings *m, pid_t pid, uint32_t id, const char *comm, uint64_t time_ns,
		  struct image **ret)
{
	struct image *image, *old;
	struct task *task;
	bool found;
	int r = task_get(&m->tasks, pid, &task);

	if (r)
		return r;
	old = task_image(task);
	task->confirmed = true;
	r = new_run(m, task, id, comm, time_ns, &image);
	if (r)
		return r;
	r = bind_pending(m, task, old, image, time_ns, &found);
	if (r)
		return r;
	if (!found)
		r = regions_snapshot_exec(m->binaries, image, pid, time_ns, &m->lost);
	*ret = image;
	return r;
}

void mappings_exit(struct mappings *m, pid_t pid)
{
	struct task *task = task_find(m->tasks, pid);

	/* An unconfirmed one is younger: the same pid, used again. */
	if (task && task->confirmed)
		task_free(&m->tasks, task);
}

struct image *mappings_image(const struct mappings *m, uint32_t id)
{
	return images_find(&m->images, id);
}

struct image *mappings_image_of(const struct mappings *m, pid_t pid, uint64_t time_ns)
{
	const struct task *task = task_find(m->tasks, pid);

	if (!task || !task->nr_runs)
		return NULL;
	for (size_t i = task->nr_runs; i-- > 1;)
		if (task->runs[i].since_ns <= time_ns)
			return task->runs[i].image;
	return task->runs[0].image;
}

void mappings_each_process(const struct mappings *m,
			   void (*fn)(void *arg, pid_t pid, const struct image *image), void *arg)
{
	const struct task *task, *next;

	HASH_ITER (hh, m->tasks, task, next)
		if (!task->exit_ns && task->nr_runs &&
		    (task->confirmed || m->options.self_numbered))
			fn(arg, task->pid, task_image(task));
}

void mappings_forget(struct mappings *m, void (*gone)(void *arg, const struct binary *binary),
		     void *arg)
{
	uint64_t now = clock_now_ns();
	struct task *task, *next;

	/* Records that are read late may still mean what was run until lately. */
	HASH_ITER (hh, m->tasks, task, next) {
		task_forget(task, now - FORGET_NS);
		for (size_t i = 0; i < task->nr_runs; i++)
			images_use(&m->images, task->runs[i].image->id);
	}
	images_sweep(&m->images);
	for (struct binary *binary = m->binaries->first; binary; binary = binary->next)
		binary->mapped = false;
	for (const struct image *image = m->images.first; image; image = image->next) {
		if (image->own)
			image->own->mapped = true;
		for (size_t i = 0; i < image->nr_regions; i++)
			if (image->regions[i].binary)
				image->regions[i].binary->mapped = true;
	}
	binary_table_sweep(m->binaries, BINARIES_KEPT, gone, arg);
}

struct image *mappings_first(const struct mappings *m)
{
	return m->images.first;
}

uint64_t mappings_lost(const struct mappings *m)
{
	return m->lost + (m->sideband ? sideband_lost(m->sideband) : 0);
}
