/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "collect/tasks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"

void task_free(struct task **tasks, struct task *task)
{
	HASH_DEL(*tasks, task);
	sideband_records_free(task->pending, task->nr_pending);
	free(task->runs);
	free(task);
}

struct task *task_find(struct task *tasks, pid_t pid)
{
	struct task *task;

	HASH_FIND_INT(tasks, &pid, task);
	return task;
}

int task_get(struct task **tasks, pid_t pid, struct task **ret)
{
	struct task *task = task_find(*tasks, pid);

	if (!task) {
		task = calloc(1, sizeof(*task));
		if (!task)
			return -ENOMEM;
		task->pid = pid;
		HASH_ADD_INT(*tasks, pid, task);
		if (!task->hh.tbl) {
			free(task);
			return -ENOMEM;
		}
	}
	*ret = task;
	return 0;
}

struct image *task_image(const struct task *task)
{
	return task->nr_runs ? task->runs[task->nr_runs - 1].image : NULL;
}

int task_runs(struct task *task, struct image *image, uint64_t since_ns)
{
	int r = grow(&task->runs, task->nr_runs, sizeof(*task->runs));

	if (!r)
		task->runs[task->nr_runs++] = (struct run){ since_ns, image };
	return r;
}

void task_forget(struct task *task, uint64_t until_ns)
{
	size_t past = 0;

	while (past + 1 < task->nr_runs && task->runs[past + 1].since_ns < until_ns)
		past++;
	/* grow() takes what is left for an array that was never longer: it only has more room. */
	task->nr_runs -= past;
	memmove(task->runs, task->runs + past, task->nr_runs * sizeof(*task->runs));
}
