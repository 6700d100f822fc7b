/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A recording that was stored: later versions still read it, and every sink prints of it what it
 * did. UPDATE_GOLDEN=1 writes the outputs anew, and the recording when it is not there: without it,
 * a change of the format that old readers or old files do not stand would go unseen.
 */
#include "recordlab.h"

#include <zlib.h>

#define PLACE "tests/data/recorded/"
#define RECORDING PLACE "run.fp"

static const struct program proxy = {
	.file = PLACE ".build-id/01/0a7e16d813ebd39f77d0023e2b891dddb87f47",
	.path = "/opt/proxy/sbin/proxy",
	.device = 0x801,
	.inode = 4711,
	.first = 0x157,	 /* in h1_send() */
	.second = 0x1a8, /* where h1_send() returns to in process_stream() */
};

static bool updating(void)
{
	const char *update = getenv("UPDATE_GOLDEN");

	return update && *update;
}

static int record_once(void **state)
{
	struct run run;

	(void)state;
	if (!updating() || !access(RECORDING, F_OK))
		return 0;
	run_begin(&run, &proxy, RECORDING);
	happen(&run);
	run_end(&run);
	return 0;
}

/* How well something is packed may differ from one zlib to the next. */
static char *unpacked(char *text, size_t *size)
{
	z_stream stream = { .next_in = (Bytef *)text, .avail_in = (uInt)*size };
	char *plain;

	if (*size < 2 || memcmp(text, "\x1f\x8b", 2))
		return text;
	plain = malloc(1 << 20);
	stream.next_out = (Bytef *)plain;
	stream.avail_out = 1 << 20;
	assert_int_equal(inflateInit2(&stream, 16 + MAX_WBITS), Z_OK);
	assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
	*size = stream.total_out;
	inflateEnd(&stream);
	free(text);
	return plain;
}

static void same_as_golden(const char *name, const char *text, size_t size)
{
	char path[256], *want;
	struct stat st;
	FILE *file;

	snprintf(path, sizeof(path), PLACE "report.%s", name);
	file = fopen(path, updating() ? "w+" : "r");
	assert_non_null(file);
	if (updating())
		assert_int_equal(fwrite(text, 1, size, file), size);
	rewind(file);
	assert_int_equal(fstat(fileno(file), &st), 0);
	assert_int_equal(st.st_size, size);
	want = malloc(size);
	assert_int_equal(fread(want, 1, size, file), size);
	fclose(file);
	assert_memory_equal(text, want, size);
	free(want);
}

static void test_outputs(void **state)
{
	(void)state;
	for (unsigned int i = 0; sink_at(i); i++) {
		const struct options options = options_for(sink_at(i));
		struct replay replay;
		size_t size;
		char *text;

		assert_int_equal(replay_open(&replay, RECORDING, &options, NULL, NULL), 0);
		assert_int_equal(replay_complete(&replay), 0);
		text = unpacked(print(&replay.profile, sink_at(i), true, &size), &size);
		same_as_golden(sink_at(i)->name, text, size);
		free(text);
		replay_release(&replay);
	}
}

/* The golden files prove nothing when no name is in them. */
static void test_names(void **state)
{
	const struct options options = options_for(sink_at(0));
	struct replay replay;
	bool found = false;

	(void)state;
	assert_int_equal(replay_open(&replay, RECORDING, &options, NULL, NULL), 0);
	assert_int_equal(replay_complete(&replay), 0);
	for (size_t i = 0; i < replay.profile.nr_symbols; i++) {
		const struct profile_symbol *symbol = replay.profile.symbols[i];

		found |= !strcmp(symbol->symbol, "h1_send") && symbol->file &&
			 !strcmp(symbol->file, "/src/program.c") && symbol->line == 15;
	}
	assert_true(found);
	assert_string_equal(replay.profile.targets[0].build_id,
			    "010a7e16d813ebd39f77d0023e2b891dddb87f47");
	replay_release(&replay);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outputs),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, record_once, NULL);
}
