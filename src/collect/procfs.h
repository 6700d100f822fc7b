/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Read-only views on /proc. A process may be gone, or be another one, at any time: then -ESRCH or
 * -ENOENT, never a guess. Nothing here reads a target's memory. */
#ifndef COLLECT_PROCFS_H
#define COLLECT_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct pid_list {
	pid_t *pids; /* NULL when nr is 0 */
	size_t nr;
};

int pid_list_add(struct pid_list *list, pid_t pid); /* once each; 0 or -ENOMEM */
bool pid_list_has(const struct pid_list *list, pid_t pid);
void pid_list_release(struct pid_list *list);

int procfs_comm(pid_t pid, char comm[16]);
/* What /proc/PID/exe points to, with " (deleted)" if it is. -ENAMETOOLONG when @size is short. */
int procfs_exe(pid_t pid, char *buf, size_t size);
int procfs_exe_file(pid_t pid, uint64_t *device, uint64_t *inode);
int procfs_threads(pid_t pid, unsigned int *ret);
bool procfs_is_kernel_thread(pid_t pid);

/* These add to @list and keep what is in it. */
int procfs_tids(pid_t pid, struct pid_list *list);
/* The only thread whose stack pointer is in [start, end), as far as /proc tells without stopping
 * anybody: not of threads that run. 0 or -errno; -ENOENT: none; -ENOTUNIQ: several. */
int procfs_thread_at(pid_t pid, uint64_t start, uint64_t end, pid_t *ret);
int procfs_pids_by_comm(const char *comm, struct pid_list *list); /* user processes only */
/* @path: a directory of a cgroup file system, or a path below its usual mount points. All cgroups
 * below it count. */
int procfs_pids_of_cgroup(const char *path, struct pid_list *list);

struct procfs_mapping {
	uint64_t start, end, offset;
	uint64_t device, inode; /* device as makedev() gives it; both 0: no file */
	bool read, write, exec, shared;
	const char *path; /* "" when there is none; with " (deleted)" as the kernel writes it */
};

/* Takes one line of /proc/PID/maps apart, in place. 0 or -EINVAL. */
int procfs_parse_mapping(char *line, struct procfs_mapping *ret);

/* A nonzero return of the callback ends the walk and is returned. */
typedef int (*procfs_mapping_fn)(void *arg, const struct procfs_mapping *mapping);
int procfs_maps(pid_t pid, procfs_mapping_fn fn, void *arg);

/* Opens the file behind the mapping [start, end) of @pid for reading, if it is a regular file and
 * the very one with this inode (and device, where the file system tells the same one twice; those
 * that do not, like overlayfs and btrfs, are believed on the inode). Nothing else is ever opened,
 * so no device or FIFO notices. Returns the descriptor, or -errno. */
int procfs_open_binary(pid_t pid, uint64_t start, uint64_t end, const char *path, uint64_t device,
		       uint64_t inode);

#endif
