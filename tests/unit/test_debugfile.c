/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Where debug information is found, and what is refused.
 */
#include "elflab.h"

/* hidden() is static: only debug information knows it, and only that has lines. */
static void expect_debug(const char *name, const char *truth, bool lines)
{
	struct binary binary = open_binary(name);
	struct frame frames[16];
	unsigned int n = frames_at(&binary, nm(truth, "hidden", NULL), frames);

	expect(&binary, truth, "hidden", lines ? "hidden" : "-");
	assert_int_equal(frames[n - 1].line != 0, lines);
	close_binary(&binary);
}

static void separate_debug_file(void **state)
{
	static const char split[] = "objcopy --only-keep-debug %s.so %s.debug && strip -o %s-s.so "
				    "--remove-section=.comment %s.so && objcopy "
				    "--add-gnu-debuglink=%s.debug %s-s.so";
	char command[512];

	(void)state;
	/* Proven by build ID, then by checksum. */
	build_library("id.so", "-g -Wl,--build-id=sha1");
	build_library("crc.so", "-g -Wl,--build-id=none");
	for (unsigned int i = 0; i < 2; i++) {
		const char *n = i ? "crc" : "id";

		snprintf(command, sizeof(command), split, n, n, n, n, n, n);
		assert_int_equal(run("%s", command), 0);
	}
	expect_debug("id-s.so", "id.so", true);
	expect_debug("crc-s.so", "crc.so", true);

	assert_int_equal(run("mkdir .debug && cp id-s.so id2-s.so && mv id.debug .debug"), 0);
	expect_debug("id2-s.so", "id.so", true);

	/* Of another build: refused. */
	build_library("inline.so", "-g");
	assert_int_equal(run("rm .debug/id.debug; cp crc-s.so crc2-s.so; cp id-s.so id3-s.so"), 0);
	build_library("other.so", "-g -DOTHER -Wl,--build-id=0x0123456789abcdef");
	assert_int_equal(run("objcopy --only-keep-debug other.so id.debug && "
			     "objcopy --only-keep-debug inline.so crc.debug"),
			 0);
	expect_debug("id3-s.so", "id.so", false);
	expect_debug("crc2-s.so", "crc.so", false);

	/* A link to something that would block, or is not a file. */
	assert_int_equal(run("rm id.debug crc.debug && mkfifo id.debug && mkdir crc.debug && "
			     "cp crc-s.so crc4-s.so && cp id-s.so id4-s.so"),
			 0);
	expect_debug("id4-s.so", "id.so", false);
	expect_debug("crc4-s.so", "crc.so", false);
	assert_int_equal(run("rmdir crc.debug && rm id.debug"), 0);
}

static void compressed_debug_information(void **state)
{
	(void)state;
	build_library("packed.so", "-g -gz=zlib");
	expect_debug("packed.so", "packed.so", true);
	/* As it was before there was a flag for it. */
	assert_int_equal(
		run("objcopy --compress-debug-sections=zlib-gnu packed.so packed-old.so && "
		    "readelf -SW packed-old.so | grep -q '\\.zdebug_info'"),
		0);
	expect_debug("packed-old.so", "packed.so", true);
	/* In a file of its own, too. */
	assert_int_equal(
		run("objcopy --only-keep-debug packed.so packed.debug && strip -o packed-s.so"
		    " packed.so && objcopy --add-gnu-debuglink=packed.debug packed-s.so"),
		0);
	expect_debug("packed-s.so", "packed.so", true);
}

/* dwz moves what two files have in common to a third one. */
static void shared_debug_information(void **state)
{
	(void)state;
	if (!have("dwz"))
		skip();
	build_library("one.so", "-g");
	build_library("two.so", "-g -DOTHER");
	assert_int_equal(run("cp one.so one-full.so && dwz -m common one.so two.so && "
			     "readelf -SW one.so | grep -q gnu_debugaltlink"),
			 0);
	expect_debug("one.so", "one-full.so", true);
	/* Without it, the names that are left still come from .symtab. */
	assert_int_equal(run("mv common elsewhere && cp one.so alone.so"), 0);
	struct binary binary = open_binary("alone.so");

	expect(&binary, "one-full.so", "hidden", "hidden");
	close_binary(&binary);
}

/* The loader does not care at which address a file begins; neither may we. */
static void linked_at_another_address(void **state)
{
	static const char *const flags[] = {
		"-shared -fPIC -Wl,-Ttext-segment=0x7000000 -Wl,-z,noseparate-code",
		"-shared -fPIC -fuse-ld=gold", "-shared -fPIC -fuse-ld=lld",
		"-no-pie -nostartfiles -Wl,-e,exported_a -Wl,--unresolved-symbols=ignore-all",
		"-pie -fPIE -nostartfiles -Wl,-e,exported_a -Wl,--unresolved-symbols=ignore-all"
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		char name[16];

		snprintf(name, sizeof(name), "at%u.so", i);
		write_text("library.c", library);
		if (run("gcc -g -O2 %s -o %s library.c", flags[i], name)) {
			print_message("no %s here: skipped\n", flags[i]);
			continue;
		}
		expect_debug(name, name, true);
	}
}

/* What only a checksum ties to a binary has to be read in full: not if it never ends. */
static void endless_debug_file(void **state)
{
	struct timespec begin;

	(void)state;
	build_library("huge.so", "-g -Wl,--build-id=none");
	assert_int_equal(run("objcopy --only-keep-debug huge.so huge.debug && strip -o huge-s.so "
			     "huge.so && objcopy --add-gnu-debuglink=huge.debug huge-s.so"),
			 0);
	if (run("truncate -s 1T huge.debug"))
		skip();
	clock_gettime(CLOCK_MONOTONIC, &begin);
	expect_debug("huge-s.so", "huge.so", false);
	assert_true(seconds_since(&begin) < 2);
	assert_int_equal(run("rm huge.debug"), 0);
}

static void mini_debug_information(void **state)
{
	(void)state;
	if (!have("xz"))
		skip();
	build_library("full.so", "");
	assert_int_equal(
		run("printf 'hidden\\n' > keep && objcopy -S --keep-symbols=keep full.so mini"
		    " && xz -k mini && strip -o mini.so full.so && "
		    "objcopy --add-section .gnu_debugdata=mini.xz mini.so"),
		0);
	struct binary binary = open_binary("mini.so");

	expect(&binary, "full.so", "hidden", "hidden");
	expect(&binary, "full.so", "exported_a", "exported_a");
	close_binary(&binary);

	/* Cut short, and not xz at all: as if it were not there. */
	assert_int_equal(run("head -c 200 mini.xz > cut.xz && strip -o cut.so full.so && "
			     "objcopy --add-section .gnu_debugdata=cut.xz cut.so && "
			     "strip -o bad.so full.so && "
			     "objcopy --add-section .gnu_debugdata=keep bad.so"),
			 0);
	for (unsigned int i = 0; i < 2; i++) {
		binary = open_binary(i ? "bad.so" : "cut.so");
		expect(&binary, "full.so", "hidden", "-");
		close_binary(&binary);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(separate_debug_file),
		cmocka_unit_test(compressed_debug_information),
		cmocka_unit_test(shared_debug_information),
		cmocka_unit_test(linked_at_another_address),
		cmocka_unit_test(endless_debug_file),
		cmocka_unit_test(mini_debug_information),
	};

	return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
