/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A program that allocates, and knows what it holds. On each line of standard input it does one
 * thing, and answers; the last line of an answer is ".".
 *
 *   functions         name and address of each allocator and of each free
 *   churn N THREADS   N random steps in each of that many new threads, one after another by twos
 *   list              what lives: name of its allocator, base, size, before and after (ns)
 *   hold N SIZE NAME  that many, by the allocator of that name (malloc unless there is one)
 *   touch             writes to each whole page of what lives: "all", how many, and the age of the
 *                     oldest and of the youngest object then, in ns; the same by name of allocator
 *   drop              frees all
 *   jump N            begins N allocations that end by longjmp
 *   fail              a realloc and a posix_memalign that fail; a realloc to nothing
 *   fork              a child that allocates and frees, and ends
 *   exec              this program anew
 *   pace N SIZE       N times malloc and free: ns for a pair
 */
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HEADER 64
#define ALIGNMENT 64
#define SLOTS 400000

/* What may be given back by what, and (PLAIN, UNSIZED, FLAGS) made larger. What is UNSIZED may not
 * be given back with its size: aligned, it has another one, and tcmalloc's realloc leaves as large
 * as it was what is made smaller. */
enum family { PLAIN, UNSIZED, NEW, ARRAY, NEW_ALIGNED, ARRAY_ALIGNED, FLAGS, POOL };

/* Arguments by letter: s size, w size in whole pages, n how many (of 8 bytes), a alignment, r where
 * to put the result, o old object, p object, 0 nothing. */
struct function {
	const char *name, *arguments;
	enum family family;
	uintptr_t address; /* 0: there is none */
};

#define C(name, arguments, family)                          \
	{                                                   \
#name, arguments, family, (uintptr_t)(name) \
	}

/* An allocator of the program's own, on top of malloc. With @jump it does not return. */
__attribute__((noinline)) void *pool_alloc(int jump, size_t size);
__attribute__((noinline)) void pool_free(int unused, void *object);

static struct function makers[] = {
	C(malloc, "s", PLAIN),
	C(calloc, "ns", PLAIN),
	C(realloc, "os", UNSIZED),
	C(reallocarray, "ons", UNSIZED),
	C(memalign, "as", UNSIZED),
	C(aligned_alloc, "as", UNSIZED),
	C(valloc, "s", UNSIZED),
	C(pvalloc, "w", UNSIZED),
	C(posix_memalign, "ras", UNSIZED),
	{ "_Znwm", "s", NEW, 0 },
	{ "_ZnwmRKSt9nothrow_t", "s0", NEW, 0 },
	{ "_ZnwmSt11align_val_t", "sa", NEW_ALIGNED, 0 },
	{ "_ZnwmSt11align_val_tRKSt9nothrow_t", "sa0", NEW_ALIGNED, 0 },
	{ "_Znam", "s", ARRAY, 0 },
	{ "_ZnamRKSt9nothrow_t", "s0", ARRAY, 0 },
	{ "_ZnamSt11align_val_t", "sa", ARRAY_ALIGNED, 0 },
	{ "_ZnamSt11align_val_tRKSt9nothrow_t", "sa0", ARRAY_ALIGNED, 0 },
	{ "mallocx", "s0", FLAGS, 0 },
	{ "rallocx", "os0", FLAGS, 0 },
	{ "tc_malloc", "s", PLAIN, 0 },
	{ "tc_malloc_skip_new_handler", "s", PLAIN, 0 },
	{ "tc_calloc", "ns", PLAIN, 0 },
	{ "tc_realloc", "os", UNSIZED, 0 },
	{ "tc_memalign", "as", UNSIZED, 0 },
	{ "tc_valloc", "s", UNSIZED, 0 },
	{ "tc_pvalloc", "w", UNSIZED, 0 },
	{ "tc_posix_memalign", "ras", UNSIZED, 0 },
	{ "tc_new", "s", NEW, 0 },
	{ "tc_new_nothrow", "s0", NEW, 0 },
	{ "tc_new_aligned", "sa", NEW_ALIGNED, 0 },
	{ "tc_new_aligned_nothrow", "sa0", NEW_ALIGNED, 0 },
	{ "tc_newarray", "s", ARRAY, 0 },
	{ "tc_newarray_nothrow", "s0", ARRAY, 0 },
	{ "tc_newarray_aligned", "sa", ARRAY_ALIGNED, 0 },
	{ "tc_newarray_aligned_nothrow", "sa0", ARRAY_ALIGNED, 0 },
	{ "pool_alloc", "0s", POOL, (uintptr_t)pool_alloc },
};
#define NR_MAKERS (sizeof(makers) / sizeof(*makers))

static struct function enders[] = {
	C(free, "p", PLAIN),
	{ "_ZdlPv", "p", NEW, 0 },
	{ "_ZdlPvm", "ps", NEW, 0 },
	{ "_ZdlPvRKSt9nothrow_t", "p0", NEW, 0 },
	{ "_ZdlPvSt11align_val_t", "pa", NEW_ALIGNED, 0 },
	{ "_ZdlPvmSt11align_val_t", "psa", NEW_ALIGNED, 0 },
	{ "_ZdlPvSt11align_val_tRKSt9nothrow_t", "pa0", NEW_ALIGNED, 0 },
	{ "_ZdaPv", "p", ARRAY, 0 },
	{ "_ZdaPvm", "ps", ARRAY, 0 },
	{ "_ZdaPvRKSt9nothrow_t", "p0", ARRAY, 0 },
	{ "_ZdaPvSt11align_val_t", "pa", ARRAY_ALIGNED, 0 },
	{ "_ZdaPvmSt11align_val_t", "psa", ARRAY_ALIGNED, 0 },
	{ "_ZdaPvSt11align_val_tRKSt9nothrow_t", "pa0", ARRAY_ALIGNED, 0 },
	{ "dallocx", "p0", FLAGS, 0 },
	{ "sdallocx", "ps0", FLAGS, 0 },
	{ "tc_free", "p", PLAIN, 0 },
	{ "tc_cfree", "p", PLAIN, 0 },
	{ "tc_free_sized", "ps", PLAIN, 0 },
	{ "tc_delete", "p", NEW, 0 },
	{ "tc_delete_sized", "ps", NEW, 0 },
	{ "tc_delete_nothrow", "p0", NEW, 0 },
	{ "tc_delete_aligned", "pa", NEW_ALIGNED, 0 },
	{ "tc_delete_sized_aligned", "psa", NEW_ALIGNED, 0 },
	{ "tc_delete_aligned_nothrow", "pa0", NEW_ALIGNED, 0 },
	{ "tc_deletearray", "p", ARRAY, 0 },
	{ "tc_deletearray_sized", "ps", ARRAY, 0 },
	{ "tc_deletearray_nothrow", "p0", ARRAY, 0 },
	{ "tc_deletearray_aligned", "pa", ARRAY_ALIGNED, 0 },
	{ "tc_deletearray_sized_aligned", "psa", ARRAY_ALIGNED, 0 },
	{ "tc_deletearray_aligned_nothrow", "pa0", ARRAY_ALIGNED, 0 },
	{ "pool_free", "0p", POOL, (uintptr_t)pool_free },
};
#define NR_ENDERS (sizeof(enders) / sizeof(*enders))

struct object {
	uintptr_t base;
	uint64_t size, before_ns, after_ns;
	const struct function *maker;
};

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

/* The result, or what was put where 'r' says. */
static uintptr_t call(const struct function *f, uintptr_t object, size_t size)
{
	typedef uintptr_t (*any)(uintptr_t, uintptr_t, uintptr_t);
	bool counted = strchr(f->arguments, 'n'), stored = strchr(f->arguments, 'r');
	uintptr_t a[3] = { 0 }, stored_at = 0, ret;

	for (int i = 0; f->arguments[i]; i++)
		switch (f->arguments[i]) {
		case 's':
		case 'w':
			a[i] = counted ? 8 : size;
			break;
		case 'n':
			a[i] = size / 8;
			break;
		case 'a':
			a[i] = ALIGNMENT;
			break;
		case 'r':
			a[i] = (uintptr_t)&stored_at;
			break;
		case 'o':
		case 'p':
			a[i] = object;
			break;
		default:
			break;
		}
	ret = ((any)f->address)(a[0], a[1], a[2]);
	return stored ? stored_at : ret;
}

static bool may_end(const struct function *ender, enum family family)
{
	return ender->address &&
	       (ender->family == family ||
		(family == UNSIZED && ender->family == PLAIN && !strchr(ender->arguments, 's')));
}

/* One of those that may, at random. */
static const struct function *ender_of(const struct function *maker, unsigned int *seed)
{
	size_t at = rand_r(seed) % NR_ENDERS;

	while (!may_end(&enders[at], maker->family))
		at = (at + 1) % NR_ENDERS;
	return &enders[at];
}

static void unmake(const struct object *object, unsigned int *seed)
{
	call(ender_of(object->maker, seed), object->base, object->size);
}

static void enter(const struct function *maker, size_t size, uintptr_t old)
{
	struct object object = { .maker = maker, .size = size, .before_ns = now_ns() };

	if (strchr(maker->arguments, 'w')) /* tcmalloc's asks its memalign for so much */
		object.size = (size + 4095) & ~4095UL;
	object.base = call(maker, old, object.size);
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
	const struct function *maker = &makers[rand_r(seed) % NR_MAKERS];
	struct object object;

	if (rand_r(seed) % 9 < 4) {
		if (take(seed, &object))
			unmake(&object, seed);
		return;
	}
	if (!maker->address)
		maker = &makers[0];
	if (!strchr(maker->arguments, 'o')) {
		enter(maker, random_size(seed), 0);
		return;
	}
	if (!take(seed, &object))
		return;
	if (object.maker->family == maker->family ||
	    (object.maker->family <= UNSIZED && maker->family <= UNSIZED))
		enter(maker, random_size(seed), object.base);
	else
		unmake(&object, seed);
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
		printf("%s %lx %lu %lu %lu\n", objects[i].maker->name, objects[i].base,
		       objects[i].size, objects[i].before_ns, objects[i].after_ns);
}

static void hold(unsigned long n, size_t size, const char *name)
{
	const struct function *maker = &makers[0];

	for (size_t i = 0; i < NR_MAKERS; i++)
		if (!strcmp(makers[i].name, name) && makers[i].address)
			maker = &makers[i];
	while (n--)
		enter(maker, size, 0);
}

static unsigned long touch_one(const struct object *object)
{
	uintptr_t end = object->base + object->size;
	unsigned long pages = 0;

	for (uintptr_t page = (object->base + 4095) & ~4095UL; page + 4096 <= end; page += 4096) {
		*(volatile char *)page = 1;
		pages++;
	}
	return pages;
}

/* Of all objects (@maker NULL), or of those that @maker made. */
static void tell_ages(const struct function *maker, unsigned long pages, uint64_t now)
{
	uint64_t oldest = now, youngest = 0;

	for (size_t i = 0; i < nr_objects; i++) {
		if (maker && objects[i].maker != maker)
			continue;
		oldest = objects[i].after_ns < oldest ? objects[i].after_ns : oldest;
		youngest = objects[i].after_ns > youngest ? objects[i].after_ns : youngest;
	}
	printf("%s %lu %lu %lu\n", maker ? maker->name : "all", pages, now - oldest,
	       now - youngest);
}

static void touch(void)
{
	static unsigned long pages[NR_MAKERS];
	unsigned long all = 0;
	uint64_t now = now_ns();

	memset(pages, 0, sizeof(pages));
	for (size_t i = 0; i < nr_objects; i++)
		pages[objects[i].maker - makers] += touch_one(&objects[i]);
	for (size_t i = 0; i < NR_MAKERS; i++)
		all += pages[i];
	tell_ages(NULL, all, now);
	for (size_t i = 0; i < NR_MAKERS; i++)
		if (pages[i])
			tell_ages(&makers[i], pages[i], now);
}

static void drop(void)
{
	unsigned int seed = 1;

	while (nr_objects)
		unmake(&objects[--nr_objects], &seed);
}

/* One that failed is there as it was, one of no size is not. */
static void fail(void)
{
	/* gcc gives the function that it knows a variable of its own. */
	int (*volatile align)(void **, size_t, size_t) = posix_memalign;
	void *failed, *stored, *gone = malloc(10000);
	volatile size_t too_much = SIZE_MAX / 4;

	enter(&makers[0], 20000, 0);
	stored = (void *)objects[nr_objects - 1].base;
	failed = realloc(stored, too_much);
	if (failed || !align(&stored, ALIGNMENT, too_much))
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
	for (size_t i = 0; i < NR_MAKERS; i++)
		if (makers[i].address)
			printf("%s %lx\n", makers[i].name, makers[i].address);
	for (size_t i = 0; i < NR_ENDERS; i++)
		if (enders[i].address)
			printf("%s %lx\n", enders[i].name, enders[i].address);
}

#ifndef ALLOC_STATIC
static const void *library_of(const void *function)
{
	Dl_info info;

	return dladdr(function, &info) ? info.dli_fbase : NULL;
}

static void find(struct function *functions, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (!functions[i].address)
			functions[i].address = (uintptr_t)dlsym(RTLD_DEFAULT, functions[i].name);
}

/* What another library than malloc's gives, malloc's free cannot take; reallocarray calls realloc.
 */
static void find_all(void)
{
	const void *own = library_of((void *)malloc);

	find(makers, NR_MAKERS);
	find(enders, NR_ENDERS);
	for (size_t i = 0; i < NR_MAKERS; i++)
		if (makers[i].address && makers[i].family <= UNSIZED &&
		    strcmp(makers[i].name, "reallocarray") &&
		    library_of((void *)makers[i].address) != own)
			makers[i].address = 0;
}
#else
static void find_all(void)
{
}
#endif

static void obey(char **argv, const char *line)
{
	unsigned long a = 0, b = 0;
	char word[16] = "", name[48] = "";

	sscanf(line, "%15s %lu %lu %47s", word, &a, &b, name);
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
	char line[128];

	(void)argc;
	setvbuf(stdin, in, _IOFBF, sizeof(in));
	setvbuf(stdout, answer, _IOFBF, sizeof(answer));
	objects = mmap(NULL, SLOTS * sizeof(*objects), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (objects == MAP_FAILED)
		return 1;
	find_all();
	puts(".");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		obey(argv, line);
		fflush(stdout);
	}
	return 0;
}
