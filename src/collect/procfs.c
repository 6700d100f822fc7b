/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Read-only views on /proc. What a target can influence (its comm, its paths) is parsed as hostile:
 * a comm may hold ") R 1", a path may hold newlines (written as \012) and end in " (deleted)"
 * without being deleted. Files are opened by O_PATH first, so that a FIFO or a device put under a
 * binary's name is recognized before an open could block or act.
 */
#include "collect/procfs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/grow.h"

#define KERNEL_THREAD 0x00200000 /* PF_KTHREAD */
#define CGROUP_DEPTH 32

bool pid_list_has(const struct pid_list *list, pid_t pid)
{
	for (size_t i = 0; i < list->nr; i++)
		if (list->pids[i] == pid)
			return true;
	return false;
}

int pid_list_add(struct pid_list *list, pid_t pid)
{
	int r;

	if (pid_list_has(list, pid))
		return 0;
	r = grow(&list->pids, list->nr, sizeof(*list->pids));
	if (r)
		return r;
	list->pids[list->nr++] = pid;
	return 0;
}

void pid_list_release(struct pid_list *list)
{
	free(list->pids);
	*list = (struct pid_list){ 0 };
}

/* Reads a small file whole, terminated. Returns its length or -errno. */
static ssize_t read_small(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	if (n < 0)
		n = -errno;
	else
		buf[n] = 0;
	close(fd);
	return n;
}

int procfs_comm(pid_t pid, char comm[16])
{
	char path[64], text[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	n = read_small(path, text, sizeof(text));
	if (n < 0)
		return n;
	if (n && text[n - 1] == '\n')
		text[--n] = 0;
	if (n > 15)
		n = 15;
	memset(comm, 0, 16);
	memcpy(comm, text, n);
	return 0;
}

int procfs_exe(pid_t pid, char *buf, size_t size)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	n = readlink(path, buf, size);
	if (n < 0)
		return -errno;
	if ((size_t)n >= size)
		return -ENAMETOOLONG;
	buf[n] = 0;
	return 0;
}

int procfs_exe_file(pid_t pid, uint64_t *device, uint64_t *inode)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	if (stat(path, &st))
		return -errno;
	*device = st.st_dev;
	*inode = st.st_ino;
	return 0;
}

struct stat_fields {
	unsigned int flags;
	unsigned int threads;
};

static int read_stat(pid_t pid, struct stat_fields *ret)
{
	char path[64], text[1024];
	const char *rest;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	n = read_small(path, text, sizeof(text));
	if (n < 0)
		return n;
	rest = strrchr(text, ')');
	if (!rest ||
	    sscanf(rest + 1,
		   " %*c %*d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %u",
		   &ret->flags, &ret->threads) != 2)
		return -EPROTO;
	return 0;
}

int procfs_threads(pid_t pid, unsigned int *ret)
{
	struct stat_fields fields;
	int r = read_stat(pid, &fields);

	if (!r)
		*ret = fields.threads;
	return r;
}

bool procfs_is_kernel_thread(pid_t pid)
{
	struct stat_fields fields;

	return !read_stat(pid, &fields) && fields.flags & KERNEL_THREAD;
}

/* Calls @fn for each entry of @path whose name is a number. */
static int each_number(const char *path, int (*fn)(void *arg, pid_t pid), void *arg)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return -errno;
	while (!r && (entry = readdir(dir)))
		if (isdigit((unsigned char)entry->d_name[0]))
			r = fn(arg, atoi(entry->d_name));
	closedir(dir);
	return r;
}

static int add_pid(void *arg, pid_t pid)
{
	return pid_list_add(arg, pid);
}

int procfs_tids(pid_t pid, struct pid_list *list)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	return each_number(path, add_pid, list);
}

struct by_stack {
	pid_t pid, found; /* 0: none so far */
	uint64_t start, end;
};

static int match_stack(void *arg, pid_t tid)
{
	struct by_stack *by = arg;
	unsigned long sp = 0;
	char path[64], line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", by->pid, tid);
	file = fopen(path, "re");
	/* The last two words are its stack pointer and where it is. */
	if (file && fgets(line, sizeof(line), file)) {
		char *last = strrchr(line, ' ');

		if (last) {
			*last = 0;
			last = strrchr(line, ' ');
			sp = last ? strtoul(last + 1, NULL, 16) : 0;
		}
	}
	if (file)
		fclose(file);
	if (sp < by->start || sp >= by->end)
		return 0;
	if (by->found)
		return -ENOTUNIQ;
	by->found = tid;
	return 0;
}

int procfs_thread_at(pid_t pid, uint64_t start, uint64_t end, pid_t *ret)
{
	struct by_stack by = { .pid = pid, .start = start, .end = end };
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	r = each_number(path, match_stack, &by);
	if (!r && !by.found)
		r = -ENOENT;
	if (!r)
		*ret = by.found;
	return r;
}

struct by_comm {
	const char *comm;
	struct pid_list *list;
};

static int match_comm(void *arg, pid_t pid)
{
	struct by_comm *by = arg;
	char comm[16];

	if (procfs_comm(pid, comm) || strncmp(comm, by->comm, 15) || procfs_is_kernel_thread(pid))
		return 0;
	return pid_list_add(by->list, pid);
}

int procfs_pids_by_comm(const char *comm, struct pid_list *list)
{
	return each_number("/proc", match_comm, &(struct by_comm){ comm, list });
}

static int read_procs(int dir, struct pid_list *list)
{
	int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC), r = 0;
	long pid;
	FILE *in;

	if (fd < 0)
		return -errno;
	in = fdopen(fd, "r");
	if (!in) {
		close(fd);
		return -ENOMEM;
	}
	/* 0 stands for a process outside our pid namespace. */
	while (!r && fscanf(in, "%ld", &pid) == 1)
		if (pid > 0)
			r = pid_list_add(list, pid);
	if (!r && ferror(in))
		r = -errno;
	fclose(in);
	return r;
}

static int walk_cgroup(int fd, struct pid_list *list, unsigned int depth)
{
	struct dirent *entry;
	int r = read_procs(fd, list);
	DIR *dir;

	dir = r ? NULL : fdopendir(fd);
	if (!dir) {
		r = r ? r : -errno;
		close(fd);
		return r;
	}
	while (!r && depth && (entry = readdir(dir))) {
		int sub;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		sub = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		/* One that is removed meanwhile, or cannot be listed, hides only itself. */
		if (sub >= 0 && walk_cgroup(sub, list, depth - 1) == -ENOMEM)
			r = -ENOMEM;
	}
	closedir(dir);
	return r;
}

int procfs_pids_of_cgroup(const char *path, struct pid_list *list)
{
	static const char *const roots[] = { "", "/sys/fs/cgroup/", "/sys/fs/cgroup/unified/",
					     "/sys/fs/cgroup/memory/", "/sys/fs/cgroup/systemd/" };
	int r = -ENOENT;

	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		char full[PATH_MAX];
		int fd;

		if (snprintf(full, sizeof(full), "%s%s", roots[i], path) >= (int)sizeof(full))
			return -ENAMETOOLONG;
		fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0) {
			if (errno != ENOENT && errno != ENOTDIR)
				r = -errno;
			continue;
		}
		r = walk_cgroup(fd, list, CGROUP_DEPTH);
		/* A directory without cgroup.procs is some other one of that name. */
		if (r != -ENOENT)
			return r;
	}
	return r;
}

/* The kernel escapes nothing but the newline. */
static void unescape(char *path)
{
	char *out = path;

	while (*path) {
		if (!strncmp(path, "\\012", 4)) {
			*out++ = '\n';
			path += 4;
		} else {
			*out++ = *path++;
		}
	}
	*out = 0;
}

/* Takes a number and the one character that must follow it ('\0': the end will do, too). */
static bool take_number(char **at, int base, char next, uint64_t *ret)
{
	char *end;

	if (!isxdigit((unsigned char)**at))
		return false;
	errno = 0;
	*ret = strtoull(*at, &end, base);
	if (errno || end == *at || (*end != next && *end))
		return false;
	if (next && !*end)
		return false;
	*at = end + (next != 0);
	return true;
}

int procfs_parse_mapping(char *line, struct procfs_mapping *ret)
{
	struct procfs_mapping mapping = { 0 };
	uint64_t major, minor;
	char *at = line, *perms;

	line[strcspn(line, "\n")] = 0;
	if (!take_number(&at, 16, '-', &mapping.start) ||
	    !take_number(&at, 16, ' ', &mapping.end) || mapping.end <= mapping.start)
		return -EINVAL;
	perms = at;
	if (strnlen(perms, 5) < 5 || perms[4] != ' ')
		return -EINVAL;
	mapping.read = perms[0] == 'r';
	mapping.write = perms[1] == 'w';
	mapping.exec = perms[2] == 'x';
	mapping.shared = perms[3] == 's';
	at += 5;
	if (!take_number(&at, 16, ' ', &mapping.offset) || !take_number(&at, 16, ':', &major) ||
	    !take_number(&at, 16, ' ', &minor))
		return -EINVAL;
	if (!isdigit((unsigned char)*at))
		return -EINVAL;
	errno = 0;
	mapping.inode = strtoull(at, &at, 10);
	if (errno || (*at && *at != ' '))
		return -EINVAL;
	mapping.device = makedev(major, minor);
	at += strspn(at, " ");
	unescape(at);
	mapping.path = at;
	*ret = mapping;
	return 0;
}

int procfs_maps(pid_t pid, procfs_mapping_fn fn, void *arg)
{
	char path[64], *line = NULL;
	size_t size = 0;
	int r = 0;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	in = fopen(path, "re");
	if (!in)
		return -errno;
	while (!r && getline(&line, &size, in) > 0) {
		struct procfs_mapping mapping;

		if (!procfs_parse_mapping(line, &mapping))
			r = fn(arg, &mapping);
	}
	if (!r && ferror(in))
		r = -EIO;
	free(line);
	fclose(in);
	return r;
}

/* @fd: by O_PATH. Closes it. Returns it open for reading, or -errno. */
static int reopen_verified(int fd, uint64_t device, uint64_t inode, bool same_device)
{
	char path[64];
	struct stat st;
	int r = -ESTALE;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st)) {
		r = -errno;
	} else if (!S_ISREG(st.st_mode)) {
		r = -EINVAL;
	} else if (st.st_ino == inode && (!same_device || st.st_dev == device)) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		r = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		if (r < 0)
			r = -errno;
	}
	close(fd);
	return r;
}

/* No other way would lead further: it is open, or there is no descriptor to be had. */
static bool last_word(int r)
{
	return r >= 0 || r == -EMFILE || r == -ENFILE;
}

int procfs_open_binary(pid_t pid, uint64_t start, uint64_t end, const char *path, uint64_t device,
		       uint64_t inode)
{
	char at[PATH_MAX + 64];
	int r;

	if (!inode)
		return -ENOENT;
	snprintf(at, sizeof(at), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, pid, start, end);
	r = reopen_verified(open(at, O_PATH | O_CLOEXEC), device, inode, false);
	if (last_word(r))
		return r;
	snprintf(at, sizeof(at), "/proc/%d/exe", pid);
	r = reopen_verified(open(at, O_PATH | O_CLOEXEC), device, inode, true);
	if (last_word(r))
		return r;
	if (!path || path[0] != '/' ||
	    snprintf(at, sizeof(at), "/proc/%d/root%s", pid, path) >= (int)sizeof(at))
		return r;
	/* The target's root follows no link out of it: the inode check is what makes that safe. */
	r = reopen_verified(open(at, O_PATH | O_CLOEXEC), device, inode, false);
	if (last_word(r))
		return r;
	/* The process may be gone already. In our own view only the very same device will do. */
	return reopen_verified(open(path, O_PATH | O_CLOEXEC), device, inode, true);
}
