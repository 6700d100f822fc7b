/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Types, variables and enumerators. The truth is what the compiler itself makes of offsetof,
 * sizeof and &: each program prints it, and DWARF has to say the same.
 */
#include "elflab.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <sys/mman.h>

#include "symbolize/types.h"

#define ROUNDS 400

static char here[PATH_MAX]; /* the programs' sources */
static unsigned int alone;  /* mappings that share no page of the file */

enum has { HAS_ALL, HAS_SYMBOLS, HAS_DWARF };

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
		assert_int_equal(symbolizer_bias(symbolizer, binary, start, offset, &found), 0);
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
	struct binary binary = open_binary(name);
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
	binary = open_binary("prog");
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
	assert_int_equal(symbolizer_bias(symbolizer, &binary, 0x1000, 1 << 30, &number), -ENOENT);
	assert_int_equal(member.offset, 99);
	assert_int_equal(number, 99);
	assert_int_equal(value, 99);
	close_binary(&binary);
}

/* ---- where the DWARF is not in the file, or not as it was ---- */

static int member_of(const char *name, const char *type, const char *path)
{
	struct binary binary = open_binary(name);
	struct fp_member member;
	int r = symbolizer_member(symbolizer, &binary, type, path, &member);

	close_binary(&binary);
	return r;
}

struct sample {
	uint8_t *data;
	size_t size;
	Elf64_Shdr *sections;
	unsigned int nr;
	const char *names; /* of sections */
};

static void read_sample(const char *name, struct sample *sample)
{
	struct binary binary = open_binary(name);
	struct stat st;
	Elf64_Ehdr *ehdr;

	assert_int_equal(fstat(binary.fd, &st), 0);
	*sample = (struct sample){ .size = (size_t)st.st_size };
	sample->data = malloc(sample->size);
	assert_int_equal(read(binary.fd, sample->data, sample->size), sample->size);
	close_binary(&binary);
	ehdr = (Elf64_Ehdr *)sample->data;
	sample->sections = (Elf64_Shdr *)(sample->data + ehdr->e_shoff);
	sample->nr = ehdr->e_shnum;
	sample->names = (char *)sample->data + sample->sections[ehdr->e_shstrndx].sh_offset;
}

static void without_dwarf(void **state)
{
	struct binary binary;
	uint64_t number;

	(void)state;
	check_build("prog-g", "gcc", "-g -O1");
	assert_int_equal(run("strip -g -o prog-bare prog-g"), 0);
	assert_true(compare("prog-bare", HAS_SYMBOLS) > 70);
	binary = open_binary("prog-bare");
	assert_int_equal(symbolizer_variable(symbolizer, &binary, "twin", &number, NULL),
			 -ENOTUNIQ);
	assert_int_equal(symbolizer_size_of(symbolizer, &binary, "struct wide", &number), -ENODATA);
	close_binary(&binary);
}

/* Gives the section another type, so that nobody finds it. */
static void hide_section(const char *name, const char *section)
{
	struct binary binary = open_binary(name);
	int fd = open(binary.path, O_RDWR | O_CLOEXEC);
	struct sample sample;

	read_sample(name, &sample);
	for (unsigned int i = 0; i < sample.nr; i++) {
		Elf64_Shdr *shdr = &sample.sections[i];

		if (strcmp(sample.names + shdr->sh_name, section))
			continue;
		shdr->sh_type = SHT_NOBITS;
		assert_int_equal(pwrite(fd, shdr, sizeof(*shdr), (uint8_t *)shdr - sample.data),
				 sizeof(*shdr));
	}
	free(sample.data);
	close(fd);
	close_binary(&binary);
}

static void without_symbols(void **state)
{
	static const char *const compilers[] = { "gcc", "clang" };

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		check_build("prog-n", compilers[i], "-gdwarf-5 -O2");
		hide_section("prog-n", ".symtab");
		assert_true(compare("prog-n", HAS_DWARF) > 70);
		/* There clang has the addresses. */
		check_build("prog-a", compilers[i], "-gdwarf-5 -O2");
		hide_section("prog-a", ".debug_addr");
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

/* ---- whole programs, against another reader of DWARF ---- */

/* The name of the member that a line of pahole's declares, cut out of it; NULL: none. */
static char *declared(char *line)
{
	char *end = strchr(line, ';'), *name = strstr(line, "(*");

	if (!end)
		return NULL;
	*end = 0;
	if (name) {
		name += 2;
	} else {
		end = strstr(line, " __attribute__");
		if (end)
			*end = 0;
		while (*line && line[strlen(line) - 1] == ' ')
			line[strlen(line) - 1] = 0;
		name = strrchr(line, ' ');
		name = name ? name + 1 : NULL;
	}
	if (name)
		name[strcspn(name, ")[")] = 0;
	return name && *name && *name != '}' ? name : NULL;
}

/* All that pahole prints about @path. */
static char *pahole(const char *path)
{
	char command[PATH_MAX + 64], *text = NULL;
	size_t size = 0, n;
	FILE *pipe;

	snprintf(command, sizeof(command), "pahole -F dwarf %s 2>/dev/null", path);
	pipe = popen(command, "r");
	do {
		text = realloc(text, size + 65536 + 1);
		n = fread(text + size, 1, 65536, pipe);
		size += n;
	} while (n);
	text[size] = 0;
	pclose(pipe);
	return text;
}

/* Two parts of a program may mean different types by one name. */
static bool is_ambiguous(const char *text, const char *type)
{
	char line[300];
	const char *first;

	snprintf(line, sizeof(line), "%s {\n", type);
	first = strstr(text, line);
	return first && strstr(first + 1, line);
}

static void compare_with_pahole(const char *path)
{
	struct binary binary = { .path = (char *)path, .name = (char *)"whole" };
	char *text = pahole(path), *lines = strdup(text), *rest = lines, *line, type[256] = "";
	unsigned int members = 0;
	struct stat st;

	binary.fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(binary.fd >= 0 && !fstat(binary.fd, &st));
	binary.device = st.st_dev;
	binary.inode = st.st_ino;
	while ((line = strsep(&rest, "\n"))) {
		char *comment = strstr(line, "/*"), *brace = strstr(line, " {"), *name;
		unsigned long offset, size;
		struct fp_member member;

		if (*line != '\t')
			*type = 0;
		if (!strncmp(line, "struct ", 7) && brace && !brace[2])
			snprintf(type, sizeof(type), "%.*s", (int)(brace - line), line);
		if (*type && *line != '\t' && is_ambiguous(text, type))
			*type = 0;
		/* Those with a colon are bit fields. */
		if (!*type || *line != '\t' || line[1] == '\t' || !comment ||
		    sscanf(comment, "/* %lu %lu */", &offset, &size) != 2)
			continue;
		name = declared(line + 1);
		if (!name)
			continue;
		members++;
		if (symbolizer_member(symbolizer, &binary, type, name, &member) ||
		    member.offset != offset || member.size != size)
			fail_msg("%s.%s is at %lu, %lu bytes", type, name, offset, size);
	}
	free(lines);
	free(text);
	close(binary.fd);
	print_message("%s: %u members\n", path, members);
	assert_true(members > 300);
}

/* HAProxy when it was built for the live tests, which takes minutes; and this program. */
static const char *haproxy(void)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/tests/haproxy-2.6/haproxy",
		 getenv("BUILD") ? getenv("BUILD") : "build");
	return access(path, R_OK) ? NULL : path;
}

static void as_pahole_has_it(void **state)
{
	char path[PATH_MAX];

	(void)state;
	if (!have("pahole"))
		skip();
	assert_non_null(realpath("/proc/self/exe", path));
	compare_with_pahole(path);
	if (haproxy())
		compare_with_pahole(haproxy());
}

#ifdef __SANITIZE_ADDRESS__
#define SLOWER 4
#else
#define SLOWER 1
#endif

/* What a provider asks, all told. */
static void no_time_and_no_memory(void **state)
{
	static const char *const paths[] = {
		"req",	"res",		"task",		"sess",	 "logs.accept_date",
		"list", "req.buf.area", "req.buf.size", "flags", "be"
	};
	struct binary binary = { .path = (char *)haproxy(), .name = (char *)"haproxy" };
	struct symbolizer *fresh;
	struct mallinfo2 before = mallinfo2(), after;
	clock_t begin = clock();
	double seconds;

	(void)state;
	if (!binary.path)
		skip();
	binary.fd = open(binary.path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(symbolizer_new(&fresh), 0);
	for (unsigned int i = 0; i < 60; i++) {
		struct fp_member member;

		assert_int_equal(
			symbolizer_member(fresh, &binary, "struct stream", paths[i % 10], &member),
			0);
	}
	seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
	after = mallinfo2();
	print_message("60 lookups: %.0f ms, %zu kB kept\n", seconds * 1e3,
		      (after.uordblks + after.hblkhd - before.uordblks - before.hblkhd) / 1024);
	assert_true(seconds < 0.3 * SLOWER);
	assert_true(after.uordblks + after.hblkhd < before.uordblks + before.hblkhd + (20u << 20));
	symbolizer_free(fresh);
	close(binary.fd);
}

/* ---- what nobody vouches for ---- */

static const char *const questions[][2] = {
	{ "struct wide", "req.area" },
	{ "struct wide", "named[4].y" },
	{ "struct wide", "grid[2][3]" },
	{ "struct wide", "nest[1].b[1].data" },
	{ "union either", "in.deep" },
	{ "later_t", "i" },
	{ "twice_t", "data" },
	{ "struct holder", "cube[2][5]" },
	{ "outer::Slice", "inner[3].s" },
	{ "class Slice", "other" },
};

static void ask_everything(int fd)
{
	static const char *const names[] = { "pools", "RED", "BELOW", "counters", "late", "twin" };
	struct binary binary = { .path = (char *)"/nowhere/x", .name = (char *)"x", .fd = fd };
	struct symbolizer *fresh;
	struct fp_member member;
	uint64_t number, size;
	int64_t value;

	assert_int_equal(symbolizer_new(&fresh), 0);
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		symbolizer_member(fresh, &binary, questions[i][0], questions[i][1], &member);
		symbolizer_size_of(fresh, &binary, questions[i][0], &number);
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		symbolizer_variable(fresh, &binary, names[i], &number, &size);
		symbolizer_enumerator(fresh, &binary, names[i], &value);
	}
	symbolizer_bias(fresh, &binary, 0x10000, 0, &number);
	symbolizer_free(fresh);
}

/* A few bytes of one debug section changed, or its end cut off. */
static void mutate(struct sample *sample)
{
	static const uint8_t edges[] = { 0, 1, 0x7f, 0x80, 0xff };
	unsigned int n = 1 + random_below(12);
	Elf64_Shdr *shdr;

	do
		shdr = &sample->sections[random_below(sample->nr)];
	while (strncmp(sample->names + shdr->sh_name, ".debug_", 7));

	if (!random_below(8)) {
		shdr->sh_size = random_below((unsigned int)shdr->sh_size);
		return;
	}
	while (n--)
		sample->data[shdr->sh_offset + random_below((unsigned int)shdr->sh_size)] =
			random_below(2) ? edges[random_below(5)] : (uint8_t)random_below(256);
}

static void damaged(void **state)
{
	static const char *const builds[][2] = {
		{ "gcc", "-gdwarf-3" },
		{ "gcc", "-gdwarf-4 -fdebug-types-section" },
		{ "gcc", "-gdwarf-5 -O2" },
		{ "clang", "-gdwarf-5" }, /* .debug_addr, .debug_str_offsets */
		{ "g++", "-gdwarf-5 -fdebug-types-section" },
	};
	struct sample sample;
	uint8_t *good;

	(void)state;
	for (unsigned int b = 0; b < sizeof(builds) / sizeof(builds[0]); b++) {
		if (!have(builds[b][0]))
			continue;
		check_build("prog-fuzz", builds[b][0], builds[b][1]);
		read_sample("prog-fuzz", &sample);
		good = malloc(sample.size);
		memcpy(good, sample.data, sample.size);
		for (unsigned int i = 0; i < ROUNDS; i++) {
			int fd = memfd_create("sample", MFD_CLOEXEC);

			mutate(&sample);
			assert_int_equal(write(fd, sample.data, sample.size), sample.size);
			alarm(20);
			ask_everything(fd);
			close(fd);
			memcpy(sample.data, good, sample.size);
		}
		alarm(0);
		free(good);
		free(sample.data);
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
		cmocka_unit_test(as_pahole_has_it),
		cmocka_unit_test(no_time_and_no_memory),
		cmocka_unit_test(damaged),
	};

	if (!realpath("tests/data", here))
		return 1;
	return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
