/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Drives collect/memory.h for tests/live/test_memory.py: reads a target's memory as it is told, a
 * line each, and answers with a line.
 *
 *	reader PID               "ready", or "error NUMBER"
 *	round                    "0"
 *	read ADDRESS BYTES       "RESULT ABSENT WRONG": words that are not their own address
 *	presence ADDRESS BYTES   "RESULT PRESENT SWAPPED"
 *	scan                     "RESULT SWAPPED UNCOVERED TOOK"
 *	moved                    "1": there may be news for a scan
 *	age ADDRESS              "RESULT AFTER BEFORE"
 *	walk ADDRESS BYTES       a round of 100,000 connections of three objects: "CPU", ns, or 0
 *	storm ADDRESS BYTES SECONDS
 *	                         all of it over and over: "ROUNDS READ ABSENT OTHER WRONG", pages
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "collect/memory.h"

#define PAGE 4096

static char buffer[MEMORY_MAX_READ];

static size_t wrong_words(uint64_t address, size_t bytes)
{
	size_t wrong = 0;

	for (size_t i = -address & 7; i + 8 <= bytes; i += 8) {
		uint64_t word;

		memcpy(&word, buffer + i, 8);
		wrong += word != address + i;
	}
	return wrong;
}

static void do_read(struct memory *memory, uint64_t address, uint64_t bytes)
{
	uint64_t absent = 0;
	int r = memory_read(memory, address, buffer, bytes, &absent);

	printf("%d %" PRIu64 " %zu\n", r, absent, r ? 0 : wrong_words(address, bytes));
}

static void walk(struct memory *memory, uint64_t address, uint64_t bytes)
{
	static const unsigned int sizes[] = { 1000, 700, 300 };
	uint64_t end = address + bytes, stride = bytes / 100000 & ~7ULL;
	struct timespec from, to;
	bool good = true;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	memory_round(memory);
	for (; address + stride <= end; address += stride) {
		uint64_t at = address;

		for (unsigned int i = 0; i < 3; at += sizes[i++])
			good &= !memory_read(memory, at, buffer, sizes[i], NULL);
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	printf("%lld\n",
	       good ? (to.tv_sec - from.tv_sec) * 1000000000LL + to.tv_nsec - from.tv_nsec : 0);
}

static void storm(struct memory *memory, uint64_t address, uint64_t bytes, uint64_t seconds)
{
	uint64_t end = clock_now_ns() + seconds * 1000000000, present, swapped;
	size_t rounds = 0, done = 0, absent = 0, other = 0, wrong = 0;

	do {
		memory_round(memory);
		for (uint64_t at = address; at < address + bytes; at += PAGE) {
			int r = memory_read(memory, at, buffer, PAGE, NULL);

			done += !r;
			absent += r == -ENODATA;
			other += r && r != -ENODATA;
			wrong += r ? 0 : wrong_words(at, PAGE);
		}
		memory_presence(memory, address, bytes, &present, &swapped);
		memory_scan(memory, NULL);
		rounds++;
	} while (clock_now_ns() < end);
	printf("%zu %zu %zu %zu %zu\n", rounds, done, absent, other, wrong);
}

static void obey(struct memory *memory, const char *what, const uint64_t *args)
{
	uint64_t a = 0, b = 0;

	if (!strcmp(what, "round")) {
		memory_round(memory);
		puts("0");
	} else if (!strcmp(what, "read")) {
		do_read(memory, args[0], args[1]);
	} else if (!strcmp(what, "presence")) {
		int r = memory_presence(memory, args[0], args[1], &a, &b);

		printf("%d %" PRIu64 " %" PRIu64 "\n", r, a, b);
	} else if (!strcmp(what, "scan")) {
		struct pages_scan scan = { 0 };
		int r = memory_scan(memory, &scan);

		printf("%d %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", r, scan.swapped_bytes,
		       scan.uncovered_bytes, scan.took_ns);
	} else if (!strcmp(what, "moved")) {
		printf("%d\n", memory_swap_moved(memory));
	} else if (!strcmp(what, "age")) {
		int r = memory_swapped_out(memory, args[0], &a, &b);

		printf("%d %" PRIu64 " %" PRIu64 "\n", r, a, b);
	} else if (!strcmp(what, "walk")) {
		walk(memory, args[0], args[1]);
	} else if (!strcmp(what, "storm")) {
		storm(memory, args[0], args[1], args[2]);
	}
}

int main(int argc, char **argv)
{
	struct memory *memory;
	char line[128], what[16];
	int r = memory_open(argc > 1 ? atoi(argv[1]) : 0, &memory);

	if (r)
		printf("error %d\n", r);
	else
		puts("ready");
	fflush(stdout);
	while (!r && fgets(line, sizeof(line), stdin)) {
		uint64_t args[3] = { 0 };

		if (sscanf(line, "%15s %" SCNu64 " %" SCNu64 " %" SCNu64, what, &args[0], &args[1],
			   &args[2]) >= 1)
			obey(memory, what, args);
		fflush(stdout);
	}
	memory_close(r ? NULL : memory);
	return 0;
}
