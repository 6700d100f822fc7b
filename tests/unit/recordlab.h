/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A run that is made up, with all that can be told of one, for the tests of recordings. It goes
 * into a profile, and into a recording when there is one to be written.
 */
#ifndef TESTS_UNIT_RECORDLAB_H
#define TESTS_UNIT_RECORDLAB_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "collect/recording_write.h"
#include "session_profile.h"
#include "session_replay.h"

#define LAB __attribute__((unused)) static

#define BEGIN 5000000000000ULL
#define SECOND 1000000000ULL
#define CODE 0x400000ULL /* where the program's file is mapped */
#define NR_TICKS 4

/* ---- a run ---- */

struct run {
	struct recording_writer *writer; /* NULL: nothing is recorded */
	struct keeper keeper;
	struct tally tally;
	struct allocation_tally allocations;
	struct profile profile;
	struct binary_table binaries;
	struct symbolizer *symbolizer;
	struct image *program, *child, *other, *unknown; /* other: the youngest */
	struct collect_counts counts;
	struct pid_list added;
	off_t whole[NR_TICKS + 1];    /* where the file ended after each tick, */
	int64_t faults[NR_TICKS + 1]; /* and the faults that were told until then */
	int64_t told;
	uint64_t first, second; /* addresses in the program */
	int fd;
};

LAB const char *build_id_of(void *arg, const struct binary *binary)
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
	.alloc_stacks = true,
	.slow_ns = 1000000,
	.begin_ns = BEGIN,
	.begin_date_ns = 1,
};

/* The program: a file that has names, and two places in its code. */
struct program {
	const char *file; /* where it is now, */
	const char *path; /* and where it was */
	uint64_t device, inode;
	uint64_t first, second; /* offsets in the file */
};

LAB void map_program(struct run *run, const struct program *program)
{
	struct region region = { .start = CODE, .end = CODE + (64 << 20), .exec = true };

	region.binary = binary_get(&run->binaries, program->device, program->inode, program->path);
	assert_non_null(region.binary);
	region.binary->fd = open(program->file, O_RDONLY | O_CLOEXEC);
	assert_true(region.binary->fd >= 0);
	run->first = CODE + program->first;
	run->second = CODE + program->second;
	run->program = image_new(2, 100, "proxy");
	run->child = image_new(3, 101, "worker");
	run->unknown = image_new(0, 0, "[unknown]");
	assert_true(run->program && run->child && run->unknown);
	run->program->own = region.binary;
	assert_int_equal(image_add_region(run->program, &region), 0);
	region = (struct region){ .start = 0x10000, .end = 0x20000, .born_ns = BEGIN + 7 };
	snprintf(region.name, sizeof(region.name), "[heap]");
	assert_int_equal(image_add_region(run->program, &region), 0);
	run->child->next = run->program;
	run->other = image_new(4, 102, "other");
	assert_non_null(run->other);
	run->other->next = run->child;
}

LAB void run_begin(struct run *run, const struct program *program, const char *file)
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
				       .profile = &run->profile,
				       .allocations = &run->allocations };
	run->allocations.wanted = how.alloc_stacks;
	run->profile.begin_ns = BEGIN;
	run->profile.begin_date_ns = how.begin_date_ns;
	run->counts = (struct collect_counts){
		.failed = 1, .kernel_seen = true, .access_known = true, .stall_known = true
	};
	memcpy(run->counts.lost, none, sizeof(none));
	map_program(run, program);
	if (!file)
		return;
	run->fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(run->fd >= 0);
	assert_int_equal(recording_begin(run->fd, &how, build_id_of, run->symbolizer, &run->writer),
			 0);
}

LAB void run_end(struct run *run)
{
	recording_free(run->writer);
	if (run->fd >= 0)
		close(run->fd);
	symbolizer_free(run->symbolizer);
	tally_release(&run->tally);
	tally_release(&run->allocations.stacks);
	profile_release(&run->profile);
	image_free(run->program);
	image_free(run->child);
	image_free(run->other);
	image_free(run->unknown);
	binary_table_release(&run->binaries);
	pid_list_release(&run->added);
}

LAB int64_t faults_of(const struct fp_site_value *site)
{
	int64_t n = (int64_t)site->untimed;

	for (unsigned int i = 0; i < FP_STALL_BUCKETS; i++)
		n += site->bucket[i];
	return n;
}

LAB void tell(struct run *run, const struct fault *fault, const struct object_answer *answer)
{
	if (run->writer) {
		assert_int_equal(recording_images(run->writer, run->other, false), 0);
		assert_int_equal(recording_fault(run->writer, fault, answer), 0);
	}
	if (keeper_wants(&run->keeper, fault))
		assert_int_equal(keeper_add(&run->keeper, fault, answer), 0);
	run->told += fault->site ? faults_of(fault->site) : 1;
}

LAB void tick(struct run *run, unsigned int i)
{
	run->counts.faults += 10;
	if (run->writer) {
		assert_int_equal(recording_images(run->writer, run->other, true), 0);
		assert_int_equal(recording_tick(run->writer, BEGIN + (i + 1) * SECOND, &run->counts,
						i == NR_TICKS),
				 0);
		run->whole[i] = lseek(run->fd, 0, SEEK_END);
	}
	run->faults[i] = run->told;
	run->profile.end_ns = BEGIN + (i + 1) * SECOND;
}

/* ---- what happens in it ---- */

/* What the @i-th fault hit: all that can be said of one, over the run. */
LAB struct object_answer answer_of(unsigned int i, const struct fault *fault,
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

LAB void one_by_one(struct run *run, unsigned int i)
{
	const uint64_t ips[] = { i % 3 ? run->first : 0xffffffff81000000, run->second + i % 2,
				 run->first + 4, 0x70000100 + i / 5 % 5 * 0x10000 };
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

	if (answer.object) {
		answer.allocation = (enum allocation_answer)(i / 2 % 4);
		answer.callers = ips + 1;
		answer.nr_callers = 1 + i % 3;
	}
	tell(run, &fault, &answer);
}

LAB void counted(struct run *run, unsigned int i)
{
	struct fp_site_value value = { .untimed = i % 3, .total_ns = 5000 * i, .max_ns = 900 * i };
	const uint64_t ips[] = { run->first + i % 4, i % 2 ? run->second : 0,
				 i % 2 ? run->second + 8 : 0 };
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

LAB void lives(struct run *run, unsigned int i)
{
	struct fp_connection connection = { .id = 1000 + i / 3,
					    .born_ns =
						    BEGIN - (i / 3 * 10 + i % 2 * 3700) * SECOND };
	struct fp_object object = { .type = i % 2 ? "buffer" : "stream",
				    .pool = i % 3 ? "pool" : NULL,
				    .base = 0x600000000000 + i * 64,
				    .size = 64 + i % 2,
				    .age_source = (enum fp_age_source)(i % 4),
				    .born_ns = i % 3 ? BEGIN - i * SECOND : 0,
				    .connection = i % 4 ? &connection : NULL };
	uint64_t now = BEGIN + NR_TICKS * SECOND + i / 10;

	if (run->writer)
		assert_int_equal(recording_live(run->writer, 100, "haproxy", &object, now, 64, i),
				 0);
	assert_int_equal(
		profile_add_live_object(&run->profile, 100, "haproxy", &object, now, 64, i), 0);
}

LAB void targets(struct run *run)
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
LAB void load(struct run *run, unsigned int i)
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

LAB void happen(struct run *run)
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

LAB struct options options_for(const struct sink *sink)
{
	return (struct options){
		.sink = sink, .kinds = how.kinds, .modes = how.modes, .stacks = true
	};
}

LAB char *print(const struct profile *profile, const struct sink *sink, bool stacks, size_t *size)
{
	const struct sink_options options = { .stacks = stacks };
	char *text = NULL;
	FILE *out = open_memstream(&text, size);

	assert_non_null(out);
	assert_int_equal(sink->write(profile, &options, out), 0);
	fclose(out);
	return text;
}

LAB void complete(struct run *run)
{
	const struct finished finished = {
		.tier = how.tier,
		.description = how.description,
		.kinds = run->keeper.kinds,
		.modes = run->keeper.modes,
		.counts = &run->counts,
		.images = run->other,
		.added = &run->added,
		.cut_stacks = run->keeper.cut_stacks,
		.symbolizer = run->symbolizer,
		.tally = &run->tally,
		.allocations = &run->allocations,
	};

	assert_int_equal(profile_complete(&run->profile, &finished), 0);
}

#endif
