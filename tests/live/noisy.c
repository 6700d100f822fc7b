/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A program whose rates of faults scatter from run to run as those of a server do: requests come at
 * random moments (exponential gaps) to threads that sleep in between, each of a random size.
 *
 *	noisy SECONDS [RISE [WORK_FILE]]
 *
 * RISE is how many times as many first touches there are as without it, all of the rise in large
 * requests: one request in four is large, and these make half of all. The number of requests goes
 *to WORK_FILE, and that of pages touched in either function to standard output.
 */
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define THREADS 4
#define GAP_US 1500. /* between two requests of a thread */
#define MAX_PAGES 256
#define ALONE __attribute__((noinline, noipa))

struct worker {
	pthread_t thread;
	uint64_t seed;
	unsigned long requests, small_pages, large_pages;
};

static double seconds, rise = 1;
static struct timespec begin;

static double uniform(struct worker *w)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return ((double)(w->seed >> 11) + .5) / 9007199254740992.0;
}

static double elapsed(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - begin.tv_sec) + (double)(now.tv_nsec - begin.tv_nsec) / 1e9;
}

ALONE static void small_request(volatile char *area, unsigned long pages)
{
	for (unsigned long i = 0; i < pages; i++)
		area[i * PAGE] = 1;
}

ALONE static void large_request(volatile char *area, unsigned long pages)
{
	for (unsigned long i = 0; i < pages; i++)
		area[i * PAGE] = 1;
}

static void serve(struct worker *w, volatile char *area)
{
	unsigned long pages = 1 + (unsigned long)(uniform(w) * 15);

	w->requests++;
	if (uniform(w) < .75) {
		small_request(area, pages);
		w->small_pages += pages;
	} else {
		/* Of a part of a page, a part of the requests gets one. */
		pages = (unsigned long)((double)(3 * pages) * (2 * rise - 1) + uniform(w));
		large_request(area, pages);
		w->large_pages += pages;
	}
	madvise((void *)area, MAX_PAGES * PAGE, MADV_DONTNEED);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	void *area = mmap(NULL, MAX_PAGES * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	madvise(area, MAX_PAGES * PAGE, MADV_NOHUGEPAGE);
	while (elapsed() < seconds) {
		long ns = (long)(-log(uniform(w)) * GAP_US * 1e3);
		struct timespec gap = { ns / 1000000000, ns % 1000000000 };

		nanosleep(&gap, NULL);
		serve(w, area);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct worker workers[THREADS] = { 0 };
	struct worker sum = { 0 };
	FILE *out;

	if (argc < 2)
		return 64;
	seconds = atof(argv[1]);
	if (argc > 2)
		rise = atof(argv[2]);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (unsigned long i = 0; i < THREADS; i++) {
		workers[i].seed =
			(uint64_t)begin.tv_nsec * 2654435761 + (uint64_t)getpid() + i * 7919 + 1;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			return 1;
	}
	for (unsigned long i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		sum.requests += workers[i].requests;
		sum.small_pages += workers[i].small_pages;
		sum.large_pages += workers[i].large_pages;
	}
	printf("{\"requests\":%lu,\"small_request\":%lu,\"large_request\":%lu}\n", sum.requests,
	       sum.small_pages, sum.large_pages);
	if (argc > 3) {
		out = fopen(argv[3], "w");
		if (!out || fprintf(out, "%lu\n", sum.requests) < 0 || fclose(out))
			return 1;
	}
	return 0;
}
