/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Processes that come and go while they are watched.
 *
 *	family children N	says "ready", waits for a line, has ten children make N faults each
 *				in a second and a half, and tells how many the kernel counted
 *	family orphan N FILE	leaves a child behind, which makes N faults after its parent is
 *gone, and writes to FILE how many the kernel counted
 *	family linger N		makes N faults and stays for a second
 *	family exec N PROGRAM	executes PROGRAM linger N
 *	family thread N		the same with itself, but from a second thread
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN 10
#define ROUNDS 15

static char *count;

/* In rounds, with a pause of @pause_us after each. */
__attribute__((noinline, noipa)) static void family_faults(size_t n, unsigned int pause_us)
{
	for (size_t round = 0; round < ROUNDS; round++) {
		size_t pages = n * (round + 1) / ROUNDS - n * round / ROUNDS;
		char *area = mmap(NULL, pages * 4096 + 1, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (area == MAP_FAILED)
			_exit(3);
		madvise(area, pages * 4096, MADV_NOHUGEPAGE);
		for (size_t i = 0; i < pages; i++)
			((volatile char *)area)[i * 4096] = 1;
		munmap(area, pages * 4096 + 1);
		usleep(pause_us);
	}
}

static long faults_of(int who)
{
	struct rusage usage;

	getrusage(who, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

static void run_children(size_t n)
{
	puts("ready");
	fflush(stdout);
	if (getchar() == EOF)
		exit(0);
	for (int i = 0; i < CHILDREN; i++) {
		if (!fork()) {
			family_faults(n, 100000);
			_exit(0);
		}
	}
	while (wait(NULL) > 0)
		;
	printf("{\"children\":%ld}\n", faults_of(RUSAGE_CHILDREN));
	fflush(stdout);
	getchar();
}

static void run_orphan(size_t n, const char *path)
{
	FILE *file;

	if (fork())
		return;
	usleep(500000);
	family_faults(n, 100000);
	file = fopen(path, "w");
	if (!file)
		_exit(4);
	fprintf(file, "%ld\n", faults_of(RUSAGE_SELF));
	fclose(file);
}

static void *execute(void *arg)
{
	execl(arg, arg, "linger", count, (char *)NULL);
	_exit(127);
}

int main(int argc, char *argv[])
{
	size_t n = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	const char *mode = argc > 2 ? argv[1] : "";
	pthread_t thread;

	count = argv[2];
	if (!strcmp(mode, "children"))
		run_children(n);
	else if (!strcmp(mode, "orphan") && argc > 3)
		run_orphan(n, argv[3]);
	else if (!strcmp(mode, "exec") && argc > 3)
		execute(argv[3]);
	else if (!strcmp(mode, "thread") && !pthread_create(&thread, NULL, execute, argv[0]))
		pause();
	else if (!strcmp(mode, "linger"))
		family_faults(n, 1000000 / ROUNDS);
	else
		return 2;
	return 0;
}
