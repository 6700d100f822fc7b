/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Records come from one ring a CPU and are put in order of time before any is applied. Only those
 * older than the moment the draining began are: a task that changes its CPU meanwhile could show a
 * later record before an earlier one.
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/grow.h"
#include "collect/perfring.h"
#include "collect/procfs.h"

#define RING_PAGES 32
#define MAX_REGIONS 65536 /* of one image: bounds what a process that maps in a loop can cost */
#define NEAR 64		  /* as many of the youngest regions are searched for a repetition */
#define FORGET_NS (10 * 1000000000ULL)

/* A side-band record, in a form that can wait. */
struct record {
	uint64_t time_ns;
	uint64_t order; /* keeps records of the same time in the order they were read */
	uint32_t type;
	pid_t pid, parent;
	uint64_t start, bytes, offset, device, inode;
	uint32_t prot, flags;
	char *text; /* path or comm; owned */
};

struct run {
	uint64_t since_ns;
	struct image *image;
};

struct task {
	pid_t pid;
	bool confirmed;	   /* the owner knows it, and will tell its exit */
	bool exec_seen;	   /* self-numbered: the last run began with an exec */
	uint64_t since_ns; /* older records are in the snapshot already */
	uint64_t exit_ns;  /* 0: not seen */
	struct run *runs;  /* in order of time, at least one */
	size_t nr_runs;
	struct record *pending; /* since an exec that the owner has not told yet */
	size_t nr_pending;
	UT_hash_handle hh;
};

struct named {
	uint32_t id;
	struct image *image;
	UT_hash_handle hh;
};

struct mappings {
	struct mappings_options options;
	struct binary_table *binaries;
	struct perf_rings *rings; /* NULL: MAPPINGS_SNAPSHOT */
	struct pid_list attached; /* MAPPINGS_PROCESS: those with events of their own */
	struct record *queue;
	size_t nr_queue, capacity;
	uint64_t order;
	struct task *tasks;
	struct named *names;
	struct image *images;
	uint32_t last_id;
	uint64_t lost; /* beside what the rings lost */
	uint64_t swept_ns;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static void sideband_attr(const struct mappings *m, struct perf_event_attr *attr)
{
	*attr = (struct perf_event_attr){
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(*attr),
		.config = PERF_COUNT_SW_DUMMY,
		.sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME,
		.sample_id_all = 1,
		.mmap = 1,
		.mmap2 = 1,
		.mmap_data = m->options.data,
		.comm = 1,
		.comm_exec = 1,
		.task = 1,
		.exclude_kernel = 1,
		.exclude_hv = 1,
		.inherit = m->options.scope == MAPPINGS_PROCESS,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC,
		.watermark = 1,
		.wakeup_watermark = RING_PAGES * 1024,
	};
}

static void records_free(struct record *records, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		free(records[i].text);
	free(records);
}

static void task_free(struct mappings *m, struct task *task)
{
	HASH_DEL(m->tasks, task);
	records_free(task->pending, task->nr_pending);
	free(task->runs);
	free(task);
}

static struct task *task_find(const struct mappings *m, pid_t pid)
{
	struct task *task;

	HASH_FIND_INT(m->tasks, &pid, task);
	return task;
}

static int task_get(struct mappings *m, pid_t pid, struct task **ret)
{
	struct task *task = task_find(m, pid);

	if (!task) {
		task = calloc(1, sizeof(*task));
		if (!task)
			return -ENOMEM;
		task->pid = pid;
		HASH_ADD_INT(m->tasks, pid, task);
	}
	*ret = task;
	return 0;
}

static struct image *task_image(const struct task *task)
{
	return task->nr_runs ? task->runs[task->nr_runs - 1].image : NULL;
}

static int task_runs(struct task *task, struct image *image, uint64_t since_ns)
{
	int r = grow(&task->runs, task->nr_runs, sizeof(*task->runs));

	if (!r)
		task->runs[task->nr_runs++] = (struct run){ since_ns, image };
	return r;
}

static int image_make(struct mappings *m, uint32_t id, pid_t pid, const char *comm,
		      struct image **ret)
{
	struct named *name = calloc(1, sizeof(*name)), *old;

	HASH_FIND(hh, m->names, &id, sizeof(id), old);
	if (!name || old) {
		free(name);
		return old ? -EEXIST : -ENOMEM;
	}
	name->id = id;
	name->image = image_new(id, pid, comm);
	if (!name->image) {
		free(name);
		return -ENOMEM;
	}
	HASH_ADD(hh, m->names, id, sizeof(id), name);
	name->image->next = m->images;
	m->images = name->image;
	if (id > m->last_id)
		m->last_id = id;
	*ret = name->image;
	return 0;
}

static bool same_region(const struct region *a, const struct region *b)
{
	return a->start == b->start && a->end == b->end && a->offset == b->offset &&
	       a->binary == b->binary && a->exec == b->exec && a->write == b->write &&
	       a->shared == b->shared;
}

/*
 * Is the region told already, or of no interest? Plain anonymous memory is what an address without
 * a region is taken for: it only has to be kept where it hides another one.
 */
static bool redundant(const struct image *image, const struct region *region)
{
	bool plain = !region->binary && !region->exec && !region->shared && !region->name[0];
	size_t oldest = image->nr_regions > NEAR && !plain ? image->nr_regions - NEAR : 0;

	for (size_t i = image->nr_regions; i-- > oldest;) {
		const struct region *old = &image->regions[i];

		if (old->end <= region->start || old->start >= region->end)
			continue;
		return same_region(old, region);
	}
	return plain;
}

static int add_region(struct mappings *m, struct image *image, pid_t pid, struct region *region,
		      const struct procfs_mapping *from)
{
	if (from->inode || from->path[0] == '/') {
		const char *path = from->path;

		if (!from->inode) /* "//anon", "//toolong": what the kernel calls it, not a file */
			path = "";
		region->binary =
			path[0] ? binary_get(m->binaries, from->device, from->inode, path) : NULL;
		if (path[0] && !region->binary)
			return -ENOMEM;
		if (region->binary && region->exec && region->binary->fd < 0) {
			int fd = procfs_open_binary(pid, from->start, from->end, path, from->device,
						    from->inode);

			region->binary->fd = fd < 0 ? -1 : fd;
		}
	} else if (from->exec && from->path[0] == '[') {
		region->binary = binary_get(m->binaries, 0, 0, from->path);
		if (!region->binary)
			return -ENOMEM;
	}
	if (from->path[0] == '[')
		snprintf(region->name, sizeof(region->name), "%s", from->path);
	if (redundant(image, region))
		return 0;
	if (image->nr_regions >= MAX_REGIONS) {
		m->lost++;
		return 0;
	}
	return image_add_region(image, region);
}

struct snapshot {
	struct mappings *mappings;
	struct image *image;
	pid_t pid;
	uint64_t born_ns;
	uint64_t device, inode; /* of the program; both 0: not known */
	struct binary *same_inode;
};

static int snapshot_mapping(void *arg, const struct procfs_mapping *from)
{
	struct snapshot *s = arg;
	struct region region = { .start = from->start,
				 .end = from->end,
				 .offset = from->offset,
				 .born_ns = s->born_ns,
				 .exec = from->exec,
				 .write = from->write,
				 .shared = from->shared };
	int r = add_region(s->mappings, s->image, s->pid, &region, from);

	if (r || !region.binary || !from->inode || from->inode != s->inode)
		return r;
	if (from->device == s->device)
		s->image->own = region.binary;
	else if (!s->same_inode && from->exec)
		s->same_inode = region.binary;
	return 0;
}

static int snapshot(struct mappings *m, struct image *image, pid_t pid, uint64_t born_ns)
{
	struct snapshot s = { .mappings = m, .image = image, .pid = pid, .born_ns = born_ns };
	int r;

	if (procfs_exe_file(pid, &s.device, &s.inode))
		s.inode = 0;
	r = procfs_maps(pid, snapshot_mapping, &s);
	/* btrfs and overlayfs have one device for stat() and another for maps. */
	if (!image->own)
		image->own = s.same_inode;
	return r;
}

static int new_run(struct mappings *m, struct task *task, uint32_t id, const char *comm,
		   uint64_t since_ns, struct image **ret)
{
	struct image *image;
	int r = image_make(m, id, task->pid, comm, &image);

	if (!r)
		r = task_runs(task, image, since_ns);
	if (!r)
		*ret = image;
	return r;
}

static int apply_mmap(struct mappings *m, struct image *image, const struct record *record)
{
	struct procfs_mapping from = { .start = record->start,
				       .end = record->start + record->bytes,
				       .offset = record->offset,
				       .device = record->device,
				       .inode = record->inode,
				       .exec = record->prot & PROT_EXEC,
				       .path = record->text };
	struct region region = { .start = from.start,
				 .end = from.end,
				 .offset = from.offset,
				 .born_ns = record->time_ns,
				 .exec = from.exec,
				 .write = record->prot & PROT_WRITE,
				 .shared = record->flags & MAP_SHARED };
	int r = add_region(m, image, record->pid, &region, &from);

	if (!r && !image->own && region.exec && region.binary && from.inode)
		image->own = region.binary;
	return r;
}

static int keep_pending(struct task *task, struct record *record)
{
	int r = grow(&task->pending, task->nr_pending, sizeof(*task->pending));

	if (r)
		return r;
	task->pending[task->nr_pending++] = *record;
	record->text = NULL;
	return 0;
}

static int apply_exec(struct mappings *m, struct task *task, struct record *record)
{
	struct image *image = task_image(task);

	if (!m->options.self_numbered)
		return keep_pending(task, record);
	/* Two events can tell of one exec: then nothing is mapped between the two records. */
	if (image && task->exec_seen && !image->nr_regions)
		return 0;
	task->exec_seen = true;
	return new_run(m, task, m->last_id + 1, record->text, record->time_ns, &image);
}

static int apply_fork(struct mappings *m, const struct record *record)
{
	const struct task *parent = task_find(m, record->parent);
	struct image *image = parent ? task_image(parent) : NULL;
	struct task *task;
	int r;

	if (!image || record->pid == record->parent)
		return 0;
	r = task_get(m, record->pid, &task);
	if (r)
		return r;
	if (task->since_ns >= record->time_ns)
		return 0;
	records_free(task->pending, task->nr_pending);
	task->pending = NULL;
	task->nr_pending = 0;
	task->confirmed = false;
	task->exec_seen = false;
	task->exit_ns = 0;
	task->since_ns = record->time_ns;
	return task_runs(task, image, record->time_ns);
}

static int apply(struct mappings *m, struct record *record)
{
	struct task *task;

	if (record->type == PERF_RECORD_FORK)
		return apply_fork(m, record);
	task = task_find(m, record->pid);
	if (!task || record->time_ns <= task->since_ns || !task_image(task))
		return 0;
	if (record->type == PERF_RECORD_EXIT)
		task->exit_ns = record->time_ns;
	else if (record->type == PERF_RECORD_COMM)
		return apply_exec(m, task, record);
	else if (task->nr_pending)
		return keep_pending(task, record);
	else
		return apply_mmap(m, task_image(task), record);
	return 0;
}

struct sideband {
	struct perf_event_header header;
	union {
		struct {
			uint32_t pid, tid;
			uint64_t start, bytes, offset;
			uint32_t major, minor;
			uint64_t inode, generation;
			uint32_t prot, flags;
			char path[];
		} mmap;
		struct {
			uint32_t pid, tid;
			char comm[];
		} comm;
		struct {
			uint32_t pid, ppid, tid, ptid;
			uint64_t time_ns;
		} task;
	};
};

static int parse(const struct sideband *in, struct record *record, const char **text)
{
	bool exec = in->header.misc & PERF_RECORD_MISC_COMM_EXEC;

	*text = NULL;
	switch (in->header.type) {
	case PERF_RECORD_MMAP2:
		record->pid = in->mmap.pid;
		record->start = in->mmap.start;
		record->bytes = in->mmap.bytes;
		record->offset = in->mmap.offset;
		record->device = makedev(in->mmap.major, in->mmap.minor);
		record->inode = in->mmap.inode;
		record->prot = in->mmap.prot;
		record->flags = in->mmap.flags;
		*text = in->mmap.path;
		return 1;
	case PERF_RECORD_COMM:
		record->pid = in->comm.pid;
		*text = in->comm.comm;
		return exec;
	case PERF_RECORD_FORK:
	case PERF_RECORD_EXIT:
		record->pid = in->task.pid;
		record->parent = in->task.ppid;
		return in->header.type == PERF_RECORD_FORK ? in->task.pid != in->task.ppid
							   : in->task.pid == in->task.tid;
	default:
		return 0;
	}
}

static int enqueue(void *arg, const struct perf_event_header *header)
{
	struct mappings *m = arg;
	struct record record = { .type = header->type };
	const char *text;

	if (header->size < 32 || !parse((const void *)header, &record, &text))
		return 0;
	/* The time ends every record, after its pid and tid. */
	memcpy(&record.time_ns, (const char *)header + header->size - 8, 8);
	record.order = m->order++;
	if (m->nr_queue == m->capacity) {
		size_t capacity = m->capacity ? 2 * m->capacity : 64;
		struct record *queue = reallocarray(m->queue, capacity, sizeof(*queue));

		if (!queue)
			return -ENOMEM;
		m->queue = queue;
		m->capacity = capacity;
	}
	if (text) {
		record.text = strdup(text);
		if (!record.text)
			return -ENOMEM;
	}
	m->queue[m->nr_queue++] = record;
	return 0;
}

static int older(const void *a, const void *b)
{
	const struct record *x = a, *y = b;

	if (x->time_ns != y->time_ns)
		return x->time_ns < y->time_ns ? -1 : 1;
	return x->order < y->order ? -1 : 1;
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
			task_free(m, task);
}

int mappings_poll(struct mappings *m, uint64_t until_ns)
{
	uint64_t now = now_ns();
	size_t done = 0;
	int r;

	if (!m->rings)
		return 0;
	perf_rings_mark(m->rings);
	r = perf_rings_read(m->rings, enqueue, m);
	if (until_ns > now)
		until_ns = now;
	if (m->nr_queue)
		qsort(m->queue, m->nr_queue, sizeof(*m->queue), older);
	while (!r && done < m->nr_queue && m->queue[done].time_ns <= until_ns) {
		r = apply(m, &m->queue[done]);
		free(m->queue[done++].text);
	}
	if (done) {
		m->nr_queue -= done;
		memmove(m->queue, m->queue + done, m->nr_queue * sizeof(*m->queue));
	}
	sweep(m, now);
	return r;
}

/* Gives each thread of @pid an event of its own; threads and children to come inherit it. */
static int open_process(struct mappings *m, pid_t pid)
{
	struct pid_list tids = { 0 };
	struct perf_event_attr attr;
	size_t opened = 0, before;
	int r = 0;

	if (pid_list_has(&m->attached, pid))
		return 0;
	sideband_attr(m, &attr);
	do {
		before = opened;
		r = procfs_tids(pid, &tids);
		for (; !r && opened < tids.nr; opened++) {
			r = perf_rings_add(m->rings, &attr, tids.pids[opened], 0);
			if (r == -ESRCH)
				r = 0;
		}
	} while (!r && opened > before);
	if (!r)
		r = pid_list_add(&m->attached, pid);
	pid_list_release(&tids);
	return r;
}

int mappings_new(struct binary_table *binaries, const struct mappings_options *options,
		 struct mappings **ret)
{
	struct mappings *m = calloc(1, sizeof(*m));
	struct perf_event_attr attr;
	int r = 0;

	if (!m)
		return -ENOMEM;
	m->options = options ? *options : (struct mappings_options){ .scope = MAPPINGS_SYSTEM };
	m->binaries = binaries;
	m->swept_ns = now_ns();
	if (m->options.scope == MAPPINGS_SYSTEM) {
		sideband_attr(m, &attr);
		r = perf_rings_new(RING_PAGES, &m->rings);
		if (!r)
			r = perf_rings_add(m->rings, &attr, -1, 0);
		if (r == -EACCES || r == -EPERM || r == -ENOSYS) {
			perf_rings_free(m->rings);
			m->rings = NULL;
			m->options.scope = MAPPINGS_PROCESS;
			r = 0;
		}
	}
	if (!r && m->options.scope == MAPPINGS_PROCESS)
		r = perf_rings_new(RING_PAGES, &m->rings);
	if (r)
		mappings_free(m);
	else
		*ret = m;
	return r;
}

void mappings_free(struct mappings *m)
{
	struct task *task, *next_task;
	struct named *name, *next_name;

	if (!m)
		return;
	HASH_ITER (hh, m->tasks, task, next_task)
		task_free(m, task);
	HASH_ITER (hh, m->names, name, next_name) {
		HASH_DEL(m->names, name);
		image_free(name->image);
		free(name);
	}
	perf_rings_free(m->rings);
	pid_list_release(&m->attached);
	records_free(m->queue, m->nr_queue);
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
		r = open_process(m, pid);
		/* Without the right to see its records there is still the snapshot. */
		if (r == -EACCES || r == -EPERM || r == -ENOSYS)
			m->lost++;
		else if (r)
			return r;
	}
	r = task_get(m, pid, &task);
	if (r)
		return r;
	since = now_ns();
	r = new_run(m, task, id, comm, task->nr_runs ? since : 0, &image);
	if (!r)
		r = snapshot(m, image, pid, 0);
	if (r) {
		if (!task->nr_runs)
			task_free(m, task);
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
	const struct task *task = task_find(m, pid);
	struct image *image = task && !task->exit_ns ? task_image(task) : NULL;

	if (!image)
		return mappings_image_attached(m, m->last_id + 1, pid, ret);
	*ret = image;
	return 0;
}

int mappings_fork(struct mappings *m, pid_t child, pid_t parent, uint64_t time_ns)
{
	struct task *task = task_find(m, parent);
	struct image *image = task ? mappings_image_of(m, parent, time_ns) : NULL;
	int r;

	if (!image)
		return -ESRCH;
	r = task_get(m, child, &task);
	if (r)
		return r;
	/* Else its FORK record came first, and perhaps more of it. */
	if (!task->nr_runs || task->confirmed) {
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
		struct record *record = &task->pending[i];

		if (record->type == PERF_RECORD_COMM && record->time_ns > time_ns)
			break;
		if (record->type != PERF_RECORD_COMM && (*found && i > last ? image : old))
			r = apply_mmap(m, *found && i > last ? image : old, record);
		free(record->text);
	}
	if (i < task->nr_pending) {
		struct record *rest = NULL;
		size_t nr = 0;

		for (; !r && i < task->nr_pending; nr += !r, i++) {
			r = grow(&rest, nr, sizeof(*rest));
			if (!r)
				rest[nr] = task->pending[i];
		}
		for (; i < task->nr_pending; i++)
			free(task->pending[i].text);
		free(task->pending);
		task->pending = rest;
		task->nr_pending = nr;
		return r;
	}
	free(task->pending);
	task->pending = NULL;
	task->nr_pending = 0;
	return r;
}

int mappings_exec(struct mappings *m, pid_t pid, uint32_t id, const char *comm, uint64_t time_ns,
		  struct image **ret)
{
	struct image *image, *old;
	uint64_t device, inode;
	struct task *task;
	bool found;
	int r = task_get(m, pid, &task);

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
	if (!found) {
		/* A later exec of its own would show another program: then nothing is known. */
		char now[16] = "";

		if (!procfs_comm(pid, now) && comm && !strncmp(now, comm, 15) &&
		    !procfs_exe_file(pid, &device, &inode))
			r = snapshot(m, image, pid, time_ns);
		if (r == -ENOENT || r == -ESRCH || r == -EACCES || r == -EPERM)
			r = 0;
		if (!image->nr_regions)
			m->lost++;
	}
	*ret = image;
	return r;
}

void mappings_exit(struct mappings *m, pid_t pid)
{
	struct task *task = task_find(m, pid);

	/* An unconfirmed one is younger: the same pid, used again. */
	if (task && task->confirmed)
		task_free(m, task);
}

struct image *mappings_image(const struct mappings *m, uint32_t id)
{
	struct named *name;

	HASH_FIND(hh, m->names, &id, sizeof(id), name);
	return name ? name->image : NULL;
}

struct image *mappings_image_of(const struct mappings *m, pid_t pid, uint64_t time_ns)
{
	const struct task *task = task_find(m, pid);

	if (!task || !task->nr_runs)
		return NULL;
	for (size_t i = task->nr_runs; i-- > 1;)
		if (task->runs[i].since_ns <= time_ns)
			return task->runs[i].image;
	return task->runs[0].image;
}

struct image *mappings_first(const struct mappings *m)
{
	return m->images;
}

uint64_t mappings_lost(const struct mappings *m)
{
	return m->lost + (m->rings ? perf_rings_lost(m->rings) : 0);
}
