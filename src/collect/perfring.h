/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Perf events that write to memory-mapped rings, one ring for each CPU. Many events share the ring
 * of their CPU, so locked memory depends on the CPUs alone, which matters: an unprivileged user has
 * 516 kB of it for each.
 */
#ifndef COLLECT_PERFRING_H
#define COLLECT_PERFRING_H

#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <uthash.h>

struct perf_ring {
	int fd;		/* the event that owns the ring */
	void *base;	/* control page, then the data */
	uint64_t bytes; /* of the data: a power of two */
	uint64_t lost;	/* records that found no room, as far as the kernel told by now */
	char *record;	/* where a record that wraps is put together */
};

/* A negative return ends the read and is returned; the record counts as read. */
typedef int (*perf_record_fn)(void *arg, const struct perf_event_header *record);

/* Opens an event and maps its ring of @pages (a power of two) or, where so much may not be locked,
 * the largest smaller one. 0 or -errno. */
int perf_ring_open(const struct perf_event_attr *attr, pid_t pid, int cpu, unsigned int pages,
		   struct perf_ring **ret);
/* How far the ring is written: what perf_ring_read() takes. All that happened before this record,
 * on any CPU, is in its ring already. */
uint64_t perf_ring_head(const struct perf_ring *ring);
/* Reads up to @head. Losses are counted, not passed on. */
int perf_ring_read(struct perf_ring *ring, uint64_t head, perf_record_fn fn, void *arg);
void perf_ring_close(struct perf_ring *ring);

struct perf_event {
	uint64_t id; /* what PERF_SAMPLE_IDENTIFIER carries, in inherited events, too */
	int fd, cpu;
	pid_t tid;	  /* the thread it was opened for; -1: any */
	unsigned int tag; /* the caller's */
	UT_hash_handle hh;
};

struct perf_rings {
	struct perf_ring **ring; /* by CPU; NULL: offline, or nothing opened yet */
	uint64_t *head;		 /* by CPU; set by perf_rings_mark() */
	int *wait;		 /* by CPU: the event to wait on, -1: none alive */
	unsigned int nr;
	unsigned int reading;	   /* by CPU: the ring that the record at hand is from */
	unsigned int pages;	   /* wanted for each ring */
	struct perf_event *events; /* hashed by id */
};

int perf_rings_new(unsigned int pages, struct perf_rings **ret);
void perf_rings_free(struct perf_rings *rings); /* NULL is fine */
/* Opens an event for thread @tid (-1: all) on each online CPU. -ESRCH: the thread is gone. After
 * any failure, what was opened stays until perf_rings_free(). */
int perf_rings_add(struct perf_rings *rings, const struct perf_event_attr *attr, pid_t tid,
		   unsigned int tag);
struct perf_event *perf_rings_find(const struct perf_rings *rings, uint64_t id); /* or NULL */
/* Waits until a ring has passed its wakeup mark. Returns 0, or -EINTR after a signal. */
int perf_rings_wait(struct perf_rings *rings, int timeout_ms);
/* Notes how far each ring is written; perf_rings_read() reads that far and no further. */
void perf_rings_mark(struct perf_rings *rings);
int perf_rings_read(struct perf_rings *rings, perf_record_fn fn, void *arg);
uint64_t perf_rings_lost(const struct perf_rings *rings);

#endif
