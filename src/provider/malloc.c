/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Objects of any process, by watching its allocators. They are found by name, wherever they are:
 * glibc's, those of jemalloc or tcmalloc, in a library or in the program itself. Where an allocator
 * calls another one for the same object, as operator new does, the object is the outer one's.
 *
 * Left out: posix_memalign, which gives the object through an argument, and what frees by other
 * names than these (sdallocx): such an object is believed to live until its address is given out
 * again.
 */
#include "provider/malloc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "provider/registry.h"

#define SIZE(nr) .size_arg = (nr), .count_arg = -1, .old_arg = -1, .tag_arg = -1

static const struct fp_allocator family[] = {
	{ .name = "malloc", .alloc = "malloc", .free = "free", SIZE(0) },
	{ .name = "calloc",
	  .alloc = "calloc",
	  .free = "free",
	  .size_arg = 1,
	  .count_arg = 0,
	  .old_arg = -1,
	  .tag_arg = -1 },
	{ .name = "realloc",
	  .alloc = "realloc",
	  .free = "free",
	  .size_arg = 1,
	  .count_arg = -1,
	  .old_arg = 0,
	  .tag_arg = -1 },
	{ .name = "aligned_alloc", .alloc = "aligned_alloc", .free = "free", SIZE(1) },
	{ .name = "memalign", .alloc = "memalign", .free = "free", SIZE(1) },
	/* C++, without and with std::nothrow, and what frees them, without and with the size. */
	{ .name = "operator new", .alloc = "_Znwm", .free = "_ZdlPv", SIZE(0) },
	{ .name = "operator new", .alloc = "_Znwm", .free = "_ZdlPvm", SIZE(0) },
	{ .name = "operator new", .alloc = "_ZnwmRKSt9nothrow_t", .free = "_ZdlPv", SIZE(0) },
	{ .name = "operator new[]", .alloc = "_Znam", .free = "_ZdaPv", SIZE(0) },
	{ .name = "operator new[]", .alloc = "_Znam", .free = "_ZdaPvm", SIZE(0) },
	{ .name = "operator new[]", .alloc = "_ZnamRKSt9nothrow_t", .free = "_ZdaPv", SIZE(0) },
};
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

static int malloc_open(const struct fp_host *host, void **ret)
{
	struct self *self = calloc(1, sizeof(*self));
	bool watched = false;
	int r = 0;

	if (!self)
		return -ENOMEM;
	self->host = host;
	memcpy(self->family, family, sizeof(family));
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
		self->family[i].min_size = min_bytes;
		r = host->watch(host, &self->family[i]);
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
	*ret = (struct fp_object){
		.type = live.allocator->name,
		.base = live.base,
		.size = live.size,
		.age_source = FP_AGE_ALLOCATED,
		.born_ns = live.born_ns,
	};
	return 0;
}

const struct fp_provider provider_malloc = {
	.abi = FAULTPROF_PROVIDER_ABI,
	.name = "malloc",
	.help = "any program: what its allocators returned since the run began",
	.open = malloc_open,
	.find = malloc_find,
	.close = free,
};
