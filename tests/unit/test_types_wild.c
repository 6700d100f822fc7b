/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Types of programs that were not made for this: all structures of whole programs against another
 * reader of DWARF, what it costs, and files that nobody vouches for.
 */
#include "elflab.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <sys/mman.h>

#include "symbolize/types.h"

#define ROUNDS 400 /* damaged files of each kind */

static char here[PATH_MAX]; /* sources of the programs to damage */

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
	symbolizer_bias(fresh, &binary, 0x10000, 0, false, &number);
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
		print_message("%s %s\n", builds[b][0], builds[b][1]);
		assert_int_equal(run("%s %s -w -o fuzz %s/types%s", builds[b][0], builds[b][1],
				     here, strstr(builds[b][0], "++") ? ".cc" : "*.c"),
				 0);
		read_sample("fuzz", &sample);
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

/* Each entry is the next one's parent and its elder sibling: there are more ways through them than
 * anybody can go. */
static void entries_without_end(void **state)
{
	static const char entries[] =
		"__asm__(\".section .debug_abbrev,\\\"\\\",@progbits\\n\"\n"
		"\".uleb128 1, 0x11\\n.byte 1\\n.uleb128 0, 0\\n\"\n"
		"\".uleb128 2, 0x39\\n.byte 1\\n.uleb128 1, 0x13, 0, 0\\n.byte 0\\n\"\n"
		"\".section .debug_info,\\\"\\\",@progbits\\n\"\n"
		"\"begin: .long end - . - 4\\n.short 4\\n.long 0\\n.byte 8\\n.uleb128 1\\n\"\n"
		"\".rept 100000\\n.uleb128 2\\n.long . - begin + 4\\n.endr\\n\"\n"
		"\".byte 0, 0\\nend: .text\\n\");\n"
		"int main(void) { return 0; }\n";
	struct timespec begin;
	struct binary binary;
	uint64_t number;

	(void)state;
	write_text("entries.c", entries);
	assert_int_equal(run("gcc -o entries entries.c"), 0);
	binary = open_binary("entries");
	clock_gettime(CLOCK_MONOTONIC, &begin);
	alarm(20);
	assert_int_equal(symbolizer_size_of(symbolizer, &binary, "struct x", &number), -ENODATA);
	alarm(0);
	print_message("given up after %.0f ms\n", seconds_since(&begin) * 1e3);
	close_binary(&binary);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_pahole_has_it),
		cmocka_unit_test(no_time_and_no_memory),
		cmocka_unit_test(damaged),
		cmocka_unit_test(entries_without_end),
	};

	if (!realpath("tests/data", here))
		return 1;
	return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
