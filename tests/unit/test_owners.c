/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The index of owners over a memory made up here: a table of roots, each a list of links to objects
 * {base, size}. What an address belongs to is known without the index, by looking at all of them.
 */
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "provider/owners.h"

#define TABLE 0x100000000ULL /* of roots */
#define HEAP 0x200000000ULL  /* of what they own */
#define LINKS 6
#define PAGE 4096ULL

#ifdef __SANITIZE_ADDRESS__
#define SCALE 20 /* the sanitizers have memory and time of their own */
#else
#define SCALE 1
#endif

struct slot { /* of a root, in the target */
	uint64_t born_ns;
	uint64_t nr;
	struct {
		uint64_t base, size;
	} link[LINKS];
	uint64_t pad[2];
};

struct world {
	struct fp_host host;
	struct slot *slots;
	unsigned int nr;
	uint64_t absent; /* a page of the table; 0: none */
	struct owners *owners;
	unsigned int visits;
};

static int world_read(const struct fp_host *host, uint64_t address, void *buf, size_t size,
		      uint64_t *absent)
{
	const struct world *w = (const struct world *)host;

	if (address < TABLE || address + size > TABLE + w->nr * sizeof(struct slot))
		return -EFAULT;
	if (w->absent && address < w->absent + PAGE && address + size > w->absent) {
		if (absent)
			*absent = w->absent;
		return -ENODATA;
	}
	memcpy(buf, (char *)w->slots + (address - TABLE), size);
	return 0;
}

static const char *const type_names[LINKS] = { "a", "b", "c", "d", "e", "f" };

static void world_visit(void *self, struct visit *visit, unsigned int root)
{
	struct world *w = self;
	uint64_t at = TABLE + root * sizeof(struct slot);
	struct fp_connection *c;
	struct slot slot;

	w->visits++;
	/* Link by link, as a provider would: what comes before an absent page is found. */
	if (visit_read(visit, at, &slot.born_ns, 16))
		return;
	if (slot.born_ns) {
		c = visit_connection(visit);
		c->born_ns = slot.born_ns;
		c->id += 1000;
	}
	for (unsigned int i = 0; i < slot.nr && i < LINKS; i++)
		if (!visit_read(visit, at + 16 + i * 16ULL, &slot.link[i], 16))
			visit_object(visit, type_names[i], i % 2 ? "odd" : NULL, slot.link[i].base,
				     slot.link[i].size);
}

static struct world *world_new(unsigned int nr)
{
	struct world *w = calloc(1, sizeof(*w));

	w->host = (struct fp_host){ .abi = FAULTPROF_PROVIDER_ABI, .read = world_read };
	w->slots = calloc(nr, sizeof(*w->slots));
	w->nr = nr;
	assert_int_equal(owners_new(&w->host, world_visit, w, &w->owners), 0);
	assert_int_equal(owners_resize(w->owners, nr), 0);
	return w;
}

static void world_free(struct world *w)
{
	owners_free(w->owners);
	free(w->slots);
	free(w);
}

static void own(struct world *w, unsigned int root, uint64_t base, uint64_t size)
{
	struct slot *slot = &w->slots[root];

	slot->link[slot->nr].base = base;
	slot->link[slot->nr++].size = size;
}

static int find(struct world *w, uint64_t address, struct fp_object *ret)
{
	return owners_find(w->owners, address, 1000000, ret);
}

static void expect(struct world *w, uint64_t address, uint64_t base, uint64_t size)
{
	struct fp_object object;

	assert_int_equal(find(w, address, &object), 0);
	assert_int_equal(object.base, base);
	assert_int_equal(object.size, size);
}

static void expect_none(struct world *w, uint64_t address, int error)
{
	struct fp_object object;

	assert_int_equal(find(w, address, &object), error);
}

static void test_sizes(void **state)
{
	/* Several to a page, over a page's end, over many, and one of a single byte. */
	static const uint64_t sizes[] = { 1,	8,    63,    64,    65,	     200,    4095,
					  4096, 4097, 16384, 16392, 1 << 20, 1 << 30 };
	struct world *w = world_new(16);
	uint64_t base = HEAP + 8;

	(void)state;
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		own(w, i, base, sizes[i]);
		base += sizes[i] + 16;
	}
	owners_visit_all(w->owners);
	base = HEAP + 8;
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		expect(w, base, base, sizes[i]);
		expect(w, base + sizes[i] / 2, base, sizes[i]);
		expect(w, base + sizes[i] - 1, base, sizes[i]);
		expect_none(w, base - 1, -ENOENT);
		expect_none(w, base + sizes[i], -ENOENT);
		base += sizes[i] + 16;
	}
	world_free(w);
}

static void test_refused(void **state)
{
	struct world *w = world_new(4);

	(void)state;
	own(w, 0, HEAP, 0);
	own(w, 0, HEAP + 4096, (1ULL << 30) + 1);
	own(w, 0, UINT64_MAX - 100, 200);
	own(w, 0, HEAP + 8192, 100);
	own(w, 0, HEAP + 8192, 100);
	owners_visit_all(w->owners);
	expect_none(w, HEAP, -ENOENT);
	expect_none(w, HEAP + 5000, -ENOENT);
	expect_none(w, UINT64_MAX - 50, -ENOENT);
	expect_none(w, 50, -ENOENT);
	expect(w, HEAP + 8192, HEAP + 8192, 100);
	owners_visit(w->owners, 4); /* there is none */
	assert_int_equal(owners_resize(w->owners, 0), 0);
	expect_none(w, HEAP + 8192, -ENOENT);
	world_free(w);
}

/* The page with the links of roots 32 … is not there at first. */
static void test_absent(void **state)
{
	struct world *w = world_new(64);
	struct fp_object object;

	(void)state;
	for (unsigned int i = 0; i < 64; i++)
		own(w, i, HEAP + i * 256ULL, 200);
	w->absent = TABLE + PAGE;
	owners_visit_all(w->owners);
	expect(w, HEAP + 100, HEAP, 200);
	expect_none(w, HEAP + 40 * 256, -ENODATA);
	w->absent = 0;
	expect_none(w, HEAP + 40 * 256, -ENODATA);
	w->visits = 0;
	owners_present(w->owners, TABLE + PAGE);
	assert_int_equal(w->visits, 32);
	expect(w, HEAP + 40 * 256, HEAP + 40 * 256, 200);
	owners_present(w->owners, TABLE + PAGE);
	expect_none(w, HEAP + 40 * 256 + 220, -ENOENT);
	/* It goes again: what it told of cannot be believed, what others tell can. */
	w->absent = TABLE + PAGE;
	expect_none(w, HEAP + 40 * 256, -ENODATA);
	assert_int_equal(find(w, HEAP + 3 * 256, &object), 0);
	w->absent = 0;
	owners_present(w->owners, TABLE + PAGE);
	expect(w, HEAP + 40 * 256, HEAP + 40 * 256, 200);
	world_free(w);
	/* It comes before anybody has asked for anything. */
	w = world_new(64);
	w->absent = TABLE + PAGE;
	for (unsigned int i = 0; i < 64; i++)
		owners_visit(w->owners, i);
	w->absent = 0;
	w->visits = 0;
	owners_present(w->owners, TABLE + PAGE);
	assert_int_equal(w->visits, 32);
	world_free(w);
}

/* An answer is what the owner says now, not what it said when it was visited. */
static void test_changes(void **state)
{
	struct world *w = world_new(4);
	struct fp_object object;

	(void)state;
	own(w, 0, HEAP, 100);
	own(w, 0, HEAP + 200, 100);
	w->slots[0].born_ns = 5000;
	owners_visit_all(w->owners);
	assert_int_equal(find(w, HEAP + 250, &object), 0);
	assert_string_equal(object.type, "b");
	assert_string_equal(object.pool, "odd");
	assert_int_equal(object.age_source, FP_AGE_ACCEPTED);
	assert_int_equal(object.born_ns, 5000);
	assert_int_equal(object.connection->id, 1000);
	w->slots[0].nr = 1;
	expect_none(w, HEAP + 250, -ENOENT);
	expect(w, HEAP + 50, HEAP, 100);
	w->slots[0].link[0].base = HEAP + 1024;
	expect_none(w, HEAP + 50, -ENOENT);
	expect(w, HEAP + 1024, HEAP + 1024, 100);
	/* Its place was taken by another root's, and both claim it until the first is looked at. */
	own(w, 1, HEAP + 1000, 300);
	w->slots[1].born_ns = 7000;
	owners_visit(w->owners, 1);
	w->slots[0].nr = 0;
	expect(w, HEAP + 1050, HEAP + 1000, 300);
	world_free(w);
}

/* Goes round in a circle of two, each time from the other one on, and ends with a third. */
static void circle_visit(void *self, struct visit *visit, unsigned int root)
{
	unsigned int *round = self;

	(void)root;
	for (unsigned int i = 0; i < 1200; i++)
		visit_object(visit, "a", NULL, HEAP + (i + *round) % 2 * 256, 100);
	visit_object(visit, "b", NULL, HEAP + 1024 + *round * 256, 100);
}

/* To add what is there already changes nothing, in whatever order: there is room for the third. */
static void test_circle(void **state)
{
	struct fp_host host = { .abi = FAULTPROF_PROVIDER_ABI };
	struct fp_object object;
	struct owners *owners;
	unsigned int round;

	(void)state;
	assert_int_equal(owners_new(&host, circle_visit, &round, &owners), 0);
	assert_int_equal(owners_resize(owners, 1), 0);
	for (round = 0; round < 1200; round++)
		owners_visit(owners, 0);
	owners_visit(owners, 0);
	assert_int_equal(owners_find(owners, HEAP + 1024 + round * 256, 1, &object), 0);
	assert_string_equal(object.type, "b");
	owners_free(owners);
}

static void test_younger(void **state)
{
	struct world *w = world_new(2);
	struct fp_object object;

	(void)state;
	own(w, 0, HEAP, 100);
	w->slots[0].born_ns = 2000;
	owners_visit_all(w->owners);
	assert_int_equal(owners_find(w->owners, HEAP, 2000, &object), 0);
	assert_int_equal(owners_find(w->owners, HEAP, 1999, &object), -ENOENT);
	/* A root that does not know its age has it too. */
	own(w, 1, HEAP, 100);
	w->slots[0].born_ns = 0;
	w->slots[1].born_ns = 1500;
	owners_visit_all(w->owners);
	assert_int_equal(owners_find(w->owners, HEAP, 1999, &object), 0);
	assert_int_equal(object.born_ns, 1500);
	world_free(w);
}

static int count_object(void *arg, const struct fp_object *object)
{
	unsigned int *counts = arg;

	counts[(object->base - HEAP) / 256]++;
	return counts[2] ? -EINTR : 0;
}

static void test_walk(void **state)
{
	unsigned int counts[8] = { 0 };
	struct world *w = world_new(4);

	(void)state;
	own(w, 0, HEAP, 100);
	own(w, 1, HEAP + 256, 100);
	own(w, 2, HEAP, 100); /* shared with the first */
	own(w, 3, HEAP + 3 * 256ULL, 100);
	owners_visit_all(w->owners);
	w->slots[3].nr = 0;
	own(w, 3, HEAP + 4 * 256ULL, 100);
	assert_int_equal(owners_walk(w->owners, count_object, counts), 0);
	assert_int_equal(counts[0], 1);
	assert_int_equal(counts[1], 1);
	assert_int_equal(counts[3], 0);
	assert_int_equal(counts[4], 1);
	own(w, 1, HEAP + 2 * 256ULL, 100);
	assert_int_equal(owners_walk(w->owners, count_object, counts), -EINTR);
	world_free(w);
}

#define SHARED 40 /* objects */

struct teller {
	unsigned int times[SHARED];
	uint64_t by[SHARED]; /* connection */
};

static int note_teller(void *arg, const struct fp_object *object)
{
	struct teller *teller = arg;
	uint64_t i = (object->base - HEAP) / 16;

	assert_in_range(i, 0, SHARED - 1);
	teller->times[i]++;
	teller->by[i] = object->connection->id;
	return 0;
}

/* A walk tells of each object once, and the lowest of its roots does, whoever came to have it or
 * lost it since, in whatever order, and however often it lists it. All lie in a few blocks. */
static void test_shared(void **state)
{
	struct world *w = world_new(60);
	unsigned int shared = 0, again = 0;

	(void)state;
	srandom(2);
	for (unsigned int i = 0; i < w->nr; i++)
		w->slots[i].born_ns = 1 + i;
	for (unsigned int round = 0; round < 300; round++) {
		struct teller want = { 0 }, got = { 0 };

		for (unsigned int n = 0; n < 10; n++) {
			unsigned int root = random() % w->nr;
			struct slot *slot = &w->slots[root];

			slot->nr = 0;
			for (unsigned int k = random() % (LINKS + 1); k; k--)
				own(w, root, HEAP + random() % SHARED * 16, 16);
			if (n % 2)
				owners_visit(w->owners, root);
		}
		for (unsigned int root = w->nr; root--;)
			for (unsigned int k = 0; k < w->slots[root].nr; k++) {
				unsigned int i = (w->slots[root].link[k].base - HEAP) / 16;

				shared += want.times[i] && want.by[i] != 1000 + root;
				again += want.times[i] && want.by[i] == 1000 + root;
				want.times[i] = 1;
				want.by[i] = 1000 + root;
			}
		assert_int_equal(owners_walk(w->owners, note_teller, &got), 0);
		assert_memory_equal(&got, &want, sizeof(want));
	}
	assert_true(shared > 1000 && again > 100);
	world_free(w);
}

/* What covers the address, by looking at everything. Nothing overlaps. */
static const struct slot *truth(const struct world *w, uint64_t address, unsigned int *link)
{
	for (unsigned int i = 0; i < w->nr; i++)
		for (*link = 0; *link < w->slots[i].nr; (*link)++)
			if (address - w->slots[i].link[*link].base < w->slots[i].link[*link].size)
				return &w->slots[i];
	return NULL;
}

/* Is there an object in this kilobyte? */
static bool taken(const struct world *w, uint64_t place)
{
	for (unsigned int i = 0; i < w->nr; i++)
		for (unsigned int k = 0; k < w->slots[i].nr; k++)
			if (w->slots[i].link[k].base / 1024 == place / 1024)
				return true;
	return false;
}

/* Objects that come and go at random, in places of 1 kB; only some roots are visited after that. */
static void test_churn(void **state)
{
	struct world *w = world_new(200);
	struct fp_object object;
	unsigned int link, found = 0;

	(void)state;
	srandom(1);
	for (unsigned int round = 0; round < 400; round++) {
		unsigned int i = random() % w->nr;
		struct slot *slot = &w->slots[i];

		slot->nr = 0;
		for (unsigned int n = random() % (LINKS + 1); n; n--) {
			uint64_t place = HEAP + ((uint64_t)random() % 1000) * 1024;

			if (!taken(w, place))
				own(w, i, place + random() % 512, 1 + random() % 512);
		}
		owners_visit(w->owners, i);
		if (round % 50 == 0)
			owners_visit_all(w->owners);
		for (unsigned int q = 0; q < 20; q++) {
			uint64_t address = HEAP + (uint64_t)random() % (1000 * 1024);
			const struct slot *is = truth(w, address, &link);
			int r = find(w, address, &object);

			assert_int_equal(r, is ? 0 : -ENOENT);
			if (is) {
				assert_int_equal(object.base, is->link[link].base);
				assert_ptr_equal(object.type, type_names[link]);
				found++;
			}
		}
	}
	assert_true(found > 500);
	world_free(w);
}

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/* 100,000 connections of six objects, 300 bytes to 16 kB: less than 40 MB and 100 ms. */
static void test_many(void **state)
{
	static const uint64_t sizes[LINKS] = { 184, 200, 960, 176, 16384, 16384 };
	unsigned int nr = 100000 / SCALE;
	struct world *w = world_new(nr);
	uint64_t base = HEAP, start, first, again;
	struct mallinfo2 before = mallinfo2(), after;

	(void)state;
	for (unsigned int i = 0; i < nr; i++)
		for (unsigned int k = 0; k < LINKS; k++) {
			own(w, i, base, sizes[k]);
			base += sizes[k] + 16;
		}
	start = cpu_ns();
	owners_visit_all(w->owners);
	first = cpu_ns() - start;
	after = mallinfo2();
	start = cpu_ns();
	owners_visit_all(w->owners);
	again = cpu_ns() - start;
	print_message("%u roots: %zu kB, %.1f ms, again %.1f ms\n", nr,
		      (after.uordblks + after.hblkhd - before.uordblks - before.hblkhd) >> 10,
		      first / 1e6, again / 1e6);
	base = HEAP;
	for (unsigned int i = 0; i < nr; i += nr / 1000)
		for (unsigned int k = 0; k < LINKS; k++)
			expect(w, w->slots[i].link[k].base + sizes[k] - 1, w->slots[i].link[k].base,
			       sizes[k]);
	if (SCALE == 1) {
		assert_true(after.uordblks + after.hblkhd - before.uordblks - before.hblkhd <
			    40 << 20);
		assert_true(again < 100000000);
		assert_true(first < 200000000);
	}
	world_free(w);
}

/* Everyone claims the same: bounded work, and an end to it. */
static void test_hostile(void **state)
{
	unsigned int nr = 100000 / SCALE, counts[8] = { 0 };
	struct world *w = world_new(nr);
	uint64_t start;

	(void)state;
	for (unsigned int i = 0; i < nr; i++)
		for (unsigned int k = 0; k < LINKS; k++)
			own(w, i, HEAP, 100);
	owners_visit_all(w->owners);
	start = cpu_ns();
	for (unsigned int i = 0; i < 100; i++)
		expect(w, HEAP + 50, HEAP, 100);
	assert_int_equal(owners_walk(w->owners, count_object, counts), 0);
	for (unsigned int i = 0; i < nr; i++)
		w->slots[i].nr = 0;
	for (unsigned int i = 0; i < 100; i++)
		expect_none(w, HEAP + 50, -ENOENT);
	owners_visit_all(w->owners);
	assert_true(cpu_ns() - start < 2000000000ULL);
	/* All of them wait for one page, again and again. */
	w->absent = TABLE;
	for (unsigned int i = 0; i < 100; i++) {
		owners_visit_all(w->owners);
		owners_present(w->owners, TABLE);
	}
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),	cmocka_unit_test(test_refused),
		cmocka_unit_test(test_absent),	cmocka_unit_test(test_changes),
		cmocka_unit_test(test_younger), cmocka_unit_test(test_walk),
		cmocka_unit_test(test_circle),	cmocka_unit_test(test_shared),
		cmocka_unit_test(test_churn),	cmocka_unit_test(test_many),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
