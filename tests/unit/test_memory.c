/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Memory of all kinds, read as another process would: our own, which we know; and page tables made
 * up, where swap is not to be had. */
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "collect/memory.h"

#define PAGE 4096UL
#define HUGE_PAGE (2UL << 20)
#define SWAPPED (1ULL << 62)
#define PRESENT (1ULL << 63)

static struct memory *self;

static char *map(size_t pages, int flags, int fd)
{
	char *at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);

	assert_true(at != MAP_FAILED);
	madvise(at, pages * PAGE, MADV_NOHUGEPAGE);
	return at;
}

static char *map_anonymous(size_t pages)
{
	return map(pages, MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

static int read_at(const void *at, void *buf, size_t size)
{
	return memory_read(self, (uintptr_t)at, buf, size, NULL);
}

/* A new round each: 0 when the @size bytes at @at were read as they are. */
static int reads(const volatile void *at, size_t size)
{
	static char copy[64 * PAGE];
	int r;

	memory_round(self);
	r = read_at((const void *)at, copy, size);
	if (!r)
		assert_memory_equal(copy, (const void *)at, size);
	return r;
}

static int open_self(void **state)
{
	(void)state;
	return memory_open(getpid(), &self);
}

static int close_self(void **state)
{
	(void)state;
	memory_close(self);
	return 0;
}

/* ---- reading ---- */

/* Pieces at random of memory with holes; mincore() says where they are. */
static void test_pieces(void **state)
{
	enum { PAGES = 200 };
	char *at = map_anonymous(PAGES), *copy = malloc(PAGES * PAGE);
	unsigned char there[PAGES];
	unsigned int seed = 1, complete = 0;

	(void)state;
	for (size_t i = 0; i < PAGES * PAGE; i++)
		if (i / PAGE % 23)
			at[i] = (char)(i * 7 + i / 251);
	assert_int_equal(mincore(at, PAGES * PAGE, there), 0);
	for (int i = 0; i < 5000; i++) {
		size_t from = rand_r(&seed) % (PAGES * PAGE);
		size_t size = rand_r(&seed) % (i % 2 ? 3000 : 30 * PAGE);
		size_t page = from / PAGE;
		uint64_t absent = 0;
		int r;

		if (size > PAGES * PAGE - from)
			size = PAGES * PAGE - from;
		if (!(i % 100))
			memory_round(self);
		r = memory_read(self, (uintptr_t)at + from, copy, size, &absent);
		while (size && page * PAGE < from + size && there[page] & 1)
			page++;
		if (size && page * PAGE < from + size) {
			assert_int_equal(r, -ENODATA);
			assert_int_equal(absent, (uintptr_t)at + page * PAGE);
		} else {
			assert_int_equal(r, 0);
			assert_memory_equal(copy, at + from, size);
			complete++;
		}
	}
	assert_true(complete > 1000);
	assert_int_equal(mincore(at, PAGES * PAGE, there), 0);
	for (size_t i = 0; i < PAGES; i++)
		assert_int_equal(there[i] & 1, i % 23 != 0);
	munmap(at, PAGES * PAGE);
	free(copy);
}

/* How much of pieces is present, over the ends of pages and of larger units; mincore() says it. */
static void test_presence(void **state)
{
	enum { PAGES = 2000 };
	char *at = map_anonymous(PAGES);
	unsigned char there[PAGES];
	uint64_t present, swapped;
	unsigned int seed = 2;

	(void)state;
	for (size_t page = 0; page < PAGES; page++)
		if (rand_r(&seed) % 3)
			at[page * PAGE] = 1;
	assert_int_equal(mincore(at, PAGES * PAGE, there), 0);
	memory_round(self);
	for (int i = 0; i < 500; i++) {
		size_t from = rand_r(&seed) % (PAGES * PAGE), want = 0;
		size_t size = rand_r(&seed) % (i % 2 ? 10 * PAGE : PAGES * PAGE - from);

		if (size > PAGES * PAGE - from)
			size = PAGES * PAGE - from;
		for (size_t k = from; k < from + size;) {
			size_t next = (k / PAGE + 1) * PAGE < from + size ? (k / PAGE + 1) * PAGE
									  : from + size;

			want += there[k / PAGE] & 1 ? next - k : 0;
			k = next;
		}
		assert_int_equal(
			memory_presence(self, (uintptr_t)at + from, size, &present, &swapped), 0);
		assert_int_equal(present, want);
		assert_int_equal(swapped, 0);
	}
	memory_round(self);
	madvise(at, PAGES * PAGE, MADV_DONTNEED);
	assert_int_equal(memory_presence(self, (uintptr_t)at, PAGES * PAGE, &present, &swapped), 0);
	assert_int_equal(present, 0);
	munmap(at, PAGES * PAGE);
}

/* Looked at a moment ago, and gone since: it is not read, which would bring it back. */
static void test_gone(void **state)
{
	char *all = map_anonymous(64), copy[3 * PAGE];
	/* All of it within what is looked at together. */
	char *at = (char *)(((uintptr_t)all + 32 * PAGE) & ~(32 * PAGE - 1));
	unsigned char there;

	(void)state;
	at[0] = at[2 * PAGE] = 1;
	assert_int_equal(reads(at, 3 * PAGE), -ENODATA);
	madvise(at, PAGE, MADV_DONTNEED);
	assert_int_equal(read_at(at, copy, PAGE), -ENODATA);
	assert_int_equal(mincore(at, PAGE, &there), 0);
	assert_int_equal(there & 1, 0);
	assert_int_equal(read_at(at + 2 * PAGE, copy, PAGE), 0);
	munmap(all, 64 * PAGE);
}

static void test_round(void **state)
{
	char *at = map_anonymous(64), seen;

	(void)state;
	memory_round(self);
	at[0] = 1;
	assert_int_equal(read_at(at, &seen, 1), 0);
	assert_int_equal(seen, 1);
	at[0] = 2;
	at[20 * PAGE] = 3;
	assert_int_equal(read_at(at, &seen, 1), 0);
	assert_int_equal(seen, 1);
	assert_int_equal(read_at(at + 20 * PAGE, &seen, 1), 0);
	assert_int_equal(seen, 3);
	memory_round(self);
	assert_int_equal(read_at(at, &seen, 1), 0);
	assert_int_equal(seen, 2);
	/* Absent, and there again in another round. */
	madvise(at, PAGE, MADV_DONTNEED);
	assert_int_equal(reads(at, 1), -ENODATA);
	at[0] = 4;
	assert_int_equal(reads(at, 1), 0);
	munmap(at, 64 * PAGE);
	assert_int_equal(reads(at, 1), -EFAULT);
}

static void test_anonymous(void **state)
{
	char *at = map_anonymous(4), byte;

	(void)state;
	assert_int_equal(reads(at, 1), -ENODATA);
	assert_int_equal(*(volatile char *)at, 0); /* the page of zeros */
	assert_int_equal(reads(at, PAGE), 0);
	at[0] = 1;
	assert_int_equal(reads(at, PAGE), 0);
	mprotect(at, PAGE, PROT_NONE);
	memory_round(self);
	assert_int_equal(read_at(NULL, &byte, 1), -EFAULT); /* has the mappings read again */
	assert_int_equal(read_at(at, &byte, 1), -EFAULT);
	mprotect(at, PAGE, PROT_READ);
	assert_int_equal(reads(at, PAGE), 0);
	munmap(at, 4 * PAGE);
	at = map(4, MAP_SHARED | MAP_ANONYMOUS, -1);
	assert_int_equal(reads(at, 1), -ENODATA);
	at[PAGE] = 1;
	assert_int_equal(reads(at + PAGE, PAGE), 0);
	assert_int_equal(reads(at, PAGE), -ENODATA);
	munmap(at, 4 * PAGE);
	assert_int_equal(reads(environ, 8), 0);
}

static void test_files(void **state)
{
	char path[] = "/tmp/faultprof-XXXXXX", *at, text[PAGE];
	int fd = mkstemp(path), zero = open("/dev/zero", O_RDWR);

	(void)state;
	assert_true(fd >= 0 && zero >= 0);
	unlink(path);
	memset(text, 'x', PAGE);
	for (int i = 0; i < 64; i++)
		assert_int_equal(write(fd, text, PAGE), PAGE);
	at = map(64, MAP_PRIVATE, fd);
	madvise(at, 64 * PAGE, MADV_RANDOM);
	/* In the page cache, but not mapped: to map it would be a fault. */
	assert_int_equal(reads(at + 40 * PAGE, 1), -ENODATA);
	assert_int_equal(((volatile char *)at)[0], 'x');
	assert_int_equal(reads(at, PAGE), 0);
	at[50 * PAGE] = 'y'; /* its own copy */
	assert_int_equal(reads(at + 50 * PAGE, PAGE), 0);
	munmap(at, 64 * PAGE);
	at = map(64, MAP_SHARED, fd);
	at[0] = 'z';
	assert_int_equal(reads(at, PAGE), 0);
	/* Mapped beyond what is there. */
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_not_equal(reads(at, PAGE), 0);
	munmap(at, 64 * PAGE);
	at = map(1, MAP_PRIVATE, zero);
	at[0] = 1;
	assert_int_equal(reads(at, PAGE), 0);
	munmap(at, PAGE);
	close(zero);
	close(fd);
}

static void test_huge(void **state)
{
	char *all = map(3 * HUGE_PAGE / PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	char *at = all + (-(uintptr_t)all & (HUGE_PAGE - 1));

	(void)state;
	madvise(all, 3 * HUGE_PAGE, MADV_HUGEPAGE);
	at[0] = 1;
	if (reads(at + 100 * PAGE, 1)) /* the kernel had none to give */
		skip();
	assert_int_equal(reads(at, 64 * PAGE), 0);
	assert_int_equal(reads(at + HUGE_PAGE, 1), -ENODATA);
	munmap(all, 3 * HUGE_PAGE);
	at = mmap(NULL, HUGE_PAGE, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (at == MAP_FAILED)
		return; /* none are set aside */
	assert_int_equal(reads(at, 1), -ENODATA);
	at[0] = 1;
	assert_int_equal(reads(at, 64 * PAGE), 0);
	munmap(at, HUGE_PAGE);
}

/* What is no memory, or no memory of ours to read: present, and refused nevertheless. */
static void test_refused(void **state)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE,
					.size = sizeof(attr),
					.config = PERF_COUNT_SW_DUMMY,
					.exclude_kernel = 1 };
	int fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
	struct fp_mapping mapping = { 0 };
	uint64_t at = 0;
	char byte;

	(void)state;
	memory_round(self);
	while (!memory_mapping(self, at, true, &mapping) && strcmp(mapping.name, "[vvar]"))
		at = mapping.end;
	assert_string_equal(mapping.name, "[vvar]");
	assert_int_equal(memory_read(self, mapping.start, &byte, 1, NULL), -EFAULT);
	if (fd >= 0) {
		char *ring = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

		assert_true(ring != MAP_FAILED);
		((volatile char *)ring)[0];
		assert_int_equal(reads(ring, 1), -EFAULT);
		munmap(ring, 2 * PAGE);
		close(fd);
	}
	fd = open("/dev/mem", O_RDONLY);
	if (fd >= 0) {
		char *device = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0xf0000);

		if (device != MAP_FAILED) {
			((volatile char *)device)[0];
			assert_int_equal(reads(device, 1), -EFAULT);
			munmap(device, PAGE);
		}
		close(fd);
	}
}

/* A read that needs a fault would wait for somebody to resolve it. */
static void test_userfault(void **state)
{
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	struct uffdio_api api = { .api = UFFD_API };
	char *at = map_anonymous(32);
	struct uffdio_register range = { .range = { (uintptr_t)at, 32 * PAGE },
					 .mode = UFFDIO_REGISTER_MODE_MISSING };

	(void)state;
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api))
		skip();
	at[5 * PAGE] = 1;
	assert_int_equal(ioctl(fd, UFFDIO_REGISTER, &range), 0);
	alarm(5);
	for (unsigned int i = 0; i < 32; i++)
		assert_int_equal(reads(at + i * PAGE, PAGE), i == 5 ? 0 : -ENODATA);
	alarm(0);
	assert_int_equal(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 0), 0);
	close(fd);
	munmap(at, 32 * PAGE);
}

static void test_hostile(void **state)
{
	static const uint64_t addresses[] = { 0,
					      1,
					      0x7ffffffff000,
					      0x800000000000,
					      0xffff800000000000,
					      0xffffffffff600000,
					      UINT64_MAX - 4095,
					      UINT64_MAX };
	uint64_t present = 7, swapped = 7;
	static char buf[MEMORY_MAX_READ + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(addresses) / sizeof(*addresses); i++) {
		uint64_t at = addresses[i];

		memory_round(self);
		assert_int_equal(memory_read(self, at, buf, 1, NULL), -EFAULT);
		assert_int_equal(memory_read(self, at, buf, MEMORY_MAX_READ, NULL), -EFAULT);
		assert_int_equal(memory_read(self, at, buf, SIZE_MAX, NULL), -EINVAL);
		assert_int_equal(memory_presence(self, at, UINT64_MAX, &present, &swapped),
				 -EINVAL);
		assert_true(memory_presence(self, at, 4 * PAGE, &present, &swapped) || !present);
		assert_true(memory_presence(self, at, MEMORY_MAX_PRESENCE, &present, &swapped) ||
			    !swapped);
		assert_int_equal(memory_swapped_out(self, at, &present, &swapped), -ENOENT);
	}
	assert_int_equal(memory_read(self, (uintptr_t)buf, buf, sizeof(buf), NULL), -EINVAL);
	assert_int_equal(read_at(buf, buf, 0), 0);
}

static void test_mapping(void **state)
{
	char path[] = "/tmp/faultprof-XXXXXX", *at;
	int fd = mkstemp(path), on_stack;
	struct fp_mapping mapping;

	(void)state;
	assert_int_equal(ftruncate(fd, 4 * PAGE), 0);
	at = mmap(NULL, 8 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(at, PAGE);
	assert_true(mmap(at + 2 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			 fd, 0) == at + 2 * PAGE);
	memory_round(self);
	assert_int_equal(memory_mapping(self, (uintptr_t)at + 3 * PAGE, false, &mapping), 0);
	assert_int_equal(mapping.start, (uintptr_t)at + 2 * PAGE);
	assert_int_equal(mapping.end, (uintptr_t)at + 6 * PAGE);
	assert_true(mapping.write && mapping.shared && !mapping.exec);
	assert_string_equal(mapping.name, path);
	assert_int_equal(memory_mapping(self, (uintptr_t)at, false, &mapping), -ENOENT);
	assert_int_equal(memory_mapping(self, (uintptr_t)at, true, &mapping), 0);
	assert_int_equal(mapping.start, (uintptr_t)at + PAGE);
	assert_int_equal(memory_mapping(self, (uintptr_t)&on_stack, false, &mapping), 0);
	assert_string_equal(mapping.name, "[stack]");
	assert_int_equal(memory_mapping(self, (uintptr_t)test_mapping, false, &mapping), 0);
	assert_true(mapping.exec && strstr(mapping.name, "test_memory"));
	assert_int_equal(memory_mapping(self, UINT64_MAX, true, &mapping), -ENOENT);
	munmap(at, 8 * PAGE);
	unlink(path);
	close(fd);
}

/* ---- processes ---- */

static pid_t child(void)
{
	int ready[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		assert_int_equal(write(ready[1], "", 1), 1);
		raise(SIGSTOP);
		execl("/bin/sleep", "sleep", "100", NULL);
		_exit(1);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	waitpid(pid, NULL, WUNTRACED);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

/* The address space that was opened is gone, and that of the new program none of our business. */
static void test_exec(void **state)
{
	char *at = map_anonymous(1), exe[64], link[256];
	struct fp_mapping mapping;
	struct memory *memory;
	uint64_t a, b;
	ssize_t n;
	pid_t pid;

	(void)state;
	at[0] = 1;
	pid = child();
	assert_int_equal(memory_open(pid, &memory), 0);
	assert_int_equal(memory_read(memory, (uintptr_t)at, exe, 1, NULL), 0);
	kill(pid, SIGCONT);
	snprintf(exe, sizeof(exe), "/proc/%d/exe", pid);
	do {
		usleep(1000);
		n = readlink(exe, link, sizeof(link) - 1);
		link[n > 0 ? n : 0] = 0;
	} while (strstr(link, "test_memory"));
	memory_round(memory);
	assert_int_equal(memory_read(memory, (uintptr_t)at, exe, 1, NULL), -ESRCH);
	assert_int_equal(memory_mapping(memory, 0, true, &mapping), -ESRCH);
	assert_int_equal(memory_presence(memory, (uintptr_t)at, PAGE, &a, &b), -ESRCH);
	assert_int_equal(memory_scan(memory, NULL), -ESRCH);
	memory_close(memory);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	munmap(at, PAGE);
}

static void test_open(void **state)
{
	struct memory *memory;
	int status = 0;
	pid_t pid;

	(void)state;
	assert_int_equal(memory_open(0x3fffffff, &memory), -ESRCH);
	assert_int_equal(memory_open(0, &memory), -ESRCH);
	memory_close(NULL);
	if (geteuid())
		skip();
	pid = fork();
	if (!pid) {
		pid_t parent = getppid();

		if (setgid(65534) || setuid(65534))
			_exit(1);
		status = memory_open(parent, &memory);
		_exit(status == -EACCES || status == -EPERM ? 0 : 2);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	/* A zombie. */
	pid = fork();
	if (!pid)
		_exit(0);
	assert_int_equal(waitid(P_PID, pid, NULL, WEXITED | WNOWAIT), 0);
	assert_int_equal(memory_open(pid, &memory), -ESRCH);
	waitpid(pid, NULL, 0);
}

/* ---- scans ---- */

static int fake;

static void put(uint64_t page, uint64_t nr, uint64_t entry)
{
	for (; nr; nr--, page++)
		assert_int_equal(pwrite(fake, &entry, 8, page * 8), 8);
}

static int fake_pagemap(void **state)
{
	struct pages *pages;

	fake = memfd_create("pagemap", MFD_CLOEXEC);
	put(0, 1, 0);
	if (pages_source(fake) != PAGES_READ || pages_new(fake, PAGES_READ, &pages))
		return 1;
	*state = pages;
	return 0;
}

static int end_fake(void **state)
{
	pages_free(*state);
	close(fake);
	return 0;
}

static const struct pages_range first_gb = { 0x100000, 0x40000000 };

static uint64_t scan(struct pages *pages)
{
	struct pages_scan result;

	assert_int_equal(pages_scan(pages, &first_gb, 1, &result), 0);
	assert_int_equal(result.uncovered_bytes, 0);
	return result.swapped_bytes;
}

static void check_age(struct pages *pages, uint64_t page, uint64_t from, uint64_t to)
{
	uint64_t after, before;

	assert_int_equal(pages_swapped_out(pages, page * PAGE + 9, &after, &before), 0);
	assert_true(after <= from && (!from || after));
	assert_true(before >= to);
}

static void test_stamps(void **state)
{
	struct pages *pages = *state;
	uint64_t time, then, after, before;

	put(0x1000, 3, SWAPPED);
	put(0x1003, 2, PRESENT);
	put(0x1005, 1, SWAPPED | 1ULL << 58); /* a guard page */
	put(0x1006, 1, SWAPPED | 1ULL << 61); /* of a file, while it is moved */
	assert_int_equal(pages_swapped_out(pages, 0x1000 * PAGE, &after, &before), -ENOENT);
	assert_int_equal(scan(pages), 3 * PAGE);
	check_age(pages, 0x1000, 0, 0);
	check_age(pages, 0x1002, 0, 0);
	for (unsigned int page = 0x1003; page < 0x1007; page++)
		assert_int_equal(pages_swapped_out(pages, page * PAGE, &after, &before), -ENOENT);
	time = clock_now_ns();
	put(0x1002, 700, SWAPPED);
	then = clock_now_ns();
	assert_int_equal(scan(pages), 702 * PAGE);
	check_age(pages, 0x1001, 0, 0);
	check_age(pages, 0x1002, 0, 0);
	check_age(pages, 0x1003, time, then);
	check_age(pages, 0x1002 + 699, time, then);
	/* One that came in is remembered for one scan. */
	put(0x1004, 2, 0);
	scan(pages);
	check_age(pages, 0x1004, time, then);
	scan(pages);
	assert_int_equal(pages_swapped_out(pages, 0x1004 * PAGE, &after, &before), -ENOENT);
	check_age(pages, 0x1003, time, then);
	time = clock_now_ns();
	put(0x1004, 1, SWAPPED);
	scan(pages);
	check_age(pages, 0x1004, time, time);
	assert_int_equal(pages_swapped_out(pages, 0x1004 * PAGE, &after, &before), 0);
	assert_true(after > then);
	put(0x1004, 1, 0);
	scan(pages);
	put(0x1004, 1, SWAPPED);
	time = clock_now_ns();
	scan(pages);
	assert_int_equal(pages_swapped_out(pages, 0x1004 * PAGE, &after, &before), 0);
	assert_true(before >= time);
}

/* In, and out again, between two scans that saw it swapped out. */
static void test_came_in(void **state)
{
	struct pages *pages = *state;
	uint64_t times[6], after, before;

	put(0x1000, 4, SWAPPED);
	for (unsigned int i = 0; i < 6; i++) {
		scan(pages);
		times[i] = clock_now_ns();
	}
	pages_came_in(pages, 0x1000 * PAGE, times[3]);
	assert_int_equal(pages_swapped_out(pages, 0x1000 * PAGE, &after, &before), 0);
	assert_true(times[2] <= after && after <= times[3]);
	assert_true(times[3] <= before && before <= times[4]);
	/* An older fault does not change that. */
	pages_came_in(pages, 0x1000 * PAGE, times[1]);
	assert_int_equal(pages_swapped_out(pages, 0x1000 * PAGE, &after, &before), 0);
	assert_true(times[3] <= before);
	pages_came_in(pages, 0x1001 * PAGE, clock_now_ns());
	assert_int_equal(pages_swapped_out(pages, 0x1001 * PAGE, &after, &before), -ENOENT);
	scan(pages);
	assert_int_equal(pages_swapped_out(pages, 0x1001 * PAGE, &after, &before), 0);
	assert_true(after > times[4]);
	/* It came in, as the last scan saw, too. */
	put(0x1002, 1, PRESENT);
	scan(pages);
	pages_came_in(pages, 0x1002 * PAGE, times[5]);
	assert_int_equal(pages_swapped_out(pages, 0x1002 * PAGE, &after, &before), -ENOENT);
	pages_came_in(pages, 0x9999 * PAGE, times[5]);
}

/* The table of scans is thinned out: answers get wider, by a few scans, and stay true. */
static void test_many_scans(void **state)
{
	enum { SCANS = 10000, STEP = 100, NEAR = 16 };
	static const struct pages_range range = { 0x100000, 0x200000 };
	static uint64_t from[SCANS / STEP], to[SCANS / STEP], times[SCANS + NEAR];
	struct pages *pages = *state;

	for (unsigned int i = 0; i < SCANS; i++) {
		if (!(i % STEP)) {
			from[i / STEP] = clock_now_ns();
			put(0x100 + i / STEP, 1, SWAPPED);
			to[i / STEP] = clock_now_ns();
		}
		times[i] = clock_now_ns();
		assert_int_equal(pages_scan(pages, &range, 1, NULL), 0);
	}
	for (unsigned int i = 0; i < NEAR; i++)
		times[SCANS + i] = clock_now_ns();
	for (unsigned int i = 0; i < SCANS / STEP; i++) {
		uint64_t after, before;

		check_age(pages, 0x100 + i, i ? from[i] : 0, to[i]);
		assert_int_equal(pages_swapped_out(pages, (0x100 + i) * PAGE, &after, &before), 0);
		assert_true(!i || after >= times[i * STEP - NEAR]);
		assert_true(before <= times[i * STEP + NEAR]);
	}
}

/* More is swapped out than notes can be kept of: what was left out is counted, and of what comes
 * into its place nobody says that it was not swapped out before. */
static void test_limit(void **state)
{
	enum { CHUNKS = 32768 };
	static const struct pages_range ranges[] = { { 0, 60ULL << 30 },
						     { 60ULL << 30, 80ULL << 30 } };
	struct pages *pages = *state;
	struct pages_scan result;
	uint64_t after, before;

	for (uint64_t i = 1; i <= CHUNKS + 100; i++)
		put(i * 512, 1, SWAPPED);
	assert_int_equal(pages_scan(pages, ranges, 2, &result), 0);
	assert_int_equal(result.swapped_bytes, CHUNKS * PAGE);
	assert_int_equal(result.uncovered_bytes, 100 * PAGE);
	assert_int_equal(pages_swapped_out(pages, (CHUNKS + 50) * 512 * PAGE, &after, &before),
			 -ENOENT);
	for (uint64_t i = 1; i <= 200; i++)
		put(i * 512, 1, PRESENT);
	put(200 * 512 + 1, 1, SWAPPED);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pages_scan(pages, ranges, 2, &result), 0);
	assert_int_equal(result.uncovered_bytes, 0);
	assert_int_equal(pages_swapped_out(pages, (CHUNKS + 50) * 512 * PAGE, &after, &before), 0);
	assert_int_equal(after, 0);
	put(100 * 512, 1, SWAPPED);
	assert_int_equal(pages_scan(pages, ranges, 2, &result), 0);
	assert_int_equal(pages_swapped_out(pages, 100 * 512 * PAGE, &after, &before), 0);
	assert_true(after > 0 && after < before);
	/* A range that is too large for reads, and then is not. */
	assert_int_equal(pages_scan(pages, &(struct pages_range){ 0, 65ULL << 30 }, 1, &result), 0);
	assert_int_equal(result.uncovered_bytes, 65ULL << 30);
	assert_int_equal(pages_scan(pages, &(struct pages_range){ 0, 64ULL << 30 }, 1, &result), 0);
	assert_int_equal(result.uncovered_bytes, 0);
	assert_int_equal(pages_swapped_out(pages, 300 * 512 * PAGE, &after, &before), 0);
	assert_int_equal(after, 0);
}

/* The same through the kernel's own ways, of which the one must tell what the other does. */
static void test_sources(void **state)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	struct pages_range range;
	char *at = map_anonymous(1024);

	(void)state;
	range = (struct pages_range){ (uintptr_t)at, (uintptr_t)at + 1024 * PAGE };
	memset(at, 1, 1024 * PAGE);
	madvise(at, 100 * PAGE, 102 /* MADV_GUARD_INSTALL, from 6.13 on */);
	for (enum pages_source source = pages_source(fd); source <= PAGES_READ; source++) {
		struct pages_scan result;
		struct pages *pages;

		assert_int_equal(pages_new(fd, source, &pages), 0);
		assert_int_equal(pages_scan(pages, &range, 1, &result), 0);
		assert_int_equal(result.swapped_bytes, 0);
		assert_int_equal(result.uncovered_bytes, 0);
		pages_free(pages);
	}
	assert_int_equal(memory_scan(self, NULL), 0);
	munmap(at, 1024 * PAGE);
	close(fd);
}

/* The process ends after its mappings were read. */
static void test_scan_of_dead(void **state)
{
	pid_t pid = child();
	struct pages *pages;
	char path[64];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	fd = open(path, O_RDONLY);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (enum pages_source source = pages_source(fd); source <= PAGES_READ; source++) {
		assert_int_equal(pages_new(fd, source, &pages), 0);
		assert_int_equal(pages_scan(pages, &first_gb, 1, NULL), -ESRCH);
		assert_int_equal(pages_scan(pages, NULL, 0, NULL), -ESRCH);
		pages_free(pages);
	}
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_presence),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_round),
		cmocka_unit_test(test_anonymous),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_huge),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_userfault),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_mapping),
		cmocka_unit_test(test_exec),
		cmocka_unit_test(test_open),
		cmocka_unit_test_setup_teardown(test_stamps, fake_pagemap, end_fake),
		cmocka_unit_test_setup_teardown(test_came_in, fake_pagemap, end_fake),
		cmocka_unit_test_setup_teardown(test_many_scans, fake_pagemap, end_fake),
		cmocka_unit_test_setup_teardown(test_limit, fake_pagemap, end_fake),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_scan_of_dead),
	};

	return cmocka_run_group_tests(tests, open_self, close_self);
}
