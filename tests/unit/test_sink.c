/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The sinks, against golden files of one synthetic profile that holds every case, and against what
 * must be true of any profile: line width, sums, no control characters. Runs in the root of the
 * project; UPDATE_GOLDEN=1 writes the golden files anew.
 */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/text.h"
#include "model/sink.h"

static const struct sink_options everything = { .stacks = true };

static void add(struct profile *profile, struct resolved_fault fault, unsigned int faults,
		uint64_t ns)
{
	struct stall stall = { 0 };

	for (unsigned int i = 0; i < faults; i++)
		stall_add(&stall, ns ? ns + ns * i / faults : 0);
	fault.stall = &stall;
	fault.comm = fault.comm ? fault.comm : "haproxy";
	fault.major = fault.kind == FP_SWAP_IN || fault.kind == FP_FILE_READ;
	assert_int_equal(profile_add(profile, &fault), 0);
}

/* What a proxy under memory pressure looks like: swap-ins one by one, the rest by site. */
static void fill_common(struct profile *p)
{
	struct frame recv[] = {
		{ .function = "recv", .module = "libc.so.6", .start = 0x10a0 },
		{ .function = "raw_sock_to_buf",
		  .module = "haproxy",
		  .offset = 0x5b,
		  .file = "src/raw_sock.c",
		  .line = 288,
		  .start = 0x9000 },
		{ .function = "si_conn_recv_cb", .module = "haproxy", .start = 0x9400 },
		{ .function = "conn_fd_handler", .module = "haproxy", .start = 0x9800 },
		{ .module = "haproxy", .start = 0x21f40 },
		{ .function = "main", .module = "haproxy", .start = 0x5000 },
	};
	struct frame wake[] = {
		{ .function = "channel_is_empty",
		  .module = "haproxy",
		  .inlined = true,
		  .file = "include/proto/channel.h",
		  .line = 91 },
		{ .function = "si_conn_wake_cb",
		  .module = "haproxy",
		  .offset = 0x21,
		  .file = "src/stream_interface.c",
		  .line = 561,
		  .start = 0x9c00 },
		{ .function = "main", .module = "haproxy", .start = 0x5000 },
	};
	struct frame bare = { .module = "haproxy", .start = 0x21f40, .offset = 0x18 };
	struct frame copy = { .function = "memcpy", .module = "libc.so.6" };
	struct resolved_fault fault = { .frames = recv,
					.nr_frames = 6,
					.owner = 1,
					.stack = true,
					.mode = FP_KERNEL,
					.access = FP_WRITE,
					.via = "recv" };

	add(p, fault, 2113, 312000);
	fault.kind = FP_SWAP_CACHE;
	fault.stack = false;
	add(p, fault, 1500, 2100);
	fault = (struct resolved_fault){
		.frames = wake, .nr_frames = 3, .owner = 1, .stack = true
	};
	add(p, fault, 980, 4100000);
	fault = (struct resolved_fault){ .frames = &bare, .nr_frames = 1, .kind = FP_ZERO };
	add(p, fault, 400, 700);
	fault.kind = FP_COW;
	fault.frames = &copy;
	add(p, fault, 17, 90);
	fault.kind = FP_FILE_READ;
	fault.access = FP_EXEC;
	fault.nr_frames = 0;
	add(p, fault, 3, 18200000);
}

/* Names as only an enemy, or a C++ compiler, would choose them. */
static void fill_hostile(struct profile *p)
{
	struct frame cpp[] = {
		{ .function = "std::vector<std::pair<unsigned long, std::string> "
			      ">::operator[](unsigned "
			      "long)",
		  .inlined = true,
		  .file = "/usr/include/c++/12/bits/stl_vector.h",
		  .line = 1123,
		  .module = "envoy" },
		{ .function = "Envoy::Buffer::OwnedImpl::appendSliceForTest(std::basic_string_view<"
			      "char, std::char_traits<char> >, unsigned long) const",
		  .module = "envoy",
		  .file = "source/common/buffer/buffer_impl.cc",
		  .line = 77 },
		{ .function =
			  "Envoy::Event::FileEventImpl::assignEvents(unsigned int, event_base*)::"
			  "{lambda(int, short, void*)#1}::_FUN(int, short, void*)",
		  .module = "envoy" },
	};
	struct frame bad[] = {
		{ .function = "evil\033[2J;\nname \xff",
		  .module = "lib\r\xe2\x80\xae.so",
		  .file = "/tmp/\033]0;x\007.c",
		  .line = 1 },
		{ .function = "caller;one", .module = "m" },
	};
	struct frame wide = { .function = "wide",
			      .line = 4294967295u,
			      .file = "a_file_name_that_is_"
				      "much_longer_than_anybody_would_ever_type.cpp",
			      .module = "a-module-name-longer-than-its-column.so.6" };
	struct resolved_fault fault = { .comm = "wrk:\033[31mred",
					.frames = cpp,
					.nr_frames = 3,
					.owner = 1,
					.stack = true,
					.kind = FP_SHMEM };

	add(p, fault, 60, 5000);
	fault = (struct resolved_fault){ .comm = "e;vil\xff",
					 .frames = bad,
					 .nr_frames = 2,
					 .stack = true,
					 .kind = FP_FILE_MAP,
					 .mode = FP_KERNEL,
					 .via = "a_very_long_function_that_was_called\n_by_it" };
	add(p, fault, 30, 1200);
	fault.stack = false;
	fault.frames = &wide;
	fault.nr_frames = 1;
	fault.kind = FP_HUGE;
	add(p, fault, 2, 0);
	fault.kind = FP_OTHER;
	fault.via = NULL;
	add(p, fault, 1, 1);
}

static void build(struct profile *p)
{
	assert_int_equal(profile_init(p), 0);
	p->begin_ns = 1000000000;
	p->end_ns = 31000000000;
	p->tier = "page-fault tracepoints + perf events (BPF)";
	p->stall_known = true;
	fill_common(p);
	fill_hostile(p);
	p->failed = 12;
	p->lost[FP_LOSS_DETAIL] = 1204;
	p->lost[FP_LOSS_SITE] = 1;
	p->lost[FP_LOSS_START] = 2;
	p->lost[FP_LOSS_STACK] = 33;
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(profile_add_target(p, 4711 + i,
						    i < 6 ? "haproxy" : "wrk:\033[31mred",
						    i ? NULL : "/usr/sbin/haproxy\xff",
						    i ? NULL : "deadbeef", i < 6 ? 4 : 0),
				 0);
	assert_int_equal(
		profile_warn(p,
			     "kind of %d faults: the kernel has no rss_stat tracepoint, so "
			     "swap-cache hits stand under the kind that their mapping suggests",
			     17),
		0);
	assert_int_equal(profile_warn(p, "who evicted: needs CAP_SYS_ADMIN \033[0m"), 0);
	profile_finish(p);
}

static char *render(const struct sink *sink, const struct profile *profile,
		    const struct sink_options *options)
{
	size_t size;
	char *text;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	assert_int_equal(sink->write(profile, options, out), 0);
	assert_int_equal(ferror(out), 0);
	assert_int_equal(fclose(out), 0);
	return text;
}

static char *read_all(const char *path)
{
	FILE *in = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;

	if (!in)
		return NULL;
	if (getdelim(&text, &size, '\0', in) < 0) {
		free(text);
		text = NULL;
	}
	fclose(in);
	return text;
}

static void check_golden(const struct sink *sink, const char *path)
{
	struct profile p;
	char *got, *want;

	build(&p);
	got = render(sink, &p, &everything);
	if (getenv("UPDATE_GOLDEN")) {
		FILE *out = fopen(path, "w");

		assert_non_null(out);
		fputs(got, out);
		assert_int_equal(fclose(out), 0);
	}
	want = read_all(path);
	assert_non_null(want);
	assert_string_equal(got, want);
	free(got);
	free(want);
	profile_release(&p);
}

static void test_golden_text(void **unused)
{
	(void)unused;
	check_golden(&sink_text, "tests/data/report.txt");
}

static void test_golden_json(void **unused)
{
	(void)unused;
	check_golden(&sink_json, "tests/data/report.json");
}

static void test_golden_folded(void **unused)
{
	(void)unused;
	check_golden(&sink_folded, "tests/data/report.folded");
}

static void test_registry(void **unused)
{
	unsigned int nr = 0;

	(void)unused;
	for (const struct sink *sink; (sink = sink_at(nr)); nr++)
		assert_ptr_equal(sink_find(sink->name), sink);
	assert_int_equal(nr, 3);
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

static void test_text_lines(void **unused)
{
	struct sink_options options = { .stacks = true };
	char *plain, *colored;
	struct profile p;

	(void)unused;
	build(&p);
	for (options.top = 0; options.top < 12; options.top++) {
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
	check_golden(&sink_folded, "tests/data/report.folded");
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
	static const char *const empty[] = { "objects", "connections", "evictors", "page_cache",
					     "advice" };
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
		cmocka_unit_test(test_golden_text),   cmocka_unit_test(test_golden_json),
		cmocka_unit_test(test_golden_folded), cmocka_unit_test(test_registry),
		cmocka_unit_test(test_text_lines),    cmocka_unit_test(test_text_place),
		cmocka_unit_test(test_text_lengths),  cmocka_unit_test(test_folded_sum),
		cmocka_unit_test(test_json_sums),     cmocka_unit_test(test_stall_unknown),
		cmocka_unit_test(test_filter),	      cmocka_unit_test(test_later),
		cmocka_unit_test(test_no_faults),     cmocka_unit_test(test_write_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
