/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The model: the histogram against exact arithmetic, and what profile_add() makes of faults. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "base/grow.h"
#include "base/text.h"
#include "model/profile.h"

static uint64_t state = 42;

static uint64_t draw(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void test_bucket_bounds(void **unused)
{
	(void)unused;
	assert_int_equal(stall_bucket(0), 0);
	assert_int_equal(stall_bucket(127), 0);
	assert_int_equal(stall_bucket(128), 1);
	assert_int_equal(stall_bucket(143), 1);
	assert_int_equal(stall_bucket(144), 2);
	assert_int_equal(stall_bucket(255), 8);
	assert_int_equal(stall_bucket(256), 9);
	assert_int_equal(stall_bucket((1ull << 34) - 1), FP_STALL_BUCKETS - 1);
	assert_int_equal(stall_bucket(1ull << 34), FP_STALL_BUCKETS - 1);
	assert_int_equal(stall_bucket(UINT64_MAX), FP_STALL_BUCKETS - 1);
	assert_int_equal(stall_bucket((15ull << 30) - 1), FP_STALL_BUCKETS - 2);
}

static void test_bucket_monotonic(void **unused)
{
	unsigned int last = 0, changes = 0;

	(void)unused;
	for (uint64_t ns = 1; ns < 1ull << 34; ns += 1 + ns / 64) {
		unsigned int bucket = stall_bucket(ns);

		assert_true(bucket == last || bucket == last + 1);
		changes += bucket != last;
		last = bucket;
	}
	assert_int_equal(changes, FP_STALL_BUCKETS - 1);
}

static int compare(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return a < b ? -1 : a > b;
}

static void test_quantiles(void **unused)
{
	static const double qs[] = { .01, .1, .25, .5, .9, .95, .99, .999, 1 };
	static uint64_t values[20000];
	size_t nr = sizeof(values) / sizeof(*values);

	(void)unused;
	for (unsigned int round = 0; round < 5; round++) {
		struct stall stall = { 0 };

		for (size_t i = 0; i < nr; i++) {
			/* Even over the octaves from 128 ns to 8 s, as stall times are. */
			values[i] = (128ull << draw() % 26) + draw() % 1000;
			values[i] += draw() % values[i] / 2;
			stall_add(&stall, values[i]);
		}
		qsort(values, nr, sizeof(*values), compare);
		assert_int_equal(stall.max_ns, values[nr - 1]);
		for (size_t i = 0; i < sizeof(qs) / sizeof(*qs); i++) {
			size_t rank = (size_t)(qs[i] * (double)nr + .999999);
			double exact = (double)values[rank - 1];
			double got = (double)stall_quantile(&stall, qs[i]);

			assert_true(got >= exact * 15 / 16 && got <= exact * 17 / 16);
		}
	}
}

static void test_quantile_edges(void **unused)
{
	struct stall stall = { 0 };

	(void)unused;
	assert_int_equal(stall_quantile(&stall, .5), 0);
	stall_add(&stall, 0);
	assert_int_equal(stall.faults, 1);
	assert_int_equal(stall.timed, 0);
	assert_int_equal(stall_quantile(&stall, .99), 0);
	stall_add(&stall, 1000);
	assert_int_equal(stall_quantile(&stall, .5), 1000);
	assert_int_equal(stall_quantile(&stall, 1e-9), 1000);
	stall_add(&stall, 5);
	assert_int_equal(stall_quantile(&stall, .5), 64);
	assert_int_equal(stall_quantile(&stall, 1), 1000);
}

static void test_merge(void **unused)
{
	struct stall all = { 0 }, half[2] = { { 0 }, { 0 } }, sum = { 0 };
	struct fp_site_value site = { 0 };

	(void)unused;
	for (unsigned int i = 0; i < 5000; i++) {
		uint64_t ns = i % 10 ? draw() % 10000000 : 0;

		stall_add(&all, ns);
		stall_add(&half[i & 1], ns);
	}
	stall_merge(&sum, &half[0]);
	site.untimed = half[1].faults - half[1].timed;
	site.total_ns = half[1].total_ns;
	site.max_ns = half[1].max_ns;
	for (unsigned int i = 0; i < FP_STALL_BUCKETS; i++)
		site.bucket[i] = (fp_u32)half[1].bucket[i];
	stall_add_site(&sum, &site);
	assert_memory_equal(&sum, &all, sizeof(all));
}

static void test_names(void **unused)
{
	enum fp_kind kind;

	(void)unused;
	for (unsigned int i = 0; i < FP_NR_KINDS; i++) {
		assert_string_not_equal(kind_name(i), "?");
		assert_int_equal(kind_parse(kind_name(i), &kind), 0);
		assert_int_equal(kind, i);
	}
	for (unsigned int i = 0; i < FP_NR_LOSSES; i++) {
		assert_string_not_equal(loss_name(i), "?");
		assert_string_not_equal(loss_text(i), "?");
	}
	assert_string_equal(mode_name(FP_USER), "user");
	assert_string_equal(mode_name(FP_KERNEL), "kernel");
	kind = FP_COW;
	assert_int_equal(kind_parse("swap", &kind), -EINVAL);
	assert_int_equal(kind, FP_COW);
	assert_string_equal(kind_name(FP_NR_KINDS), "?");
	assert_string_equal(loss_name(FP_NR_LOSSES), "?");
}

/* Adds @faults faults of 1 ms each. */
static void add(struct profile *profile, struct resolved_fault fault, unsigned int faults)
{
	struct stall stall = { 0 };

	for (unsigned int i = 0; i < faults; i++)
		stall_add(&stall, 1000000);
	fault.stall = &stall;
	fault.comm = fault.comm ? fault.comm : "haproxy";
	assert_int_equal(profile_add(profile, &fault), 0);
}

static void test_grouping(void **unused)
{
	struct frame named = { .function = "f", .module = "m", .start = 16, .offset = 4 };
	struct frame again = { .function = "f", .module = "m", .start = 16, .offset = 8 };
	struct frame bare = { .module = "m", .start = 0x1230, .offset = 1 };
	struct frame none = { .module = NULL };
	struct resolved_fault fault = { .frames = &named, .nr_frames = 1 };
	struct profile p;

	(void)unused;
	assert_int_equal(profile_init(&p), 0);
	add(&p, fault, 10);
	fault.frames = &again;
	add(&p, fault, 20);
	assert_int_equal(p.nr_symbols, 1);
	fault.mode = FP_KERNEL;
	add(&p, fault, 1);
	fault.via = "recv";
	add(&p, fault, 2);
	fault.kind = FP_COW;
	add(&p, fault, 3);
	fault.comm = "nginx";
	fault.access = FP_WRITE;
	add(&p, fault, 4);
	assert_int_equal(p.nr_symbols, 5);
	fault = (struct resolved_fault){ .frames = &bare, .nr_frames = 1, .major = true };
	add(&p, fault, 5);
	fault.frames = &none;
	add(&p, fault, 6);
	fault.nr_frames = 0;
	add(&p, fault, 0);
	add(&p, fault, 7);
	profile_finish(&p);
	assert_int_equal(p.nr_symbols, 7);
	assert_int_equal(p.nr_stacks, 0);
	assert_int_equal(profile_faults(&p), 58);
	assert_int_equal(profile_stall_ns(&p), 58000000);
	assert_int_equal(p.major, 18);
	assert_int_equal(p.minor, 40);
	assert_int_equal(p.kernel, 10);
	assert_int_equal(p.user, 48);
	assert_int_equal(p.access[FP_WRITE], 4);
	assert_int_equal(p.kinds[FP_COW].faults, 7);
	assert_string_equal(p.symbols[0]->symbol, "f");
	assert_true(p.symbols[0]->has_name);
	assert_int_equal(p.symbols[0]->stall.faults, 30);
	assert_int_equal(p.symbols[0]->offset, 8);
	assert_string_equal(p.symbols[1]->symbol, "[unknown]");
	assert_string_equal(p.symbols[1]->module, "[unknown]");
	assert_int_equal(p.symbols[1]->stall.faults, 13);
	assert_string_equal(p.symbols[2]->symbol, "m@0x1230");
	assert_false(p.symbols[2]->has_name);
	assert_string_equal(p.symbols[3]->comm, "nginx");
	assert_string_equal(p.symbols[3]->via, "recv");
	profile_release(&p);
}

static void test_places(void **unused)
{
	struct frame a[] = {
		{ .function = "b_peek", .file = "buf.h", .line = 7, .inlined = true },
		{ .function = "b_add", .file = "buf.h", .line = 9, .inlined = true },
		{ .function = "f", .module = "m", .file = "f.c", .line = 40, .offset = 64 },
	};
	struct frame b[] = {
		{ .function = "x", .module = "libc", .file = "x.c", .line = 1 },
		{ .function = "f", .module = "m", .file = "f.c", .line = 50, .offset = 80 },
	};
	struct resolved_fault fault = { .frames = a, .nr_frames = 3, .owner = 2 };
	struct profile p;

	(void)unused;
	for (unsigned int more = 0; more < 2; more++) {
		assert_int_equal(profile_init(&p), 0);
		fault.frames = a;
		fault.nr_frames = 3;
		fault.owner = 2;
		add(&p, fault, 5);
		fault.frames = b;
		fault.nr_frames = 2;
		fault.owner = 1;
		add(&p, fault, 4);
		add(&p, fault, 2 * more);
		profile_finish(&p);
		assert_int_equal(p.nr_symbols, 1);
		if (more) {
			assert_string_equal(p.symbols[0]->file, "f.c");
			assert_int_equal(p.symbols[0]->line, 50);
			assert_int_equal(p.symbols[0]->offset, 80);
			assert_null(p.symbols[0]->inlined);
		} else {
			assert_string_equal(p.symbols[0]->file, "buf.h");
			assert_int_equal(p.symbols[0]->line, 7);
			assert_int_equal(p.symbols[0]->offset, 64);
			assert_string_equal(p.symbols[0]->inlined, "b_peek");
		}
		profile_release(&p);
	}
}

static void test_stacks(void **unused)
{
	struct frame frames[] = {
		{ .function = "recv", .module = "libc" },
		{ .function = "read_in", .module = "m", .inlined = true },
		{ .module = "m", .start = 0x40 },
		{ .function = "main", .module = "m" },
	};
	struct resolved_fault fault = { .frames = frames,
					.nr_frames = 4,
					.owner = 2,
					.stack = true,
					.via = "recv",
					.mode = FP_KERNEL };
	struct profile p;

	(void)unused;
	assert_int_equal(profile_init(&p), 0);
	add(&p, fault, 2);
	add(&p, fault, 3);
	fault.kind = FP_COW;
	add(&p, fault, 7);
	fault.kind = FP_SWAP_IN;
	fault.stack = false;
	add(&p, fault, 11);
	profile_finish(&p);
	assert_int_equal(p.nr_stacks, 2);
	assert_int_equal(p.stacks[0]->faults, 7);
	assert_int_equal(p.stacks[1]->faults, 5);
	assert_int_equal(p.stacks[1]->timed, 5);
	assert_int_equal(p.stacks[1]->stall_ns, 5000000);
	assert_int_equal(p.stacks[1]->nr_frames, 4);
	assert_string_equal(p.stacks[1]->frames[0], "main");
	assert_string_equal(p.stacks[1]->frames[1], "m@0x40");
	assert_string_equal(p.stacks[1]->frames[2], "read_in");
	assert_string_equal(p.stacks[1]->frames[3], "recv");
	assert_int_equal(p.symbols[0]->stall.faults, 16);
	assert_int_equal(p.symbols[0]->loose.faults, 11);
	assert_int_equal(p.symbols[0]->loose.timed, 11);
	assert_int_equal(p.symbols[0]->loose.stall_ns, 11000000);
	profile_release(&p);
}

/* Of the addresses that read the same, those with most faults are shown. */
static void test_stack_places(void **unused)
{
	struct frame frames[] = {
		{ .function = "b_peek", .module = "haproxy", .inlined = true, .file = "buf.h" },
		{ .function = "read_in", .module = "haproxy", .file = "sock.c" },
		{ .function = "main" },
	};
	struct resolved_fault fault = { .frames = frames, .nr_frames = 3, .stack = true };
	static const unsigned int faults[] = { 3, 5, 2, 5 };
	struct profile p;

	(void)unused;
	assert_int_equal(profile_init(&p), 0);
	for (unsigned int i = 0; i < 4; i++) {
		frames[0].line = 10 + i;
		frames[1].line = 100 + i;
		add(&p, fault, faults[i]);
	}
	fault.mode = FP_KERNEL;
	add(&p, fault, 1);
	profile_finish(&p);
	assert_int_equal(p.nr_stacks, 2);
	assert_int_equal(p.stacks[0]->faults, 15);
	assert_int_equal(p.stacks[0]->mode, FP_USER);
	assert_int_equal(p.stacks[1]->mode, FP_KERNEL);
	assert_string_equal(p.stacks[0]->places[0]->module, "[unknown]");
	assert_null(p.stacks[0]->places[0]->file);
	assert_string_equal(p.stacks[0]->places[1]->module, "haproxy");
	assert_string_equal(p.stacks[0]->places[1]->file, "sock.c");
	assert_int_equal(p.stacks[0]->places[1]->line, 101);
	assert_false(p.stacks[0]->places[1]->inlined);
	assert_string_equal(p.stacks[0]->places[2]->file, "buf.h");
	assert_int_equal(p.stacks[0]->places[2]->line, 11);
	assert_true(p.stacks[0]->places[2]->inlined);
	assert_int_equal(p.stacks[1]->places[1]->line, 103);
	assert_ptr_equal(p.stacks[1]->places[0], p.stacks[0]->places[0]);
	profile_release(&p);
}

/* What was hit is told of a symbol, and of each part of it: its stacks, and what has none. */
static void test_shares(void **unused)
{
	struct frame frames[] = { { .function = "read_in" }, { .function = "main" } };
	struct resolved_fault fault = { .frames = frames, .nr_frames = 2, .stack = true };
	const struct object_kind *stream, *buffer;
	const struct profile_symbol *symbol;
	struct profile p;

	(void)unused;
	assert_int_equal(profile_init(&p), 0);
	stream = profile_object_kind(&p, "haproxy", "stream", NULL);
	buffer = profile_object_kind(&p, "haproxy", "buffer", NULL);
	fault.object = stream;
	fault.addressed = 2;
	add(&p, fault, 2);
	fault.object = buffer;
	fault.addressed = 3;
	add(&p, fault, 3);
	fault.stack = false;
	add(&p, fault, 3);
	fault.object = NULL;
	fault.addressed = 0;
	add(&p, fault, 4);
	profile_finish(&p);
	symbol = p.symbols[0];
	assert_int_equal(symbol->nr_objects, 2);
	assert_ptr_equal(symbol->objects[0].kind, buffer);
	assert_int_equal(symbol->objects[0].faults, 6);
	assert_int_equal(symbol->objects[0].timed, 6);
	assert_int_equal(symbol->objects[0].stall_ns, 6000000);
	assert_int_equal(symbol->loose.faults, 7);
	assert_int_equal(symbol->loose.nr_objects, 1);
	assert_ptr_equal(symbol->loose.objects[0].kind, buffer);
	assert_int_equal(symbol->loose.objects[0].faults, 3);
	assert_int_equal(p.stacks[0]->nr_objects, 2);
	assert_ptr_equal(p.stacks[0]->objects[1].kind, stream);
	assert_int_equal(p.stacks[0]->objects[1].faults, 2);
	assert_int_equal(p.stacks[0]->objects[1].stall_ns, 2000000);
	profile_release(&p);
}

static void test_losses(void **unused)
{
	struct profile p;
	uint64_t counted = 0;

	(void)unused;
	assert_int_equal(profile_init(&p), 0);
	assert_int_equal(profile_lost(&p), 0);
	for (unsigned int i = 0; i < FP_NR_LOSSES; i++) {
		p.lost[i] = 1ull << i;
		counted |= loss_counts(i) ? 1ull << i : 0;
	}
	assert_int_equal(profile_lost(&p), counted);
	assert_int_equal(counted, 1 << FP_LOSS_DETAIL | 1 << FP_LOSS_SITE | 1 << FP_LOSS_TARGET |
					  1 << FP_LOSS_SAMPLE | 1 << FP_LOSS_OUTCOME);
	p.begin_ns = 5;
	p.end_ns = 4;
	assert_true(profile_seconds(&p) == 0);
	profile_release(&p);
	profile_release(&p);
}

static void test_many_stacks(void **unused)
{
	struct frame frames[30];
	char names[64][16];
	struct resolved_fault fault = { .frames = frames, .nr_frames = 30, .stack = true };
	struct timespec begin, end;
	struct profile p;

	(void)unused;
	memset(frames, 0, sizeof(frames));
	for (unsigned int i = 0; i < 64; i++)
		snprintf(names[i], sizeof(names[i]), "function_%u", i);
	assert_int_equal(profile_init(&p), 0);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (unsigned int round = 0; round < 2; round++) {
		for (unsigned int i = 0; i < 10000; i++) {
			for (unsigned int j = 0; j < 30; j++)
				frames[j].function = names[j < 3 ? (i >> (5 * j)) % 32 : j];
			add(&p, fault, 1);
		}
	}
	profile_finish(&p);
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_int_equal(p.nr_stacks, 10000);
	assert_int_equal(p.stacks[9999]->faults, 2);
	assert_int_equal(p.nr_symbols, 32);
	/* Far more than it takes (0.1 s), far less than anything quadratic. */
	assert_true(end.tv_sec - begin.tv_sec < 5);
	profile_release(&p);
}

static void test_targets_and_warnings(void **unused)
{
	struct profile p;

	(void)unused;
	assert_int_equal(profile_init(&p), 0);
	for (unsigned int i = 0; i < 9; i++) {
		assert_int_equal(profile_add_target(&p, i, "a name longer than a comm can be",
						    i ? "/bin/x" : NULL, NULL, 1),
				 0);
		assert_int_equal(profile_warn(&p, "number %u", i), 0);
	}
	assert_int_equal(p.nr_targets, 9);
	assert_string_equal(p.targets[8].comm, "a name longer t");
	assert_null(p.targets[0].exe);
	assert_string_equal(p.targets[8].exe, "/bin/x");
	assert_string_equal(p.warnings[8], "number 8");
	profile_release(&p);
}

static void clean_is(const char *text, const char *expected)
{
	char buf[64];

	text_clean(buf, sizeof(buf), text);
	assert_string_equal(buf, expected);
}

static void fit_is(const char *text, size_t columns, const char *expected)
{
	char buf[TEXT_FIT_BYTES(20)];
	size_t used = text_fit(buf, text, columns);

	assert_string_equal(buf, expected);
	assert_int_equal(used, text_columns(expected));
}

static void test_text(void **unused)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} times[] = {
		{ 0, "0ns" },
		{ 999, "999ns" },
		{ 1000, "1.0us" },
		{ 99949, "99.9us" },
		{ 99960, "100us" },
		{ 999600, "1.0ms" },
		{ 18200000, "18.2ms" },
		{ 812000000, "812ms" },
		{ 999600000, "1.00s" },
		{ 1210000000, "1.21s" },
		{ 99996000000, "100.0s" },
		{ 4000000000000, "4000s" },
		{ UINT64_MAX, "18446744074s" },
	};
	char small[4];

	(void)unused;
	clean_is("plain é 漢", "plain é 漢");
	clean_is("a\033[2Jb\nc\x7f", "a?[2Jb?c?");
	clean_is("\xc2\x9b"
		 "31m\xe2\x80\xae",
		 "?31m?");
	clean_is("\xc3(\xff\xe2\x82", "?(???");
	clean_is("\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80", "?????????");
	text_clean(small, sizeof(small), "aéz");
	assert_string_equal(small, "aé");
	fit_is("short", 5, "short");
	fit_is("longer", 5, "lo…er");
	fit_is("ééééééé", 4, "éé…é");
	fit_is("ab", 1, "…");
	fit_is("ab", 0, "");
	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++)
		assert_string_equal(text_duration(times[i].ns).text, times[i].text);
	assert_string_equal(text_count(0).text, "0");
	assert_string_equal(text_count(999).text, "999");
	assert_string_equal(text_count(1000).text, "1,000");
	assert_string_equal(text_count(UINT64_MAX).text, "18,446,744,073,709,551,615");
}

static void test_grow(void **unused)
{
	uint64_t *array = NULL;

	(void)unused;
	for (size_t nr = 0; nr < 1000; nr++) {
		assert_int_equal(grow(&array, nr, sizeof(*array)), 0);
		array[nr] = nr;
	}
	for (size_t nr = 0; nr < 1000; nr++)
		assert_int_equal(array[nr], nr);
	free(array);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bucket_bounds), cmocka_unit_test(test_bucket_monotonic),
		cmocka_unit_test(test_quantiles),     cmocka_unit_test(test_quantile_edges),
		cmocka_unit_test(test_merge),	      cmocka_unit_test(test_names),
		cmocka_unit_test(test_grouping),      cmocka_unit_test(test_places),
		cmocka_unit_test(test_stacks),	      cmocka_unit_test(test_losses),
		cmocka_unit_test(test_stack_places),  cmocka_unit_test(test_shares),
		cmocka_unit_test(test_many_stacks),   cmocka_unit_test(test_targets_and_warnings),
		cmocka_unit_test(test_text),	      cmocka_unit_test(test_grow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
