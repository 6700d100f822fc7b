/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Records come from one ring a CPU and are put in order of time before any is handed out. Only
 * those older than the moment the draining began are: a task that changes its CPU meanwhile could
 * show a later record before an earlier one.
 */
#include "collect/sideband.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include "base/clock.h"
#include "base/grow.h"
#include "collect/perfring.h"

#define RING_PAGES 32

struct sideband {
	bool system, data;
	struct perf_rings *rings;
	struct pid_list attached; /* those with events of their own */
	struct sideband_record *queue;
	size_t nr_queue;
	uint64_t order;
};

static void sideband_attr(const struct sideband *s, struct perf_event_attr *attr)
{
	*attr = (struct perf_event_attr){
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(*attr),
		.config = PERF_COUNT_SW_DUMMY,
		.sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME,
		.sample_id_all = 1,
		.mmap = 1,
		.mmap2 = 1,
		.mmap_data = s->data,
		.comm = 1,
		.comm_exec = 1,
		.task = 1,
		.exclude_kernel = 1,
		.exclude_hv = 1,
		.inherit = !s->system,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC,
		.watermark = 1,
		.wakeup_watermark = RING_PAGES * 1024,
	};
}

int sideband_new(bool system, bool data, struct sideband **ret)
{
	struct sideband *s = calloc(1, sizeof(*s));
	struct perf_event_attr attr;
	int r;

	if (!s)
		return -ENOMEM;
	s->system = system;
	s->data = data;
	r = perf_rings_new(RING_PAGES, &s->rings);
	if (!r && system) {
		sideband_attr(s, &attr);
		r = perf_rings_add(s->rings, &attr, -1, 0);
	}
	if (r)
		sideband_free(s);
	else
		*ret = s;
	return r;
}

void sideband_mapping(const struct sideband_record *record, struct procfs_mapping *ret)
{
	*ret = (struct procfs_mapping){ .start = record->start,
					.end = record->start + record->bytes,
					.offset = record->offset,
					.device = record->device,
					.inode = record->inode,
					.read = record->prot & PROT_READ,
					.write = record->prot & PROT_WRITE,
					.exec = record->prot & PROT_EXEC,
					.shared = record->flags & MAP_SHARED,
					.path = record->text };
}

void sideband_records_free(struct sideband_record *records, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		free(records[i].text);
	free(records);
}

void sideband_free(struct sideband *s)
{
	if (!s)
		return;
	perf_rings_free(s->rings);
	pid_list_release(&s->attached);
	sideband_records_free(s->queue, s->nr_queue);
	free(s);
}

/* Gives each thread of @pid an event of its own; threads and children to come inherit it. */
int sideband_add_process(struct sideband *s, pid_t pid)
{
	struct pid_list tids = { 0 };
	struct perf_event_attr attr;
	size_t opened = 0, before;
	int r = 0;

	if (pid_list_has(&s->attached, pid))
		return 0;
	sideband_attr(s, &attr);
	do {
		before = opened;
		r = procfs_tids(pid, &tids);
		for (; !r && opened < tids.nr; opened++) {
			r = perf_rings_add(s->rings, &attr, tids.pids[opened], 0);
			if (r == -ESRCH)
				r = 0;
		}
	} while (!r && opened > before);
	if (!r)
		r = pid_list_add(&s->attached, pid);
	pid_list_release(&tids);
	return r;
}

/* As the kernel writes it. */
struct raw_record {
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

static int parse(const struct raw_record *in, struct sideband_record *record, const char **text)
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
	struct sideband *s = arg;
	struct sideband_record record = { .type = header->type };
	const char *text;
	int r;

	if (header->size < 32 || !parse((const void *)header, &record, &text))
		return 0;
	/* The time ends every record, after its pid and tid. */
	memcpy(&record.time_ns, (const char *)header + header->size - 8, 8);
	record.order = s->order++;
	r = grow(&s->queue, s->nr_queue, sizeof(*s->queue));
	if (r)
		return r;
	if (text) {
		record.text = strdup(text);
		if (!record.text)
			return -ENOMEM;
	}
	s->queue[s->nr_queue++] = record;
	return 0;
}

static int older(const void *a, const void *b)
{
	const struct sideband_record *x = a, *y = b;

	if (x->time_ns != y->time_ns)
		return x->time_ns < y->time_ns ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

int sideband_read(struct sideband *s, uint64_t until_ns, sideband_fn fn, void *arg)
{
	uint64_t now = clock_now_ns();
	size_t done = 0;
	int r;

	perf_rings_mark(s->rings);
	r = perf_rings_read(s->rings, enqueue, s);
	if (until_ns > now)
		until_ns = now;
	if (s->nr_queue)
		qsort(s->queue, s->nr_queue, sizeof(*s->queue), older);
	while (!r && done < s->nr_queue && s->queue[done].time_ns <= until_ns) {
		r = fn(arg, &s->queue[done]);
		free(s->queue[done++].text);
	}
	/* grow() takes what is left for an array that was never longer: it only has more room. */
	s->nr_queue -= done;
	if (s->nr_queue) {
		memmove(s->queue, s->queue + done, s->nr_queue * sizeof(*s->queue));
	} else {
		free(s->queue);
		s->queue = NULL;
	}
	return r;
}

uint64_t sideband_lost(const struct sideband *s)
{
	return perf_rings_lost(s->rings);
}
