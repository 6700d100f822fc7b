/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* /proc as it is on this machine, and lines of it as nasty as a target can make them. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "collect/procfs.h"

static int parse(const char *text, struct procfs_mapping *ret, char line[512])
{
	snprintf(line, 512, "%s", text);
	return procfs_parse_mapping(line, ret);
}

static void test_lines(void **state)
{
	struct procfs_mapping m;
	char line[512];

	(void)state;
	assert_int_equal(
		parse("55d0-7ffe0 r-xp 00002000 fe:01 247134    /usr/bin/a b  c\n", &m, line), 0);
	assert_int_equal(m.start, 0x55d0);
	assert_int_equal(m.end, 0x7ffe0);
	assert_int_equal(m.offset, 0x2000);
	assert_int_equal(m.device, makedev(0xfe, 1));
	assert_int_equal(m.inode, 247134);
	assert_true(m.read && !m.write && m.exec && !m.shared);
	assert_string_equal(m.path, "/usr/bin/a b  c");

	assert_int_equal(parse("1000-2000 rw-s 0 00:05 7 /a\\012b\\\\040 (deleted)\n", &m, line),
			 0);
	assert_string_equal(m.path, "/a\nb\\\\040 (deleted)");
	assert_true(m.shared && m.write && !m.exec);

	assert_int_equal(parse("1000-2000 rw-p 00000000 00:00 0 \n", &m, line), 0);
	assert_string_equal(m.path, "");
	assert_int_equal(parse("1000-2000 rw-p 00000000 00:00 0", &m, line), 0);
	assert_int_equal(parse("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0   "
			       "[vsyscall]\n",
			       &m, line),
			 0);
	assert_int_equal(m.end, 0xffffffffff601000);
	assert_string_equal(m.path, "[vsyscall]");
}

static void test_bad_lines(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"1000",
		"1000-",
		"1000-2000",
		"1000-2000 ",
		"1000-2000 rw-p",
		"1000-2000 rwp 0 0:0 0",
		"2000-1000 rw-p 0 0:0 0 ",
		"1000-1000 rw-p 0 0:0 0",
		"-1-2000 rw-p 0 0:0 0",
		"1000-2000 rw-p 0 0:0 x",
		"1000-2000 rw-p 0 0:0 ",
		"1000-2000 rw-p 0 00 0 /a",
		"10000000000000000-2 rw-p 0 0:0 0",
		"1000-2000 rw-p 0 0:0 99999999999999999999 /a",
		"1000-2000 rw-p 0 0:0 5/a",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct procfs_mapping m;
		char line[512];

		if (parse(bad[i], &m, line) != -EINVAL)
			fail_msg("taken: %s", bad[i]);
	}
}

static void test_self(void **state)
{
	struct pid_list list = { 0 };
	char comm[16], exe[4096];
	unsigned int threads;

	(void)state;
	/* What looks like the end of the comm field is part of it. */
	prctl(PR_SET_NAME, "a) R 1 (b) ");
	assert_int_equal(procfs_comm(getpid(), comm), 0);
	assert_string_equal(comm, "a) R 1 (b) ");
	assert_int_equal(procfs_threads(getpid(), &threads), 0);
	assert_int_equal(threads, 1);
	assert_int_equal(procfs_exe(getpid(), exe, sizeof(exe)), 0);
	assert_non_null(strstr(exe, "test_procfs"));
	assert_int_equal(procfs_exe(getpid(), exe, 4), -ENAMETOOLONG);
	assert_int_equal(procfs_tids(getpid(), &list), 0);
	assert_int_equal(list.nr, 1);
	assert_int_equal(procfs_pids_by_comm("a) R 1 (b) ", &list), 0);
	assert_true(pid_list_has(&list, getpid()));
	pid_list_release(&list);
	assert_true(procfs_comm(0x3fffffff, comm) < 0);
}

static void test_kernel_thread(void **state)
{
	char comm[16];

	(void)state;
	assert_false(procfs_is_kernel_thread(getpid()));
	if (procfs_comm(2, comm) || strcmp(comm, "kthreadd"))
		skip();
	assert_true(procfs_is_kernel_thread(2));
}

static void test_cgroup(void **state)
{
	struct pid_list list = { 0 };
	char line[512], path[600] = "";
	FILE *in;

	(void)state;
	assert_true(procfs_pids_of_cgroup("/proc/self/no such", &list) < 0);
	in = fopen("/proc/self/cgroup", "re");
	while (in && fgets(line, sizeof(line), in)) {
		char *name = strchr(line, ':'), *at = name ? strchr(name + 1, ':') : NULL;

		line[strcspn(line, "\n")] = 0;
		if (!at)
			continue;
		*at++ = 0;
		snprintf(path, sizeof(path), "/sys/fs/cgroup/%s%s", name + 1, at);
		if (!procfs_pids_of_cgroup(path, &list) && pid_list_has(&list, getpid()))
			break;
	}
	if (in)
		fclose(in);
	if (!list.nr)
		skip();
	assert_true(pid_list_has(&list, getpid()));
	pid_list_release(&list);
}

/* The first executable mapping of a file. */
static int find_code(void *arg, const struct procfs_mapping *mapping)
{
	struct procfs_mapping *found = arg;

	if (!mapping->exec || !mapping->inode)
		return 0;
	*found = *mapping;
	found->path = strdup(mapping->path);
	return 1;
}

static void check_elf(int fd, uint64_t inode)
{
	char magic[4];
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(read(fd, magic, 4), 4);
	assert_memory_equal(magic, "\177ELF", 4);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_ino, inode);
	close(fd);
}

static void test_open_self(void **state)
{
	struct procfs_mapping code;

	(void)state;
	assert_int_equal(procfs_maps(getpid(), find_code, &code), 1);
	check_elf(procfs_open_binary(getpid(), code.start, code.end, code.path, code.device,
				     code.inode),
		  code.inode);
	/* A mapping that is not there: by exe or by path. */
	check_elf(procfs_open_binary(getpid(), 0x1000, 0x2000, code.path, code.device, code.inode),
		  code.inode);
	check_elf(
		procfs_open_binary(0x3fffffff, 0x1000, 0x2000, code.path, code.device, code.inode),
		code.inode);
	assert_true(procfs_open_binary(getpid(), 0x1000, 0x2000, code.path, code.device,
				       code.inode + 1) < 0);
	free((char *)code.path);
}

static void test_open_deleted(void **state)
{
	char path[] = "/tmp/faultprof-XXXXXX", buf[65536];
	int in = open("/bin/sleep", O_RDONLY), out = mkstemp(path);
	struct procfs_mapping code;
	char exe[4096];
	struct stat st;
	ssize_t n;
	pid_t pid;

	(void)state;
	assert_true(in >= 0 && out >= 0);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		assert_int_equal(write(out, buf, n), n);
	fstat(out, &st);
	fchmod(out, 0700);
	close(in);
	close(out);
	pid = fork();
	if (!pid) {
		execl(path, path, "100", NULL);
		_exit(1);
	}
	for (int i = 0; i < 1000; i++) {
		if (!procfs_exe(pid, exe, sizeof(exe)) && !strcmp(exe, path))
			break;
		usleep(1000);
	}
	unlink(path);
	assert_int_equal(procfs_maps(pid, find_code, &code), 1);
	assert_non_null(strstr(code.path, " (deleted)"));
	check_elf(procfs_open_binary(pid, code.start, code.end, code.path, code.device, code.inode),
		  st.st_ino);
	/* Through exe alone. */
	check_elf(procfs_open_binary(pid, 0x1000, 0x2000, code.path, code.device, code.inode),
		  st.st_ino);
	free((char *)code.path);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void test_open_fifo(void **state)
{
	char dir[] = "/tmp/faultprof-XXXXXX", path[64];
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/fifo", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(stat(path, &st), 0);
	alarm(5); /* an open that blocks would end the test */
	assert_int_equal(procfs_open_binary(getpid(), 0x1000, 0x2000, path, st.st_dev, st.st_ino),
			 -EINVAL);
	assert_int_equal(stat("/dev/null", &st), 0);
	assert_int_equal(
		procfs_open_binary(getpid(), 0x1000, 0x2000, "/dev/null", st.st_dev, st.st_ino),
		-EINVAL);
	alarm(0);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),	     cmocka_unit_test(test_bad_lines),
		cmocka_unit_test(test_self),	     cmocka_unit_test(test_kernel_thread),
		cmocka_unit_test(test_cgroup),	     cmocka_unit_test(test_open_self),
		cmocka_unit_test(test_open_deleted), cmocka_unit_test(test_open_fifo),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
