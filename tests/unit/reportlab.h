/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * One synthetic profile that holds every case, what a sink makes of it, and whether that is what
 * the golden file holds. Runs in the root of the project; UPDATE_GOLDEN=1 writes the golden files
 * anew.
 */
#ifndef TESTS_UNIT_REPORTLAB_H
#define TESTS_UNIT_REPORTLAB_H

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "model/sink.h"

#define LAB __attribute__((unused)) static

#define S 1000000000ull
#define END (1000000 * S)

LAB const struct sink_options everything = { .stacks = true };

LAB void add(struct profile *profile, struct resolved_fault fault, unsigned int faults, uint64_t ns)
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
LAB void fill_common(struct profile *p)
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
LAB void fill_hostile(struct profile *p)
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

/* The common part of both profiles, not finished. */
LAB void fill(struct profile *p)
{
	assert_int_equal(profile_init(p), 0);
	p->begin_ns = END - 30 * S;
	p->end_ns = END;
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
}

LAB void build(struct profile *p)
{
	fill(p);
	profile_finish(p);
}

/* One fault in both tables, as a run does it. */
LAB void add_hit(struct profile *p, struct resolved_fault at, enum object_outcome outcome,
		 const struct fp_object *object, uint64_t swapped_ns)
{
	struct fault fault = { .pid = 4711, .time_ns = END - S, .stall_ns = 250000 };

	assert_int_equal(
		profile_add_object(p, &fault, "haproxy", outcome, object, swapped_ns, 5 * S), 0);
	if (outcome == OBJECT_FOUND)
		at.object = profile_object_kind(p, "haproxy", object->type, object->pool);
	at.addressed = 1;
	add(p, at, 1, fault.stall_ns);
}

/* 300 connections in three batches, of which 6, 30 and 90 are hit; then all that is odd. */
LAB void fill_connections(struct profile *p, bool at_end)
{
	static const uint64_t ages_s[] = { 310, 11520, 190800 };
	static const unsigned int hits[] = { 6, 30, 90 };
	static const char *const types[] = { "channel buffer", "stream", "connection" };
	static const char *const pools[] = { "buffer", "stream", NULL };
	struct frame frames[] = { { .function = "raw_sock_to_buf", .module = "haproxy" },
				  { .function = "si_conn_wake_cb", .module = "haproxy" } };
	struct resolved_fault at = { .nr_frames = 1, .access = FP_WRITE };

	for (unsigned int i = 0; i < 300; i++) {
		struct fp_connection connection = {
			.id = i,
			.born_ns = END - (ages_s[i / 100] + i % 100 / 10) * S,
			.resolution_ns = S,
			.used_ns = END - (40 + i) * S,
			.waiting_bytes = i % 3 ? 0 : UINT64_MAX,
			.frontend = "www",
			.backend = i % 2 ? "ws-app" : NULL,
		};
		struct fp_object object = { .size = 16416, .connection = &connection };

		snprintf(connection.peer, sizeof(connection.peer), "192.0.2.%u:%u", i % 250,
			 40000 + i);
		for (unsigned int k = 0; k < 3; k++) {
			object.type = types[k];
			object.pool = pools[k];
			object.base = i * 65536 + k * 20000;
			if (at_end) {
				assert_int_equal(profile_add_live_object(p, 4711, "haproxy",
									 &object, END, 8192, 8224),
						 0);
				continue;
			}
			at.frames = &frames[k != 0];
			for (unsigned int n = k; i % 100 < hits[i / 100] && n < 3 + i % 2; n++) {
				at.mode = k && n < 3 ? FP_USER : FP_KERNEL;
				add_hit(p, at, OBJECT_FOUND, &object, k ? (30 + i) * S : 0);
			}
		}
	}
}

LAB void fill_odd(struct profile *p)
{
	static const char *const kinds[] = { "task", "tasklet", "listener", "proxy" };
	struct frame frame = { .function = "evil\033[2J\n()", .module = "haproxy" };
	struct resolved_fault at = { .frames = &frame, .nr_frames = 1 };
	struct fp_connection connection = {
		.id = 1000,
		.waiting_bytes = 1234567,
		.frontend = "a frontend of a name that goes on and on \xe2\x82\xac and on\n",
		.backend = "\xff\033[31mbackend of a name that goes on and on and on",
		.peer = "[2001:0db8:\033]0;x\007:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
	};
	struct fp_object object = { .type = "evil\033[31m\ntype, of which there is more than fits",
				    .pool = "\xffpool",
				    .base = 1,
				    .connection = &connection };

	for (unsigned int i = 0; i < 20; i++)
		add_hit(p, at, OBJECT_ABSENT, NULL, 0);
	for (unsigned int i = 0; i < 7; i++)
		add_hit(p, at, OBJECT_NONE, NULL, 0);
	for (unsigned int i = 0; i < 12; i++)
		add_hit(p, at, OBJECT_FOUND, &object, 0);
	for (unsigned int i = 0; i < 12; i++) {
		object = (struct fp_object){ .type = "task",
					     .base = 2 + i,
					     .size = 208,
					     .age_source = FP_AGE_AT_LEAST,
					     .born_ns = END - 30 * S };
		object.type = kinds[i / 3];
		add_hit(p, at, OBJECT_FOUND, &object, 0);
	}
	assert_int_equal(profile_add_live_object(p, 4711, "haproxy", &object, END, 208, 0), 0);
	object.base = 99;
	object.age_source = FP_AGE_UNKNOWN;
	object.type = "server"; /* never hit */
	assert_int_equal(profile_add_live_object(p, 4711, "haproxy", &object, END, 0, 0), 0);
}

LAB void fill_allocations(struct profile *p)
{
	struct allocations *a = &p->objects->allocations;
	const char *const accept[] = { "pool_get\033[0m", "conn_new", "listener_accept", "main" };
	const char *const deep[] = {
		"std::vector<std::pair<std::string, unsigned long>>::reserve(unsigned long)",
		"ssl::Session::grow(std::shared_ptr<Buffer> const&)",
		"ssl::Session::on_record(unsigned char const*, unsigned long)",
		"haproxy@0x21f40",
	};
	struct stall stall = { 0 };

	for (unsigned int i = 0; i < 40; i++)
		stall_add(&stall, 1000000 + i);
	a->known = true;
	a->cut = 40;
	a->unknown = 3;
	assert_int_equal(allocations_add(a, profile_object_kind(p, "haproxy", "stream", NULL),
					 accept, 4, &stall),
			 0);
	assert_int_equal(allocations_add(a, profile_object_kind(p, "haproxy", "connection", NULL),
					 deep, 4, &stall),
			 0);
	assert_int_equal(allocations_add(a, profile_object_kind(p, "haproxy", "stream", NULL),
					 accept, 4, &stall),
			 0);
}

LAB void build_objects(struct profile *p)
{
	fill(p);
	assert_int_equal(profile_set_provider(p, 4711, "haproxy"), 0);
	fill_connections(p, false);
	fill_odd(p);
	fill_connections(p, true);
	fill_allocations(p);
	profile_finish(p);
}

/* With all that formats have a place for: a date, and a program that symbols are of. */
LAB void build_dated(struct profile *p)
{
	build_objects(p);
	p->begin_date_ns = 1700000000 * S + 5;
	assert_int_equal(profile_add_target(p, 4720, "haproxy", "/usr/sbin/haproxy (deleted)",
					    "0123456789abcdef", 1),
			 0);
}

/* What the sink writes: *@size bytes, and a zero after them. To be freed. */
LAB char *render_bytes(const struct sink *sink, const struct profile *profile,
		       const struct sink_options *options, size_t *size)
{
	char *text;
	FILE *out = open_memstream(&text, size);

	assert_non_null(out);
	assert_int_equal(sink->write(profile, options, out), 0);
	assert_int_equal(ferror(out), 0);
	assert_int_equal(fclose(out), 0);
	return text;
}

LAB char *render(const struct sink *sink, const struct profile *profile,
		 const struct sink_options *options)
{
	size_t size;

	return render_bytes(sink, profile, options, &size);
}

/* As render_bytes(). */
LAB char *read_file(const char *path, size_t *size)
{
	FILE *in = fopen(path, "r");
	char *text;

	if (!in)
		fail_msg("%s is not there", path);
	assert_int_equal(fseek(in, 0, SEEK_END), 0);
	*size = (size_t)ftell(in);
	rewind(in);
	text = calloc(1, *size + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, *size, in), *size);
	fclose(in);
	return text;
}

LAB void match_golden(const char *path, const char *got, size_t size)
{
	size_t wanted;
	char *want;

	if (getenv("UPDATE_GOLDEN")) {
		FILE *out = fopen(path, "w");

		assert_non_null(out);
		assert_int_equal(fwrite(got, 1, size, out), size);
		assert_int_equal(fclose(out), 0);
	}
	want = read_file(path, &wanted);
	assert_string_equal(got, want);
	assert_int_equal(size, wanted);
	assert_memory_equal(got, want, size);
	free(want);
}

LAB void check_golden(const struct sink *sink, const char *path, void (*make)(struct profile *p),
		      const struct sink_options *options)
{
	struct profile p;
	size_t size;
	char *got;

	make(&p);
	got = render_bytes(sink, &p, options, &size);
	match_golden(path, got, size);
	free(got);
	profile_release(&p);
}

#endif
