/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A program that allocates, and knows what it holds. On each line of standard input it does one
 * thing, and answers; the last line of an answer is ".".
 *
 *   functions         name and address of each allocator and of each free
 *   churn N THREADS   N random steps in each of that many new threads, one after another by twos
 *   list              what lives: name of its allocator, base, size, before and after (ns)
 *   hold N SIZE HOW   that many, by the allocator of that name (malloc unless given)
 *   touch             writes to each whole page of what lives: how many, and the age of the oldest
 *                     and of the youngest object then, in ns
 *   drop              frees all
 *   jump N            begins N allocations that end by longjmp
 *   fail              a realloc that fails; a realloc to nothing
 *   fork              a child that allocates and frees, and ends
 *   exec              this program anew
 *   pace N SIZE       N times malloc and free: ns for a pair
 */
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HEADER 64
#define SLOTS 400000

struct object {
	void *base;
	uint64_t size, before_ns, after_ns;
	int how;
};

enum { MALLOC, CALLOC, REALLOC, MEMALIGN, ALIGNED, NEW, NEW_ARRAY, POOL, NR_HOW };
static const char *const names[] = { "malloc",	      "calloc", "realloc", "memalign",
				     "aligned_alloc", "_Znwm",	"_Znam",   "pool_alloc" };

static void *(*new_one)(size_t), *(*new_array)(size_t);
static void (*delete_one)(void *), (*delete_array)(void *);

static struct object *objects; /* SLOTS of them, not from an allocator */
static size_t nr_objects;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static jmp_buf out;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/* An allocator of the program's own, on top of malloc. With @jump it does not return. */
__attribute__((noinline)) void *pool_alloc(int jump, size_t size);
__attribute__((noinline)) void pool_free(int unused, void *object);

void *pool_alloc(int jump, size_t size)
{
	char *memory;

	if (jump)
		longjmp(out, 1);
	memory = malloc(size + HEADER);
	return memory ? memory + HEADER : NULL;
}

void pool_free(int unused, void *object)
{
	__asm__ volatile("" : : "r"(unused));
	free((char *)object - HEADER);
}

static void *make(int how, size_t size, void *old)
{
	switch (how) {
	case CALLOC:
		return calloc(size / 8, 8);
	case REALLOC:
		return realloc(old, size);
	case MEMALIGN:
		return memalign(256, size);
	case ALIGNED:
		return aligned_alloc(64, size);
	case NEW:
		return new_one(size);
	case NEW_ARRAY:
		return new_array(size);
	case POOL:
		return pool_alloc(0, size);
	default:
		return malloc(size);
	}
}

static void unmake(const struct object *object)
{
	if (object->how == NEW)
		delete_one(object->base);
	else if (object->how == NEW_ARRAY)
		delete_array(object->base);
	else if (object->how == POOL)
		pool_free(0, object->base);
	else
		free(object->base);
}

static void enter(int how, size_t size, void *old)
{
	struct object object = { .how = how, .size = size, .before_ns = now_ns() };

	object.base = make(how, size, old);
	object.after_ns = now_ns();
	if (!object.base)
		abort();
	pthread_mutex_lock(&lock);
	if (nr_objects == SLOTS)
		abort();
	objects[nr_objects++] = object;
	pthread_mutex_unlock(&lock);
}

/* Any one, whichever thread made it. */
static int take(unsigned int *seed, struct object *ret)
{
	size_t at;
	int found;

	pthread_mutex_lock(&lock);
	found = nr_objects > 0;
	if (found) {
		at = rand_r(seed) % nr_objects;
		*ret = objects[at];
		objects[at] = objects[--nr_objects];
	}
	pthread_mutex_unlock(&lock);
	return found;
}

static size_t random_size(unsigned int *seed)
{
	size_t size = 64UL << rand_r(seed) % 12; /* up to 256 kB, half of them below 4096 */

	return (size + rand_r(seed) % size) & ~63UL;
}

static void step(unsigned int *seed)
{
	int how = rand_r(seed) % NR_HOW;
	struct object object;

	if (rand_r(seed) % 9 < 4) {
		if (take(seed, &object))
			unmake(&object);
		return;
	}
	if (!new_one && (how == NEW || how == NEW_ARRAY))
		how = MALLOC;
	if (how == REALLOC && take(seed, &object)) {
		if (object.how <= ALIGNED) {
			enter(how, random_size(seed), object.base);
			return;
		}
		unmake(&object);
	}
	enter(how, random_size(seed), NULL);
}

struct work {
	unsigned long steps;
	unsigned int seed;
};

static void *churn_thread(void *arg)
{
	struct work *work = arg;

	for (unsigned long i = 0; i < work->steps; i++)
		step(&work->seed);
	return NULL;
}

static void churn(unsigned long steps, unsigned int threads)
{
	static unsigned int seed = 1;
	struct work work[2];
	pthread_t thread[2];

	for (unsigned int i = 0; i < threads; i += 2) {
		for (int k = 0; k < 2; k++) {
			work[k] = (struct work){ steps, seed++ };
			if (pthread_create(&thread[k], NULL, churn_thread, &work[k]))
				abort();
		}
		for (int k = 0; k < 2; k++)
			pthread_join(thread[k], NULL);
	}
}

static void list(void)
{
	for (size_t i = 0; i < nr_objects; i++)
		printf("%s %lx %lu %lu %lu\n", names[objects[i].how],
		       (unsigned long)objects[i].base, objects[i].size, objects[i].before_ns,
		       objects[i].after_ns);
}

static void hold(unsigned long n, size_t size, const char *name)
{
	int how = MALLOC;

	for (int i = 0; i < NR_HOW; i++)
		if (!strcmp(names[i], name))
			how = i;
	while (n--)
		enter(how, size, NULL);
}

static void touch(void)
{
	uint64_t now = now_ns(), oldest = now, youngest = 0;
	unsigned long pages = 0;

	for (size_t i = 0; i < nr_objects; i++) {
		uintptr_t base = (uintptr_t)objects[i].base, end = base + objects[i].size;

		oldest = objects[i].after_ns < oldest ? objects[i].after_ns : oldest;
		youngest = objects[i].after_ns > youngest ? objects[i].after_ns : youngest;
		for (uintptr_t page = (base + 4095) & ~4095UL; page + 4096 <= end; page += 4096) {
			*(volatile char *)page = 1;
			pages++;
		}
	}
	printf("%lu %lu %lu\n", pages, now - oldest, now - youngest);
}

static void drop(void)
{
	while (nr_objects)
		unmake(&objects[--nr_objects]);
}

/* One that failed is there as it was, one of no size is not. */
static void fail(void)
{
	void *failed, *gone = malloc(10000);
	volatile size_t too_much = SIZE_MAX / 4;

	enter(MALLOC, 20000, NULL);
	failed = realloc(objects[nr_objects - 1].base, too_much);
	if (failed)
		abort();
	gone = realloc(gone, 0);
	if (gone) /* jemalloc's own way */
		free(gone);
}

static void jump(unsigned long n)
{
	volatile unsigned long i;

	for (i = 0; i < n; i++)
		if (!setjmp(out))
			free(pool_alloc(1, 5000));
	/* The next one finds what the last one left. */
	pool_free(0, pool_alloc(0, 5000));
}

static void fork_one(void)
{
	int pid = fork();

	if (!pid) {
		drop();
		if (!malloc(30000))
			abort();
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void pace(unsigned long n, size_t size)
{
	uint64_t start_ns = now_ns();

	for (unsigned long i = 0; i < n; i++) {
		void *object = malloc(size);

		__asm__ volatile("" : : "r"(object) : "memory");
		free(object);
	}
	printf("%.1f\n", (double)(now_ns() - start_ns) / n);
}

static void functions(void)
{
#define SAY(name) printf(#name " %lx\n", (unsigned long)(name))
	SAY(malloc), SAY(calloc), SAY(realloc), SAY(memalign), SAY(aligned_alloc), SAY(free);
	SAY(pool_alloc), SAY(pool_free);
	if (!new_one)
		return;
	printf("_Znwm %lx\n_Znam %lx\n_ZdlPv %lx\n_ZdaPv %lx\n", (unsigned long)new_one,
	       (unsigned long)new_array, (unsigned long)delete_one, (unsigned long)delete_array);
}

static void find_new(void)
{
#ifndef ALLOC_STATIC
	*(void **)&new_one = dlsym(RTLD_DEFAULT, "_Znwm");
	*(void **)&new_array = dlsym(RTLD_DEFAULT, "_Znam");
	*(void **)&delete_one = dlsym(RTLD_DEFAULT, "_ZdlPv");
	*(void **)&delete_array = dlsym(RTLD_DEFAULT, "_ZdaPv");
#endif
}

static void obey(char **argv, const char *line)
{
	unsigned long a = 0, b = 0;
	char word[16] = "", name[16] = "";

	sscanf(line, "%15s %lu %lu %15s", word, &a, &b, name);
	if (!strcmp(word, "functions"))
		functions();
	else if (!strcmp(word, "churn"))
		churn(a, b);
	else if (!strcmp(word, "list"))
		list();
	else if (!strcmp(word, "hold"))
		hold(a, b, name);
	else if (!strcmp(word, "touch"))
		touch();
	else if (!strcmp(word, "drop"))
		drop();
	else if (!strcmp(word, "jump"))
		jump(a);
	else if (!strcmp(word, "fail"))
		fail();
	else if (!strcmp(word, "fork"))
		fork_one();
	else if (!strcmp(word, "pace"))
		pace(a, b);
	else if (!strcmp(word, "exec"))
		execv("/proc/self/exe", argv);
	puts(".");
}

int main(int argc, char **argv)
{
	static char in[4096], answer[65536];
	char line[64];

	(void)argc;
	setvbuf(stdin, in, _IOFBF, sizeof(in));
	setvbuf(stdout, answer, _IOFBF, sizeof(answer));
	objects = mmap(NULL, SLOTS * sizeof(*objects), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (objects == MAP_FAILED)
		return 1;
	find_new();
	puts(".");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		obey(argv, line);
		fflush(stdout);
	}
	return 0;
}
