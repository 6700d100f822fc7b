/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Faults that are known by construction: each kind in a function of its own, as many as asked for.
 *
 *	faults MODE N [ARG]
 *
 * prints "ready", waits for a line, makes N faults, prints one JSON line
 * {"mode","faults","minflt","majflt","child_minflt","child_majflt"}, and waits for another line
 * (or end of file) so that its /proc/PID/stat can still be read. All that is needed between the
 * two is locked in memory first, so that nothing else faults. "skip: REASON" instead of "ready"
 * tells that this machine cannot make such faults.
 *
 * FAULTS_RECLAIM names a file of the memory cgroup; FAULTS_RECLAIM_TEXT is written to it to get
 * swapped pages out of the swap cache. FAULTS_DIR is where file-backed modes put their file.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define WINDOW (16 * PAGE) /* what fault-around maps at once */
#define HUGE_PAGE (2UL << 20)
#define ALONE __attribute__((noinline, noipa))

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

static char line[4096];
static const char *own_path;
static char *mode_arg;
static struct rusage before, children_before;

static void say(const char *text)
{
	if (write(STDOUT_FILENO, text, strlen(text)) < 0)
		_exit(3);
}

static _Noreturn void skip(const char *why)
{
	say("skip: ");
	say(why);
	say("\n");
	exit(0);
}

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "faults: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Returns false at end of file. */
static bool wait_line(void)
{
	char c;

	for (;;) {
		ssize_t n = read(STDIN_FILENO, &c, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n != 1)
			return false;
		if (c == '\n')
			return true;
	}
}

static void go(void)
{
	say("ready\n");
	if (!wait_line())
		exit(0);
	getrusage(RUSAGE_CHILDREN, &children_before);
	getrusage(RUSAGE_SELF, &before);
}

static void done(const char *mode, size_t n)
{
	struct rusage now, children;

	getrusage(RUSAGE_SELF, &now);
	getrusage(RUSAGE_CHILDREN, &children);
	snprintf(line, sizeof(line),
		 "{\"mode\":\"%s\",\"faults\":%zu,\"minflt\":%ld,\"majflt\":%ld,"
		 "\"child_minflt\":%ld,\"child_majflt\":%ld}\n",
		 mode, n, now.ru_minflt - before.ru_minflt, now.ru_majflt - before.ru_majflt,
		 children.ru_minflt - children_before.ru_minflt,
		 children.ru_majflt - children_before.ru_majflt);
	say(line);
	wait_line();
}

ALONE static void touch_stack(void)
{
	volatile char deep[128 * 1024];

	for (size_t i = 0; i < sizeof(deep); i += PAGE)
		deep[i] = 1;
}

/*
 * Locks all that is mapped now but @area (NULL: none): code, data and stack no longer fault.
 * Again after a fork, which makes every private page copy-on-write.
 */
static void settle(const char *area)
{
	static char maps[64 * 1024];
	size_t bytes = 0;
	int fd;

	touch_stack();
	fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	for (ssize_t n; fd >= 0 && (n = read(fd, maps + bytes, sizeof(maps) - 1 - bytes)) > 0;)
		bytes += n;
	close(fd);
	maps[bytes] = 0;
	for (char *at = maps; *at; at = strchr(at, '\n') + 1) {
		uintptr_t start = strtoul(at, &at, 16), end = strtoul(at + 1, &at, 16);

		if (((uintptr_t)area < start || (uintptr_t)area >= end) && start <= INTPTR_MAX)
			mlock((void *)start, end - start);
	}
}

static char *map(size_t bytes, int flags, int fd)
{
	char *area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (area == MAP_FAILED)
		fail("mmap");
	return area;
}

static char *map_anon(size_t bytes)
{
	char *area = map(bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	madvise(area, bytes, MADV_NOHUGEPAGE);
	return area;
}

/* Not zeros: the kernel does not write pages of zeros to swap. */
static void fill(char *area, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += sizeof(uint64_t))
		*(uint64_t *)(area + i) = (i + 1) * 0x9e3779b97f4a7c15u;
}

/* A file with a page of data at every @stride, on disk and in the page cache. */
static int make_file(size_t n, size_t stride)
{
	const char *dir = getenv("FAULTS_DIR");
	char data[PAGE];
	int fd;

	snprintf(line, sizeof(line), "%s/faults.XXXXXX", dir ? dir : "/var/tmp");
	fd = mkstemp(line);
	if (fd < 0)
		fail(line);
	unlink(line);
	if (ftruncate(fd, n * stride))
		fail("ftruncate");
	fill(data, sizeof(data));
	for (size_t i = 0; i < n; i++) {
		if (pwrite(fd, data, sizeof(data), i * stride) != sizeof(data))
			fail("pwrite");
	}
	if (fsync(fd))
		fail("fsync");
	return fd;
}

static size_t resident(char *area, size_t n)
{
	unsigned char *in = calloc(n, 1);
	size_t sum = 0;

	if (!in || mincore(area, n * PAGE, in))
		fail("mincore");
	for (size_t i = 0; i < n; i++)
		sum += in[i] & 1;
	free(in);
	return sum;
}

static size_t swapped(char *area, size_t n)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	size_t sum = 0;
	uint64_t entry;

	if (fd < 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		off_t at = ((uintptr_t)area / PAGE + i) * sizeof(entry);

		if (pread(fd, &entry, sizeof(entry), at) != sizeof(entry))
			break;
		sum += entry >> 62 & 1;
	}
	close(fd);
	return sum;
}

static void reclaim(void)
{
	const char *path = getenv("FAULTS_RECLAIM"), *text = getenv("FAULTS_RECLAIM_TEXT");
	int fd = path ? open(path, O_WRONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0) {
		/* It reclaims what it can, and says EAGAIN when that is less than asked. */
	}
	close(fd);
}

/* Returns how many pages could not be pushed out of memory. */
static size_t page_out(char *area, size_t n)
{
	const struct timespec pause = { .tv_nsec = 50 * 1000 * 1000 };
	size_t here = n;

	for (int i = 0; i < 60 && here; i++) {
		if (madvise(area, n * PAGE, MADV_PAGEOUT))
			fail("MADV_PAGEOUT");
		reclaim();
		nanosleep(&pause, NULL);
		here = resident(area, n);
	}
	return here;
}

/* To swap, and out of the swap cache: the next touch has to read. */
static void swap_out(char *area, size_t n)
{
	size_t here = page_out(area, n);

	if (here) {
		snprintf(line, sizeof(line), "%zu of %zu pages stay out of swap", here, n);
		skip(line);
	}
	if (swapped(area, n) != n)
		skip("pagemap shows pages that are not in swap");
}

/* ---- the faults themselves: names and loops that the tests look for ---- */

#define WRITER(name)                                              \
	ALONE static void name(char *area, size_t n, size_t step) \
	{                                                         \
		for (size_t i = 0; i < n; i++)                    \
			((volatile char *)area)[i * step] = 1;    \
	}

#define READER(name)                                              \
	ALONE static void name(char *area, size_t n, size_t step) \
	{                                                         \
		for (size_t i = 0; i < n; i++)                    \
			(void)((volatile char *)area)[i * step];  \
	}

WRITER(zero_faults)
READER(zero_read_faults)
WRITER(cow_faults)
WRITER(cow_file_faults)
WRITER(cow_first_faults)
READER(swap_in_faults)
READER(swap_cache_faults)
READER(file_read_faults)
READER(file_map_faults)
WRITER(shmem_faults)
WRITER(shmem_swap_faults)
WRITER(huge_faults)
READER(huge_read_faults)
WRITER(hugetlb_faults)
WRITER(dev_zero_faults)
WRITER(userfault_faults)
WRITER(hint_faults)
WRITER(thread_faults)
WRITER(child_faults)
WRITER(exec_faults)
WRITER(loop_faults)

ALONE static void kernel_read_faults(char *area, size_t n, int fd)
{
	for (size_t i = 0; i < n; i++) {
		if (read(fd, area + i * PAGE, 1) != 1)
			_exit(4);
	}
}

/* The kernel reads the user's page here, so it faults from the other side. */
ALONE static void kernel_write_faults(char *area, size_t n, int fd)
{
	for (size_t i = 0; i < n; i++) {
		if (write(fd, area + i * PAGE, 1) != 1)
			_exit(4);
	}
}

/* 64 instructions that fault, in one function: more sites than a tiny table holds. */
#define TOUCH(i) area[(i)*PAGE] = 1;
#define TOUCH8(i) \
	TOUCH(i)  \
	TOUCH(i + 1) TOUCH(i + 2) TOUCH(i + 3) TOUCH(i + 4) TOUCH(i + 5) TOUCH(i + 6) TOUCH(i + 7)
ALONE static void many_sites(volatile char *area)
{
	TOUCH8(0) TOUCH8(8) TOUCH8(16) TOUCH8(24) TOUCH8(32) TOUCH8(40) TOUCH8(48) TOUCH8(56)
}

static sigjmp_buf landing;
static void on_signal(int number)
{
	siglongjmp(landing, number);
}

ALONE static void failed_faults(volatile char *area, size_t n)
{
	volatile size_t i;

	for (i = 0; i < n; i++) {
		if (!sigsetjmp(landing, 1))
			area[i * PAGE] = 1;
	}
}

/* ---- modes ---- */

static void run_zero(size_t n)
{
	char *area = map_anon(n * PAGE);

	go();
	zero_faults(area, n, PAGE);
	done("zero", n);
}

static void run_zero_read(size_t n)
{
	char *area = map_anon(n * PAGE);

	go();
	zero_read_faults(area, n, PAGE);
	done("zero_read", n);
}

/* A child that holds every page of ours, so that a write of ours has to copy. */
static pid_t sharer(int end[2])
{
	pid_t pid;
	char c;

	if (pipe(end))
		fail("pipe");
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (!pid) {
		close(end[1]);
		_exit(read(end[0], &c, 1) > 0);
	}
	close(end[0]);
	return pid;
}

static void run_cow(size_t n)
{
	char *area = map_anon(n * PAGE);
	int end[2];
	pid_t pid;

	fill(area, n * PAGE);
	pid = sharer(end);
	settle(area);
	go();
	cow_faults(area, n, PAGE);
	done("cow", n);
	close(end[1]);
	waitpid(pid, NULL, 0);
}

static void run_cow_file(size_t n)
{
	char *area = map(n * PAGE, MAP_PRIVATE, make_file(n, PAGE));

	zero_read_faults(area, n, PAGE);
	go();
	cow_file_faults(area, n, PAGE);
	done("cow_file", n);
}

/* The page is copied at its first touch, without having been mapped. */
static void run_cow_first(size_t n)
{
	char *area = map(n * PAGE, MAP_PRIVATE, make_file(n, PAGE));

	go();
	cow_first_faults(area, n, PAGE);
	done("cow_first", n);
}

static void run_swap_in(size_t n)
{
	char *area = map_anon(n * PAGE);

	fill(area, n * PAGE);
	swap_out(area, n);
	go();
	swap_in_faults(area, n, PAGE);
	done("swap_in", n);
}

/* A child shares the swap entries and reads them in: they stay in the swap cache for us. */
static void run_swap_cache(size_t n)
{
	char *area = map_anon(n * PAGE);
	int to[2], from[2];
	pid_t pid;
	char c = 0;

	fill(area, n * PAGE);
	swap_out(area, n);
	if (pipe(to) || pipe(from))
		fail("pipe");
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (!pid) {
		close(to[1]);
		swap_in_faults(area, n, PAGE);
		c = write(from[1], &c, 1) != 1;
		_exit(read(to[0], &c, 1) > 0);
	}
	close(to[0]);
	if (read(from[0], &c, 1) != 1)
		fail("child");
	if (resident(area, n) != n || swapped(area, n) != n)
		skip("the pages do not stay in the swap cache");
	settle(area);
	go();
	swap_cache_faults(area, n, PAGE);
	done("swap_cache", n);
	close(to[1]);
	waitpid(pid, NULL, 0);
}

static void run_file_read(size_t n)
{
	int fd = make_file(n, PAGE);
	char *area;

	if (posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
		fail("posix_fadvise");
	posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	area = map(n * PAGE, MAP_SHARED, fd);
	if (madvise(area, n * PAGE, MADV_RANDOM))
		fail("MADV_RANDOM");
	if (resident(area, n))
		skip("this file system keeps its pages in memory (FAULTS_DIR)");
	go();
	file_read_faults(area, n, PAGE);
	done("file_read", n);
}

static void run_file_map(size_t n)
{
	char *area = map(n * WINDOW, MAP_SHARED, make_file(n, WINDOW));

	go();
	file_map_faults(area, n, WINDOW);
	done("file_map", n);
}

static void run_shmem(size_t n)
{
	int fd = memfd_create("faults", MFD_CLOEXEC);
	char *area;

	if (fd < 0 || ftruncate(fd, n * PAGE))
		fail("memfd_create");
	area = map(n * PAGE, MAP_SHARED, fd);
	madvise(area, n * PAGE, MADV_NOHUGEPAGE);
	go();
	shmem_faults(area, n, PAGE);
	done("shmem", n);
}

/* Shared memory that comes back from swap. pagemap does not show where it is, mincore() does. */
static void run_shmem_swap(size_t n)
{
	int fd = memfd_create("faults", MFD_CLOEXEC);
	char *area;

	if (fd < 0 || ftruncate(fd, n * PAGE))
		fail("memfd_create");
	area = map(n * PAGE, MAP_SHARED, fd);
	madvise(area, n * PAGE, MADV_NOHUGEPAGE);
	fill(area, n * PAGE);
	if (page_out(area, n))
		skip("shared memory stays out of swap");
	go();
	shmem_swap_faults(area, n, PAGE);
	done("shmem_swap", n);
}

static char *map_huge(size_t n)
{
	char *area = map((n + 1) * HUGE_PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	area = (char *)(((uintptr_t)area + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
	if (madvise(area, n * HUGE_PAGE, MADV_HUGEPAGE))
		skip("no transparent huge pages");
	return area;
}

static void run_huge(size_t n)
{
	char *area = map_huge(n);

	go();
	huge_faults(area, n, HUGE_PAGE);
	done("huge", n);
}

/* The huge zero page is mapped: nothing is allocated. */
static void run_huge_read(size_t n)
{
	char *area = map_huge(n);

	go();
	huge_read_faults(area, n, HUGE_PAGE);
	done("huge_read", n);
}

static void run_hugetlb(size_t n)
{
	char *area = mmap(NULL, n * HUGE_PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	if (area == MAP_FAILED)
		skip("no huge pages are reserved");
	go();
	hugetlb_faults(area, n, HUGE_PAGE);
	done("hugetlb", n);
}

/* Anonymous memory as it was asked for before MAP_ANONYMOUS: there is a file, but it is none. */
static void run_dev_zero(size_t n)
{
	int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	char *area;

	if (fd < 0)
		fail("/dev/zero");
	area = map(n * PAGE, MAP_PRIVATE, fd);
	madvise(area, n * PAGE, MADV_NOHUGEPAGE);
	go();
	dev_zero_faults(area, n, PAGE);
	done("dev_zero", n);
}

static char userfault_page[PAGE] __attribute__((aligned(PAGE)));
static volatile int userfault_ready;

static void *serve_userfaults(void *arg)
{
	int fd = (int)(intptr_t)arg;
	struct uffd_msg message;

	touch_stack();
	userfault_ready = 1;
	while (read(fd, &message, sizeof(message)) == sizeof(message)) {
		struct uffdio_copy copy = {
			.dst = message.arg.pagefault.address & ~(PAGE - 1),
			.src = (uintptr_t)userfault_page,
			.len = PAGE,
		};

		if (ioctl(fd, UFFDIO_COPY, &copy))
			_exit(7);
	}
	return NULL;
}

/* Another thread brings the pages in. */
static void run_userfault(size_t n)
{
	struct uffdio_register where = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };
	char *area = map_anon(n * PAGE);
	pthread_t thread;
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	where.range.start = (uintptr_t)area;
	where.range.len = n * PAGE;
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &where))
		skip("no userfaultfd");
	if (pthread_create(&thread, NULL, serve_userfaults, (void *)(intptr_t)fd))
		fail("pthread_create");
	while (!userfault_ready)
		usleep(1000);
	settle(area);
	go();
	userfault_faults(area, n, PAGE);
	done("userfault", n);
}

static void *idle(void *arg)
{
	for (;;)
		pause();
	return arg;
}

/* Touches what is all there: the only faults are those by which the kernel samples who uses which
 * page on which NUMA node. At least @n of them. A process of one thread is not asked about the
 * pages of the node that it runs on. */
static void run_hint(size_t n)
{
	pthread_t thread;
	const size_t pages = 4096;
	char *area = map_anon(pages * PAGE);
	struct rusage now;
	size_t count = 0;

	if (pthread_create(&thread, NULL, idle, NULL))
		fail("pthread_create");
	fill(area, pages * PAGE);
	settle(NULL);
	go();
	for (int i = 0; i < 100000 && count < n; i++) {
		hint_faults(area, pages, PAGE);
		getrusage(RUSAGE_SELF, &now);
		count = now.ru_minflt - before.ru_minflt;
	}
	done("hint", count);
}

static void run_kernel_read(size_t n)
{
	char *area = map_anon(n * PAGE);
	char data[PAGE] = "";
	int end[2];

	if (pipe(end))
		fail("pipe");
	for (size_t i = 0; i < n; i += PAGE) {
		size_t bytes = n - i < PAGE ? n - i : PAGE;

		if (write(end[1], data, bytes) != (ssize_t)bytes)
			fail("write");
	}
	go();
	kernel_read_faults(area, n, end[0]);
	done("kernel_read", n);
}

static void run_kernel_write(size_t n)
{
	char *area = map_anon(n * PAGE);
	int fd = memfd_create("faults", MFD_CLOEXEC);

	if (fd < 0)
		fail("memfd_create");
	go();
	kernel_write_faults(area, n, fd);
	done("kernel_write", n);
}

struct job {
	char *area;
	size_t n;
	pthread_barrier_t *start;
};

static void *worker(void *arg)
{
	struct job *job = arg;

	if (job->start) {
		pthread_barrier_wait(job->start);
		pthread_barrier_wait(job->start);
	}
	thread_faults(job->area, job->n, PAGE);
	return NULL;
}

#define THREADS 4

/* Half of the threads are there before the tool attaches, half come later and end early. */
static void run_thread(size_t n)
{
	pthread_barrier_t start;
	pthread_t thread[THREADS];
	struct job job[THREADS];

	n = n / THREADS * THREADS;
	pthread_barrier_init(&start, NULL, THREADS / 2 + 1);
	for (int i = 0; i < THREADS; i++) {
		job[i].n = n / THREADS;
		job[i].area = map_anon(job[i].n * PAGE);
		job[i].start = i < THREADS / 2 ? &start : NULL;
		if (job[i].start && pthread_create(&thread[i], NULL, worker, &job[i]))
			fail("pthread_create");
	}
	pthread_barrier_wait(&start);
	go();
	pthread_barrier_wait(&start);
	for (int i = THREADS / 2; i < THREADS; i++) {
		if (pthread_create(&thread[i], NULL, worker, &job[i]))
			fail("pthread_create");
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	done("thread", n);
}

static void *racer(void *arg)
{
	struct job *job = arg;

	pthread_barrier_wait(job->start);
	swap_in_faults(job->area, job->n, PAGE);
	return NULL;
}

/* All read the same pages, in the same order: who comes late waits for another one's read. */
static void run_swap_race(size_t n)
{
	pthread_barrier_t start;
	pthread_t thread[THREADS];
	struct job job = { .area = map_anon(n * PAGE), .n = n, .start = &start };

	pthread_barrier_init(&start, NULL, THREADS + 1);
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&thread[i], NULL, racer, &job))
			fail("pthread_create");
	fill(job.area, n * PAGE);
	swap_out(job.area, n);
	go();
	pthread_barrier_wait(&start);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	done("swap_race", n);
}

static void run_fork(size_t n)
{
	char *area = map_anon(n * PAGE);
	pid_t pid;

	go();
	pid = fork();
	if (!pid) {
		child_faults(area, n, PAGE);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	done("fork", n);
}

/* Many children that live for one fault of ours each. */
static void run_forks(size_t n)
{
	char *area = map_anon(PAGE);

	go();
	for (size_t i = 0; i < n; i++) {
		pid_t pid = fork();

		if (pid < 0)
			_exit(5);
		if (!pid) {
			child_faults(area, 1, PAGE);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
	}
	done("forks", n);
}

static void run_exec(size_t n)
{
	char *area = map_anon(n * PAGE);
	char count[32];

	snprintf(count, sizeof(count), "%zu", n);
	go();
	zero_faults(area, n, PAGE);
	execl(own_path, own_path, "exec2", count, (char *)NULL);
	_exit(127);
}

static void run_exec2(size_t n)
{
	char *area = map_anon(n * PAGE);

	exec_faults(area, n, PAGE);
	done("exec2", n);
}

typedef void (*plugin_fn)(char *area, size_t n);

static plugin_fn load_plugin(const char *path)
{
	void *handle = dlopen(path, RTLD_NOW);
	plugin_fn plugin = handle ? (plugin_fn)dlsym(handle, "plugin_faults") : NULL;

	if (!plugin) {
		fprintf(stderr, "faults: %s\n", dlerror());
		_exit(6);
	}
	return plugin;
}

static void run_dlopen(size_t n)
{
	char *area = map_anon(n * PAGE);

	go();
	load_plugin(mode_arg)(area, n);
	done("dlopen", n);
}

/* A child that loads its plugin, tells where it is, and runs it whenever it is told. */
static pid_t plugin_child(const char *path, size_t n, int tell[2], int told[2])
{
	char *area = map_anon(2 * n * PAGE), c;
	plugin_fn plugin;
	pid_t pid;

	if (pipe(tell) || pipe(told))
		fail("pipe");
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid)
		return pid;
	plugin = load_plugin(path);
	for (; read(tell[0], &c, 1) == 1 && c != 'e'; area += n * PAGE) {
		plugin(area, n);
		if (write(told[1], &plugin, sizeof(plugin)) != sizeof(plugin))
			break;
	}
	_exit(0);
}

static plugin_fn tell_child(int tell[2], int told[2])
{
	plugin_fn plugin;

	if (write(tell[1], "g", 1) != 1 || read(told[0], &plugin, sizeof(plugin)) != sizeof(plugin))
		fail("a child with a plugin");
	return plugin;
}

/* Two children with a plugin each, both at one address; the first faults again after the second. */
static void run_siblings(size_t n)
{
	char *other = strchr(mode_arg, ':');
	int tell[2][2], told[2][2];
	plugin_fn first, second;

	*other++ = 0;
	go();
	plugin_child(mode_arg, n, tell[0], told[0]);
	first = tell_child(tell[0], told[0]);
	plugin_child(other, n, tell[1], told[1]);
	second = tell_child(tell[1], told[1]);
	tell_child(tell[0], told[0]);
	if (first != second) {
		fprintf(stderr, "faults: the plugins are not at one address\n");
		_exit(6);
	}
	for (int i = 0; i < 2; i++)
		if (write(tell[i][1], "e", 1) != 1 || wait(NULL) < 0)
			fail("a child's end");
	done("siblings", 3 * n);
}

static void run_sites(size_t n)
{
	char *area;

	n = (n + 63) / 64 * 64;
	area = map_anon(n * PAGE);
	go();
	for (size_t i = 0; i < n; i += 64)
		many_sites(area + i * PAGE);
	done("sites", n);
}

/* Half of them on memory that is not ours (SIGSEGV), half behind the end of a file (SIGBUS). */
static void run_failed(size_t n)
{
	const struct sigaction act = { .sa_handler = on_signal };
	char *none = mmap(NULL, n * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = memfd_create("faults", MFD_CLOEXEC);
	char *behind = map(n * PAGE, MAP_SHARED, fd);

	sigaction(SIGSEGV, &act, NULL);
	sigaction(SIGBUS, &act, NULL);
	failed_faults(none, 1);
	failed_faults(behind, 1);
	go();
	failed_faults(none, n / 2);
	failed_faults(behind, n - n / 2);
	done("failed", n);
}

/* @n faults a second until a line comes, or for ever. */
static void run_loop(size_t n)
{
	const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };
	size_t batch = n / 100 ? n / 100 : 1, sum = 0;
	char *area = map_anon(batch * PAGE);

	go();
	fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
	for (char c; read(STDIN_FILENO, &c, 1) < 0 && errno == EAGAIN; sum += batch) {
		loop_faults(area, batch, PAGE);
		madvise(area, batch * PAGE, MADV_DONTNEED);
		nanosleep(&pause, NULL);
	}
	fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) & ~O_NONBLOCK);
	done("loop", sum);
}

/* For `faultprof -- faults now N`: no talk, it just makes its faults and ends. */
static void run_now(size_t n)
{
	zero_faults(map_anon(n * PAGE), n, PAGE);
}

static const struct {
	const char *name;
	void (*run)(size_t n);
} modes[] = {
	{ "zero", run_zero },
	{ "zero_read", run_zero_read },
	{ "cow", run_cow },
	{ "cow_file", run_cow_file },
	{ "cow_first", run_cow_first },
	{ "swap_in", run_swap_in },
	{ "swap_cache", run_swap_cache },
	{ "swap_race", run_swap_race },
	{ "file_read", run_file_read },
	{ "file_map", run_file_map },
	{ "shmem", run_shmem },
	{ "shmem_swap", run_shmem_swap },
	{ "huge", run_huge },
	{ "huge_read", run_huge_read },
	{ "hugetlb", run_hugetlb },
	{ "dev_zero", run_dev_zero },
	{ "userfault", run_userfault },
	{ "hint", run_hint },
	{ "kernel_read", run_kernel_read },
	{ "kernel_write", run_kernel_write },
	{ "thread", run_thread },
	{ "fork", run_fork },
	{ "forks", run_forks },
	{ "exec", run_exec },
	{ "exec2", run_exec2 },
	{ "dlopen", run_dlopen },
	{ "siblings", run_siblings },
	{ "sites", run_sites },
	{ "failed", run_failed },
	{ "loop", run_loop },
	{ "now", run_now },
};

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: faults MODE N [ARG]\n");
		return 64;
	}
	own_path = "/proc/self/exe";
	mode_arg = argv[3];
	settle(NULL);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (!strcmp(argv[1], modes[i].name)) {
			modes[i].run(strtoul(argv[2], NULL, 0));
			return 0;
		}
	}
	fprintf(stderr, "faults: unknown mode %s\n", argv[1]);
	return 64;
}
