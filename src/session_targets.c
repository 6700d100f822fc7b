/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "session_targets.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* The process that @pid is a thread of, itself when it is one; -1: not there. */
static pid_t process_of(pid_t pid, bool *zombie)
{
	char path[64], line[256];
	pid_t leader = -1;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	in = fopen(path, "re");
	while (in && fgets(line, sizeof(line), in)) {
		if (!strncmp(line, "State:", 6))
			*zombie = line[6 + strspn(line + 6, " \t")] == 'Z';
		if (sscanf(line, "Tgid: %d", &leader) == 1)
			break;
	}
	if (in)
		fclose(in);
	return leader;
}

static void tell_gone(pid_t pid)
{
	bool zombie = false;
	pid_t leader = process_of(pid, &zombie);

	if (leader > 0 && leader != pid)
		log_error("%d is a thread; give the PID of its process, %d", pid, leader);
	else if (zombie)
		log_error("%d has ended (a zombie): its parent, ps -o ppid= %d, has not yet taken "
			  "notice",
			  pid, pid);
	else
		log_error("no process %d; ps shows those that are there", pid);
}

static int tell_add(pid_t pid, int r)
{
	switch (-r) {
	case ESRCH:
	case ENOENT:
	case EINVAL:
		tell_gone(pid);
		break;
	case EMFILE:
		log_error("cannot watch process %d: %s; raise their number (ulimit -n)", pid,
			  strerror(-r));
		break;
	case EACCES:
	case EPERM:
		if (!geteuid()) {
			log_error("not allowed to watch process %d, though this is root: a "
				  "sandbox, container, lockdown or seccomp refuses it",
				  pid);
			break;
		}
		log_error("not allowed to watch process %d: run as root, or with CAP_BPF, "
			  "CAP_PERFMON, "
			  "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH",
			  pid);
		break;
	case E2BIG:
		log_error("too many processes at once; watch fewer of them");
		break;
	default:
		log_error("cannot watch process %d: %s", pid, strerror(-r));
	}
	return r;
}

static int add(struct targets *t, pid_t pid, bool on_exec)
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
	r = collector_add(t->collector, pid, on_exec);
	if (!r)
		r = pid_list_add(&t->added, pid);
	if (!r && t->profile->nr_targets < TARGETS_LISTED && !on_exec)
		r = profile_add_target(t->profile, pid, comm, has_exe ? exe : NULL, NULL, threads);
	return r;
}

static int find(const struct targets *t, struct pid_list *list)
{
	const struct options *o = t->options;
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

static pid_t parent_of(pid_t pid)
{
	char path[64], line[256];
	pid_t parent = -1;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	in = fopen(path, "re");
	while (in && fgets(line, sizeof(line), in))
		if (sscanf(line, "PPid: %d", &parent) == 1)
			break;
	if (in)
		fclose(in);
	return parent;
}

static bool is_ours(const struct targets *t, pid_t pid)
{
	for (size_t i = 0; i < sizeof(t->helpers) / sizeof(*t->helpers); i++)
		if (pid == t->helpers[i])
			return true;
	return pid == getpid() || (t->family && (pid == t->family || parent_of(pid) == t->family));
}

static int scan(struct targets *t, size_t *refused)
{
	struct pid_list found = { 0 };
	int r = find(t, &found);

	for (size_t i = 0; !r && i < found.nr; i++) {
		if (is_ours(t, found.pids[i]))
			continue;
		r = add(t, found.pids[i], false);
		if (r == -EACCES || r == -EPERM)
			++*refused;
		if (r != -ENOMEM)
			r = 0;
	}
	pid_list_release(&found);
	return r;
}

int targets_first(struct targets *t, pid_t command)
{
	const struct options *o = t->options;
	size_t refused = 0;
	int r;

	if (command) {
		r = add(t, command, true);
		return r ? tell_add(command, r) : 0;
	}
	for (size_t i = 0; i < o->nr_pids; i++) {
		r = add(t, o->pids[i], false);
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
	r = scan(t, &refused);
	if (o->textfile && !refused && !t->added.nr && (!r || r == -ENOENT)) {
		log_warn("no process of %s so far; waiting for it",
			 o->cgroup ? o->cgroup : o->comm);
		return 0;
	}
	if (r) {
		log_error("cannot find the processes of %s: %s", o->cgroup ? o->cgroup : o->comm,
			  strerror(-r));
	} else if (!t->added.nr && refused) {
		log_error("not allowed to watch the processes of %s: %s",
			  o->cgroup ? o->cgroup : o->comm,
			  geteuid() ? "run as root"
				    : "though this is root, a sandbox, container, lockdown or "
				      "seccomp refuses it");
		r = -EPERM;
	} else if (!t->added.nr && o->comm) {
		log_error("no process is called '%s'; names are those of ps -e, 15 bytes at most",
			  o->comm);
		r = -ESRCH;
	}
	return r;
}

int targets_scan(struct targets *t)
{
	size_t refused = 0;

	/* Its cgroup may be gone, /proc unreadable for now: what is watched already goes on. */
	return (t->options->comm || t->options->cgroup) && scan(t, &refused) == -ENOMEM ? -ENOMEM
											: 0;
}

void targets_forget(struct targets *t)
{
	struct pid_list *list = &t->added;
	size_t kept = 0;

	for (size_t i = 0; i < list->nr; i++)
		if (!kill(list->pids[i], 0) || errno != ESRCH)
			list->pids[kept++] = list->pids[i];
	list->nr = kept;
	/* grow() begins with no array. */
	if (!kept)
		pid_list_release(list);
}

void targets_release(struct targets *t)
{
	pid_list_release(&t->added);
}
