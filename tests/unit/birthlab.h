/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A laboratory for the register of births: tests/live/alloc.c as the target, watched as the
 * provider malloc wants it. Needs root. */
#ifndef TESTS_UNIT_BIRTHLAB_H
#define TESTS_UNIT_BIRTHLAB_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "collect/births.h"
#include "collect/procfs.h"
#include "provider/malloc.h"
#include "provider/registry.h"

#define LAB __attribute__((unused)) static
#define LIB "/usr/lib/x86_64-linux-gnu/"
#define CXX LIB "libstdc++.so.6"
#define JEMALLOC LIB "libjemalloc.so.2"
#define TCMALLOC LIB "libtcmalloc_minimal.so.4"
#define NR_FUNCTIONS 96
#define MAX_WISHES 128

LAB struct fp_allocator pool = {
	.name = "pool",
	.alloc = "pool_alloc",
	.free = "pool_free",
	.size_arg = 1,
	.count_arg = -1,
	.old_arg = -1,
	.free_arg = 1,
};

/* What the provider malloc wants watched, and the host that it asks for it. */
struct wishes {
	struct fp_host host;
	struct births_allocator at[MAX_WISHES];
	size_t nr;
	void *provider;
};

struct target {
	pid_t pid;
	FILE *in, *out;
	struct function {
		char name[48];
		unsigned long address;
	} functions[NR_FUNCTIONS];
	size_t nr_functions;
	uint32_t image; /* for its stacks; 0: none are wanted */
	struct wishes wishes;
};

/* ---- the target ---- */

LAB bool next_line(struct target *t, char line[128])
{
	assert_non_null(fgets(line, 128, t->out));
	return strcmp(line, ".\n") != 0;
}

LAB void ask(struct target *t, const char *what)
{
	fprintf(t->in, "%s\n", what);
	fflush(t->in);
}

LAB void order(struct target *t, const char *what)
{
	char line[128];

	ask(t, what);
	assert_false(next_line(t, line));
}

LAB void ask_functions(struct target *t)
{
	char line[128];

	ask(t, "functions");
	for (t->nr_functions = 0; next_line(t, line); t->nr_functions++) {
		struct function *f = &t->functions[t->nr_functions];

		assert_true(t->nr_functions < NR_FUNCTIONS);
		assert_int_equal(sscanf(line, "%47s %lx", f->name, &f->address), 2);
	}
}

LAB void target_start(struct target *t, const char *name, const char *preload)
{
	const char *build = getenv("BUILD");
	int in[2], out[2];
	char path[512], line[128];

	memset(t, 0, sizeof(*t));
	snprintf(path, sizeof(path), "%s/tests/%s", build ? build : "build", name);
	if (geteuid() || access(path, X_OK) || (preload && access(preload, R_OK)))
		skip();
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	t->pid = fork();
	if (!t->pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		if (preload)
			setenv("LD_PRELOAD", preload, 1);
		execl(path, path, NULL);
		_exit(1);
	}
	close(in[0]);
	close(out[1]);
	t->in = fdopen(in[1], "w");
	t->out = fdopen(out[0], "r");
	assert_false(next_line(t, line));
	ask_functions(t);
}

LAB void target_end(struct target *t)
{
	if (t->wishes.provider)
		provider_malloc.close(t->wishes.provider);
	fclose(t->in);
	fclose(t->out);
	waitpid(t->pid, NULL, 0);
}

LAB unsigned long address_of(const struct target *t, const char *name)
{
	for (size_t i = 0; i < t->nr_functions; i++)
		if (!strcmp(t->functions[i].name, name))
			return t->functions[i].address;
	return 0;
}

/* ---- watching it ---- */

LAB struct birth_register *register_as(const struct births_options *options)
{
	struct birth_register *births;
	int r = births_open(options, &births);

	if (r == -ENOTSUP || r == -EPERM || geteuid())
		skip();
	assert_int_equal(r, 0);
	return births;
}

LAB struct birth_register *register_open(unsigned int objects, bool stacks)
{
	return register_as(
		&(struct births_options){ .objects = objects, .stacks = stacks, .inherit = true });
}

struct search {
	unsigned long address;
	struct births_place place;
	pid_t pid;
};

LAB int on_mapping(void *arg, const struct procfs_mapping *m)
{
	struct search *search = arg;

	if (search->address < m->start || search->address >= m->end)
		return 0;
	search->place.file =
		procfs_open_binary(search->pid, m->start, m->end, m->path, m->device, m->inode);
	search->place.offset = search->address - m->start + m->offset;
	return 1;
}

LAB bool place_of(const struct target *t, const char *name, struct births_place *ret)
{
	struct search search = { .address = address_of(t, name), .pid = t->pid };

	if (!search.address || procfs_maps(t->pid, on_mapping, &search) != 1)
		return false;
	assert_true(search.place.file >= 0);
	*ret = search.place;
	return true;
}

LAB int watch(struct birth_register *births, const struct target *t,
	      const struct births_allocator *a)
{
	struct births_place alloc, freeing;
	int r;

	if (!place_of(t, a->is->alloc, &alloc))
		return 0;
	assert_true(place_of(t, a->is->free, &freeing));
	r = births_watch(births, t->pid, t->image, &alloc, &freeing, a);
	close(alloc.file);
	close(freeing.file);
	return r;
}

LAB int wish_result(const struct fp_host *host, const struct fp_allocator *allocator,
		    int result_arg)
{
	struct wishes *wishes = (struct wishes *)host; /* its first member */

	assert_true(wishes->nr < MAX_WISHES);
	wishes->at[wishes->nr++] = (struct births_allocator){ allocator, result_arg };
	return 0;
}

LAB int wish(const struct fp_host *host, const struct fp_allocator *allocator)
{
	return wish_result(host, allocator, -1);
}

LAB void ask_wishes(struct wishes *wishes, uint64_t min)
{
	wishes->host = (struct fp_host){ .watch = wish, .watch_result = wish_result };
	pool.min_size = min;
	provider_malloc_set(min, &pool, 1);
	assert_int_equal(provider_malloc.open(&wishes->host, &wishes->provider), 0);
}

/* Of several names of a function, the one that is watched first is its name: the last of the
 * provider's table are tried by beginning there. */
LAB void watch_all(struct birth_register *births, struct target *t, uint64_t min, bool from_end)
{
	struct wishes *wishes = &t->wishes;

	ask_wishes(wishes, min);
	for (size_t i = 0; i < wishes->nr; i++)
		assert_int_equal(watch(births, t, &wishes->at[from_end ? wishes->nr - 1 - i : i]),
				 0);
}

/* The kernel needs long to take probes off, and the next ones wait for it. */
LAB void watch_named(struct birth_register *births, struct target *t, uint64_t min,
		     const char *const *names, size_t nr)
{
	struct wishes *wishes = &t->wishes;

	ask_wishes(wishes, min);
	for (size_t i = 0; i < wishes->nr; i++)
		for (size_t k = 0; k < nr; k++)
			if (!strcmp(wishes->at[i].is->alloc, names[k]))
				assert_int_equal(watch(births, t, &wishes->at[i]), 0);
}

#endif
