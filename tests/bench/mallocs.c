/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * mallocs CALLS BYTES: prints "ready PID"; for a line on stdin, allocates and frees so many times,
 * and prints the ns that each pair took. Ends at the end of stdin.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	unsigned long calls = argc > 1 ? strtoul(argv[1], NULL, 0) : 1;
	size_t size = argc > 2 ? strtoul(argv[2], NULL, 0) : 1;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", getpid());
	while (getchar() != EOF) {
		struct timespec begin, end;

		clock_gettime(CLOCK_MONOTONIC, &begin);
		for (unsigned long i = 0; i < calls; i++) {
			void *volatile object = malloc(size);

			free(object);
		}
		clock_gettime(CLOCK_MONOTONIC, &end);
		printf("ns %.1f\n",
		       ((end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec)) / calls);
	}
	return 0;
}
