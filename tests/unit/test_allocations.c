/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Who allocated what was hit: by kind and by the names of the callers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "model/profile.h"

#define NR(array) (sizeof(array) / sizeof(*(array)))

static const struct object_kind malloc_kind = { "malloc", "malloc", NULL };
static const struct object_kind calloc_kind = { "malloc", "calloc", NULL };

static void add(struct allocations *a, const struct object_kind *kind, const char *const *frames,
		unsigned int nr, unsigned int faults, uint64_t ns)
{
	struct stall stall = { 0 };

	for (unsigned int i = 0; i < faults; i++)
		stall_add(&stall, ns);
	assert_int_equal(allocations_add(a, kind, frames, nr, &stall), 0);
}

static void test_groups(void **state)
{
	static const char *const one[] = { "ab", "c" }, *const other[] = { "a", "bc" };
	char inner[] = "ab";
	const char *const copy[] = { inner, "c" };
	struct allocations a = { 0 };

	(void)state;
	add(&a, &malloc_kind, one, NR(one), 2, 10);
	add(&a, &malloc_kind, other, NR(other), 3, 10);
	add(&a, &calloc_kind, one, NR(one), 4, 0);
	add(&a, &malloc_kind, one, 1, 5, 10);
	add(&a, &malloc_kind, NULL, 0, 1, 10);
	add(&a, &malloc_kind, copy, NR(copy), 7, 20);
	strcpy(inner, "xx");
	allocations_finish(&a);
	assert_int_equal(a.faults, 22);
	assert_int_equal(a.nr_sites, 5);
	/* Most faults first, and of each the outermost frame first. */
	assert_ptr_equal(a.sites[0]->kind, &malloc_kind);
	assert_int_equal(a.sites[0]->faults, 9);
	assert_int_equal(a.sites[0]->timed, 9);
	assert_int_equal(a.sites[0]->stall_ns, 160);
	assert_int_equal(a.sites[0]->nr_frames, 2);
	assert_string_equal(a.sites[0]->frames[0], "c");
	assert_string_equal(a.sites[0]->frames[1], "ab");
	assert_int_equal(a.sites[1]->nr_frames, 1);
	assert_ptr_equal(a.sites[2]->kind, &calloc_kind);
	assert_int_equal(a.sites[2]->timed, 0);
	assert_string_equal(a.sites[3]->frames[0], "bc");
	assert_int_equal(a.sites[4]->nr_frames, 0);
	allocations_release(&a);
}

/* Of equally many faults: by kind, then by the names from the innermost on. */
static void test_order(void **state)
{
	static const char *const frames[][2] = { { "b", "a" }, { "a", "z" }, { "a", "b" } };
	struct allocations a = { 0 };

	(void)state;
	for (int i = 0; i < 3; i++)
		add(&a, &malloc_kind, frames[i], 2, 1, 10);
	add(&a, &malloc_kind, frames[1], 1, 1, 10);
	add(&a, &calloc_kind, frames[0], 2, 1, 10);
	allocations_finish(&a);
	assert_ptr_equal(a.sites[0]->kind, &calloc_kind);
	assert_int_equal(a.sites[1]->nr_frames, 1);
	assert_string_equal(a.sites[2]->frames[0], "b");
	assert_string_equal(a.sites[3]->frames[0], "z");
	assert_string_equal(a.sites[4]->frames[1], "b");
	allocations_release(&a);
}

static void test_bound(void **state)
{
	struct allocations a = { 0 };
	char name[16];
	const char *const frame[] = { name };

	(void)state;
	for (unsigned int i = 0; i < ALLOCATION_SITES_MAX + 5; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		add(&a, &malloc_kind, frame, 1, 2, 10);
	}
	strcpy(name, "f7");
	add(&a, &malloc_kind, frame, 1, 1, 10);
	allocations_finish(&a);
	assert_int_equal(a.nr_sites, ALLOCATION_SITES_MAX);
	assert_int_equal(a.faults, 2 * (ALLOCATION_SITES_MAX + 5) + 1);
	assert_int_equal(a.unlisted, 10);
	assert_string_equal(a.sites[0]->frames[0], "f7");
	allocations_release(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
