/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Types, variables and enumerators. The truth is what the compiler itself makes of offsetof,
 * sizeof and &: each program prints it, and DWARF has to say the same.
 */
#include "elflab.h"

#include <errno.h>
#include <sys/mman.h>

#include "symbolize/types.h"

/* What a program prints: kind|name|path|numbers. */
static const char printing[] =
	"#include <stddef.h>\n"
	"#include <stdio.h>\n"
	"#include <string.h>\n"
	"#define N(x) (unsigned long)(x)\n"
	"#define MEMBER(t, p) printf(\"member|%s|%s|%lu %lu 0 0\\n\", #t, #p, N(offsetof(t, p)), "
	"\\\n"
	"	N(sizeof(((t *)0)->p)))\n"
	"#define ARRAY(t, p) printf(\"member|%s|%s|%lu %lu %lu %lu\\n\", #t, #p, N(offsetof(t, "
	"p)), \\\n"
	"	N(sizeof(((t *)0)->p)), N(sizeof(((t *)0)->p[0])), \\\n"
	"	N(sizeof(((t *)0)->p) / sizeof(((t *)0)->p[0])))\n"
	"#define OPEN(t, p) printf(\"member|%s|%s|%lu 0 %lu 0\\n\", #t, #p, N(offsetof(t, p)), \\\n"
	"	N(sizeof(((t *)0)->p[0])))\n"
	"#define SIZE(t) printf(\"size|%s||%lu\\n\", #t, N(sizeof(t)))\n"
	"#define VALUE(e) printf(\"value|%s||%lld\\n\", #e, (long long)(e))\n"
	"#define VARIABLE(v) printf(\"variable|%s||%lu %lu\\n\", #v, N(&v), N(sizeof(v)))\n"
	"#define FUNCTION(f) printf(\"variable|%s||%lu 0\\n\", #f, N(&f))\n"
	"static void mapping(void)\n"
	"{\n"
	"	char line[512], *at; unsigned long start, offset; FILE *f = "
	"fopen(\"/proc/self/maps\", \"r\");\n"
	"	while (fgets(line, sizeof(line), f))\n"
	"		if ((at = strstr(line, \"/prog\")) && sscanf(line, \"%lx-%*x %*s %lx\", "
	"&start, &offset) == 2)\n"
	"			printf(\"mapping|%c||%lu %lu\\n\", line[strcspn(line, \" \") + 3], "
	"start, offset);\n"
	"	fclose(f);\n"
	"}\n";

static const char shapes[] =
	"struct opaque;\n"
	"typedef struct later later_t;\n"
	"extern struct wide declared_first;\n"
	"extern int only_there;\n"
	"struct list { struct list *n, *p; };\n"
	"struct buffer { size_t size; char *area; size_t data, head; };\n"
	"typedef const volatile struct buffer twisted_t;\n"
	"typedef twisted_t twice_t;\n"
	"enum colour { RED, GREEN = 7, BLUE = -3, HIGH = 200, LARGE = 0x7fffffff };\n"
	"enum { LONELY = 40000, BELOW = -100000 };\n"
	"enum huge { HUGE_VALUE = 0x123456789abcdefL, LEAST = -0x7000000000000000L };\n"
	"union either { char c; long l[3]; struct { short s; union { int deep; float f; }; } in; "
	"};\n"
	"struct wide {\n"
	"	char c; struct opaque *opaque; union { int u; struct { char pad[3]; short inner; "
	"}; };\n"
	"	twice_t req; struct { int x, y; } named[5]; int grid[3][4][5]; unsigned int one:3, "
	"two:9;\n"
	"	enum colour colour; union either either; struct buffer *to; int (*call)(int); int "
	"none[0];\n"
	"	_Atomic int counter; struct list list; char text[70000]; short behind;\n"
	"	struct { struct buffer b[2]; } nest[2]; float _Complex z;\n"
	"} __attribute__((aligned(64)));\n"
	"struct tail { int n; struct list more[]; };\n"
	"struct packed { char c; long l; int i[2]; } __attribute__((packed));\n"
	"typedef long matrix[6][2];\n"
	"typedef matrix cube[3];\n"
	"struct holder { char c; cube cube; twice_t *p; };\n"
	"typedef struct { int anonymous_member; } nameless_t;\n"
	"typedef int number;\n";

/* The unit that comes first: it knows of little but its name. */
static const char first_unit[] =
	"#include <stddef.h>\n"
	"struct wide; struct later; typedef struct later later_t; struct opaque;\n"
	"later_t *pass(later_t *p, struct wide *w) { static int calls; calls++; return w ? p : 0; "
	"}\n"
	"static int twin = 1; int *first_twin(void) { return &twin; }\n"
	"static int shared_name = 5; int *static_one(void) { return &shared_name; }\n"
	"enum conflict_a { CONFLICT = 1 }; enum conflict_a ca = CONFLICT;\n"
	"enum same_a { AGREED = 11 }; enum same_a sa = AGREED;\n";

static const char main_unit[] =
	"struct later { char c[13]; int i; };\n"
	"struct wide declared_first = { 'x' };\n"
	"static struct list pools = { &pools, &pools };\n"
	"static int twin = 2; int shared_name = 3; int *second_twin(void) { return &twin; }\n"
	"enum conflict_b { CONFLICT = 2 }; enum conflict_b cb = CONFLICT;\n"
	"enum same_b { AGREED = 11 }; enum same_b sb = AGREED;\n"
	"__thread int per_thread; int counters[9][3]; later_t late; struct packed packed; "
	"nameless_t nl;\n"
	"struct tail tail; struct holder holder; enum colour colour; enum huge huge; number num; "
	"twice_t tw;\n"
	"union either either; later_t *pass(later_t *, struct wide *); char *lone = (char[]){ "
	"LONELY % 9, BELOW % 9 };\n"
	"int main(void)\n"
	"{\n"
	"	mapping(); pass(&late, &declared_first); per_thread++; second_twin();\n"
	"	MEMBER(struct wide, c); MEMBER(struct wide, u); MEMBER(struct wide, inner);\n"
	"	ARRAY(struct wide, pad); MEMBER(struct wide, pad[2]); MEMBER(struct wide, req);\n"
	"	MEMBER(struct wide, req.area); MEMBER(struct wide, req.head); ARRAY(struct wide, "
	"named);\n"
	"	MEMBER(struct wide, named[0]); MEMBER(struct wide, named[4].y); ARRAY(struct wide, "
	"grid);\n"
	"	ARRAY(struct wide, grid[2]); ARRAY(struct wide, grid[1][3]); MEMBER(struct wide, "
	"grid[2][3][4]);\n"
	"	MEMBER(struct wide, colour); ARRAY(struct wide, either.l); MEMBER(struct wide, "
	"either.in.deep);\n"
	"	MEMBER(struct wide, to); MEMBER(struct wide, call); OPEN(struct wide, none);\n"
	"	MEMBER(struct wide, counter); MEMBER(struct wide, list.p); ARRAY(struct wide, "
	"text);\n"
	"	MEMBER(struct wide, text[69999]); MEMBER(struct wide, behind); MEMBER(struct wide, "
	"z);\n"
	"	MEMBER(struct wide, nest[1].b[1].data); ARRAY(struct wide, nest[1].b); OPEN(struct "
	"tail, more);\n"
	"	MEMBER(struct tail, more[7].p); MEMBER(struct packed, l); ARRAY(struct packed, "
	"i);\n"
	"	ARRAY(struct holder, cube); ARRAY(struct holder, cube[2]); ARRAY(struct holder, "
	"cube[2][5]);\n"
	"	MEMBER(struct holder, cube[2][5][1]); MEMBER(union either, in.f); MEMBER(later_t, "
	"i);\n"
	"	MEMBER(struct later, i); MEMBER(twice_t, data); MEMBER(nameless_t, "
	"anonymous_member);\n"
	"	SIZE(struct wide); SIZE(struct tail); SIZE(struct packed); SIZE(union either); "
	"SIZE(later_t);\n"
	"	SIZE(enum colour); SIZE(enum huge); SIZE(cube); SIZE(matrix); SIZE(number); "
	"SIZE(nameless_t);\n"
	"	SIZE(twice_t); SIZE(struct buffer); SIZE(char); SIZE(struct holder);\n"
	"	VALUE(RED); VALUE(GREEN); VALUE(BLUE); VALUE(HIGH); VALUE(LARGE); VALUE(LONELY); "
	"VALUE(BELOW);\n"
	"	VALUE(HUGE_VALUE); VALUE(LEAST); VALUE(AGREED);\n"
	"	VARIABLE(declared_first); VARIABLE(pools); VARIABLE(shared_name); "
	"VARIABLE(counters);\n"
	"	VARIABLE(late); VARIABLE(packed); VARIABLE(lone); FUNCTION(main); "
	"FUNCTION(second_twin);\n"
	"	return !first_twin() + !static_one();\n"
	"}\n";

static void write_units(void)
{
	static const char declarations[] = "int *first_twin(void), *static_one(void);\n";
	char *text;

	write_text("first.c", first_unit);
	assert_true(asprintf(&text, "%s%s%s%s", printing, shapes, declarations, main_unit) > 0);
	write_text("second.c", text);
	free(text);
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

/* Runs the program @name and compares, line by line; how many lines there were. With @types false
 * there is no DWARF, and variables are all there is. */
static unsigned int compare(const char *name, bool types)
{
	struct binary binary = open_binary(name);
	uint64_t bias = 0, number;
	unsigned int lines = 0, mappings = 0;
	char line[512];
	FILE *pipe = popen(binary.path, "r");

	while (fgets(line, sizeof(line), pipe)) {
		char *text = strdup(line), *rest = text, *kind = strsep(&rest, "|"),
		     *what = strsep(&rest, "|"), *path = strsep(&rest, "|");
		unsigned long start, offset;
		int64_t value;

		lines++;
		if (!strcmp(kind, "mapping")) {
			assert_int_equal(sscanf(rest, "%lu %lu", &start, &offset), 2);
			if (!mappings++)
				assert_int_equal(
					symbolizer_bias(symbolizer, &binary, start, offset, &bias),
					0);
			else if (!symbolizer_bias(symbolizer, &binary, start, offset, &number) &&
				 *what == 'x')
				assert_int_equal(number, bias);
		} else if (!strcmp(kind, "variable")) {
			check_variable(&binary, what, rest, bias);
		} else if (!types) {
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
	assert_true(mappings > 1);
	close_binary(&binary);
	return lines;
}

static unsigned int build_and_compare(const char *compiler, const char *flags)
{
	static unsigned int n;
	char name[32];

	sprintf(name, "prog%u", n++);
	write_units();
	if (run("%s %s -o %s first.c second.c", compiler, flags, name))
		fail_msg("%s %s does not build", compiler, flags);
	if (compare(name, true) < 70)
		fail_msg("%s %s: it says little", compiler, flags);
	return n - 1;
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

	(void)state;
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		build_and_compare("gcc", flags[i]);
		if (have("clang"))
			build_and_compare("clang", flags[i]);
	}
	build_and_compare("gcc", "-g -O2 -flto");
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
	build_and_compare("gcc", "-g -O1");
	assert_int_equal(run("cp prog%s last", "0"), 0);
	assert_int_equal(run("gcc -g -O1 -o last first.c second.c"), 0);
	binary = open_binary("last");
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
	assert_int_equal(symbolizer_enumerator(symbolizer, &binary, "colour", &value), -ENOENT);
	assert_int_equal(symbolizer_variable(symbolizer, &binary, "twin", &number, &size),
			 -ENOTUNIQ);
	assert_int_equal(symbolizer_variable(symbolizer, &binary, "nowhere", &number, NULL),
			 -ENOENT);
	assert_int_equal(symbolizer_variable(symbolizer, &binary, "per_thread", &number, NULL),
			 -ENOENT);
	assert_int_equal(symbolizer_variable(symbolizer, NULL, "main", &number, NULL), -ENOENT);
	assert_int_equal(symbolizer_bias(symbolizer, &binary, 0x1000, 1 << 30, &number), -ENOENT);
	assert_int_equal(member.offset, 99);
	assert_int_equal(number, 99);
	assert_int_equal(value, 99);
	close_binary(&binary);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_version_of_every_compiler),
		cmocka_unit_test(what_is_not_there),
	};

	return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
