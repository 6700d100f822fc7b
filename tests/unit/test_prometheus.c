/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The metrics of --textfile, from profiles with known contents to the text that node_exporter gets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/profile.h"
#include "sink/prometheus_series.h"

#define SECOND 1000000000ULL
#define WORTHY 2000000 /* ns, of one fault: enough for a function to have a series */

static struct prometheus *prometheus_with(unsigned int top)
{
	struct prometheus *p;

	assert_int_equal(prometheus_new(top, &p), 0);
	return p;
}

/* @faults faults of one function, each of @stall_ns; 0: not timed. */
static void add(struct profile *profile, enum fp_kind kind, const char *module, const char *symbol,
		unsigned int faults, uint64_t stall_ns)
{
	struct frame frame = { .function = symbol, .module = module, .start = 0x1000 };
	struct stall stall = { 0 };
	struct resolved_fault fault = {
		.comm = "x", .kind = kind, .stall = &stall, .frames = &frame, .nr_frames = 1
	};

	while (faults--)
		stall_add(&stall, stall_ns);
	assert_int_equal(profile_add(profile, &fault), 0);
}

static void add_in(struct prometheus *p, unsigned int instance, const char *module,
		   const char *symbol, unsigned int faults, uint64_t stall_ns)
{
	struct profile profile;

	assert_int_equal(profile_init(&profile), 0);
	add(&profile, FP_SWAP_IN, module, symbol, faults, stall_ns);
	profile_finish(&profile);
	assert_int_equal(prometheus_add(p, instance, &profile), 0);
	profile_release(&profile);
}

static void add_one(struct prometheus *p, unsigned int instance, const char *symbol,
		    unsigned int faults, uint64_t stall_ns)
{
	add_in(p, instance, "haproxy", symbol, faults, stall_ns);
}

/* The caller's. */
static char *text_of(const struct prometheus *p, bool whole)
{
	struct profile run;
	struct prometheus_self self = { .start_s = 1e9, .swapped_out_known = whole };
	size_t size;
	char *text;
	FILE *out = open_memstream(&text, &size);

	assert_int_equal(profile_init(&run), 0);
	run.tier = "test (none)";
	run.stall_known = whole;
	run.failed_unseen = run.kinds_inferred = !whole;
	run.lost[FP_LOSS_DETAIL] = 7;
	run.lost[FP_LOSS_STACK] = 9;
	prometheus_write(p, &run, &self, out);
	fclose(out);
	profile_release(&run);
	return text;
}

static unsigned int count(const char *text, const char *part)
{
	unsigned int n = 0;

	for (; (text = strstr(text, part)); text++)
		n++;
	return n;
}

/* The value behind a whole series; -1: it is not there. */
static double value(const char *text, const char *series)
{
	size_t length = strlen(series);

	for (; *text; text += *text == '\n') {
		if (!strncmp(text, series, length) && text[length] == ' ')
			return strtod(text + length, NULL);
		text += strcspn(text, "\n");
	}
	return -1;
}

#define FAULTS(symbol)                                                                          \
	"faultprof_page_faults_total{comm=\"haproxy\",cgroup=\"/a\",kind=\"swap-in\",module=\"" \
	"haproxy\",symbol=\"" symbol "\"}"
#define OTHERS                                                                                  \
	"faultprof_page_faults_total{comm=\"haproxy\",cgroup=\"/a\",kind=\"swap-in\",module=\"" \
	"\",symbol=\"other\"}"

static void test_counters_add_up(void **state)
{
	struct prometheus *p = prometheus_with(10);
	unsigned int a = prometheus_instance(p, "haproxy", "/a");
	char *text;

	(void)state;
	assert_int_equal(prometheus_instance(p, "haproxy", "/b"), a + 1);
	assert_int_equal(prometheus_instance(p, "haproxy", "/a"), a);
	add_one(p, a, "h1_send", 3, WORTHY);
	add_one(p, a, "h1_send", 4, WORTHY);
	add_one(p, a, "once", 1, 1000);
	prometheus_swapped_out(p, a, 5);
	prometheus_swapped_out(p, a, 6);
	for (int i = 0; i < 2; i++) {
		prometheus_no_processes(p);
		prometheus_process(p, a, 4096);
		prometheus_process(p, a, 8192);
	}
	text = text_of(p, true);
	assert_true(value(text, FAULTS("h1_send")) == 7);
	assert_true(value(text, FAULTS("once")) == -1);
	assert_true(value(text, OTHERS) == 1);
	assert_true(value(text, "faultprof_evicted_pages_total{comm=\"haproxy\",cgroup=\"/a\"}") ==
		    11);
	assert_true(value(text, "faultprof_targets{comm=\"haproxy\",cgroup=\"/a\"}") == 2);
	assert_true(value(text, "faultprof_targets{comm=\"haproxy\",cgroup=\"/b\"}") == 0);
	assert_true(value(text, "faultprof_swapped_bytes{comm=\"haproxy\",cgroup=\"/a\"}") ==
		    12288);
	assert_true(value(text, "faultprof_lost_events_total{reason=\"detail\"}") == 7);
	assert_true(value(text, "faultprof_truncated_stacks_total") == 9);
	assert_null(strstr(text, "reason=\"stack\""));
	assert_int_equal(count(text, "# TYPE faultprof_page_faults_total "), 1);
	assert_int_equal(count(text, "# HELP faultprof_page_faults_total "), 1);
	free(text);
	prometheus_free(p);
}

/* What one boundary more or less would give, a fault right at it tells. */
static void test_stall_buckets_are_exact(void **state)
{
#define BUCKET(le)                                                                                \
	"faultprof_stall_seconds_bucket{comm=\"haproxy\",cgroup=\"/a\",kind=\"swap-in\",le=\"" le \
	"\"}"
	struct prometheus *p = prometheus_with(10);
	unsigned int a = prometheus_instance(p, "haproxy", "/a");
	char *text;

	(void)state;
	add_one(p, a, "f", 1, 0); /* not timed */
	add_one(p, a, "f", 2, 1023);
	add_one(p, a, "f", 1, 1024);
	add_one(p, a, "f", 5, (1 << 20) - 1);
	add_one(p, a, "f", 7, 1 << 20);
	add_one(p, a, "f", 1, 20 * SECOND);
	text = text_of(p, true);
	assert_true(value(text, BUCKET("0.000001023")) == 2);
	assert_true(value(text, BUCKET("0.000004095")) == 3);
	assert_true(value(text, BUCKET("0.001048575")) == 8);
	assert_true(value(text, BUCKET("0.004194303")) == 15);
	assert_true(value(text, BUCKET("4.294967295")) == 15);
	assert_true(value(text, BUCKET("+Inf")) == 16);
	assert_true(value(text, "faultprof_stall_seconds_count{comm=\"haproxy\",cgroup=\"/a\","
				"kind=\"swap-in\"}") == 16);
	assert_true(value(text, "faultprof_stall_seconds_sum{comm=\"haproxy\",cgroup=\"/a\","
				"kind=\"swap-in\"}") == 20.012585977);
	/* Those that did not happen yet are there: a rate knows when they began. */
	assert_true(value(text, "faultprof_stall_seconds_count{comm=\"haproxy\",cgroup=\"/a\","
				"kind=\"file-read\"}") == 0);
	free(text);
	prometheus_free(p);
}

static void hit(struct profile *profile, const char *type, enum object_outcome outcome,
		enum fp_age_source source, uint64_t age_ns)
{
	const struct fault fault = { .time_ns = 1ULL << 52, .stall_ns = 1 };
	const struct fp_object object = { .type = type,
					  .age_source = source,
					  .born_ns = fault.time_ns - age_ns };

	assert_int_equal(profile_add_object(profile, &fault, "haproxy", outcome, &object, 0, 0), 0);
}

static void test_ages(void **state)
{
#define TYPE(name, type, more)   \
	"faultprof_object_" name \
	"{comm=\"haproxy\",cgroup=\"/a\",provider=\"haproxy\",type=\"" type "\"" more "}"
	struct prometheus *p = prometheus_with(10);
	unsigned int a = prometheus_instance(p, "haproxy", "/a");
	struct profile profile;
	char *text;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(profile_init(&profile), 0);
		hit(&profile, "buffer", OBJECT_FOUND, FP_AGE_ACCEPTED, (1ULL << 30) - 1);
		hit(&profile, "buffer", OBJECT_FOUND, FP_AGE_ACCEPTED, 1ULL << 30);
		hit(&profile, "buffer", OBJECT_FOUND, FP_AGE_ACCEPTED, 1ULL << 51);
		hit(&profile, "buffer", OBJECT_FOUND, FP_AGE_AT_LEAST, 1ULL << 40);
		hit(&profile, "task", OBJECT_FOUND, FP_AGE_UNKNOWN, 0);
		hit(&profile, NULL, OBJECT_ABSENT, FP_AGE_UNKNOWN, 0);
		profile_finish(&profile);
		assert_int_equal(prometheus_add(p, a, &profile), 0);
		profile_release(&profile);
	}
	text = text_of(p, true);
	assert_true(value(text, TYPE("faults_total", "buffer", "")) == 8);
	assert_true(value(text, TYPE("faults_total", "task", "")) == 2);
	assert_true(value(text, "faultprof_object_faults_total{comm=\"haproxy\",cgroup=\"/a\","
				"provider=\"\",type=\"unknown\"}") == 2);
	assert_true(value(text, TYPE("age_seconds_bucket", "buffer", ",le=\"1.073741823\"")) == 2);
	assert_true(value(text, TYPE("age_seconds_bucket", "buffer", ",le=\"4.294967295\"")) == 4);
	assert_true(value(text,
			  TYPE("age_seconds_bucket", "buffer", ",le=\"1125899.906842623\"")) == 4);
	assert_true(value(text, TYPE("age_seconds_bucket", "buffer", ",le=\"+Inf\"")) == 6);
	assert_true(value(text, TYPE("age_seconds_sum", "buffer", "")) == 4503603.92233779);
	/* What is not known to be so old is in no bucket, nor a type of which nothing is known. */
	assert_true(value(text, TYPE("age_seconds_count", "buffer", "")) == 6);
	assert_true(value(text, TYPE("age_seconds_count", "task", "")) == -1);
	free(text);
	prometheus_free(p);
}

/* Names are any bytes: quotes, newlines, what is not UTF-8; two that read the same are one series,
 * for node_exporter refuses a file in which one stands twice. */
static void test_names(void **state)
{
	struct prometheus *p = prometheus_with(10);
	unsigned int a = prometheus_instance(p, "ha\"pro\nxy", "/a\\b");
	char longest[3000], *text;

	(void)state;
	add_one(p, a, "bad\xff", 1, WORTHY);
	add_one(p, a, "bad\xfe", 2, WORTHY);
	add_one(p, a, "gr\xc3\xbc\xc3\x9f", 1, WORTHY);
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	add_one(p, a, longest, 4, WORTHY);
	add_in(p, a, "lib\xff.so", "in_library", 1, WORTHY);
	add_in(p, a, "lib\xfe.so", "in_library", 1, WORTHY);
	text = text_of(p, true);
	assert_int_equal(count(text, "{comm=\"ha\\\"pro?xy\",cgroup=\"/a\\\\b\",kind=\"swap-in\","
				     "module=\"haproxy\",symbol=\"bad?\"} 3\n"),
			 1);
	assert_int_equal(count(text, "symbol=\"bad"), 1);
	assert_int_equal(count(text, "symbol=\"gr\xc3\xbc\xc3\x9f\"} 1\n"), 1);
	assert_int_equal(count(text, "xxx…xxx"), 1);
	assert_int_equal(count(text, "module=\"lib?.so\",symbol=\"in_library\"} 2\n"), 1);
	assert_null(strstr(text, "ha\"pro"));
	for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
		assert_in_range(strcspn(line, "\n"), 10, 1000);
	free(text);
	prometheus_free(p);
}

static void test_symbols_are_bounded(void **state)
{
	struct prometheus *p = prometheus_with(3);
	unsigned int a = prometheus_instance(p, "haproxy", "/a");
	char name[32], *text;

	(void)state;
	/* A start, which is not worth a series; then what has to find room nevertheless. */
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "start_%d", i);
		add_one(p, a, name, 1, 1000);
	}
	add_one(p, a, "slowly", 1, WORTHY / 4);
	for (int i = 0; i < 100; i++)
		add_one(p, a, "slowly", 1, WORTHY / 4);
	add_one(p, a, "second", 10, WORTHY);
	add_one(p, a, "third", 10, 20 * WORTHY);
	add_one(p, a, "fourth", 10, 20 * WORTHY);
	add_one(p, a, "slowly", 1, WORTHY);
	text = text_of(p, true);
	assert_int_equal(count(text, "module=\"haproxy\""), 3);
	assert_null(strstr(text, "\"start_"));
	assert_null(strstr(text, "fourth"));
	/* Nor does memory grow with what may come to have one. */
	assert_in_range(HASH_COUNT(p->symbols), 3, 1100);
	assert_true(value(text, FAULTS("third")) == 10);
	/* What it had before it had a series is among the others, so that nothing counts twice. */
	assert_true(value(text, FAULTS("slowly")) + value(text, OTHERS) == 5000 + 102 + 10);
	assert_true(value(text, FAULTS("slowly")) >= 80);
	free(text);
	prometheus_free(p);
}

/* A function that is nothing beside another waits for its share. */
static void test_share(void **state)
{
	struct prometheus *p = prometheus_with(10);
	unsigned int a = prometheus_instance(p, "haproxy", "/a");
	char *text;

	(void)state;
	add_one(p, a, "hot", 1, 1000 * SECOND);
	add_one(p, a, "small", 1, 10 * SECOND);
	text = text_of(p, true);
	assert_true(value(text, FAULTS("small")) == -1);
	assert_true(value(text, OTHERS) == 1);
	free(text);
	add_one(p, a, "small", 1, 30 * SECOND);
	text = text_of(p, true);
	assert_true(value(text, FAULTS("small")) == 1);
	assert_true(value(text, OTHERS) == 1);
	free(text);
	prometheus_free(p);
}

static void test_instances_and_types_are_bounded(void **state)
{
	struct prometheus *p = prometheus_with(10);
	char name[32], *text;

	(void)state;
	for (unsigned int i = 0; i < 2 * PROMETHEUS_INSTANCES; i++) {
		unsigned int at;

		snprintf(name, sizeof(name), "check-%u", i);
		at = prometheus_instance(p, name, NULL);
		assert_int_equal(at, i < PROMETHEUS_INSTANCES ? i : PROMETHEUS_INSTANCES);
		add_one(p, at, "f", 1, 1);
		prometheus_process(p, at, 1);
	}
	for (unsigned int i = 0; i < 2 * PROMETHEUS_TYPES; i++) {
		struct profile profile;

		snprintf(name, sizeof(name), "type-%u", i);
		assert_int_equal(profile_init(&profile), 0);
		hit(&profile, name, OBJECT_FOUND, FP_AGE_UNKNOWN, 0);
		profile_finish(&profile);
		assert_int_equal(prometheus_add(p, 0, &profile), 0);
		profile_release(&profile);
	}
	text = text_of(p, true);
	assert_int_equal(count(text, "\nfaultprof_targets{"), PROMETHEUS_INSTANCES + 1);
	assert_true(value(text, "faultprof_targets{comm=\"other\",cgroup=\"\"}") ==
		    PROMETHEUS_INSTANCES);
	assert_int_equal(count(text, "\nfaultprof_object_faults_total{"), PROMETHEUS_TYPES + 1);
	assert_true(value(text, "faultprof_object_faults_total{comm=\"check-0\",cgroup=\"\","
				"provider=\"\",type=\"other\"}") == PROMETHEUS_TYPES);
	free(text);
	prometheus_free(p);
}

/* A process may well be called "other". */
static void test_other_is_no_name(void **state)
{
	struct prometheus *p = prometheus_with(10);
	char *text;

	(void)state;
	assert_int_equal(prometheus_instance(p, "other", NULL), PROMETHEUS_INSTANCES);
	assert_int_equal(prometheus_instance(p, "other", "/a"), 0);
	add_one(p, PROMETHEUS_INSTANCES, "f", 3, WORTHY);
	text = text_of(p, true);
	assert_int_equal(count(text,
			       "{comm=\"other\",cgroup=\"\",kind=\"swap-in\",module=\"haproxy\","
			       "symbol=\"f\"} 3\n"),
			 1);
	free(text);
	prometheus_free(p);
}

/* What cannot be known is not there, and that is said. */
static void test_unknown_is_absent(void **state)
{
	struct prometheus *p = prometheus_with(10);
	char *text;

	(void)state;
	add_one(p, prometheus_instance(p, "haproxy", "/a"), "f", 200, 0);
	text = text_of(p, false);
	assert_null(strstr(text, "\nfaultprof_stall_seconds"));
	assert_null(strstr(text, "\nfaultprof_evicted_pages_total"));
	assert_null(strstr(text, "\nfaultprof_failed_faults_total"));
	assert_int_equal(
		count(text, "\nfaultprof_unavailable_info{metric=\"faultprof_stall_seconds\""), 1);
	assert_int_equal(count(text, "\nfaultprof_unavailable_info{"), 4);
	assert_true(value(text, FAULTS("f")) == 200);
	free(text);
	text = text_of(p, true);
	assert_int_equal(count(text, "\nfaultprof_unavailable_info{"), 0);
	free(text);
	prometheus_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counters_add_up),
		cmocka_unit_test(test_stall_buckets_are_exact),
		cmocka_unit_test(test_ages),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_symbols_are_bounded),
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_instances_and_types_are_bounded),
		cmocka_unit_test(test_other_is_no_name),
		cmocka_unit_test(test_unknown_is_absent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
