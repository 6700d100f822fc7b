/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Two runs side by side: what is a change and what is noise, and how it is printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/sink.h"

#define PIECES 10

static void add(struct comparison *comparison, unsigned int side, double seconds,
		const char *symbol, enum fp_kind kind, uint64_t faults)
{
	struct frame frame = { .function = symbol, .module = "proxy", .start = 1 };
	struct stall stall = { .faults = faults };
	struct resolved_fault fault = {
		.comm = "proxy", .kind = kind, .stall = &stall, .frames = &frame, .nr_frames = 1
	};
	struct profile profile;

	assert_int_equal(profile_init(&profile), 0);
	assert_int_equal(profile_add(&profile, &fault), 0);
	assert_int_equal(comparison_add(comparison, side, &profile, seconds), 0);
	profile_release(&profile);
}

/* A run whose pieces have the counts that follow one another. */
static void run(struct comparison *comparison, unsigned int side, const uint64_t *counts,
		unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		add(comparison, side, 1, "touch", FP_ZERO, counts[i]);
}

static struct compared judged(const uint64_t *a, unsigned int nr_a, const uint64_t *b,
			      unsigned int nr_b)
{
	struct comparison comparison;
	struct compared row;

	assert_int_equal(comparison_init(&comparison), 0);
	run(&comparison, 0, a, nr_a);
	run(&comparison, 1, b, nr_b);
	comparison_finish(&comparison);
	assert_true(comparison.nr_symbols <= 1);
	row = comparison.kinds[FP_ZERO];
	if (comparison.nr_symbols)
		assert_int_equal(comparison.symbols[0]->verdict, row.verdict);
	comparison_release(&comparison);
	return row;
}

static void test_verdicts(void **state)
{
	const uint64_t hundreds[PIECES] = { 101, 95, 104, 99, 110, 92, 100, 97, 103, 99 };
	const uint64_t thirties[PIECES] = { 28, 33, 31, 25, 30, 36, 29, 31, 27, 30 };
	const uint64_t more[PIECES] = { 118, 131, 122, 125, 113, 120, 128, 115, 119, 129 };
	const uint64_t bursts[PIECES] = { 0, 400, 0, 0, 30, 500, 0, 10, 60, 0 };
	const uint64_t none[PIECES] = { 0 };
	struct compared row = judged(hundreds, PIECES, hundreds, PIECES);

	(void)state;
	assert_int_equal(row.verdict, VERDICT_NOISE);
	assert_true(row.ratio.low > .9 && row.ratio.low < .95 && row.ratio.high < 1.12);
	row = judged(hundreds, PIECES, thirties, PIECES);
	assert_int_equal(row.verdict, VERDICT_FEWER);
	assert_true(row.ratio.value > .29 && row.ratio.value < .31);
	row = judged(hundreds, PIECES, more, PIECES);
	assert_int_equal(row.verdict, VERDICT_MORE);
	/* The same counts in bursts say nothing, in either run. */
	assert_int_equal(judged(hundreds, PIECES, bursts, PIECES).verdict, VERDICT_NOISE);
	assert_int_equal(judged(bursts, PIECES, more, PIECES).verdict, VERDICT_NOISE);
	assert_true(judged(bursts, PIECES, more, PIECES).dispersion > 100);
	assert_int_equal(judged(none, PIECES, hundreds, PIECES).verdict, VERDICT_MORE);
	assert_int_equal(judged(hundreds, PIECES, none, PIECES).verdict, VERDICT_FEWER);
	assert_int_equal(judged(none, PIECES, none, PIECES).verdict, VERDICT_UNKNOWN);
	/* Two pieces do not show how counts scatter. */
	assert_int_equal(judged(hundreds, 1, more, 1).verdict, VERDICT_UNKNOWN);
	assert_int_equal(judged(hundreds, 2, more, 1).verdict, VERDICT_UNKNOWN);
}

/* Pieces need not be equally long. */
static void test_lengths(void **state)
{
	struct comparison comparison;

	(void)state;
	assert_int_equal(comparison_init(&comparison), 0);
	for (unsigned int i = 1; i <= PIECES; i++) {
		add(&comparison, 0, i, "touch", FP_ZERO, 100ULL * i);
		add(&comparison, 1, .5, "touch", FP_ZERO, 50);
	}
	comparison_finish(&comparison);
	assert_true(comparison.kinds[FP_ZERO].dispersion <= 1);
	assert_true(comparison.kinds[FP_ZERO].ratio.value > .999 &&
		    comparison.kinds[FP_ZERO].ratio.value < 1.001);
	comparison_release(&comparison);
}

static uint32_t random_state = 1;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525 + 1013904223;
	return (random_state >> 8) % n;
}

/* Of runs that come in bursts, and do not differ, one in 20 is to look as if; and of those that do
 * by far, most are. */
static void test_how_often_wrong(void **state)
{
	enum { ROUNDS = 400 };
	static const unsigned int lengths[] = { 3, 5, 10, 24 };
	unsigned int wrong = 0, found = 0;

	(void)state;
	for (unsigned int round = 0; round < 2 * ROUNDS; round++) {
		unsigned int nr = lengths[round % 4], factor = round < ROUNDS ? 1 : 6;
		uint64_t counts[2][24] = { 0 };
		enum verdict verdict;

		for (unsigned int i = 0; i < 2 * nr; i++)
			for (unsigned int k = 20 * random_below(5); k--;)
				counts[i % 2][i / 2] += random_below(2) * (i % 2 ? factor : 1);
		verdict = judged(counts[0], nr, counts[1], nr).verdict;
		wrong += round < ROUNDS && verdict > VERDICT_NOISE;
		found += round >= ROUNDS && verdict == VERDICT_MORE;
	}
	assert_in_range(wrong, ROUNDS / 50, ROUNDS / 13);
	assert_in_range(found, ROUNDS / 2, ROUNDS);
}

static char *print(const char *format)
{
	const struct sink_options options = { .top = 3 };
	struct comparison comparison;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	assert_int_equal(comparison_init(&comparison), 0);
	comparison.side[0].name = "old.fp";
	comparison.side[1].name = "new\x1b[31m.fp";
	comparison.side[1].lost = 7;
	for (unsigned int i = 0; i < PIECES; i++) {
		add(&comparison, i % 2, 1, "touch", FP_ZERO, 100 + i);
		add(&comparison, i % 2, 1, "h1_wake_stream_for_recv.part.0", FP_SWAP_IN,
		    i % 2 ? 20 : 400 + i);
		add(&comparison, 1, 1, "added", FP_COW, 30);
		add(&comparison, 0, 1, "gone", FP_COW, 1);
	}
	comparison_finish(&comparison);
	assert_int_equal(sink_find(format)->compare(&comparison, &options, out), 0);
	fclose(out);
	comparison_release(&comparison);
	return text;
}

/* UPDATE_GOLDEN=1 writes it anew. */
static void same_as_golden(const char *format, const char *path)
{
	const char *update = getenv("UPDATE_GOLDEN");
	char *text = print(format), want[8192] = "";
	FILE *file = fopen(path, update && *update ? "w+" : "r");

	assert_non_null(file);
	if (update && *update)
		fputs(text, file);
	rewind(file);
	assert_true(fread(want, 1, sizeof(want) - 1, file) > 100);
	fclose(file);
	assert_string_equal(text, want);
	free(text);
}

static void test_text(void **state)
{
	(void)state;
	same_as_golden("text", "tests/data/diff.txt");
}

static void test_json(void **state)
{
	(void)state;
	same_as_golden("json", "tests/data/diff.json");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_how_often_wrong),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
