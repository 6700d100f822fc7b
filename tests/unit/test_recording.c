/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Recordings. A run that is made up here goes two ways, straight into a profile and through a file;
 * what every sink prints of the two has to be the same. Then the file is cut off, changed, and
 * written by versions to come.
 */
#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "base/bytes.h"
#include "collect/recording_write.h"
#include "session_profile.h"
#include "session_replay.h"

#define BEGIN 5000000000000ULL
#define SECOND 1000000000ULL
#define CODE 0x400000ULL /* where the program's file is mapped */
#define NR_TICKS 4

static char path[] = "/tmp/faultprof-unit.XXXXXX";

/* ---- a run ---- */

struct run {
	struct recording_writer *writer; /* NULL: nothing is recorded */
	struct keeper keeper;
	struct tally tally;
	struct profile profile;
	struct binary_table binaries;
	struct symbolizer *symbolizer;
	struct image *program, *child, *unknown;
	struct collect_counts counts;
	struct pid_list added;
	off_t whole[NR_TICKS + 1];    /* where the file ended after each tick, */
	int64_t faults[NR_TICKS + 1]; /* and the faults that were told until then */
	int64_t told;
	int fd;
};

static const char *build_id_of(void *arg, const struct binary *binary)
{
	return symbolizer_build_id(arg, binary);
}

static const struct recording_run how = {
	.version = "0.0.0",
	.system = "Linux",
	.release = "6.0",
	.machine = "x86_64",
	.node = "here",
	.tier = TIER_TRACEPOINT,
	.description = "tracepoint (for a test)",
	.kinds = (1U << FP_NR_KINDS) - 1,
	.modes = (1U << FP_NR_MODES) - 1,
	.stacks = true,
	.slow_ns = 1000000,
	.begin_ns = BEGIN,
	.wall_ns = 1,
};

/* The program is this one: it has names. */
static void map_program(struct run *run)
{
	struct region region = { .start = CODE, .end = CODE + (64 << 20), .exec = true };
	struct stat st;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	char exe[4096] = "";

	assert_true(fd >= 0 && !fstat(fd, &st));
	assert_true(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	region.binary = binary_get(&run->binaries, st.st_dev, st.st_ino, exe);
	assert_non_null(region.binary);
	region.binary->fd = fd;
	run->program = image_new(2, 100, "proxy");
	run->child = image_new(3, 101, "worker");
	run->unknown = image_new(0, 0, "[unknown]");
	assert_true(run->program && run->child && run->unknown);
	run->program->own = region.binary;
	assert_int_equal(image_add_region(run->program, &region), 0);
	snprintf(region.name, sizeof(region.name), "[heap]");
	region = (struct region){ .start = 0x10000, .end = 0x20000, .born_ns = BEGIN + 7 };
	assert_int_equal(image_add_region(run->program, &region), 0);
	run->child->next = run->program;
}

static void run_begin(struct run *run, const char *file)
{
	const uint64_t none[FP_NR_LOSSES] = { [FP_LOSS_START] = 2 };

	memset(run, 0, sizeof(*run));
	run->fd = -1;
	assert_int_equal(profile_init(&run->profile), 0);
	assert_int_equal(symbolizer_new(&run->symbolizer), 0);
	run->keeper = (struct keeper){ .kinds = how.kinds,
				       .modes = how.modes,
				       .stacks = true,
				       .slow_ns = how.slow_ns,
				       .tally = &run->tally,
				       .profile = &run->profile };
	run->profile.begin_ns = BEGIN;
	run->counts = (struct collect_counts){
		.failed = 1, .kernel_seen = true, .access_known = true, .stall_known = true
	};
	memcpy(run->counts.lost, none, sizeof(none));
	map_program(run);
	if (!file)
		return;
	run->fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(run->fd >= 0);
	assert_int_equal(recording_begin(run->fd, &how, build_id_of, run->symbolizer, &run->writer),
			 0);
}

static void run_end(struct run *run)
{
	recording_free(run->writer);
	if (run->fd >= 0)
		close(run->fd);
	symbolizer_free(run->symbolizer);
	tally_release(&run->tally);
	profile_release(&run->profile);
	image_free(run->program);
	image_free(run->child);
	image_free(run->unknown);
	binary_table_release(&run->binaries);
	pid_list_release(&run->added);
}

static int64_t faults_of(const struct fp_site_value *site)
{
	int64_t n = (int64_t)site->untimed;

	for (unsigned int i = 0; i < FP_STALL_BUCKETS; i++)
		n += site->bucket[i];
	return n;
}

static void tell(struct run *run, const struct fault *fault, const struct object_answer *answer)
{
	if (run->writer) {
		assert_int_equal(recording_images(run->writer, run->child, false), 0);
		assert_int_equal(recording_fault(run->writer, fault, answer), 0);
	}
	if (keeper_wants(&run->keeper, fault))
		assert_int_equal(keeper_add(&run->keeper, fault, answer), 0);
	run->told += fault->site ? faults_of(fault->site) : 1;
}

static void tick(struct run *run, unsigned int i)
{
	run->counts.faults += 10;
	if (run->writer) {
		assert_int_equal(recording_images(run->writer, run->child, true), 0);
		assert_int_equal(recording_tick(run->writer, BEGIN + (i + 1) * SECOND, &run->counts,
						i == NR_TICKS),
				 0);
		run->whole[i] = lseek(run->fd, 0, SEEK_END);
	}
	run->faults[i] = run->told;
	run->profile.end_ns = BEGIN + (i + 1) * SECOND;
}

/* ---- what happens in it ---- */

static uint64_t code(int (*function)(void **))
{
	extern const char __executable_start[];

	return CODE + (uint64_t)((const char *)function - __executable_start);
}

static int first(void **state)
{
	return *state != NULL;
}

static int second(void **state)
{
	return *state == NULL;
}

/* What the @i-th fault hit: all that can be said of one, over the run. */
static struct object_answer answer_of(unsigned int i, const struct fault *fault,
				      struct fp_object *object, struct fp_connection *connection)
{
	struct object_answer answer = { .asked = i % 11 != 0,
					.outcome = (enum object_outcome)(i % 4 < 2 ? 0 : i % 4 - 1),
					.provider = i % 3 ? "haproxy" : "mapping",
					.swapped_ns = i % 5 ? 0 : 123456789 + i,
					.swapped_resolution_ns = i % 5 ? 0 : 1000 };

	*connection = (struct fp_connection){
		.id = 1000 + i % 6,
		.born_ns = i % 6 ? BEGIN - (i % 6) * 100 * SECOND : 0,
		.resolution_ns = 1000000,
		.used_ns = i % 7 ? fault->time_ns - i * SECOND : 0,
		.waiting_bytes = i % 2 ? i : UINT64_MAX,
		.frontend = i % 6 ? "front" : NULL,
		.backend = i % 2 ? "back" : NULL,
	};
	if (i % 6 < 4)
		snprintf(connection->peer, sizeof(connection->peer), "192.0.2.%u:4711", i % 6);
	*object = (struct fp_object){ .type = i % 2 ? "buffer" : "stream",
				      .pool = i % 3 ? "pool" : NULL,
				      .base = fault->address - i,
				      .size = 16384,
				      .age_source = (enum fp_age_source)(i % 4),
				      .born_ns = i % 4 ? fault->time_ns - i * SECOND : 0,
				      .resolution_ns = i % 2,
				      .used_ns = i % 3 ? fault->time_ns : fault->time_ns - 1,
				      .connection = i % 5 ? connection : NULL };
	answer.object = answer.outcome == OBJECT_FOUND ? object : NULL;
	return answer;
}

static void one_by_one(struct run *run, unsigned int i)
{
	const uint64_t ips[] = { i % 3 ? code(first) : 0xffffffff81000000, code(second) + i % 2,
				 code(first) + 4, 0x10000 };
	struct fault fault = { .time_ns = BEGIN + i * 7000001ULL,
			       .address = 0x7f0000000000 + (i * 7919 % 1000) * 4096,
			       .stall_ns = i % 9 ? 1000 * i : 0,
			       .pid = i % 8 ? 100 : 101,
			       .tid = 100 + i % 3,
			       .kind = (enum fp_kind)(i % FP_NR_KINDS),
			       .access = (enum fp_access)(i % FP_NR_ACCESSES),
			       .mode = i % 3 ? FP_USER : FP_KERNEL,
			       .major = i % 2,
			       .image = i % 13 == 12 ? run->unknown
					: i % 8	     ? run->program
						     : run->child,
			       .ips = ips,
			       .nr_ips = i % 5,
			       .stack_end = (enum fp_stack_end)(i % 5) };
	struct fp_connection connection;
	struct fp_object object;
	struct object_answer answer = answer_of(i, &fault, &object, &connection);

	tell(run, &fault, &answer);
}

static void counted(struct run *run, unsigned int i)
{
	struct fp_site_value value = { .untimed = i % 3, .total_ns = 5000 * i, .max_ns = 900 * i };
	const uint64_t ips[] = { code(first) + i % 4, i % 2 ? code(second) : 0,
				 i % 2 ? code(second) + 8 : 0 };
	struct fault fault = { .kind = i % 2 ? FP_ZERO : FP_COW,
			       .mode = i % 2 ? FP_KERNEL : FP_USER,
			       .image = run->program,
			       .site = &value,
			       .ips = ips,
			       .nr_ips = i % 7 ? 3 : 0 };

	for (unsigned int k = 0; k < i % 6; k++)
		value.bucket[(i * 37 + k * 11) % FP_STALL_BUCKETS] += k + 1;
	tell(run, &fault, NULL);
}

static void lives(struct run *run, unsigned int i)
{
	struct fp_connection connection = { .id = 1000 + i / 3,
					    .born_ns = BEGIN - i / 3 * 100 * SECOND };
	struct fp_object object = { .type = i % 2 ? "buffer" : "stream",
				    .pool = i % 3 ? "pool" : NULL,
				    .base = 0x600000000000 + i * 64,
				    .size = 64 + i % 2,
				    .age_source = (enum fp_age_source)(i % 3),
				    .born_ns = i % 3 ? BEGIN - i * SECOND : 0,
				    .connection = i % 4 ? &connection : NULL };
	uint64_t now = BEGIN + NR_TICKS * SECOND + i / 10;

	if (run->writer)
		assert_int_equal(recording_live(run->writer, 100, "haproxy", &object, now, 64, i),
				 0);
	assert_int_equal(
		profile_add_live_object(&run->profile, 100, "haproxy", &object, now, 64, i), 0);
}

static void targets(struct run *run)
{
	assert_int_equal(
		profile_add_target(&run->profile, 100, "proxy", "/usr/sbin/proxy", NULL, 4), 0);
	assert_int_equal(pid_list_add(&run->added, 100), 0);
	assert_int_equal(profile_set_provider(&run->profile, 100, "haproxy"), 0);
	assert_int_equal(profile_warn(&run->profile, "nothing, \x1b[31m100 %% of it"), 0);
	if (!run->writer)
		return;
	assert_int_equal(recording_target(run->writer, &run->profile.targets[0]), 0);
	assert_int_equal(recording_added(run->writer, 100), 0);
	assert_int_equal(recording_provider(run->writer, 100, "haproxy"), 0);
	assert_int_equal(recording_warning(run->writer, run->profile.warnings[0]), 0);
}

/* A library that is loaded while the run goes on, and one of which the record comes late. */
static void load(struct run *run, unsigned int i)
{
	struct region region = { .start = 0x70000000 + i * 0x10000,
				 .end = 0x70010000 + i * 0x10000,
				 .offset = 4096,
				 .born_ns = BEGIN + (i % 2 ? 10 - i : 10 + i),
				 .exec = true,
				 .shared = i % 2 };

	region.binary = binary_get(&run->binaries, 1, 10 + i, "/lib/not-here.so (deleted)");
	assert_non_null(region.binary);
	assert_int_equal(image_add_region(run->program, &region), 0);
}

static void happen(struct run *run)
{
	targets(run);
	for (unsigned int t = 0; t <= NR_TICKS; t++) {
		for (unsigned int i = t * 16; i < t * 16 + 16; i++) {
			one_by_one(run, i);
			counted(run, i);
		}
		load(run, t);
		for (unsigned int i = 0; t == NR_TICKS && i < 60; i++)
			lives(run, i);
		tick(run, t);
	}
}

/* ---- what is printed ---- */

static struct options options_for(const struct sink *sink)
{
	return (struct options){
		.sink = sink, .kinds = how.kinds, .modes = how.modes, .stacks = true
	};
}

static char *print(const struct profile *profile, const struct sink *sink, bool stacks)
{
	const struct sink_options options = { .stacks = stacks };
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	assert_int_equal(sink->write(profile, &options, out), 0);
	fclose(out);
	return text;
}

static void complete(struct run *run)
{
	const struct finished finished = {
		.tier = how.tier,
		.description = how.description,
		.kinds = run->keeper.kinds,
		.modes = run->keeper.modes,
		.counts = &run->counts,
		.images = run->child,
		.added = &run->added,
		.cut_stacks = run->keeper.cut_stacks,
		.symbolizer = run->symbolizer,
		.tally = &run->tally,
	};

	assert_int_equal(profile_complete(&run->profile, &finished), 0);
}

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
		char *live, *later;

		run_begin(&run, NULL);
		run.keeper.kinds = options.kinds = kinds;
		run.keeper.stacks = options.stacks = stacks;
		happen(&run);
		complete(&run);
		live = print(&run.profile, sink_at(i), stacks);
		assert_int_equal(replay(&replayed, &options), 0);
		later = print(&replayed.profile, sink_at(i), stacks);
		assert_string_equal(live, later);
		assert_non_null(strstr(live, "second"));
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

	run_begin(&run, path);
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
	run_begin(&run, path);
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
	run_begin(&run, path);
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

static void test_damaged(void **state)
{
	enum recording_state is = RECORDING_WHOLE;
	struct file file;
	struct run run;

	(void)state;
	run_begin(&run, path);
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
	run_begin(&run, path);
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

/* A writer to come knows more types of records, and more of each. */
static void test_later_writer(void **state)
{
	const struct options options = options_for(sink_at(0));
	struct replay now, then;
	struct bytes more = { 0 };
	struct file file, plain;
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
	a = print(&now.profile, options.sink, true);
	b = print(&then.profile, options.sink, true);
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
	unsigned int reported = 0;

	(void)state;
	record();
	file = file_read();
	plain = unpack(&file);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		const struct options options = options_for(sink_at(round % 2));
		uint8_t *changed = malloc(plain.size);
		struct replay replayed;
		size_t size = plain.size;

		memcpy(changed, plain.data, plain.size);
		for (unsigned int i = 0; i <= round % 3; i++)
			changed[random_below((uint32_t)size)] =
				round % 2 ? worst[random_below(sizeof(worst))]
					  : (uint8_t)random_below(256);
		if (round % 7 == 6)
			size = random_below((uint32_t)size);
		write_plain(changed, size);
		if (replay(&replayed, &options) >= 0) {
			free(print(&replayed.profile, options.sink, true));
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
	run_begin(&run, path);
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
		cmocka_unit_test(test_same_report),  cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_growing),	     cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_full),	     cmocka_unit_test(test_refused),
		cmocka_unit_test(test_later_writer), cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_size),
	};

	return cmocka_run_group_tests(tests, make_path, remove_path);
}
