/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Objects of any process, by watching its allocators. They are found by name, wherever they are:
 * glibc's, those of jemalloc or tcmalloc, in a library or in the program itself. Where an allocator
 * calls another one for the same object, as operator new does, the object is the outer one's.
 *
 * Names of one function (tcmalloc has up to six) are one allocator, called as the first of them in
 * the table is. What changes an object where it lies (jemalloc's xallocx) is not watched: the
 * object keeps the size that it was asked for with.
 */
#include "provider/malloc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "provider/registry.h"

struct pair {
	const char *called, *alloc, *free;
	/* Numbers of alloc's arguments: the two factors of the size, the object that it ends, the
	 * place where it puts the new one, unless it returns it. */
	signed char size, count, old, result;
};
#define NO (-1)

/* clang-format off */

/* Of glibc (and whoever takes its place), and of tcmalloc. */
#define COMMON(prefix) \
	{ prefix "malloc", prefix "malloc", prefix "free", 0, NO, NO, NO }, \
	{ prefix "calloc", prefix "calloc", prefix "free", 1, 0, NO, NO }, \
	{ prefix "realloc", prefix "realloc", prefix "free", 1, NO, 0, NO }, \
	{ prefix "memalign", prefix "memalign", prefix "free", 1, NO, NO, NO }, \
	{ prefix "valloc", prefix "valloc", prefix "free", 0, NO, NO, NO }, \
	{ prefix "pvalloc", prefix "pvalloc", prefix "free", 0, NO, NO, NO }, \
	{ prefix "posix_memalign", prefix "posix_memalign", prefix "free", 2, NO, NO, 0 }

#define NEW(called, alloc, free) { called, alloc, free, 0, NO, NO, NO }
/* An operator and its opposite. The names of the variants are made of parts, and each variant of
 * the one may end what any of the other has made. */
#define OPERATOR(called, new, delete, nothrow, aligned, sized) \
	NEW(called, new, delete), \
	NEW(called, new nothrow, delete), \
	NEW(called, new aligned, delete), \
	NEW(called, new aligned nothrow, delete), \
	NEW(called, new, delete sized), \
	NEW(called, new, delete nothrow), \
	NEW(called, new, delete aligned), \
	NEW(called, new, delete sized aligned), \
	NEW(called, new, delete aligned nothrow)
#define CXX_OPERATOR(called, new, delete) \
	OPERATOR(called, new, delete, "RKSt9nothrow_t", "St11align_val_t", "m")
#define TC_OPERATOR(new, delete) OPERATOR(new, new, delete, "_nothrow", "_aligned", "_sized")

static const struct pair family[] = {
	{ "aligned_alloc", "aligned_alloc", "free", 1, NO, NO, NO },
	COMMON(""),
	{ "reallocarray", "reallocarray", "free", 2, 1, 0, NO },
	CXX_OPERATOR("operator new", "_Znwm", "_ZdlPv"),
	CXX_OPERATOR("operator new[]", "_Znam", "_ZdaPv"),
	/* jemalloc */
	{ "mallocx", "mallocx", "dallocx", 0, NO, NO, NO },
	{ "mallocx", "mallocx", "sdallocx", 0, NO, NO, NO },
	{ "rallocx", "rallocx", "dallocx", 1, NO, 0, NO },
	/* tcmalloc */
	COMMON("tc_"),
	{ "tc_malloc", "tc_malloc", "tc_cfree", 0, NO, NO, NO },
	{ "tc_malloc", "tc_malloc", "tc_free_sized", 0, NO, NO, NO },
	{ "tc_malloc", "tc_malloc_skip_new_handler", "tc_free", 0, NO, NO, NO },
	TC_OPERATOR("tc_new", "tc_delete"),
	TC_OPERATOR("tc_newarray", "tc_deletearray"),
};

/* clang-format on */
#define NR (sizeof(family) / sizeof(*family))

static uint64_t min_bytes = 4096;
static const struct fp_allocator *more;
static size_t nr_more;

void provider_malloc_set(uint64_t min, const struct fp_allocator *others, size_t nr)
{
	min_bytes = min;
	more = others;
	nr_more = nr;
}

struct self {
	const struct fp_host *host;
	struct fp_allocator family[NR];
};

static int watch_pair(struct self *self, size_t i)
{
	const struct fp_host *host = self->host;
	const struct pair *pair = &family[i];
	struct fp_allocator *allocator = &self->family[i];

	*allocator = (struct fp_allocator){
		.name = pair->called,
		.alloc = pair->alloc,
		.free = pair->free,
		.size_arg = pair->size,
		.count_arg = pair->count,
		.old_arg = pair->old,
		.min_size = min_bytes,
		.tag_arg = -1,
	};
	return pair->result == NO ? host->watch(host, allocator)
				  : host->watch_result(host, allocator, pair->result);
}

static int malloc_open(const struct fp_host *host, void **ret)
{
	struct self *self = calloc(1, sizeof(*self));
	bool watched = false;
	int r = 0;

	if (!self)
		return -ENOMEM;
	self->host = host;
	/* One that is not there may come with a library that is loaded later. */
	for (size_t i = 0; (!r || r == -ENOENT) && i < nr_more; i++) {
		r = host->watch(host, &more[i]);
		watched |= !r;
		if (r == -ENOENT)
			host->warn(host,
				   "no functions %s and %s, unless a library that is loaded later "
				   "has them",
				   more[i].alloc, more[i].free);
	}
	for (size_t i = 0; (!r || r == -ENOENT) && i < NR; i++) {
		r = watch_pair(self, i);
		watched |= !r;
	}
	if (r && r != -ENOENT && r != -ESRCH)
		host->warn(host, "ages of its objects: %s (%s)",
			   r == -EPERM || r == -EACCES ? "uprobes need root, or CAP_SYS_ADMIN"
						       : "no uprobes",
			   strerror(-r));
	if (r && r != -ENOENT && !watched) {
		free(self);
		return r;
	}
	*ret = self;
	return 0;
}

/* Where allocators get their memory from. */
static bool may_be_heap(const struct fp_host *host, uint64_t address)
{
	struct fp_mapping mapping;

	return !host->mapping(host, address, false, &mapping) && mapping.write && !mapping.shared &&
	       (!*mapping.name || !strcmp(mapping.name, "[heap]") ||
		!strncmp(mapping.name, "[anon", 5));
}

static struct fp_object object_of(const struct fp_live *live)
{
	return (struct fp_object){
		.type = live->allocator->name,
		.base = live->base,
		.size = live->size,
		.age_source = FP_AGE_ALLOCATED,
		.born_ns = live->born_ns,
	};
}

static int malloc_find(void *arg, uint64_t address, uint64_t time_ns, struct fp_object *ret)
{
	struct self *self = arg;
	struct fp_live live;
	int r = self->host->live(self->host, address, &live);

	if (r == -ENODATA && !may_be_heap(self->host, address))
		return -ENOENT;
	if (r)
		return r;
	if (live.born_ns > time_ns)
		return -ENOENT;
	*ret = object_of(&live);
	return 0;
}

struct walk {
	fp_object_fn fn;
	void *arg;
};

static int tell(void *arg, const struct fp_live *live)
{
	const struct walk *walk = arg;
	struct fp_object object = object_of(live);

	return walk->fn(walk->arg, &object);
}

static int malloc_walk(void *arg, fp_object_fn fn, void *fn_arg)
{
	struct self *self = arg;
	struct walk walk = { fn, fn_arg };

	return self->host->walk_live(self->host, tell, &walk);
}

const struct fp_provider provider_malloc = {
	.abi = FAULTPROF_PROVIDER_ABI,
	.name = "malloc",
	.help = "any program: what its allocators returned since the run began",
	.open = malloc_open,
	.find = malloc_find,
	.walk = malloc_walk,
	.close = free,
};
