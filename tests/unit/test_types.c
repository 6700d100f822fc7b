/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Types, variables and enumerators. The truth is what the compiler itself makes of offsetof,
 * sizeof and &: each program prints it, and DWARF has to say the same.
 */
#include "elflab.h"

#include <errno.h>
#include <limits.h>

#include "symbolize/types.h"

static char here[PATH_MAX]; /* the programs' sources */
static unsigned int alone;  /* mappings that share no page of the file */

enum has { HAS_ALL, HAS_SYMBOLS, HAS_DWARF };

/* Files are changed here, and inodes used again. */
static struct binary open_fresh(const char *name)
{
	symbolizer_free(symbolizer);
	assert_int_equal(symbolizer_new(&symbolizer), 0);
	return open_binary(name);
}

static void check_member(const struct binary *binary, const char *type, const char *path,
			 const char *numbers, const char *line)
{
	unsigned long offset, size, stride, count;
	struct fp_member member;

	assert_int_equal(sscanf(numbers, "%lu %lu %lu %lu", &offset, &size, &stride, &count), 4);
	if (symbolizer_member(symbolizer, binary, type, path, &member) || member.offset != offset ||
	    member.size != size || member.stride != stride || member.count != count)
		fail_msg("%s: not so, but %lu %lu %lu %lu (%d)", line, member.offset, member.size,
			 member.stride, member.count,
			 symbolizer_member(symbolizer, binary, type, path, &member));
}

static void check_variable(const struct binary *binary, const char *name, const char *numbers,
			   uint64_t bias)
{
	unsigned long address, size;
	uint64_t at, bytes;
	int r = symbolizer_variable(symbolizer, binary, name, &at, &bytes);

	assert_int_equal(sscanf(numbers, "%lu %lu", &address, &size), 2);
	if (r || at + bias != address || (size && bytes != size))
		fail_msg("%s: at %#lx, %lu bytes, not %#lx, %lu (%d)", name, address, size,
			 at + bias, bytes, r);
}

/* A mapping whose first page of the file no earlier one has leads to @bias, like the first one. */
static void check_mapping(const struct binary *binary, const char *numbers, uint64_t *bias,
			  uint64_t *end)
{
	unsigned long start, offset, length;
	uint64_t found;

	assert_int_equal(sscanf(numbers, "%lu %lu %lu", &start, &offset, &length), 3);
	if (offset >= *end) {
		assert_int_equal(symbolizer_bias(symbolizer, binary, start, offset, false, &found),
				 0);
		if (*end)
			assert_int_equal(found, *bias);
		*bias = found;
		alone++;
	}
	*end = offset + length;
}

/* Runs the program @name and compares, line by line; how many lines there were. */
static unsigned int compare(const char *name, enum has has)
{
	struct binary binary = open_fresh(name);
	uint64_t bias = 0, end = 0, number;
	unsigned int lines = 0;
	char line[512];
	FILE *pipe = popen(binary.path, "r");

	while (fgets(line, sizeof(line), pipe)) {
		char *text = strdup(line), *rest = text, *kind = strsep(&rest, "|"),
		     *what = strsep(&rest, "|"), *path = strsep(&rest, "|");
		int64_t value;

		lines++;
		if (!strcmp(kind, "mapping")) {
			check_mapping(&binary, rest, &bias, &end);
		} else if (!strcmp(kind, "variable")) {
			if (has != HAS_DWARF || !strstr(rest, " 0\n"))
				check_variable(&binary, what, rest, bias);
		} else if (has == HAS_SYMBOLS) {
			struct fp_member member;

			assert_int_equal(
				symbolizer_member(symbolizer, &binary, what, path, &member),
				-ENODATA);
		} else if (!strcmp(kind, "member")) {
			check_member(&binary, what, path, rest, line);
		} else if (!strcmp(kind, "size")) {
			if (symbolizer_size_of(symbolizer, &binary, what, &number) ||
			    number != strtoul(rest, NULL, 10))
				fail_msg("%s: not so", line);
		} else {
			assert_string_equal(kind, "value");
			if (symbolizer_enumerator(symbolizer, &binary, what, &value) ||
			    value != strtoll(rest, NULL, 10))
				fail_msg("%s: not so", line);
		}
		free(text);
	}
	assert_int_equal(pclose(pipe), 0);
	assert_true(end);
	close_binary(&binary);
	return lines;
}

/* Builds the program @name with @compiler, where it is installed, and compares. */
static void check_build(const char *name, const char *compiler, const char *flags)
{
	if (!have(compiler))
		return;
	print_message("%s: %s %s\n", name, compiler, flags);
	if (strstr(compiler, "++"))
		assert_int_equal(run("%s %s -o %s %s/types.cc", compiler, flags, name, here), 0);
	else
		assert_int_equal(run("%s %s -o %s %s/types_first.c %s/types.c", compiler, flags,
				     name, here, here),
				 0);
	assert_in_range(compare(name, HAS_ALL), 20, 200);
}

static void every_version_of_every_compiler(void **state)
{
	static const char *const flags[] = {
		"-gdwarf-2 -O0",
		"-gdwarf-3 -O2",
		"-gdwarf-4 -O2",
		"-gdwarf-5 -O2",
		"-gdwarf-5 -O0 -no-pie",
		"-gdwarf-4 -fdebug-types-section",
		"-gdwarf-5 -fdebug-types-section",
		"-g -gz",
		"-g -O2 -fdata-sections -Wl,--gc-sections -Wl,-z,noseparate-code",
	};
	static const char *const compilers[] = { "gcc", "clang", "g++", "clang++" };
	char name[32];

	(void)state;
	for (size_t c = 0; c < sizeof(compilers) / sizeof(compilers[0]); c++) {
		/* Enum classes are younger than DWARF 3. */
		for (size_t i = c < 2 ? 0 : 2; i < sizeof(flags) / sizeof(flags[0]); i++) {
			sprintf(name, "prog%zu-%zu", c, i);
			check_build(name, compilers[c], flags[i]);
		}
	}
	check_build("prog-lto", "gcc", "-g -O2 -flto");
}

/* The writable segment begins in the last page of the read-only one, or not. */
static void however_segments_meet(void **state)
{
	char flags[32];

	(void)state;
	alone = 0;
	for (unsigned int padding = 0; padding < 4096; padding += 512) {
		sprintf(flags, "-g -DPADDING=%u", padding + 1);
		check_build("prog-pad", "gcc", flags);
	}
	assert_in_range(alone, 3 * 8 + 1, 5 * 8);
}

static void what_is_not_there(void **state)
{
	static const char *const paths[] = { "nothing",
					     "req.nothing",
					     "to.area",
					     "c.x",
					     "",
					     ".c",
					     "c.",
					     "req..area",
					     "named[5]",
					     "named[5].x",
					     "grid[3]",
					     "named[-1]",
					     "named[0",
					     "named[]",
					     "named[x]",
					     "grid[0][0][0][0]",
					     "text[4294967296]",
					     "named.x",
					     "c[0]",
					     "na",
					     "req.are",
					     "grid[99999999999999999999]",
					     "named[0]]",
					     "named[0]x" };
	struct binary binary;
	struct fp_member member = { .offset = 99 };
	uint64_t number = 99, size;
	int64_t value = 99;

	(void)state;
	check_build("prog", "gcc", "-g -O1");
	binary = open_fresh("prog");
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (symbolizer_member(symbolizer, &binary, "struct wide", paths[i], &member) !=
		    -ENOENT)
			fail_msg("there is a member \"%s\"", paths[i]);
	assert_int_equal(symbolizer_member(symbolizer, &binary, "struct wide", "one", &member),
			 -ENOTSUP);
	assert_int_equal(symbolizer_member(symbolizer, &binary, "struct nowhere", "c", &member),
			 -ENOENT);
	assert_int_equal(symbolizer_member(symbolizer, &binary, "union wide", "c", &member),
			 -ENOENT);
	assert_int_equal(symbolizer_size_of(symbolizer, &binary, "struct opaque", &number),
			 -ENOENT);
	assert_int_equal(symbolizer_size_of(symbolizer, &binary, "", &number), -ENOENT);
	assert_int_equal(symbolizer_enumerator(symbolizer, &binary, "CONFLICT", &value), -ENOTUNIQ);
	assert_int_equal(symbolizer_member(symbolizer, &binary, "struct other_size", "i", &member),
			 -ENOTUNIQ);
	assert_int_equal(symbolizer_size_of(symbolizer, &binary, "struct other_order", &number),
			 -ENOTUNIQ);
	assert_int_equal(symbolizer_enumerator(symbolizer, &binary, "colour", &value), -ENOENT);
	assert_int_equal(symbolizer_variable(symbolizer, &binary, "twin", &number, &size),
			 -ENOTUNIQ);
	assert_int_equal(symbolizer_variable(symbolizer, &binary, "nowhere", &number, NULL),
			 -ENOENT);
	assert_int_equal(symbolizer_variable(symbolizer, &binary, "per_thread", &number, NULL),
			 -ENOENT);
	assert_int_equal(symbolizer_variable(symbolizer, NULL, "main", &number, NULL), -ENOENT);
	assert_int_equal(symbolizer_bias(symbolizer, &binary, 0x1000, 1 << 30, false, &number),
			 -ENOENT);
	assert_int_equal(member.offset, 99);
	assert_int_equal(number, 99);
	assert_int_equal(value, 99);
	close_binary(&binary);
}

/* ---- where the DWARF is not in the file, or not as it was ---- */

static int member_of(const char *name, const char *type, const char *path)
{
	struct binary binary = open_fresh(name);
	struct fp_member member;
	int r = symbolizer_member(symbolizer, &binary, type, path, &member);

	close_binary(&binary);
	return r;
}

static void without_dwarf(void **state)
{
	struct binary binary;
	uint64_t number;

	(void)state;
	check_build("prog-g", "gcc", "-g -O1");
	assert_int_equal(run("strip -g -o prog-bare prog-g"), 0);
	assert_true(compare("prog-bare", HAS_SYMBOLS) > 70);
	binary = open_fresh("prog-bare");
	assert_int_equal(symbolizer_variable(symbolizer, &binary, "twin", &number, NULL),
			 -ENOTUNIQ);
	assert_int_equal(symbolizer_size_of(symbolizer, &binary, "struct wide", &number), -ENODATA);
	close_binary(&binary);
}

static void without_symbols(void **state)
{
	static const char *const compilers[] = { "gcc", "clang" };

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		check_build("prog-n", compilers[i], "-gdwarf-5 -O2");
		assert_int_equal(run("objcopy -R .symtab prog-n"), 0);
		assert_true(compare("prog-n", HAS_DWARF) > 70);
		/* There clang has the addresses. */
		check_build("prog-a", compilers[i], "-gdwarf-5 -O2");
		assert_int_equal(run("objcopy -R .debug_addr prog-a"), 0);
		assert_true(compare("prog-a", HAS_ALL) > 70);
		assert_int_equal(run("rm prog-n prog-a"), 0);
	}
}

static void in_a_file_of_its_own(void **state)
{
	(void)state;
	assert_int_equal(run("objcopy --only-keep-debug prog-g prog-own.debug && strip -o prog-own "
			     "prog-g && objcopy --add-gnu-debuglink=prog-own.debug prog-own"),
			 0);
	assert_true(compare("prog-own", HAS_ALL) > 70);
}

static void moved_by_dwz(void **state)
{
	static const char *const flags[] = { "-gdwarf-4 -O2", "-gdwarf-5 -O2" };

	(void)state;
	if (!have("dwz"))
		skip();
	for (unsigned int i = 0; i < 2; i++) {
		check_build("prog-z1", "gcc", flags[i]);
		assert_int_equal(run("cp prog-z1 prog-z2; cp prog-z1 prog-z3; cp prog-z1 prog-z4; "
				     "dwz prog-z2 && dwz -m prog.alt prog-z3 prog-z4 && "
				     "readelf -S prog-z4 | grep debugaltlink"),
				 0);
		assert_true(compare("prog-z2", HAS_ALL) > 70);
		assert_true(compare("prog-z3", HAS_ALL) > 70);
		assert_int_equal(run("cp prog-z4 prog-z5; rm prog.alt"), 0);
		assert_int_equal(member_of("prog-z5", "struct wide", "req"), -ENODATA);
		assert_int_equal(run("rm prog-z*"), 0);
	}
}

static void split_off(void **state)
{
	static const char *const flags[] = { "-gdwarf-4", "-gdwarf-5" };
	char name[16];

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		sprintf(name, "prog-split%u", i);
		assert_int_equal(run("gcc %s -gsplit-dwarf -o %s %s/types_first.c %s/types.c",
				     flags[i], name, here, here),
				 0);
		assert_true(compare(name, HAS_SYMBOLS) > 70);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_version_of_every_compiler),
		cmocka_unit_test(however_segments_meet),
		cmocka_unit_test(what_is_not_there),
		cmocka_unit_test(without_dwarf),
		cmocka_unit_test(without_symbols),
		cmocka_unit_test(in_a_file_of_its_own),
		cmocka_unit_test(moved_by_dwz),
		cmocka_unit_test(split_off),
	};

	if (!realpath("tests/data", here))
		return 1;
	return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
