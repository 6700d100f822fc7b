/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The formats that other programs read, against golden files, and what holds of each. Whether those
 * programs read them is for tests/live/test_formats.py.
 */
#include "reportlab.h"

#include "sink/proto.h"

static void test_golden(void **unused)
{
	static const struct {
		const struct sink *sink;
		const char *path;
	} files[] = {
		{ &sink_csv, "tests/data/report.csv" },
		{ &sink_speedscope, "tests/data/report.speedscope.json" },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		check_golden(files[i].sink, files[i].path, build_dated, &everything);
}

/* The page is as it stands in the tree, with the data in it. */
static void test_golden_flamegraph(void **unused)
{
	static const char mark[] = "@DATA@", path[] = "tests/data/report.flamegraph.json";
	struct profile p;
	size_t head, tail, size;
	char *page = read_file("src/sink/flamegraph.html", &size), *at, *html;

	(void)unused;
	at = strstr(page, mark);
	assert_non_null(at);
	head = (size_t)(at - page);
	tail = strlen(at + strlen(mark));
	build_dated(&p);
	html = render(&sink_flamegraph, &p, &everything);
	assert_true(strlen(html) > head + tail);
	assert_memory_equal(html, page, head);
	assert_string_equal(html + strlen(html) - tail, at + strlen(mark));
	html[strlen(html) - tail] = '\0';
	assert_null(strchr(html + head, '<'));
	match_golden(path, html + head, strlen(html + head));
	free(page);
	free(html);
	profile_release(&p);
}

/* zlib's own versions compress differently; what is in there is what counts. To be freed. */
static char *unzip(const char *bytes, size_t nr, size_t *size)
{
	z_stream stream = { .next_in = (z_const Bytef *)bytes, .avail_in = (uInt)nr };
	char *text = malloc(1 << 20);

	assert_non_null(text);
	stream.next_out = (Bytef *)text;
	stream.avail_out = 1 << 20;
	assert_int_equal(inflateInit2(&stream, MAX_WBITS + 16), Z_OK);
	assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
	assert_int_equal(stream.avail_in, 0);
	*size = stream.total_out;
	inflateEnd(&stream);
	return text;
}

static void test_golden_pprof(void **unused)
{
	struct profile p;
	size_t size, zipped;
	char *gz, *text;

	(void)unused;
	build_dated(&p);
	gz = render_bytes(&sink_pprof, &p, &everything, &zipped);
	text = unzip(gz, zipped, &size);
	match_golden("tests/data/report.pb", text, size);
	free(gz);
	free(text);
	profile_release(&p);
}

/* The encoding as its documentation has it: 150 is 96 01, a string of field 2 begins with 12. */
static void test_wire(void **unused)
{
	static const struct {
		uint64_t value;
		const char *bytes;
	} numbers[] = {
		{ 0, "" },
		{ 1, "\x08\x01" },
		{ 127, "\x08\x7f" },
		{ 128, "\x08\x80\x01" },
		{ 150, "\x08\x96\x01" },
		{ 16384, "\x08\x80\x80\x01" },
		{ UINT64_MAX, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" },
	};
	static const uint64_t list[] = { 3, 270, 86942 };
	struct message message = { 0 };

	(void)unused;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		put_number(&message, 1, numbers[i].value);
		assert_int_equal(message.nr, strlen(numbers[i].bytes));
		assert_memory_equal(message.data, numbers[i].bytes, message.nr);
		message_clear(&message);
	}
	put_bytes(&message, 2, "testing", 7);
	put_numbers(&message, 6, list, 3);
	put_number(&message, 16, 1);
	assert_int_equal(message.nr, 9 + 8 + 3);
	assert_memory_equal(message.data,
			    "\x12\x07testing"
			    "\x32\x06\x03\x8e\x02\x9e\xa7\x05"
			    "\x80\x01\x01",
			    message.nr);
	assert_false(message.failed);
	message_release(&message);
}

/* No byte of a name steers a terminal, breaks a row, or ends a string too early. */
static void test_csv_hostile(void **unused)
{
	struct frame frame = { .function = "a\"b,c\nd\r\033[2J\xff", .module = "m", .file = "\"" };
	struct resolved_fault fault = { .frames = &frame, .nr_frames = 1, .comm = ",", .via = "" };
	struct profile p;
	char *text, *row;

	(void)unused;
	assert_int_equal(profile_init(&p), 0);
	add(&p, fault, 1, 7);
	profile_finish(&p);
	text = render(&sink_csv, &p, &everything);
	row = strchr(text, '\n') + 1;
	assert_string_equal(row,
			    "\",\",m,\"a\"\"b,c?d??[2J?\",\"\"\"\",,,user,,swap-in,1,,,,,,,,,,,"
			    "0.000,1,0\n");
	free(text);
	profile_release(&p);
}

/* A run without faults is a report as well. */
static void test_no_faults(void **unused)
{
	struct profile p;
	char *text;

	(void)unused;
	assert_int_equal(profile_init(&p), 0);
	p.stall_known = true;
	profile_finish(&p);
	text = render(&sink_csv, &p, &everything);
	assert_non_null(strstr(text, ",run_lost\n"));
	assert_int_equal(strlen(strchr(text, '\n')), 1);
	free(text);
	text = render(&sink_speedscope, &p, &everything);
	assert_non_null(strstr(text, "\"endValue\":0,\n \"samples\":[],\n \"weights\":[]}"));
	free(text);
	text = render(&sink_flamegraph, &p, &everything);
	assert_non_null(strstr(text, "\"samples\":[]}</script>"));
	free(text);
	profile_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),	     cmocka_unit_test(test_golden_flamegraph),
		cmocka_unit_test(test_golden_pprof), cmocka_unit_test(test_csv_hostile),
		cmocka_unit_test(test_no_faults),    cmocka_unit_test(test_wire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
