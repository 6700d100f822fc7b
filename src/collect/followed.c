/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "collect/followed.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/grow.h"

#define HALF_DONE_NS (2 * 1000000000ULL)
#define EXITING 0x4 /* PF_EXITING of the kernel, as /proc/PID/stat shows it */

struct task_record {
	uint64_t time_ns;
	uint32_t type;
	pid_t pid, ppid;
};

/* As the kernel writes it. */
struct raw_task {
	struct perf_event_header header;
	uint32_t pid, ppid, tid, ptid;
	uint64_t time_ns;
};

static void drop(struct followed_set *set, struct followed *followed)
{
	HASH_DEL(set->all, followed);
	if (followed->pidfd >= 0)
		close(followed->pidfd);
	free(followed);
}

void followed_release(struct followed_set *set)
{
	struct followed *followed, *next;

	HASH_ITER (hh, set->all, followed, next)
		drop(set, followed);
	free(set->queue);
	set->queue = NULL;
}

struct followed *followed_find(const struct followed_set *set, pid_t pid)
{
	struct followed *followed;

	HASH_FIND_INT(set->all, &pid, followed);
	return followed;
}

/* A zombie is gone: it faults no more. */
static bool gone(const struct followed *followed)
{
	struct pollfd p = { .fd = followed->pidfd, .events = POLLIN };

	if (p.fd >= 0)
		return poll(&p, 1, 0) > 0;
	return kill(followed->pid, 0) && errno == ESRCH;
}

struct followed *followed_living(struct followed_set *set, pid_t pid)
{
	struct followed *followed = followed_find(set, pid);

	if (!followed || !gone(followed))
		return followed;
	drop(set, followed);
	return NULL;
}

int followed_get(struct followed_set *set, pid_t pid, struct followed **ret)
{
	struct followed *followed = followed_living(set, pid);
	int fd;

	if (followed) {
		*ret = followed;
		return 0;
	}
	fd = syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0 && errno == ESRCH)
		return -ESRCH;
	followed = calloc(1, sizeof(*followed));
	if (!followed) {
		if (fd >= 0)
			close(fd);
		return -ENOMEM;
	}
	followed->pid = pid;
	followed->pidfd = fd;
	followed->whole_ns = UINT64_MAX;
	HASH_ADD_INT(set->all, pid, followed);
	*ret = followed;
	return 0;
}

void followed_whole(struct followed *followed)
{
	followed->whole_ns = clock_now_ns() + HALF_DONE_NS;
}

int followed_record(struct followed_set *set, const struct perf_event_header *header)
{
	const struct raw_task *raw = (const void *)header;
	int r;

	if (header->size < sizeof(*raw))
		return 0;
	/* Of threads only the first counts, which bears the number of its process. */
	if (header->type == PERF_RECORD_FORK ? raw->pid == raw->ppid : raw->pid != raw->tid)
		return 0;
	r = grow(&set->queue, set->nr_queue, sizeof(*set->queue));
	if (!r)
		set->queue[set->nr_queue++] = (struct task_record){
			.time_ns = raw->time_ns,
			.type = header->type,
			.pid = raw->pid,
			.ppid = raw->ppid,
		};
	return r;
}

static int older(const void *a, const void *b)
{
	const struct task_record *x = a, *y = b;

	return x->time_ns < y->time_ns ? -1 : x->time_ns > y->time_ns;
}

static int apply_fork(struct followed_set *set, const struct task_record *record)
{
	struct followed *parent = followed_find(set, record->ppid), *child;
	bool whole = parent && record->time_ns >= parent->whole_ns;
	int r;

	if (followed_living(set, record->pid)) /* told twice */
		return 0;
	r = followed_get(set, record->pid, &child);
	if (r)
		return r == -ESRCH ? 0 : r;
	if (whole)
		child->whole_ns = 0;
	return 0;
}

int followed_apply(struct followed_set *set, bool inherit)
{
	int r = 0;

	if (set->nr_queue)
		qsort(set->queue, set->nr_queue, sizeof(*set->queue), older);
	for (size_t i = 0; !r && i < set->nr_queue; i++) {
		const struct task_record *record = &set->queue[i];
		struct followed *followed;

		if (record->type == PERF_RECORD_FORK) {
			if (inherit)
				r = apply_fork(set, record);
			continue;
		}
		followed = followed_find(set, record->pid);
		if (followed)
			followed->exit_ns = record->time_ns;
	}
	/* grow() takes what is left for an array that was never longer. */
	free(set->queue);
	set->queue = NULL;
	set->nr_queue = 0;
	return r;
}

/* The first thread, not the process: that one lives on when its first thread alone has ended. */
static bool first_thread_lives(pid_t pid)
{
	char path[32], line[512], state = 'X';
	unsigned int flags = EXITING;
	const char *at;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	at = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
	if (!at || sscanf(at + 1, " %c %*d %*d %*d %*d %*d %u", &state, &flags) != 2)
		flags = EXITING;
	fclose(file);
	return state != 'Z' && state != 'X' && !(flags & EXITING);
}

/*
 * Events end with their thread, or when it executes a set-user-ID program. Where another thread
 * executes a program, the first one ends, too, and the other takes its number: but its events go
 * on, and no program begins without faults.
 */
unsigned int followed_sweep(struct followed_set *set, uint64_t age_ns)
{
	struct followed *followed, *next;
	uint64_t now = clock_now_ns();
	unsigned int taken = 0;

	HASH_ITER (hh, set->all, followed, next) {
		if (gone(followed)) {
			drop(set, followed);
			continue;
		}
		if (!followed->exit_ns || followed->exit_ns + age_ns > now)
			continue;
		if (!followed->taken && followed->sampled_ns < followed->exit_ns &&
		    first_thread_lives(followed->pid)) {
			followed->taken = true;
			taken++;
		}
		followed->exit_ns = 0;
	}
	return taken;
}

bool followed_alive(const struct followed_set *set)
{
	const struct followed *followed;

	for (followed = set->all; followed; followed = followed->hh.next)
		if (!gone(followed))
			return true;
	return false;
}
