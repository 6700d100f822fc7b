/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The processes that the mapping tracker follows, and which image each ran, since when. */
#ifndef COLLECT_TASKS_H
#define COLLECT_TASKS_H

#include <sys/types.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "collect/sideband.h"
#include "model/image.h"

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
	struct sideband_record *pending; /* since an exec that the owner has not told yet */
	size_t nr_pending;
	UT_hash_handle hh;
};

struct task *task_find(struct task *tasks, pid_t pid);		 /* NULL: none */
int task_get(struct task **tasks, pid_t pid, struct task **ret); /* finds or makes it; 0, -ENOMEM */
void task_free(struct task **tasks, struct task *task);

struct image *task_image(const struct task *task); /* that it runs; NULL: none yet */
int task_runs(struct task *task, struct image *image, uint64_t since_ns); /* 0 or -ENOMEM */
/* Forgets what it ran only before @until_ns. */
void task_forget(struct task *task, uint64_t until_ns);

#endif
