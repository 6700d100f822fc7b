/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What a run of months lets go of, and what it must not; and the file that it writes each time. */
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
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/output.h"
#include "collect/mappings.h"
#include "collect/procmem.h"
#include "symbolize/symbolize.h"

#define LONG_AGO_NS (20 * 1000000000ULL)

static void count(void *arg, const struct binary *binary)
{
	(void)binary;
	++*(unsigned int *)arg;
}

static void test_binaries(void **state)
{
	struct binary_table table = { 0 };
	unsigned int gone = 0;

	(void)state;
	for (uint64_t i = 1; i <= 6; i++)
		binary_get(&table, 8, i, "x")->mapped = i % 3 == 0;
	binary_table_sweep(&table, 4, count, &gone);
	assert_int_equal(gone, 0);
	binary_table_sweep(&table, 3, count, &gone);
	assert_int_equal(gone, 4);
	assert_int_equal(table.first->inode, 6);
	assert_int_equal(table.first->next->inode, 3);
	assert_null(table.first->next->next);
	binary_table_release(&table);
}

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	assert_true(pid > 0);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void add_pid(void *arg, pid_t pid, const struct image *image)
{
	assert_non_null(image);
	*(pid_t *)arg += pid;
}

static pid_t sum_of_processes(const struct mappings *m)
{
	pid_t sum = 0;

	mappings_each_process(m, add_pid, &sum);
	return sum;
}

static void test_images(void **state)
{
	struct mappings_options options = { .scope = MAPPINGS_SNAPSHOT };
	struct binary_table binaries = { 0 };
	pid_t one = sleeper(), two = sleeper();
	struct image *image;
	unsigned int gone = 0;
	struct mappings *m;

	(void)state;
	assert_int_equal(mappings_new(&binaries, &options, &m), 0);
	assert_int_equal(mappings_image_attached(m, 1, one, &image), 0);
	assert_int_equal(mappings_image_attached(m, 2, two, &image), 0);
	assert_int_equal(mappings_fork(m, 1 << 23, two, clock_now_ns()), 0);
	assert_int_equal(sum_of_processes(m), one + two + (1 << 23));
	/* The first one has long executed something else, the other is gone, but not its child. */
	assert_int_equal(mappings_exec(m, one, 3, "x", clock_now_ns() - LONG_AGO_NS, &image), 0);
	mappings_exit(m, two);
	assert_int_equal(sum_of_processes(m), one + (1 << 23));
	mappings_forget(m, count, &gone);
	/* What the kernel counted lately still finds it. */
	assert_non_null(mappings_image(m, 1));
	mappings_forget(m, count, &gone);
	assert_null(mappings_image(m, 1));
	assert_non_null(mappings_image(m, 2));
	assert_ptr_equal(mappings_image_of(m, one, 0), mappings_image(m, 3));
	/* It executes again, just now: records that come late may still mean what it was. */
	assert_int_equal(mappings_exec(m, one, 4, "y", clock_now_ns(), &image), 0);
	mappings_exit(m, 1 << 23);
	for (int i = 0; i < 3; i++)
		mappings_forget(m, count, &gone);
	assert_null(mappings_image(m, 2));
	assert_non_null(mappings_image(m, 3));
	assert_ptr_equal(mappings_first(m), mappings_image(m, 4));
	assert_ptr_equal(mappings_first(m)->next, mappings_image(m, 3));
	assert_null(mappings_first(m)->next->next);
	mappings_exit(m, one);
	mappings_forget(m, count, &gone);
	mappings_forget(m, count, &gone);
	assert_null(mappings_first(m));
	/* So few files are kept: such programs come back. */
	assert_int_equal(gone, 0);
	assert_non_null(binaries.first);
	mappings_free(m);
	binary_table_release(&binaries);
	end(one);
	end(two);
}

/* As the kernel's own file has it, read another way. */
static void test_cgroup(void **state)
{
	FILE *in =
		popen("grep -E '^[0-9]+:([a-z_,=]*,)?memory(,[a-z_,=]*)?:' /proc/$PPID/cgroup || "
		      "grep ^0:: /proc/$PPID/cgroup",
		      "r");
	struct mappings_options options = { .scope = MAPPINGS_SNAPSHOT };
	struct binary_table binaries = { 0 };
	char line[4096], *cgroup;
	struct image *image;
	struct mappings *m;
	uint64_t swapped;

	(void)state;
	if (!fgets(line, sizeof(line), in)) {
		pclose(in);
		skip();
	}
	pclose(in);
	line[strcspn(line, "\n")] = '\0';
	assert_int_equal(procmem_cgroup(getpid(), &cgroup), 0);
	assert_string_equal(cgroup, strchr(strchr(line, ':') + 1, ':') + 1);
	assert_int_equal(mappings_new(&binaries, &options, &m), 0);
	assert_int_equal(mappings_image_attached(m, 1, getpid(), &image), 0);
	assert_string_equal(image->cgroup, cgroup);
	assert_int_equal(mappings_exec(m, getpid(), 2, "x", clock_now_ns(), &image), 0);
	assert_string_equal(image->cgroup, cgroup);
	/* A program that has ended by the time its exec is told was where its parent is. */
	assert_int_equal(mappings_fork(m, 1 << 23, getpid(), clock_now_ns()), 0);
	assert_int_equal(mappings_exec(m, 1 << 23, 3, "y", clock_now_ns(), &image), 0);
	assert_string_equal(image->cgroup, cgroup);
	free(cgroup);
	mappings_free(m);
	binary_table_release(&binaries);
	assert_int_equal(procmem_cgroup(1 << 23, &cgroup), -ENOENT);
	assert_int_equal(procmem_swapped(1 << 23, &swapped), -ENOENT);
}

static const char *name_in(struct symbolizer *symbolizer, const struct binary *binary)
{
	struct frame frame;

	assert_int_equal(symbolizer_frames(symbolizer, binary, 0x10, &frame, 1), 1);
	return frame.module;
}

/* Two copies of one file: when the one that answered is forgotten, the other can still be asked. */
static void test_symbols(void **state)
{
	struct binary_table binaries = { 0 };
	struct binary *one, *two;
	struct symbolizer *symbolizer;
	const char *name, *id;

	(void)state;
	assert_int_equal(symbolizer_new(&symbolizer), 0);
	one = binary_get(&binaries, 8, 1, "/one/exe");
	two = binary_get(&binaries, 8, 2, "/two/exe");
	one->fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	two->fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	name = name_in(symbolizer, one);
	assert_string_equal(name_in(symbolizer, two), "exe");
	id = symbolizer_build_id(symbolizer, two);
	assert_non_null(id);
	assert_ptr_equal(symbolizer_build_id(symbolizer, one), id);
	symbolizer_forget(symbolizer, one);
	/* What was handed out stays. */
	assert_string_equal(name, "exe");
	assert_string_equal(name_in(symbolizer, two), "exe");
	assert_non_null(symbolizer_build_id(symbolizer, two));
	symbolizer_forget(symbolizer, one);
	symbolizer_forget(symbolizer, two);
	assert_non_null(symbolizer_build_id(symbolizer, one));
	symbolizer_free(symbolizer);
	binary_table_release(&binaries);
}

static void check_file(const char *path, const char *text)
{
	char got[64] = "";
	FILE *in = fopen(path, "r");

	assert_non_null(in);
	(void)!fgets(got, sizeof(got), in);
	fclose(in);
	assert_string_equal(got, text);
}

static void test_output(void **state)
{
	char place[] = "/tmp/test_forget-XXXXXX", path[128], away[64];
	struct output output;
	struct stat before, after;

	(void)state;
	assert_non_null(mkdtemp(place));
	snprintf(path, sizeof(path), "%s/x.prom", place);
	snprintf(away, sizeof(away), "%s-away", place);
	assert_int_equal(output_open(&output, path), 0);
	fputs("first", output.file);
	assert_int_equal(output_replace(&output), 0);
	assert_null(output.file);
	check_file(path, "first");
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(before.st_mode & 0777, 0644);
	assert_int_equal(output_again(&output), 0);
	fputs("second", output.file);
	check_file(path, "first");
	assert_int_equal(output_replace(&output), 0);
	check_file(path, "second");
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(after.st_mode, before.st_mode);
	/* Another directory of that name is as good. */
	assert_int_equal(rename(place, away), 0);
	assert_int_equal(output_again(&output), -ENOENT);
	assert_int_equal(mkdir(place, 0755), 0);
	assert_int_equal(output_again(&output), 0);
	fputs("third", output.file);
	assert_int_equal(output_replace(&output), 0);
	check_file(path, "third");
	/* It ends with us, or without us. */
	kill(output.helper, SIGKILL);
	assert_int_equal(output_again(&output), -ESRCH);
	output_abort(&output);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(place), 0);
	snprintf(path, sizeof(path), "%s/x.prom", away);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(away), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_binaries), cmocka_unit_test(test_images),
		cmocka_unit_test(test_cgroup),	 cmocka_unit_test(test_symbols),
		cmocka_unit_test(test_output),
	};

	umask(022);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
