/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The census of a process (this one) by providers that tell what the test wants told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "session_census.h"

#define PAGE 4096UL
#define GB (1UL << 30)

struct telling {
	struct fp_object objects[4];
	unsigned int nr;
};

static int walk(void *self, fp_object_fn fn, void *arg)
{
	const struct telling *telling = self;
	int r = 0;

	for (unsigned int i = 0; !r && i < telling->nr; i++)
		r = fn(arg, &telling->objects[i]);
	return r;
}

static const struct fp_provider first = { .name = "first", .walk = walk };
static const struct fp_provider silent = { .name = "silent" };
static const struct fp_provider second = { .name = "second", .walk = walk };

static char *place(size_t bytes)
{
	char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	assert_int_equal(madvise(at, bytes, MADV_NOHUGEPAGE), 0);
	return at;
}

static void tell(struct telling *telling, const char *type, const char *base, uint64_t size)
{
	telling->objects[telling->nr++] = (struct fp_object){
		.type = type,
		.base = (uintptr_t)base,
		.size = size,
		.age_source = FP_AGE_ALLOCATED,
		.born_ns = clock_now_ns() - 90000000000ULL,
	};
}

/* Takes it of a process with these three providers. */
static void take(struct census *census, struct telling *a, struct telling *b,
		 struct profile *profile)
{
	struct recorder nobody = { 0 };
	struct host_services services = { .profile = profile, .recorder = &nobody };
	struct target_host target = {
		.host.pid = getpid(),
		.services = &services,
		.opened = { { &first, a }, { &silent, NULL }, { &second, b } },
		.nr = 3,
	};

	assert_int_equal(profile_init(profile), 0);
	assert_int_equal(memory_open(getpid(), &target.memory), 0);
	assert_int_equal(census_take(census, &target), 0);
	census_tell(census, profile);
	profile_finish(profile);
	memory_close(target.memory);
}

static const struct object_census *row(const struct profile *profile, const char *provider,
				       const char *type)
{
	for (size_t i = 0; i < profile->objects->nr_objects; i++) {
		const struct profile_object *object = profile->objects->objects[i];

		if (!strcmp(object->kind.provider, provider) && !strcmp(object->kind.type, type))
			return &object->census;
	}
	return NULL;
}

/* Also of more than can be asked for at once. */
static void test_presence(void **state)
{
	struct census census = { .pages_left = CENSUS_PAGES };
	const struct object_census *large, *small;
	struct telling a = { .nr = 0 }, b = { .nr = 0 };
	char *at = place(3 * GB);
	struct profile profile;

	(void)state;
	at[5 * PAGE] = at[GB - 1] = at[GB] = at[2 * GB + 7] = 1;
	tell(&a, "large", at, 3 * GB);
	tell(&b, "small", at + 3 * GB - 10 * PAGE, PAGE); /* in the large one: the other's */
	tell(&b, "small", at - 64, 64);
	take(&census, &a, &b, &profile);
	large = row(&profile, "first", "large");
	small = row(&profile, "second", "small");
	assert_non_null(large);
	assert_int_equal(large->objects, 1);
	assert_int_equal(large->bytes, 3 * GB);
	assert_int_equal(large->present_bytes, 4 * PAGE);
	assert_int_equal(large->swapped_bytes, 0);
	assert_int_equal(large->aged[AGE_MINUTES], 1);
	assert_non_null(small);
	assert_int_equal(small->objects, 1);
	assert_int_equal(profile.objects->ages.living[AGE_MINUTES], 2);
	assert_int_equal(profile.nr_warnings, 0);
	profile_release(&profile);
	munmap(at, 3 * GB);
}

/* What the first one told is not the second one's, however it lies; its own may lie in one another.
 */
static void test_overlap(void **state)
{
	struct census census = { .pages_left = CENSUS_PAGES };
	struct telling a = { .nr = 0 }, b = { .nr = 0 };
	char *at = place(64 * PAGE);
	struct profile profile;

	(void)state;
	tell(&a, "pool", at + PAGE, 20 * PAGE);
	tell(&a, "buffer", at + 2 * PAGE, PAGE);
	tell(&a, "buffer", at + 30 * PAGE, PAGE);
	tell(&b, "around", at + 29 * PAGE, 3 * PAGE);
	tell(&b, "in", at + 19 * PAGE, PAGE); /* behind the last that begins before it */
	tell(&b, "between", at + 21 * PAGE, 9 * PAGE);
	tell(&b, "before", at, PAGE);
	take(&census, &a, &b, &profile);
	assert_int_equal(row(&profile, "first", "pool")->objects, 1);
	assert_int_equal(row(&profile, "first", "buffer")->objects, 2);
	assert_null(row(&profile, "second", "around"));
	assert_null(row(&profile, "second", "in"));
	assert_int_equal(row(&profile, "second", "between")->objects, 1);
	assert_int_equal(row(&profile, "second", "before")->objects, 1);
	profile_release(&profile);
	munmap(at, 64 * PAGE);
}

/* The work is bounded, and what is not looked at is said. */
static void test_bound(void **state)
{
	struct census census = { .pages_left = 50 };
	struct telling a = { .nr = 0 }, b = { .nr = 0 };
	char *at = place(64 * PAGE);
	struct profile profile;

	(void)state;
	memset(at, 1, 64 * PAGE);
	tell(&a, "x", at, 40 * PAGE);
	tell(&b, "y", at + 40 * PAGE, 20 * PAGE);
	tell(&b, "z", at + 60 * PAGE, 2 * PAGE);
	take(&census, &a, &b, &profile);
	assert_int_equal(row(&profile, "first", "x")->present_bytes, 40 * PAGE);
	assert_int_equal(row(&profile, "second", "y")->objects, 1);
	assert_int_equal(row(&profile, "second", "y")->bytes, 20 * PAGE);
	assert_int_equal(row(&profile, "second", "y")->present_bytes, 0);
	assert_int_equal(row(&profile, "second", "z")->present_bytes, 2 * PAGE);
	assert_int_equal(profile.nr_warnings, 1);
	assert_non_null(strstr(profile.warnings[0], " 1 living objects"));
	profile_release(&profile);
	munmap(at, 64 * PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_presence),
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
