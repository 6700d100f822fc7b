/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The mapping tracker, and the perf collector that leans on it, on children with known mappings and
 * known faults. What the machine does not allow is skipped: perf events for unprivileged users, or
 * system-wide.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "collect/collector.h"
#include "collect/procfs.h"
#include "collect/regions.h"

#define PAGE 4096UL
#define ANON_PAGES 300
#define FILE_WINDOWS 5
#define WINDOW (2UL << 20) /* a fault on a file maps more than its page, but never beyond this */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static struct mappings *track(struct binary_table *binaries, enum mappings_scope scope, bool self)
{
	struct mappings_options options = { .data = self, .self_numbered = self, .scope = scope };
	struct mappings *m = NULL;

	assert_int_equal(mappings_new(binaries, &options, &m), 0);
	if (mappings_scope(m) != scope) {
		mappings_free(m);
		skip();
	}
	return m;
}

/* A child that does @work when told, and says when it is done; then it waits for its end. */
struct child {
	pid_t pid;
	int go, done;
};

static void child_start(struct child *child, void (*work)(void))
{
	int go[2], done[2];
	char c;

	assert_int_equal(pipe2(go, O_CLOEXEC) | pipe2(done, O_CLOEXEC), 0);
	child->pid = fork();
	if (!child->pid) {
		close(go[1]);
		close(done[0]);
		/* Once for nothing: then the kernel faults no more when it copies these. */
		if (read(go[0], &c, 1) != 1 || write(done[1], "d", 1) != 1 ||
		    read(go[0], &c, 1) != 1)
			_exit(0);
		work();
		if (write(done[1], "d", 1) != 1 || read(go[0], &c, 1) != 1)
			_exit(0);
		_exit(0);
	}
	close(go[0]);
	close(done[1]);
	child->go = go[1];
	child->done = done[0];
	assert_int_equal(write(child->go, "g", 1), 1);
	assert_int_equal(read(child->done, &c, 1), 1);
	usleep(50000); /* it has to wait again, so that it makes no more faults but its work's */
}

static void child_work(struct child *child)
{
	char c;

	assert_int_equal(write(child->go, "g", 1), 1);
	/* After an exec, end of file. */
	assert_true(read(child->done, &c, 1) >= 0);
}

static void child_end(struct child *child)
{
	close(child->go);
	close(child->done);
	kill(child->pid, SIGKILL);
	waitpid(child->pid, NULL, 0);
}

static void *volatile code_page;

static void map_code(void)
{
	int fd = open("/bin/sleep", O_RDONLY | O_CLOEXEC);

	code_page = mmap((void *)0x10000000, PAGE, PROT_READ | PROT_EXEC,
			 MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0);
	close(fd);
}

static void check_mapping_seen(enum mappings_scope scope)
{
	struct binary_table binaries = { 0 };
	struct mappings *m = track(&binaries, scope, false);
	const struct region *region;
	struct image *image;
	struct child child;
	uint64_t before;

	child_start(&child, map_code);
	assert_int_equal(mappings_image_attached(m, 7, child.pid, &image), 0);
	assert_ptr_equal(mappings_image(m, 7), image);
	assert_non_null(image->own);
	assert_string_equal(image->own->name, "test_mappings");
	assert_true(image->own->fd >= 0);
	assert_null(image_find(image, 0x10000000, 0));
	before = now_ns();
	child_work(&child);
	assert_int_equal(mappings_poll(m, before), 0);
	assert_null(image_find(image, 0x10000000, 0));
	assert_int_equal(mappings_poll(m, UINT64_MAX), 0);
	region = image_find(image, 0x10000000, 0);
	assert_non_null(region);
	assert_true(region->exec && region->born_ns > before && region->born_ns < now_ns());
	assert_string_equal(region->binary->name, "sleep");
	assert_true(region->binary->fd >= 0);
	assert_null(image_find(image, 0x10000000, before));
	child_end(&child);
	mappings_exit(m, child.pid);
	assert_int_equal(mappings_lost(m), 0);
	mappings_free(m);
	binary_table_release(&binaries);
}

static void test_mapping_system(void **state)
{
	(void)state;
	check_mapping_seen(MAPPINGS_SYSTEM);
}

static void test_mapping_process(void **state)
{
	(void)state;
	check_mapping_seen(MAPPINGS_PROCESS);
}

static void run_sleep(void)
{
	execl("/bin/sleep", "sleep", "100", NULL);
}

static void check_exec(enum mappings_scope scope)
{
	struct binary_table binaries = { 0 };
	struct mappings *m = track(&binaries, scope, false);
	struct image *old, *image;
	struct child child;
	size_t regions;
	char comm[16] = "";

	child_start(&child, run_sleep);
	assert_int_equal(mappings_image_attached(m, 1, child.pid, &old), 0);
	regions = old->nr_regions;
	child_work(&child);
	for (int i = 0; i < 1000 && strcmp(comm, "sleep"); i++, usleep(1000))
		procfs_comm(child.pid, comm);
	usleep(50000);
	/* The owner lags: the records wait, and the process is gone when the exec is told. */
	assert_int_equal(mappings_poll(m, UINT64_MAX), 0);
	child_end(&child);
	assert_int_equal(old->nr_regions, regions);
	assert_int_equal(mappings_exec(m, child.pid, 2, "sleep", now_ns(), &image), 0);
	assert_int_equal(old->nr_regions, regions);
	assert_string_equal(image->comm, "sleep");
	assert_non_null(image->own);
	assert_string_equal(image->own->name, "sleep");
	/* The program, its interpreter, the C library and the vdso. */
	assert_true(image->nr_regions >= 4);
	assert_ptr_equal(mappings_image_of(m, child.pid, now_ns()), image);
	assert_int_equal(mappings_lost(m), 0);
	mappings_free(m);
	binary_table_release(&binaries);
}

static void test_exec_system(void **state)
{
	(void)state;
	check_exec(MAPPINGS_SYSTEM);
}

static void test_exec_process(void **state)
{
	(void)state;
	check_exec(MAPPINGS_PROCESS);
}

static void test_snapshot_only(void **state)
{
	struct binary_table binaries = { 0 };
	struct mappings *m = track(&binaries, MAPPINGS_SNAPSHOT, false);
	struct image *image, *child;

	(void)state;
	assert_int_equal(mappings_image_attached(m, 3, getpid(), &image), 0);
	assert_non_null(image->own);
	assert_non_null(image_find(image, (uintptr_t)test_snapshot_only, 0));
	assert_int_equal(mappings_image_attached(m, 3, getpid(), &child), -EEXIST);
	assert_int_equal(mappings_fork(m, 1000000001, getpid(), now_ns()), 0);
	assert_ptr_equal(mappings_image_of(m, 1000000001, now_ns()), image);
	assert_int_equal(mappings_exec(m, 1000000001, 9, "gone", now_ns(), &child), 0);
	assert_int_equal(child->nr_regions, 0);
	assert_int_equal(mappings_lost(m), 1);
	mappings_exit(m, 1000000001);
	assert_null(mappings_image_of(m, 1000000001, now_ns()));
	assert_ptr_equal(mappings_image(m, 9), child);
	assert_int_equal(mappings_fork(m, 1000000003, 1000000002, 1), -ESRCH);
	mappings_free(m);
	binary_table_release(&binaries);
}

/* With one descriptor left /proc/self/maps can be read, but no binary opened: that is told. */
static void test_no_descriptors(void **state)
{
	struct binary_table binaries = { 0 };
	struct mappings *m = track(&binaries, MAPPINGS_SNAPSHOT, false);
	struct rlimit before, few;
	struct image *image;
	int fd = dup(0), r;

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	getrlimit(RLIMIT_NOFILE, &before);
	few = (struct rlimit){ fd + 1, before.rlim_max };
	setrlimit(RLIMIT_NOFILE, &few);
	r = mappings_image_attached(m, 1, getpid(), &image);
	setrlimit(RLIMIT_NOFILE, &before);
	assert_int_equal(r, 0);
	assert_non_null(image->own);
	assert_int_equal(image->own->fd, -1);
	/* The program and the C library at least. */
	assert_true(mappings_lost(m) >= 2);
	mappings_free(m);
	binary_table_release(&binaries);
}

static bool held_by_3(void *arg, const struct region *region, const struct region *old)
{
	(void)arg;
	assert_true(old->start < region->end && region->start < old->end);
	return old->pid == 3;
}

static void test_conflict(void **state)
{
	struct image *image = image_new(1, 1, NULL);
	struct binary a = { 0 }, b = { 0 };
	const struct region regions[] = {
		{ .start = 0x1000, .end = 0x3000, .binary = &a, .exec = true, .pid = 3 },
		{ .start = 0x4000, .end = 0x5000, .binary = &a, .exec = true, .pid = 3 },
		{ .start = 0x1000, .end = 0x2000, .binary = &b, .exec = true, .pid = 4 },
		{ .start = 0x8000, .end = 0x9000, .binary = &a, .pid = 3 },
	};
	const struct {
		uint64_t start, end, offset;
		struct binary *binary;
		bool exec, conflict;
	} cases[] = {
		{ 0x2000, 0x3000, 0, &b, true, true },
		{ 0x2000, 0x3000, 0, &b, false, true },
		{ 0x2000, 0x3000, 0x1000, &a, true, false }, /* the same */
		{ 0x2000, 0x3000, 0, &a, true, true },	     /* another part of it */
		{ 0x1000, 0x2000, 0, NULL, true, false },    /* hidden by one that is not held */
		{ 0x1000, 0x2001, 0, NULL, true, true },
		{ 0, 0x1000, 0, &b, true, false },
		{ 0x3000, 0x4000, 0, &b, true, false },
		{ 0x3000, 0x4001, 0, &b, true, true },
		{ 0x5000, 0x8000, 0, &b, true, false },
		{ 0x8000, 0x9000, 0, &b, false, false },
		{ 0x8000, 0x9000, 0, &b, true, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++)
		assert_int_equal(image_add_region(image, &regions[i]), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct region region = { .start = cases[i].start,
					       .end = cases[i].end,
					       .offset = cases[i].offset,
					       .binary = cases[i].binary,
					       .exec = cases[i].exec };

		if (regions_conflict(image, &region, held_by_3, NULL) != cases[i].conflict)
			fail_msg("case %zu", i);
	}
	image_free(image);
}

/* Faults by construction: new anonymous pages, and windows of a file in the page cache. */
static char file_path[] = "/tmp/faultprof-XXXXXX";
static char *anon_at, *file_at;

static void touch_anon(void)
{
	for (size_t i = 0; i < ANON_PAGES; i++)
		((volatile char *)anon_at)[i * PAGE] = 1;
}

static void touch_file(void)
{
	for (size_t i = 0; i < FILE_WINDOWS; i++)
		(void)((volatile char *)file_at)[i * WINDOW];
}

static void touch_both(void)
{
	touch_anon();
	touch_file();
}

static void *touch_thread(void *arg)
{
	touch_both();
	return arg;
}

static void touch_in_thread(void)
{
	pthread_t thread;

	if (!pthread_create(&thread, NULL, touch_thread, NULL))
		pthread_join(thread, NULL);
}

static void touch_in_child(void)
{
	pid_t pid = fork();

	if (!pid) {
		touch_both();
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void make_areas(void)
{
	size_t bytes = FILE_WINDOWS * WINDOW;
	char *page = calloc(1, bytes);
	int fd;

	strcpy(file_path + strlen(file_path) - 6, "XXXXXX");
	fd = mkstemp(file_path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, page, bytes), bytes);
	free(page);
	anon_at = mmap(NULL, ANON_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);
	/* A hugepage would make one fault of many. */
	madvise(anon_at, ANON_PAGES * PAGE, MADV_NOHUGEPAGE);
	file_at = mmap((void *)(WINDOW << 20), bytes, PROT_READ, MAP_SHARED, fd, 0);
	assert_true(anon_at != MAP_FAILED && file_at != MAP_FAILED);
	close(fd);
	unlink(file_path);
}

static void drop_areas(void)
{
	munmap(anon_at, ANON_PAGES * PAGE);
	munmap(file_at, FILE_WINDOWS * WINDOW);
}

/* minflt, cminflt, majflt, cmajflt of /proc/PID/stat: read while the child waits, so exact. */
static uint64_t faults_of(pid_t pid)
{
	unsigned long minor = 0, child_minor = 0, major = 0, child_major = 0;
	char path[64], text[1024] = "";
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	in = fopen(path, "re");
	assert_non_null(in);
	assert_true(fread(text, 1, sizeof(text) - 1, in) > 0);
	fclose(in);
	assert_int_equal(sscanf(strrchr(text, ')') + 1,
				" %*c %*d %*d %*d %*d %*d %*u %lu %lu %lu %lu", &minor,
				&child_minor, &major, &child_major),
			 4);
	return minor + child_minor + major + child_major;
}

static const struct collector_options perf_options = { .inherit = true };

struct seen {
	uint64_t all, anon, file, wrong_kind, no_own;
};

static int see(void *arg, const struct fault *fault)
{
	uintptr_t anon = (uintptr_t)anon_at, file = (uintptr_t)file_at;
	struct seen *seen = arg;

	seen->all++;
	if (fault->address - anon < ANON_PAGES * PAGE) {
		seen->anon++;
		seen->wrong_kind += fault->kind != FP_ZERO;
	} else if (fault->address - file < FILE_WINDOWS * WINDOW) {
		seen->file++;
		seen->wrong_kind += fault->kind != FP_FILE_MAP;
	}
	if (!fault->image->own || strcmp(fault->image->own->name, "test_mappings") ||
	    fault->nr_ips != 1 ||
	    (fault->mode == FP_USER && !image_find(fault->image, fault->ips[0], fault->time_ns)))
		seen->no_own++;
	return 0;
}

static void check_faults(void (*work)(void))
{
	struct mappings_options options = { .data = true,
					    .self_numbered = true,
					    .scope = MAPPINGS_PROCESS };
	struct binary_table binaries = { 0 };
	struct collector *collector;
	struct collect_counts counts;
	struct mappings *m = NULL;
	struct seen seen = { 0 };
	struct child child;
	uint64_t before, after;

	assert_int_equal(mappings_new(&binaries, &options, &m), 0);
	if (perf_collector_new(&perf_options, m, &collector)) {
		mappings_free(m);
		skip();
	}
	make_areas();
	child_start(&child, work);
	assert_int_equal(collector_add(collector, child.pid, false), 0);
	before = faults_of(child.pid);
	assert_int_equal(collector_start(collector), 0);
	child_work(&child);
	usleep(50000);
	assert_int_equal(collector_poll(collector, 10, see, &seen), 0);
	assert_int_equal(collector_stop(collector, see, &seen), 0);
	after = faults_of(child.pid);
	collector_counts(collector, &counts);
	assert_int_equal(seen.anon, ANON_PAGES);
	assert_int_equal(seen.file, FILE_WINDOWS);
	assert_int_equal(seen.wrong_kind, 0);
	assert_int_equal(seen.no_own, 0);
	assert_int_equal(counts.faults, seen.all);
	assert_int_equal(counts.lost[FP_LOSS_SAMPLE], 0);
	assert_int_equal(counts.lost[FP_LOSS_MAPPING], 0);
	/* Unprivileged, faults of the child that the kernel raised are out of sight: a thread's or
	 * a process's start and end has some. */
	if (counts.kernel_seen || work == touch_both)
		assert_int_equal(seen.all, after - before);
	child_end(&child);
	drop_areas();
	collector_free(collector);
	binary_table_release(&binaries);
}

static void test_faults(void **state)
{
	(void)state;
	check_faults(touch_both);
}

static void test_faults_thread(void **state)
{
	(void)state;
	check_faults(touch_in_thread);
}

static void test_faults_child(void **state)
{
	(void)state;
	check_faults(touch_in_child);
}

static int see_exec(void *arg, const struct fault *fault)
{
	struct seen *seen = arg;

	seen->all++;
	seen->no_own += !fault->image->own || strcmp(fault->image->own->name, "sleep");
	return 0;
}

static void test_on_exec(void **state)
{
	struct mappings_options options = { .data = true,
					    .self_numbered = true,
					    .scope = MAPPINGS_PROCESS };
	struct binary_table binaries = { 0 };
	struct collector *collector;
	struct mappings *m = NULL;
	struct seen seen = { 0 };
	struct child child;

	(void)state;
	assert_int_equal(mappings_new(&binaries, &options, &m), 0);
	if (perf_collector_new(&perf_options, m, &collector)) {
		mappings_free(m);
		skip();
	}
	child_start(&child, run_sleep);
	assert_int_equal(collector_add(collector, child.pid, true), 0);
	assert_int_equal(collector_start(collector), 0);
	child_work(&child);
	usleep(100000);
	assert_int_equal(collector_stop(collector, see_exec, &seen), 0);
	assert_true(seen.all > 20);
	/* Between the exec's first fault and its COMM record there are a few of the old image. */
	assert_true(seen.no_own <= 5);
	child_end(&child);
	collector_free(collector);
	binary_table_release(&binaries);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_snapshot_only),	cmocka_unit_test(test_mapping_system),
		cmocka_unit_test(test_mapping_process), cmocka_unit_test(test_exec_system),
		cmocka_unit_test(test_exec_process),	cmocka_unit_test(test_faults),
		cmocka_unit_test(test_faults_thread),	cmocka_unit_test(test_faults_child),
		cmocka_unit_test(test_on_exec),		cmocka_unit_test(test_no_descriptors),
		cmocka_unit_test(test_conflict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
