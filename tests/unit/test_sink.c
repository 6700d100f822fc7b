/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The sinks, against golden files of one synthetic profile that holds every case, and against what
 * must be true of any profile: line width, sums, no control characters.
 */
#include "reportlab.h"

#include "base/text.h"
#include "sink/report.h"

static void test_golden_text(void **unused)
{
	(void)unused;
	check_golden(&sink_text, "tests/data/report.txt", build, &everything);
}

static void test_golden_objects(void **unused)
{
	struct sink_options defaults = { .top = sink_text.top, .stacks = true };

	(void)unused;
	check_golden(&sink_text, "tests/data/objects.txt", build_objects, &defaults);
}

static void test_golden_json(void **unused)
{
	(void)unused;
	check_golden(&sink_json, "tests/data/report.json", build_objects, &everything);
}

static void test_golden_folded(void **unused)
{
	(void)unused;
	check_golden(&sink_folded, "tests/data/report.folded", build, &everything);
}

static void test_registry(void **unused)
{
	unsigned int nr = 0;

	(void)unused;
	for (const struct sink *sink; (sink = sink_at(nr)); nr++)
		assert_ptr_equal(sink_find(sink->name), sink);
	assert_int_equal(nr, 7);
	assert_ptr_equal(sink_find("text"), &sink_text);
	assert_null(sink_find("xml"));
	assert_null(sink_find(""));
}

static void check_lines(const char *text)
{
	while (*text) {
		size_t length = strcspn(text, "\n");
		char *line = strndup(text, length), *clean = malloc(length + 1);

		assert_non_null(line);
		assert_non_null(clean);
		text_clean(clean, length + 1, line);
		assert_string_equal(line, clean);
		if (text_columns(line) > 100)
			fail_msg("more than 100 columns: %s", line);
		assert_true(!length || line[length - 1] != ' ');
		text += length + (text[length] == '\n');
		free(line);
		free(clean);
	}
}

/* Takes the colour codes out, in place. */
static void strip_color(char *text)
{
	char *to = text;

	while (*text) {
		if (*text == '\033')
			text += strcspn(text, "m") + 1;
		else
			*to++ = *text++;
	}
	*to = '\0';
}

static void check_text(void (*make)(struct profile *p))
{
	struct sink_options options = { .stacks = true };
	char *plain, *colored;
	struct profile p;

	make(&p);
	for (options.top = 0; options.top < 14; options.top++) {
		options.color = false;
		plain = render(&sink_text, &p, &options);
		check_lines(plain);
		options.color = true;
		colored = render(&sink_text, &p, &options);
		assert_non_null(strstr(colored, "\033[31mswap-in"));
		assert_int_equal(!strstr(plain, "more symbol"),
				 !options.top || options.top >= p.nr_symbols);
		strip_color(colored);
		assert_string_equal(colored, plain);
		free(plain);
		free(colored);
	}
	profile_release(&p);
}

static void test_text_lines(void **unused)
{
	(void)unused;
	check_text(build);
	check_text(build_objects);
}

static void test_text_place(void **unused)
{
	struct profile p;
	char *text;

	(void)unused;
	assert_int_equal(profile_init(&p), 0);
	p.stall_known = true;
	p.end_ns = 1000000000;
	fill_common(&p);
	profile_finish(&p);
	text = render(&sink_text, &p, &everything);
	assert_non_null(strstr(text, " [k] raw_sock_to_buf (via recv) raw_sock.c:288\n"));
	assert_non_null(strstr(text, " [.] si_conn_wake_cb channel.h:91\n"));
	assert_non_null(strstr(text, " haproxy libc.so "));
	free(text);
	profile_release(&p);
}

/* Every mix of long names keeps to the width. */
static void test_text_lengths(void **unused)
{
	char name[200], via[60], file[60], module[40];
	struct frame frames[] = { { .function = name, .inlined = true, .file = file, .line = 12 },
				  { .function = name, .module = module, .file = file, .line = 7 } };
	struct resolved_fault fault = { .frames = frames, .via = via, .stack = true };

	(void)unused;
	for (unsigned int i = 0; i < 300; i++) {
		struct profile p;
		char *text;

		snprintf(name, sizeof(name), "%0*d(%0*d)", 1 + (int)(i * 7 % 90), 0,
			 1 + (int)(i * 11 % 90), 0);
		snprintf(via, sizeof(via), "%0*d", 1 + (int)(i * 13 % 50), 0);
		snprintf(file, sizeof(file), "/x/%0*d", 1 + (int)(i * 17 % 50), 0);
		snprintf(module, sizeof(module), "%0*d", 1 + (int)(i * 19 % 38), 0);
		fault.nr_frames = 1 + i % 2;
		fault.frames = &frames[1 - i % 2];
		fault.owner = i % 2;
		assert_int_equal(profile_init(&p), 0);
		p.stall_known = true;
		p.end_ns = 1000000000;
		add(&p, fault, 1, 99949999999);
		p.kinds[0].faults += i % 3 ? 0 : 9999999999;
		profile_finish(&p);
		text = render(&sink_text, &p, &everything);
		check_lines(text);
		free(text);
		profile_release(&p);
	}
}

static uint64_t folded_sum(char *text)
{
	uint64_t sum = 0;

	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		char *space = strrchr(line, ' ');

		assert_non_null(space);
		assert_true(strchr(line, ';') && strchr(line, ';') < space);
		sum += strtoull(space + 1, NULL, 10);
	}
	return sum;
}

static void test_folded_sum(void **unused)
{
	struct sink_options options = { 0 };
	struct profile p;
	char *text;

	(void)unused;
	build(&p);
	text = render(&sink_folded, &p, &everything);
	check_golden(&sink_folded, "tests/data/report.folded", build, &everything);
	assert_int_equal(folded_sum(text), profile_faults(&p));
	free(text);
	text = render(&sink_folded, &p, &options);
	assert_null(strstr(text, "main"));
	assert_non_null(strstr(text, "haproxy;raw_sock_to_buf;recv 3613\n"));
	assert_int_equal(folded_sum(text), profile_faults(&p));
	free(text);
	profile_release(&p);
}

static json_t *parse(const struct profile *p, const struct sink_options *options)
{
	char *text = render(&sink_json, p, options);
	json_error_t error;
	json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &error);

	if (!json)
		fail_msg("%s at line %d", error.text, error.line);
	free(text);
	return json;
}

static json_int_t sum_of(const json_t *json, const char *array, const char *key)
{
	json_int_t sum = 0;
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(json, array), i, row) sum +=
		json_integer_value(json_object_get(row, key));
	return sum;
}

static void test_json_sums(void **unused)
{
	static const char *const empty[] = { "objects",	 "connections", "census",
					     "evictors", "page_cache",	"advice" };
	struct sink_options options = { 0 };
	json_t *json, *totals;
	json_int_t faults;
	struct profile p;

	(void)unused;
	build(&p);
	json = parse(&p, &everything);
	totals = json_object_get(json, "totals");
	faults = json_integer_value(json_object_get(totals, "faults"));
	assert_int_equal(faults, profile_faults(&p));
	assert_int_equal(sum_of(json, "kinds", "faults"), faults);
	assert_int_equal(sum_of(json, "symbols", "faults"), faults);
	assert_int_equal(sum_of(json, "stacks", "faults"), 2113 + 980 + 60 + 30);
	assert_int_equal(json_array_size(json_object_get(json, "kinds")), FP_NR_KINDS);
	assert_int_equal(json_object_size(json_object_get(json, "losses")), FP_NR_LOSSES);
	assert_int_equal(json_integer_value(json_object_get(totals, "lost")), 1205);
	assert_int_equal(json_array_size(json_object_get(json, "warnings")), 2);
	for (size_t i = 0; i < sizeof(empty) / sizeof(*empty); i++)
		assert_true(json_is_array(json_object_get(json, empty[i])));
	json_decref(json);
	json = parse(&p, &options);
	assert_int_equal(json_array_size(json_object_get(json, "stacks")), 0);
	json_decref(json);
	profile_release(&p);
}

static void test_stall_unknown(void **unused)
{
	static const char *const keys[] = { "total", "p50", "p90", "p99", "max" };
	json_t *json, *row, *stall;
	struct profile p;
	size_t at;
	char *text;

	(void)unused;
	build(&p);
	p.stall_known = false;
	p.kinds_inferred = true;
	json = parse(&p, &everything);
	assert_true(json_is_null(json_object_get(json_object_get(json, "totals"), "stall_ns")));
	json_array_foreach(json_object_get(json, "kinds"), at, row)
	{
		stall = json_object_get(row, "stall_ns");
		for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
			assert_true(json_is_null(json_object_get(stall, keys[i])));
	}
	json_array_foreach(json_object_get(json, "stacks"), at, row)
		assert_true(json_is_null(json_object_get(row, "stall_ns")));
	json_decref(json);
	text = render(&sink_text, &p, &everything);
	check_lines(text);
	assert_non_null(strstr(text, "kinds inferred from mappings"));
	assert_non_null(strstr(text, "stall times: not known"));
	assert_null(strstr(text, "ms "));
	free(text);
	p.kernel_unseen = p.access_unknown = true;
	text = render(&sink_text, &p, &everything);
	assert_non_null(strstr(text, "kernel mode not seen\n"));
	assert_null(strstr(text, "; reads"));
	free(text);
	profile_release(&p);
}

/* What is left out by wish, or cannot be seen, is no zero; and the report says what was wished. */
static void test_filter(void **unused)
{
	json_t *json, *filter, *totals;
	struct profile p;
	char *text;

	(void)unused;
	build(&p);
	text = render(&sink_text, &p, &everything);
	assert_null(strstr(text, "only:"));
	free(text);
	p.only_kinds = 1U << FP_SWAP_IN | 1U << FP_COW;
	p.only_modes = 1U << FP_USER;
	p.failed = 0;
	p.failed_unseen = true;
	text = render(&sink_text, &p, &everything);
	check_lines(text);
	assert_non_null(strstr(text, "\n  only: swap-in, cow, user mode\n"));
	assert_null(strstr(text, "kernel mode 3"));
	assert_null(strstr(text, "never completed"));
	free(text);
	json = parse(&p, &everything);
	filter = json_object_get(json, "filter");
	assert_int_equal(json_array_size(json_object_get(filter, "kinds")), 2);
	assert_string_equal(json_string_value(json_object_get(filter, "mode")), "user");
	totals = json_object_get(json, "totals");
	assert_true(json_is_null(json_object_get(totals, "kernel")));
	assert_true(json_is_null(json_object_get(totals, "failed")));
	assert_true(json_is_integer(json_object_get(totals, "user")));
	json_decref(json);
	p.only_kinds = 0;
	p.only_modes = 1U << FP_KERNEL;
	text = render(&sink_text, &p, &everything);
	assert_non_null(strstr(text, "\n  only: kernel mode\n"));
	assert_non_null(strstr(text, "\n  kernel mode 3,646; reads"));
	free(text);
	json = parse(&p, &everything);
	assert_true(json_is_null(json_object_get(json_object_get(json, "filter"), "kinds")));
	assert_true(json_is_null(json_object_get(json_object_get(json, "totals"), "user")));
	json_decref(json);
	profile_release(&p);
}

/* The header names what was asked for, and counts what that started. */
static void test_later(void **unused)
{
	struct profile p;
	json_t *json;
	char *text;

	(void)unused;
	assert_int_equal(profile_init(&p), 0);
	p.only_kinds = 1;
	p.end_ns = 1500000000;
	assert_int_equal(profile_add_target(&p, 1, "sh", NULL, NULL, 1), 0);
	assert_int_equal(profile_add_target(&p, 2, "ls", NULL, NULL, 0), 0);
	p.targets[1].later = true;
	p.later = 1200;
	profile_finish(&p);
	text = render(&sink_text, &p, &everything);
	check_lines(text);
	assert_non_null(
		strstr(text, "faultprof: sh (pid 1, 1 thread) and 1,200 programs started "));
	assert_non_null(strstr(text, "No page fault of that kind completed in 1.5 s."));
	free(text);
	json = parse(&p, &everything);
	assert_int_equal(json_array_size(json_object_get(json, "targets")), 2);
	json_decref(json);
	p.later = 0;
	p.nr_unlisted = 9;
	text = render(&sink_text, &p, &everything);
	assert_non_null(strstr(text, "faultprof: 10 processes: sh (pid 1, 1 thread) for 1.5 s"));
	free(text);
	profile_release(&p);
}

static void test_no_faults(void **unused)
{
	struct profile p;
	json_t *json, *row;
	size_t at;
	char *text;

	(void)unused;
	assert_int_equal(profile_init(&p), 0);
	p.stall_known = true;
	p.end_ns = 1500000000;
	assert_int_equal(profile_add_target(&p, 1, "nginx", NULL, NULL, 1), 0);
	profile_finish(&p);
	text = render(&sink_text, &p, &everything);
	check_lines(text);
	assert_non_null(strstr(text, "nginx (pid 1, 1 thread) for 1.5 s: 0 faults"));
	assert_non_null(strstr(text, "No page fault completed in 1.5 s."));
	free(text);
	text = render(&sink_folded, &p, &everything);
	assert_string_equal(text, "");
	free(text);
	json = parse(&p, &everything);
	json_array_foreach(json_object_get(json, "kinds"), at, row)
	{
		json_t *stall = json_object_get(row, "stall_ns");

		assert_int_equal(json_integer_value(json_object_get(stall, "total")), 0);
		assert_true(json_is_integer(json_object_get(stall, "total")));
		assert_true(json_is_null(json_object_get(stall, "p99")));
	}
	json_decref(json);
	profile_release(&p);
}

/* ---- objects ---- */

static json_int_t member(const json_t *json, const char *key)
{
	assert_true(json_is_integer(json_object_get(json, key)));
	return json_integer_value(json_object_get(json, key));
}

/* What the tables say is of the same faults: each with an address is in one kind, or unknown, or in
 * none. */
static void test_objects_sums(void **unused)
{
	json_t *json, *totals, *row;
	json_int_t shares = 0, found;
	struct profile p;
	size_t at;

	(void)unused;
	build_objects(&p);
	json = parse(&p, &everything);
	totals = json_object_get(json, "totals");
	found = sum_of(json, "objects", "faults");
	assert_int_equal(json_array_size(json_object_get(json, "objects")), 3 + 1 + 4);
	assert_int_equal(json_array_size(json_object_get(json, "census")), 3 + 2);
	assert_int_equal(member(totals, "addressed"), 996);
	assert_int_equal(member(totals, "unknown"), 20);
	assert_int_equal(member(totals, "unowned"), 7);
	assert_int_equal(found, 996 - 27);
	assert_int_equal(sum_of(json, "symbols", "addressed"), 996);
	json_array_foreach(json_object_get(json, "symbols"), at, row) shares +=
		sum_of(row, "objects", "faults");
	assert_int_equal(shares, found);
	assert_int_equal(sum_of(json, "connections", "faults"), found - 12);
	assert_int_equal(json_array_size(json_object_get(json, "connections")), 127);
	json_array_foreach(json_object_get(json, "objects"), at, row)
	{
		json_t *sources = json_object_get(row, "age_sources");

		assert_int_equal(member(sources, "accept") + member(sources, "alloc") +
					 member(sources, "at_least") + member(sources, "unknown"),
				 member(row, "faults"));
		assert_int_equal(member(json_object_get(row, "age_s"), "faults"),
				 member(sources, "accept") + member(sources, "alloc"));
		assert_int_equal(member(json_object_get(row, "at_least_s"), "faults"),
				 member(sources, "at_least"));
	}
	json_array_foreach(json_object_get(json, "census"), at, row)
		assert_int_equal(sum_of(row, "ages", "objects"), member(row, "objects"));
	assert_int_equal(sum_of(json, "census", "objects"), 902);
	row = json_object_get(json, "object_ages");
	assert_int_equal(sum_of(row, "ages", "objects"), 302);
	assert_int_equal(sum_of(row, "ages", "hit"), 6 + 30 + 90 + 1);
	assert_int_equal(member(row, "gone"), 12);
	json_decref(json);
	profile_release(&p);
}

/* The values, of one buffer's only fault and its connection. */
static void test_objects_values(void **unused)
{
	struct fp_connection connection = { .id = 1,
					    .born_ns = END - 5400 * S,
					    .used_ns = END - 90 * S,
					    .resolution_ns = S,
					    .waiting_bytes = 3,
					    .frontend = "www",
					    .peer = "192.0.2.7:4711" };
	struct fp_object object = { .type = "buffer", .pool = "buffer", .connection = &connection };
	struct fault fault = { .pid = 9, .time_ns = END, .stall_ns = 1500 };
	json_t *json, *row, *age;
	struct profile p;
	char *text;

	(void)unused;
	build(&p);
	assert_int_equal(
		profile_add_object(&p, &fault, "haproxy", OBJECT_FOUND, &object, 2 * S, S / 2), 0);
	json = parse(&p, &everything);
	row = json_array_get(json_object_get(json, "objects"), 0);
	assert_string_equal(json_string_value(json_object_get(row, "age_source")), "accept");
	age = json_object_get(row, "age_s");
	assert_true(json_real_value(json_object_get(age, "p50")) == 5400);
	assert_true(json_real_value(json_object_get(age, "p90")) == 5400);
	assert_true(json_real_value(json_object_get(age, "max")) == 5400);
	assert_true(json_real_value(json_object_get(age, "resolution")) == 1);
	age = json_object_get(row, "idle_s");
	assert_true(json_real_value(json_object_get(age, "max")) == 90);
	age = json_object_get(row, "swapped_s");
	assert_true(json_real_value(json_object_get(age, "max")) == 2);
	assert_true(json_real_value(json_object_get(age, "resolution")) == .5);
	assert_true(json_is_null(json_object_get(json_object_get(row, "at_least_s"), "p50")));
	assert_int_equal(member(json_object_get(row, "stall_ns"), "total"), 1500);
	row = json_array_get(json_object_get(json, "connections"), 0);
	assert_string_equal(json_string_value(json_object_get(row, "peer")), "192.0.2.7:4711");
	assert_string_equal(json_string_value(json_object_get(row, "frontend")), "www");
	assert_true(json_is_null(json_object_get(row, "backend")));
	assert_true(json_real_value(json_object_get(row, "age_s")) == 5400);
	assert_true(json_real_value(json_object_get(row, "idle_s")) == 90);
	assert_int_equal(member(row, "pid"), 9);
	assert_int_equal(member(row, "stall_ns"), 1500);
	assert_int_equal(member(row, "waiting_bytes"), 3);
	assert_true(json_is_null(json_object_get(json, "object_ages")));
	json_decref(json);
	text = render(&sink_text, &p, &everything);
	check_lines(text);
	assert_non_null(
		strstr(text, "Faults by object (of the 1 fault that came with an address; "));
	assert_non_null(strstr(text, "100.0      1  1.5us   90.0m   90.0m   90.0m     90s    2.0s  "
				     "buffer\n"));
	assert_non_null(strstr(text, "        1  1.5us   90.0m     90s      3B  192.0.2.7:4711    "
				     "www\n"));
	free(text);
	profile_release(&p);
}

/* Without a provider there is nothing to say, and nothing is known. */
static void test_no_provider(void **unused)
{
	static const char *const titles[] = { "by object", "symbols hit", "Living", "Were old",
					      "connection" };
	static const char *const unknown[] = { "addressed", "unknown", "unowned" };
	json_t *json, *row;
	struct profile p;
	size_t at;
	char *text;

	(void)unused;
	build(&p);
	text = render(&sink_text, &p, &everything);
	for (size_t i = 0; i < sizeof(titles) / sizeof(*titles); i++)
		assert_null(strstr(text, titles[i]));
	free(text);
	json = parse(&p, &everything);
	for (size_t i = 0; i < sizeof(unknown) / sizeof(*unknown); i++)
		assert_true(
			json_is_null(json_object_get(json_object_get(json, "totals"), unknown[i])));
	json_array_foreach(json_object_get(json, "symbols"), at, row)
	{
		assert_true(json_is_null(json_object_get(row, "addressed")));
		assert_int_equal(json_array_size(json_object_get(row, "objects")), 0);
	}
	assert_int_equal(json_array_size(json_object_get(json, "census")), 0);
	assert_true(json_is_null(json_object_get(json, "object_ages")));
	assert_true(json_is_null(json_object_get(json, "connections_unlisted")));
	json_decref(json);
	/* With one that was asked, zero is a number. */
	assert_int_equal(profile_set_provider(&p, 4711, "haproxy"), 0);
	json = parse(&p, &everything);
	assert_int_equal(member(json_object_get(json, "totals"), "addressed"), 0);
	json_decref(json);
	profile_release(&p);
}

/* Every mix of long names and big numbers keeps to the width, several providers or one. */
static void test_objects_lengths(void **unused)
{
	char type[200], pool[100], front[120], back[60];
	struct frame frame = { .function = type, .module = "m" };

	(void)unused;
	for (unsigned int i = 0; i < 300; i++) {
		struct fp_connection connection = { .id = 1,
						    .waiting_bytes = 1ull << i % 64,
						    .born_ns = 1 + i * S,
						    .used_ns = 1,
						    .resolution_ns = i % 2 * S,
						    .frontend = front,
						    .backend = i % 3 ? back : NULL };
		struct fp_object object = { .type = type,
					    .pool = i % 4 ? pool : NULL,
					    .size = 1ull << i % 60,
					    .connection = i % 5 ? &connection : NULL,
					    .age_source = i % 4,
					    .born_ns = END - (1ull << i % 49) };
		struct fault fault = { .pid = 1, .time_ns = END, .stall_ns = 99949999999 };
		struct resolved_fault at = { .frames = &frame, .nr_frames = 1, .addressed = 1 };
		struct profile p;
		char *text;

		snprintf(type, sizeof(type), "%0*d", 1 + (int)(i * 7 % 150), 0);
		snprintf(pool, sizeof(pool), "%0*d", 1 + (int)(i * 11 % 90), 0);
		snprintf(front, sizeof(front), "%0*d", 1 + (int)(i * 13 % 100), 0);
		snprintf(back, sizeof(back), "%0*d", 1 + (int)(i * 17 % 50), 0);
		snprintf(connection.peer, sizeof(connection.peer), "%0*d", 1 + (int)(i * 19 % 62),
			 0);
		assert_int_equal(profile_init(&p), 0);
		p.stall_known = true;
		p.begin_ns = END - S;
		p.end_ns = END;
		for (unsigned int k = 0; k <= i % 2; k++) {
			const char *provider = k ? "another-provider" : "haproxy";

			assert_int_equal(profile_add_object(&p, &fault, provider, OBJECT_FOUND,
							    &object, 1ull << i % 60, S),
					 0);
			assert_int_equal(profile_add_live_object(&p, 1, provider, &object, END,
								 1ull << i % 50, 1ull << i % 40),
					 0);
			at.object = profile_object_kind(&p, provider, type, object.pool);
			add(&p, at, 1, 1);
		}
		p.objects->addressed += i % 3 ? 0 : 9999999999;
		p.objects->absent.faults = i % 6 ? 0 : 9999999999;
		p.objects->objects[0]->census.aged[i % NR_AGE_BANDS] += i % 2 ? 0 : 123456789;
		profile_finish(&p);
		text = render(&sink_text, &p, &everything);
		check_lines(text);
		assert_int_equal(!strstr(text, "haproxy: "), !(i % 2));
		free(text);
		profile_release(&p);
	}
}

static void test_cells(void **unused)
{
	static const struct {
		uint64_t ns, resolution_ns;
		bool at_least;
		const char *text;
	} ages[] = {
		{ 0, 0, false, "0ns" },
		{ 18200000, 0, false, "18.2ms" },
		{ 999 * S / 1000, S, false, "<1s" },
		{ 0, S, true, ">=0s" },
		{ S, 0, false, "1.0s" },
		{ S, S, false, "1s" },
		{ 60 * S, 0, true, ">=60.0s" },
		{ 60 * S, S, true, ">=60s" },
		{ S - 1, 0, true, ">=999ms" },
		{ 59999 * S / 1000, 0, true, ">=59.9s" },
		{ 7199 * S, 0, true, ">=1.9h" },
		{ 59999 * S / 1000, S, true, ">=59s" },
		{ 5000ull * 86400 * S - 1, S, true, ">=4999d" },
		{ 5000ull * 86400 * S - 1, S, false, "5000d" },
		{ 99949 * S / 1000, 0, false, "99.9s" },
		{ 99951 * S / 1000, 0, false, "1.7m" },
		{ 99499 * S / 1000, S, false, "99s" },
		{ 99500 * S / 1000, S, false, "99.5s" },
		{ 5996 * S, 0, false, "99.9m" },
		{ 5998 * S, 0, false, "1.7h" },
		{ 172799 * S, 0, false, "48.0h" },
		{ 172800 * S, 0, false, "2.0d" },
		{ 5000ull * 86400 * S, 0, true, ">=5000d" },
		{ UINT64_MAX, 0, true, ">=213503d" },
	};
	static const struct {
		uint64_t bytes;
		const char *text;
	} sizes[] = {
		{ 0, "0B" },
		{ 999, "999B" },
		{ 1000, "1.0K" },
		{ 16384, "16.0K" },
		{ 102297, "99.9K" },
		{ 102400, "100K" },
		{ 1022976, "999K" },
		{ 1023488, "1.0M" },
		{ 5ull << 30, "5.0G" },
		{ UINT64_MAX, "16.0E" },
	};

	(void)unused;
	assert_string_equal(age_cell(false, true, 5, 5).text, "-");
	assert_string_equal(size_cell(false, 5).text, "-");
	for (size_t i = 0; i < sizeof(ages) / sizeof(*ages); i++)
		assert_string_equal(
			age_cell(true, ages[i].at_least, ages[i].ns, ages[i].resolution_ns).text,
			ages[i].text);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		assert_string_equal(size_cell(true, sizes[i].bytes).text, sizes[i].text);
}

/* A ratio without bound is null, as one that is not known. */
static void check_ratio_json(const struct profile *p)
{
	const struct object_ages *ages = &p->objects->ages;
	json_t *json = parse(p, &everything), *row = json_object_get(json, "object_ages");
	json_t *interval = json_object_get(row, "interval");

	assert_int_equal(json_is_null(interval), !ages->ratio_known);
	assert_int_equal(json_is_real(json_object_get(row, "ratio")),
			 ages->ratio_known && ages->younger_hit);
	if (ages->ratio_known) {
		assert_true(json_real_value(json_array_get(interval, 0)) > 0);
		assert_int_equal(json_is_null(json_array_get(interval, 1)), !ages->younger_hit);
	}
	json_decref(json);
}

/* What the report says of the ages, for each thing that it can say. The numbers are from the same
 * computation in Python as those of test_ratio. */
static void test_ratio_text(void **unused)
{
	static const struct {
		unsigned int older_hit, younger_hit;
		uint64_t older_s, younger_s;
		const char *text;
	} cases[] = {
		{ 9, 3, 7200, 600, "9 of the 10 oldest (2.0h and more) were hit, 3 of the 10" },
		{ 9, 3, 7200, 600, ": 3.00 times as often (95 % interval 1.35 to 8.47)\n" },
		{ 9, 0, 7200, 600, ": at least 3.19 times as often (95 %)\n" },
		{ 2, 1, 7200, 600, "which may be chance\n" },
		{ 1, 0, 7200, 600, "which may be chance\n" },
		{ 0, 0, 7200, 600, "not compared: none of those" },
		{ 9, 3, 600, 600, "not compared: no two" },
		{ 9, 3, 3, 2, "not compared: no two" },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct fp_object object = { .type = "t", .age_source = FP_AGE_ALLOCATED };
		struct fault fault = { .time_ns = END };
		char *text, *flat;
		struct profile p;

		build(&p);
		for (unsigned int k = 0; k < 20; k++) {
			bool old = k < 10;

			object.base = k;
			object.born_ns = END - (old ? cases[i].older_s : cases[i].younger_s) * S;
			if (k % 10 < (old ? cases[i].older_hit : cases[i].younger_hit))
				assert_int_equal(profile_add_object(&p, &fault, "lab", OBJECT_FOUND,
								    &object, 0, 0),
						 0);
			assert_int_equal(profile_add_live_object(&p, 0, "lab", &object, END, 0, 0),
					 0);
		}
		profile_finish(&p);
		text = render(&sink_text, &p, &everything);
		check_lines(text);
		while ((flat = strstr(text, "\n    ")))
			memmove(flat, flat + 4, strlen(flat + 4) + 1), *flat = ' ';
		if (!strstr(text, cases[i].text))
			fail_msg("%s is not in %s", cases[i].text, strstr(text, "Were old"));
		free(text);
		check_ratio_json(&p);
		profile_release(&p);
	}
}

static void test_write_error(void **unused)
{
	FILE *out = fopen("/dev/full", "w");
	struct profile p;

	(void)unused;
	if (!out)
		skip();
	build(&p);
	setvbuf(out, NULL, _IONBF, 0);
	for (unsigned int i = 0; sink_at(i); i++) {
		clearerr(out);
		assert_int_equal(sink_at(i)->write(&p, &everything, out), 0);
		assert_true(ferror(out));
	}
	fclose(out);
	profile_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden_text),	cmocka_unit_test(test_golden_json),
		cmocka_unit_test(test_golden_objects),	cmocka_unit_test(test_golden_folded),
		cmocka_unit_test(test_registry),	cmocka_unit_test(test_text_lines),
		cmocka_unit_test(test_text_place),	cmocka_unit_test(test_text_lengths),
		cmocka_unit_test(test_folded_sum),	cmocka_unit_test(test_json_sums),
		cmocka_unit_test(test_stall_unknown),	cmocka_unit_test(test_filter),
		cmocka_unit_test(test_later),		cmocka_unit_test(test_no_faults),
		cmocka_unit_test(test_write_error),	cmocka_unit_test(test_objects_sums),
		cmocka_unit_test(test_objects_values),	cmocka_unit_test(test_no_provider),
		cmocka_unit_test(test_objects_lengths), cmocka_unit_test(test_cells),
		cmocka_unit_test(test_ratio_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
