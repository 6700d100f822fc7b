/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A program that does nothing but fault: touches every page of an anonymous mapping, gives them all
 * back, starts over. Prints "ready PID", waits for a line on stdin, and prints the wall seconds of
 * the loop: "faults N seconds S". Stays until stdin ends with --wait, so that it can be looked at.
 */
#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL

struct settings {
	unsigned long pages, rounds;
	unsigned long rate;   /* faults per second; 0: as fast as it goes */
	unsigned long stacks; /* distinct call paths to fault from; 0: one */
	int wait;
};

static volatile uint64_t sink;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static __attribute__((noinline)) void touch(char *page)
{
	*(volatile char *)page = 1;
}

/* Every bit of @path chooses one of two functions, so every path is a stack of its own. Work after
 * the call keeps it from becoming a jump. */
static void left(char *page, unsigned long path, unsigned int bits);
static void right(char *page, unsigned long path, unsigned int bits);

static __attribute__((noinline)) void choose(char *page, unsigned long path, unsigned int bits)
{
	if (!bits)
		touch(page);
	else if (path & 1)
		left(page, path >> 1, bits - 1);
	else
		right(page, path >> 1, bits - 1);
	sink += bits;
}

static __attribute__((noinline)) void left(char *page, unsigned long path, unsigned int bits)
{
	choose(page, path, bits);
	sink += path;
}

static __attribute__((noinline)) void right(char *page, unsigned long path, unsigned int bits)
{
	choose(page, path, bits);
	sink -= path;
}

/* Sleeps until the @done faults so far are due. Looks at the clock every tenth of a second's worth
 * at most, every fault at the least. */
static void pace(uint64_t begin_ns, unsigned long done, unsigned long rate)
{
	uint64_t due = begin_ns + (uint64_t)((double)done / rate * 1e9);
	struct timespec ts = { .tv_sec = due / 1000000000ULL, .tv_nsec = due % 1000000000ULL };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

static __attribute__((noinline)) void hammer(char *memory, const struct settings *set)
{
	unsigned long step = set->rate >= 100 ? set->rate / 100 : 1;
	unsigned int bits = 0;
	unsigned long done = 0;
	uint64_t begin_ns = now_ns();

	while (set->stacks && 1UL << bits < set->stacks)
		bits++;
	for (unsigned long r = 0; r < set->rounds; r++) {
		for (unsigned long p = 0; p < set->pages; p++, done++) {
			if (set->rate && done % step == 0)
				pace(begin_ns, done, set->rate);
			if (set->stacks)
				choose(memory + p * PAGE, done % set->stacks, bits);
			else
				touch(memory + p * PAGE);
		}
		madvise(memory, set->pages * PAGE, MADV_DONTNEED);
	}
	printf("faults %lu seconds %.6f\n", done, (now_ns() - begin_ns) / 1e9);
	fflush(stdout);
}

static unsigned long number(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end) {
		fprintf(stderr, "hammer: not a number: %s\n", text);
		exit(64);
	}
	return n;
}

static struct settings parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "pages", required_argument, NULL, 'p' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "rate", required_argument, NULL, 'R' },
		{ "stacks", required_argument, NULL, 's' },
		{ "wait", no_argument, NULL, 'w' },
		{ NULL, 0, NULL, 0 },
	};
	struct settings set = { .pages = 8192, .rounds = 100 };
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			set.pages = number(optarg);
			break;
		case 'r':
			set.rounds = number(optarg);
			break;
		case 'R':
			set.rate = number(optarg);
			break;
		case 's':
			set.stacks = number(optarg);
			break;
		case 'w':
			set.wait = 1;
			break;
		default:
			fprintf(stderr, "usage: hammer [--pages N] [--rounds N] [--rate N]"
					" [--stacks N] [--wait]\n");
			exit(64);
		}
	}
	return set;
}

int main(int argc, char **argv)
{
	struct settings set = parse(argc, argv);
	char line[64];
	char *memory = mmap(NULL, set.pages * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED) {
		fprintf(stderr, "hammer: mmap: %s\n", strerror(errno));
		return 1;
	}
	madvise(memory, set.pages * PAGE, MADV_NOHUGEPAGE);
	printf("ready %d\n", getpid());
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	hammer(memory, &set);
	while (set.wait && fgets(line, sizeof(line), stdin))
		;
	return 0;
}
