/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Memory in a known state: each word holds its own address. It does as it is told, a line each, and
 * answers with a line:
 *
 *	cold MB 0          "ready", then "BASE BYTES" of its memory
 *	out FIRST PAGES    pages out; answers when the kernel shows none of them present
 *	touch FIRST PAGES  brings them in again
 *	unmap FIRST PAGES
 *	spin SECONDS       maps, fills and unmaps 256 kB of its own, over and over
 */
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

#define PAGE 4096UL
#define SPIN (256UL << 10)

static int pagemap;

static void fill(char *at, size_t bytes)
{
	for (uint64_t *word = (uint64_t *)at; word < (uint64_t *)(at + bytes); word++)
		*word = (uintptr_t)word;
}

static bool any_present(const char *at, size_t pages)
{
	uint64_t entries[512];
	bool any = false;

	for (size_t i = 0; !any && i < pages; i += 512) {
		size_t nr = pages - i < 512 ? pages - i : 512;

		if (pread(pagemap, entries, nr * 8, ((uintptr_t)at / PAGE + i) * 8) !=
		    (ssize_t)nr * 8)
			exit(1);
		for (size_t j = 0; j < nr; j++)
			any |= entries[j] >> 63;
	}
	return any;
}

static void out(char *at, size_t pages)
{
	for (int i = 0; i < 100 && any_present(at, pages); i++) {
		if (i)
			usleep(10000);
		madvise(at, pages * PAGE, MADV_PAGEOUT);
	}
}

static void touch(char *at, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		(void)*(volatile char *)(at + i * PAGE);
}

static void spin(char *at, time_t seconds)
{
	time_t end = time(NULL) + seconds;

	while (time(NULL) < end) {
		if (mmap(at, SPIN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			 -1, 0) != at)
			exit(1);
		fill(at, SPIN);
		munmap(at, SPIN);
	}
}

int main(int argc, char **argv)
{
	size_t bytes = argc > 1 ? strtoul(argv[1], NULL, 10) << 20 : 0;
	char line[128], what[16], *base;
	cpu_set_t cpus;

	/* What waits in another CPU's batch for the LRU cannot be paged out. */
	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	pagemap = open("/proc/self/pagemap", O_RDONLY);
	base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!bytes || pagemap < 0 || base == MAP_FAILED)
		return 1;
	madvise(base, bytes, MADV_NOHUGEPAGE);
	fill(base, bytes);
	printf("ready\n%lu %zu\n", (unsigned long)base, bytes);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		size_t first = 0, pages = 0;

		if (sscanf(line, "%15s %zu %zu", what, &first, &pages) < 1)
			continue;
		if (!strcmp(what, "out"))
			out(base + first * PAGE, pages);
		else if (!strcmp(what, "touch"))
			touch(base + first * PAGE, pages);
		else if (!strcmp(what, "unmap"))
			munmap(base + first * PAGE, pages * PAGE);
		puts(strcmp(what, "spin") ? "done" : "spinning");
		fflush(stdout);
		if (!strcmp(what, "spin"))
			spin(base, first);
	}
	return 0;
}
