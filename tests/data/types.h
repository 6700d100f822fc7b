/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the programs of test_types.c print: kind|name|path|numbers, as the compiler has them. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define N(x) (unsigned long)(x)
#define MEMBER(t, p) \
	printf("member|%s|%s|%lu %lu 0 0\n", #t, #p, N(offsetof(t, p)), N(sizeof(((t *)0)->p)))
#define ARRAY(t, p)                                                         \
	printf("member|%s|%s|%lu %lu %lu %lu\n", #t, #p, N(offsetof(t, p)), \
	       N(sizeof(((t *)0)->p)), N(sizeof(((t *)0)->p[0])),           \
	       N(sizeof(((t *)0)->p) / sizeof(((t *)0)->p[0])))
/* Without bounds. */
#define OPEN(t, p) \
	printf("member|%s|%s|%lu 0 %lu 0\n", #t, #p, N(offsetof(t, p)), N(sizeof(((t *)0)->p[0])))
#define SIZE(t) printf("size|%s||%lu\n", #t, N(sizeof(t)))
#define VALUE(e) printf("value|%s||%lld\n", #e, (long long)(e))
#define VARIABLE(v) printf("variable|%s||%lu %lu\n", #v, N(&v), N(sizeof(v)))
#define FUNCTION(f) printf("variable|%s||%lu 0\n", #f, N(&f))

#ifdef PADDING /* so much more before the writable part */
static const char padding[PADDING] = { 1 };
#else
static const char padding[1] = { 0 };
#endif

/* Where this program is mapped. */
static void print_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start, end, offset;
	char line[512], access[8];

	*line = padding[0];
	while (fgets(line, sizeof(line), maps))
		if (strstr(line, "/prog") &&
		    sscanf(line, "%lx-%lx %7s %lx", &start, &end, access, &offset) == 4)
			printf("mapping|%s||%lu %lu %lu\n", access, start, offset, end - start);
	fclose(maps);
}
