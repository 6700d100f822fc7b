/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Recordings. A run that is made up here goes two ways, straight into a profile and through a file;
 * what every sink prints of the two has to be the same. Then the file is cut off, changed, and
 * written by versions to come.
 */
#include "recordlab.h"

#include <errno.h>
#include <lzma.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <zlib.h>

#include "base/bytes.h"

static char path[] = "/tmp/faultprof-unit.XXXXXX";

/* ---- the program: this one ---- */

static int first(void **state)
{
	return *state != NULL;
}

static int second(void **state)
{
	return *state == NULL;
}

static struct program program;

static uint64_t offset_of(int (*function)(void **))
{
	extern const char __executable_start[];

	return (uint64_t)((const char *)function - __executable_start);
}

static void find_program(void)
{
	static char exe[4096];
	struct stat st;

	assert_int_equal(stat("/proc/self/exe", &st), 0);
	assert_true(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	program = (struct program){
		exe, exe, st.st_dev, st.st_ino, offset_of(first), offset_of(second)
	};
}

/* ---- there and back ---- */

/* Errors are told on standard error: not here. */
static int replay(struct replay *ret, const struct options *options)
{
	int err = dup(2), r;

	assert_non_null(freopen("/dev/null", "w", stderr));
	r = replay_open(ret, path, options, NULL, NULL);
	if (r >= 0 && replay_complete(ret))
		r = -ENOMEM;
	fflush(stderr);
	dup2(err, 2);
	close(err);
	return r;
}

static void same_reports(uint32_t kinds, bool stacks)
{
	for (unsigned int i = 0; sink_at(i); i++) {
		struct options options = options_for(sink_at(i));
		struct replay replayed;
		struct run run;
		size_t live_size, later_size;
		char *live, *later;

		run_begin(&run, &program, NULL);
		run.keeper.kinds = options.kinds = kinds;
		run.keeper.stacks = options.stacks = stacks;
		happen(&run);
		complete(&run);
		live = print(&run.profile, sink_at(i), stacks, &live_size);
		assert_int_equal(replay(&replayed, &options), 0);
		later = print(&replayed.profile, sink_at(i), stacks, &later_size);
		assert_true(live_size > 100);
		assert_int_equal(live_size, later_size);
		assert_memory_equal(live, later, live_size);
		assert_true(i || strstr(live, "second"));
		free(live);
		free(later);
		replay_release(&replayed);
		run_end(&run);
	}
}

static int count_fault(void *arg, const struct fault *fault, const struct object_answer *answer)
{
	int64_t *n = arg;

	(void)answer;
	*n += fault->site ? faults_of(fault->site) : 1;
	return 0;
}

/* The faults in it, or an error. */
static int64_t count_faults(enum recording_state *state)
{
	int64_t n = 0;
	const struct recording_visitor visitor = { .arg = &n, .fault = count_fault };
	struct recording recording;
	int r = recording_read(path, &visitor, &recording);

	if (!r)
		*state = recording.state;
	recording_release(&recording);
	return r ? r : n;
}

static void record(void)
{
	struct run run;

	run_begin(&run, &program, path);
	happen(&run);
	run_end(&run);
}

static void test_same_report(void **state)
{
	(void)state;
	record();
	same_reports(how.kinds, true);
	same_reports(how.kinds, false);
	same_reports(1U << FP_SWAP_IN | 1U << FP_COW, true);
}

/* ---- files that are not whole ---- */

struct file {
	uint8_t *data;
	size_t size;
};

static struct file file_read(void)
{
	struct file file = { 0 };
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0 && !fstat(fd, &st));
	file.size = (size_t)st.st_size;
	file.data = malloc(file.size);
	assert_int_equal(read(fd, file.data, file.size), file.size);
	close(fd);
	return file;
}

static void file_write(const uint8_t *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), size);
	close(fd);
}

static void test_cut_anywhere(void **state)
{
	enum recording_state is = RECORDING_WHOLE;
	struct file file;
	struct run run;
	unsigned int t = 0;
	int64_t n;

	(void)state;
	run_begin(&run, &program, path);
	happen(&run);
	run_end(&run);
	file = file_read();
	assert_int_equal(file.size, run.whole[NR_TICKS]);
	for (size_t size = 0; size <= file.size; size++) {
		file_write(file.data, size);
		while (t <= NR_TICKS && size >= (size_t)run.whole[t])
			t++;
		n = count_faults(&is);
		if (n < 0)
			assert_int_equal(n, -EBADMSG);
		assert_true(n >= 0 || !t);
		assert_true(n < 0 || n == (t ? run.faults[t - 1] : 0));
		assert_int_equal(is, t > NR_TICKS ? RECORDING_WHOLE : t ? RECORDING_CUT : is);
	}
	assert_int_equal(is, RECORDING_WHOLE);
	free(file.data);
}

static void test_growing(void **state)
{
	enum recording_state is = RECORDING_WHOLE;
	struct run run;

	(void)state;
	run_begin(&run, &program, path);
	assert_int_equal(count_faults(&is), 0);
	assert_int_equal(is, RECORDING_GROWING);
	one_by_one(&run, 1);
	tick(&run, 0);
	assert_int_equal(count_faults(&is), 1);
	assert_int_equal(is, RECORDING_GROWING);
	run_end(&run);
	assert_int_equal(count_faults(&is), 1);
	assert_int_equal(is, RECORDING_CUT);
}

/* What goes out within an interval because there is much of it. */
static void test_long_interval(void **state)
{
	const struct recording_visitor nobody = { 0 };
	struct recording recording;
	struct run run;

	(void)state;
	run_begin(&run, &program, path);
	for (unsigned int i = 0; i < 4000; i++)
		one_by_one(&run, i);
	assert_int_equal(recording_read(path, &nobody, &recording), 0);
	assert_true(recording.end_ns > BEGIN + SECOND);
	recording_release(&recording);
	run_end(&run);
}

static void test_damaged(void **state)
{
	enum recording_state is = RECORDING_WHOLE;
	struct file file;
	struct run run;

	(void)state;
	run_begin(&run, &program, path);
	happen(&run);
	file = file_read();
	file.data[run.whole[1] + 20] ^= 0x10;
	file_write(file.data, file.size);
	assert_int_equal(count_faults(&is), run.faults[1]);
	assert_int_equal(is, RECORDING_DAMAGED);
	free(file.data);
	run_end(&run);
}

/* A full disk: the chunk that did not fit is gone, and those before it stay. */
static void test_full(void **state)
{
	enum recording_state is = RECORDING_WHOLE;
	struct rlimit limit, old;
	struct run run;
	int r = 0;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	run_begin(&run, &program, path);
	tick(&run, 0);
	one_by_one(&run, 1);
	tick(&run, 1);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = (struct rlimit){ (rlim_t)run.whole[1] + 10, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	r = recording_warning(run.writer, "one more");
	if (!r)
		r = recording_tick(run.writer, BEGIN + 9 * SECOND, &run.counts, true);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(r, -EFBIG);
	assert_int_equal(lseek(run.fd, 0, SEEK_END), run.whole[1]);
	assert_int_equal(recording_tick(run.writer, BEGIN + 9 * SECOND, &run.counts, true), -EFBIG);
	assert_int_equal(lseek(run.fd, 0, SEEK_END), run.whole[1]);
	run_end(&run);
	assert_int_equal(count_faults(&is), 1);
	assert_int_equal(is, RECORDING_CUT);
}

/* ---- files that somebody else wrote ---- */

static void put_le32(uint8_t *to, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		to[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t get_le32(const uint8_t *from)
{
	return from[0] | from[1] << 8 | from[2] << 16 | (uint32_t)from[3] << 24;
}

static void test_refused(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
		int error;
	} heads[] = {
		{ 0, 'F', -EBADMSG },
		{ 8, RECORDING_VERSION + 1, -ENOTSUP },
		{ 10, RECORDING_MACHINE + 1, -ENOEXEC },
	};
	uint8_t empty[RECORDING_HEAD_BYTES] = { 0 };
	struct recording_visitor nobody = { 0 };
	enum recording_state is = RECORDING_WHOLE;
	struct recording recording;
	struct file file;

	(void)state;
	record();
	file = file_read();
	for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++) {
		uint8_t was = file.data[heads[i].at];

		file.data[heads[i].at] = heads[i].value;
		put_le32(file.data + 12, lzma_crc32(file.data, 12, 0));
		file_write(file.data, file.size);
		assert_int_equal(count_faults(&is), heads[i].error);
		file.data[heads[i].at] = was;
	}
	file.data[12] ^= 1;
	file_write(file.data, file.size);
	assert_int_equal(count_faults(&is), -EBADMSG);
	file_write(empty, sizeof(empty));
	assert_int_equal(count_faults(&is), -EBADMSG);
	free(file.data);
	assert_int_equal(recording_read("/tmp", &nobody, &recording), -EISDIR);
	recording_release(&recording);
	assert_int_equal(recording_read("/tmp/no/such", &nobody, &recording), -ENOENT);
	recording_release(&recording);
}

/* The records of a file, unpacked. */
static struct file unpack(const struct file *file)
{
	struct file plain = { malloc(1 << 20), 0 };

	for (size_t at = RECORDING_HEAD_BYTES; at < file->size;) {
		uint32_t nr = get_le32(file->data + at), wanted = get_le32(file->data + at + 4);
		uLongf got = wanted;

		at += RECORDING_CHUNK_HEAD_BYTES;
		if (nr == wanted)
			memcpy(plain.data + plain.size, file->data + at, nr);
		else
			assert_int_equal(
				uncompress(plain.data + plain.size, &got, file->data + at, nr),
				Z_OK);
		plain.size += wanted;
		at += nr;
	}
	return plain;
}

/* As one chunk, whose checksum is right. */
static void write_plain(const uint8_t *plain, size_t size)
{
	uint8_t *data = malloc(RECORDING_HEAD_BYTES + RECORDING_CHUNK_HEAD_BYTES + size);
	uint8_t *chunk = data + RECORDING_HEAD_BYTES;

	memcpy(data, RECORDING_MAGIC, 8);
	put_le32(data + 8, RECORDING_MACHINE << 16 | RECORDING_VERSION);
	put_le32(data + 12, lzma_crc32(data, 12, 0));
	put_le32(chunk, (uint32_t)size);
	put_le32(chunk + 4, (uint32_t)size);
	memcpy(chunk + RECORDING_CHUNK_HEAD_BYTES, plain, size);
	put_le32(chunk + 8, lzma_crc32(plain, size, lzma_crc32(chunk, 8, 0)));
	file_write(data, RECORDING_HEAD_BYTES + RECORDING_CHUNK_HEAD_BYTES + size);
	free(data);
}

static size_t number_at(const struct file *file, size_t *at)
{
	struct cursor cursor = { file->data + *at, file->data + file->size, false };
	size_t value = cursor_number(&cursor);

	assert_false(cursor.bad);
	*at = (size_t)(cursor.at - file->data);
	return value;
}

/* Packed bytes that are damaged are hard to unpack; these are damaged so that they mean something
 * else. */
static void test_checksum(void **state)
{
	enum recording_state is = RECORDING_WHOLE;
	struct file file, plain;

	(void)state;
	record();
	file = file_read();
	plain = unpack(&file);
	write_plain(plain.data, plain.size);
	free(file.data);
	assert_true(count_faults(&is) > 0);
	assert_int_equal(is, RECORDING_WHOLE);
	file = file_read();
	file.data[file.size - 1]++;
	file_write(file.data, file.size);
	assert_int_equal(count_faults(&is), -EBADMSG);
	free(file.data);
	free(plain.data);
}

/* What leads out of a table, behind a good beginning. */
static void test_out_of_bounds(void **state)
{
	static const struct {
		uint8_t type, size, body[10];
	} bad[] = {
		{ RECORDING_COUNTED, 5, { 0, 0, 0, 0, 0 } },
		{ RECORDING_COUNTED, 6, { 0xff, 0x7f, 0, 0, 0, 0 } },
		{ RECORDING_COUNTED, 8, { 1, 0, 0, 0, 1, 3, 0x80 | (FP_STALL_BUCKETS & 0x7f), 1 } },
		{ RECORDING_COUNTED, 8, { 1, 0, 0, 0, 0xff, 0x7f, 2, 2 } },
		{ RECORDING_STACK, 1, { FP_MAX_FRAMES + 1 } },
		{ RECORDING_SITE, 4, { 2, 0, 0, 4 } },
		{ RECORDING_SITE, 4, { 2, FP_NR_KINDS, 0, 0 } },
		{ RECORDING_SITE, 4, { 2, FP_NR_ACCESSES << 4, 0, 0 } },
		{ RECORDING_SITE, 4, { 99, 0, 0, 0 } },
		{ RECORDING_KIND, 4, { 0xff, 0x7f, 1, 0 } },
		{ RECORDING_KIND, 3, { 0, 1, 0 } },
		{ RECORDING_CONNECTION, 6, { 1, 1, 1, 0xff, 0x7f, 0 } },
		{ RECORDING_REGION, 8, { 99, 1, 1, 0, 0, 0, 0, 0 } },
		{ RECORDING_IMAGE, 4, { 5, 1, 1, 99 } },
		{ RECORDING_LIVE, 4, { 1, 0xff, 0x7f, 0 } },
		{ RECORDING_RUN, 4, { 1, 1, 1, 1 } },
		{ RECORDING_WARNING, 2, { 0xff, 0x7f } },
	};
	enum recording_state is = RECORDING_WHOLE;
	struct file file, plain;
	struct run run;

	(void)state;
	run_begin(&run, &program, path);
	one_by_one(&run, 1);
	counted(&run, 1);
	tick(&run, 0);
	run_end(&run);
	file = file_read();
	plain = unpack(&file);
	plain.data = realloc(plain.data, plain.size + sizeof(bad[0]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		memcpy(plain.data + plain.size, &bad[i], sizeof(bad[i]));
		write_plain(plain.data, plain.size + 2 + bad[i].size);
		assert_true(count_faults(&is) > 0);
		assert_int_equal(is, RECORDING_DAMAGED);
	}
	free(file.data);
	free(plain.data);
}

/* A writer to come knows more types of records, and more of each. */
static void test_later_writer(void **state)
{
	const struct options options = options_for(sink_at(0));
	struct replay now, then;
	struct bytes more = { 0 };
	struct file file, plain;
	size_t nr_a, nr_b;
	char *a, *b;

	(void)state;
	record();
	assert_int_equal(replay(&now, &options), 0);
	file = file_read();
	plain = unpack(&file);
	for (size_t at = 0; at < plain.size;) {
		size_t type = number_at(&plain, &at), size = number_at(&plain, &at);

		bytes_number(&more, 1000 + at);
		bytes_number(&more, 3);
		bytes_put(&more, "new", 3);
		bytes_number(&more, type);
		bytes_number(&more, type == RECORDING_TEXT ? size : size + 2);
		bytes_put(&more, plain.data + at, size);
		bytes_put(&more, "\x80\x01", type == RECORDING_TEXT ? 0 : 2);
		at += size;
	}
	write_plain(more.data, more.nr);
	assert_int_equal(replay(&then, &options), 0);
	a = print(&now.profile, options.sink, true, &nr_a);
	b = print(&then.profile, options.sink, true, &nr_b);
	assert_string_equal(a, b);
	free(a);
	free(b);
	free(file.data);
	free(plain.data);
	bytes_release(&more);
	replay_release(&now);
	replay_release(&then);
}

static uint32_t random_state = 1;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525 + 1013904223;
	return (random_state >> 8) % n;
}

/* Checksums do not keep anybody from writing what they want. */
static void test_hostile(void **state)
{
	enum { ROUNDS = 600 };
	static const uint8_t worst[] = { 0, 1, 0x7f, 0x80, 0xff };
	struct file file, plain;
	unsigned int reported = 0, nr_sinks = 0;

	(void)state;
	while (sink_at(nr_sinks))
		nr_sinks++;
	record();
	file = file_read();
	plain = unpack(&file);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		const struct options options = options_for(sink_at(round % nr_sinks));
		uint8_t *changed = malloc(plain.size);
		struct replay replayed;
		size_t size = plain.size, printed;

		memcpy(changed, plain.data, plain.size);
		for (unsigned int i = 0; i <= round % 3; i++)
			changed[random_below((uint32_t)size)] =
				round % 2 ? worst[random_below(sizeof(worst))]
					  : (uint8_t)random_below(256);
		if (round % 7 == 6)
			size = random_below((uint32_t)size);
		write_plain(changed, size);
		if (replay(&replayed, &options) >= 0) {
			free(print(&replayed.profile, options.sink, true, &printed));
			reported++;
		}
		replay_release(&replayed);
		free(changed);
	}
	assert_true(reported > ROUNDS / 4);
	free(file.data);
	free(plain.data);
}

/* ---- its size ---- */

/* What a fault takes whose stack, site, kind of object and connection were told before. */
static void test_size(void **state)
{
	enum { NR = 2000 };
	struct run run;
	off_t before;

	(void)state;
	run_begin(&run, &program, path);
	tick(&run, 0);
	before = run.whole[0];
	for (unsigned int i = 0; i < NR; i++)
		counted(&run, i);
	tick(&run, 1);
	assert_in_range(run.whole[1] - before, NR, NR * 32);
	before = run.whole[1];
	for (unsigned int i = 0; i < NR; i++)
		one_by_one(&run, i);
	tick(&run, 2);
	assert_in_range(run.whole[2] - before, NR, NR * 256);
	run_end(&run);
}

static int make_path(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	find_program();
	close(fd);
	return fd < 0;
}

static int remove_path(void **state)
{
	(void)state;
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_report), cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_growing),	    cmocka_unit_test(test_long_interval),
		cmocka_unit_test(test_checksum),    cmocka_unit_test(test_out_of_bounds),
		cmocka_unit_test(test_damaged),	    cmocka_unit_test(test_full),
		cmocka_unit_test(test_refused),	    cmocka_unit_test(test_later_writer),
		cmocka_unit_test(test_hostile),	    cmocka_unit_test(test_size),
	};

	return cmocka_run_group_tests(tests, make_path, remove_path);
}
