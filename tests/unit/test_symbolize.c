/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Names and unwinding against the truth of others: nm and addr2line for names, libdw for unwind
 * rules, backtrace() for real stacks. Programs are compiled on the spot into a temporary
 * directory; a case whose tool is not there says so and is skipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <alloca.h>
#include <dlfcn.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "symbolize/symbolize.h"

static char dir[] = "/tmp/test_symbolize.XXXXXX";
static struct symbolizer *symbolizer;

/* Runs a command in the temporary directory; its exit status. */
__attribute__((format(printf, 1, 2)))
static int run(const char *format, ...)
{
	char command[4096];
	va_list args;
	int n = snprintf(command, sizeof(command), "cd %s && { ", dir);

	va_start(args, format);
	n += vsnprintf(command + n, sizeof(command) - (size_t)n, format, args);
	va_end(args);
	snprintf(command + n, sizeof(command) - (size_t)n, "; } >/dev/null 2>&1");
	return system(command);
}

static bool have(const char *tool)
{
	if (!run("command -v %s", tool))
		return true;
	print_message("no %s here: skipped\n", tool);
	return false;
}

static void write_text(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static struct binary open_binary(const char *name)
{
	struct binary binary = { 0 };
	struct stat st;

	assert_true(asprintf(&binary.path, "%s/%s", dir, name) > 0);
	binary.name = strdup(name);
	binary.fd = open(binary.path, O_RDONLY | O_CLOEXEC);
	assert_true(binary.fd >= 0 && !fstat(binary.fd, &st));
	binary.device = st.st_dev;
	binary.inode = st.st_ino;
	return binary;
}

static void close_binary(struct binary *binary)
{
	close(binary->fd);
	free(binary->path);
	free(binary->name);
}

/* Address and size of a symbol, as nm tells. */
static uint64_t nm(const char *file, const char *symbol, uint64_t *size)
{
	char command[512], line[512];
	uint64_t found = 0;
	FILE *pipe;

	snprintf(command, sizeof(command), "nm -S %s/%s", dir, file);
	pipe = popen(command, "r");
	while (fgets(line, sizeof(line), pipe)) {
		unsigned long address, bytes = 0;
		char name[256];

		if (sscanf(line, "%lx %lx %*c %255s", &address, &bytes, name) != 3 &&
		    sscanf(line, "%lx %*c %255s", &address, name) != 2)
			continue;
		if (!strcmp(name, symbol)) {
			found = address;
			if (size)
				*size = bytes;
		}
	}
	pclose(pipe);
	assert_true(found);
	return found;
}

static uint64_t to_offset(const struct binary *binary, uint64_t address)
{
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr;

	assert_int_equal(pread(binary->fd, &ehdr, sizeof(ehdr), 0), sizeof(ehdr));
	for (unsigned int i = 0; i < ehdr.e_phnum; i++) {
		pread(binary->fd, &phdr, sizeof(phdr), (off_t)(ehdr.e_phoff + i * sizeof(phdr)));
		if (phdr.p_type == PT_LOAD && address >= phdr.p_vaddr &&
		    address < phdr.p_vaddr + phdr.p_filesz)
			return address - phdr.p_vaddr + phdr.p_offset;
	}
	fail_msg("no segment for %#lx", address);
	return 0;
}

static unsigned int frames_at(const struct binary *binary, uint64_t address, struct frame *frames)
{
	return symbolizer_frames(symbolizer, binary, to_offset(binary, address), frames, 16);
}

static const char *name_at(const struct binary *binary, uint64_t address, uint64_t start)
{
	struct frame frames[16];
	unsigned int n = frames_at(binary, address, frames);

	assert_string_equal(frames[n - 1].module, binary->name);
	assert_int_equal(frames[n - 1].start, start);
	assert_int_equal(frames[n - 1].offset, address - start);
	assert_false(frames[n - 1].inlined);
	return frames[n - 1].function ? frames[n - 1].function : "-";
}

/* The name at @symbol, at its last byte, and its start, whatever has been stripped of it. */
static void expect(const struct binary *binary, const char *truth, const char *symbol,
		   const char *name)
{
	uint64_t size, start = nm(truth, symbol, &size);

	assert_true(size > 1);
	assert_string_equal(name_at(binary, start, start), name);
	assert_string_equal(name_at(binary, start + size - 1, start), name);
}

static const char library[] =
	"#include <stdlib.h>\n"
	"#include <string.h>\n"
	"extern int sink(const char *);\n"
	"static inline __attribute__((always_inline)) int inner(char *p, int n)\n"
	"{\n"
	"	p[n] = (char)(n * 7);\n"
	"	return sink(p) + n;\n"
	"}\n"
	"static inline __attribute__((always_inline)) int middle(char *p, int n)\n"
	"{\n"
	"	int r = inner(p, n + 1);\n"
	"	for (int i = 0; i < n; i++) { int k = r; r += inner(p + k, i); }\n"
	"	return r;\n"
	"}\n"
	"static __attribute__((noinline, noipa)) int hidden(char *p, int n)\n"
	"{\n"
	"	return sink(p + n) * 3 + middle(p, n);\n"
	"}\n"
	"__attribute__((cold, noinline)) void failing(const char *why);\n"
	"int exported_a(char *p) { return hidden(p, 3) + 1; }\n"
	"int exported_b(char *p, int n)\n"
	"{\n"
	"	if (__builtin_expect(n > 1000, 0)) { failing(p); failing(p + 1); abort(); }\n"
	"	return hidden(p, n) + middle(p, 2) + (int)strlen(p);\n"
	"}\n";

static void build_library(const char *name, const char *flags)
{
	write_text("library.c", library);
	assert_int_equal(run("gcc -O2 -shared -fPIC %s -o %s library.c", flags, name), 0);
}

/* One line of addr2line -f; "??" and unknown lines count as the same. */
static void compare_frame(const struct frame *frame, const char *function, char *place)
{
	char *colon = strrchr(place, ':');
	unsigned int line = (unsigned int)strtoul(colon + 1, NULL, 10);

	*colon = 0;
	assert_string_equal(frame->function, function);
	assert_int_equal(frame->line, line);
	if (strcmp(place, "??"))
		assert_string_equal(frame->file, place);
}

static void inline_chain_like_addr2line(void **state)
{
	static const char *const functions[] = { "hidden", "exported_b", "exported_a" };
	unsigned int deepest = 0;
	struct binary binary;

	(void)state;
	build_library("inline.so", "-g");
	binary = open_binary("inline.so");
	for (unsigned int f = 0; f < 3; f++) {
		uint64_t size, start = nm("inline.so", functions[f], &size);

		for (uint64_t at = start; at < start + size; at++) {
			char command[512], function[256], place[512];
			struct frame frames[16];
			unsigned int n = frames_at(&binary, at, frames), i = 0;
			FILE *pipe;

			snprintf(command, sizeof(command), "addr2line -i -f -e %s %#lx",
				 binary.path, at);
			pipe = popen(command, "r");
			while (fscanf(pipe, "%255s %511[^\n]", function, place) == 2) {
				place[strcspn(place, " ")] = 0;
				assert_true(i < n);
				assert_int_equal(frames[i].inlined, i < n - 1);
				assert_int_equal(frames[i].start, start);
				compare_frame(&frames[i++], function, place);
			}
			pclose(pipe);
			assert_int_equal(i, n);
			deepest = n > deepest ? n : deepest;
		}
	}
	assert_int_equal(deepest, 3);
	close_binary(&binary);
}

static void physical_function_survives_a_cut(void **state)
{
	struct binary binary = open_binary("inline.so");
	uint64_t size, start = nm("inline.so", "hidden", &size);
	struct frame all[16], two[2];
	bool seen = false;

	(void)state;
	for (uint64_t at = start; at < start + size; at++) {
		if (frames_at(&binary, at, all) != 3)
			continue;
		seen = true;
		assert_int_equal(symbolizer_frames(symbolizer, &binary, to_offset(&binary, at), two,
						   2), 2);
		assert_string_equal(two[0].function, "inner");
		assert_string_equal(two[1].function, "hidden");
		assert_false(two[1].inlined);
	}
	assert_true(seen);
	close_binary(&binary);
}

static void stripped_is_never_the_nearest_export(void **state)
{
	struct binary binary;
	uint64_t size, start;

	(void)state;
	build_library("full.so", "");
	assert_int_equal(run("strip -o stripped.so full.so"), 0);
	binary = open_binary("stripped.so");
	expect(&binary, "full.so", "hidden", "-");
	expect(&binary, "full.so", "exported_a", "exported_a");
	expect(&binary, "full.so", "exported_b", "exported_b");
	start = nm("full.so", "exported_b.cold", &size);
	assert_string_equal(name_at(&binary, start, start), "-");
	close_binary(&binary);
}

static void symtab_only(void **state)
{
	struct binary binary;
	struct frame frames[16];
	uint64_t size, start = nm("full.so", "exported_b.cold", &size);

	(void)state;
	binary = open_binary("full.so");
	expect(&binary, "full.so", "hidden", "hidden");
	expect(&binary, "full.so", "exported_a", "exported_a");
	expect(&binary, "full.so", "exported_b.cold", "exported_b.cold");
	assert_int_equal(frames_at(&binary, start, frames), 1);
	assert_null(frames[0].file);
	assert_int_equal(frames[0].line, 0);
	close_binary(&binary);

	/* With DWARF too, where the part has the name of the whole. */
	binary = open_binary("inline.so");
	expect(&binary, "inline.so", "exported_b.cold", "exported_b.cold");
	close_binary(&binary);
}

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
	assert_int_equal(run("rm .debug/id.debug; cp crc-s.so crc2-s.so; cp id-s.so id3-s.so"), 0);
	build_library("other.so", "-g -DOTHER -Wl,--build-id=0x0123456789abcdef");
	assert_int_equal(run("objcopy --only-keep-debug other.so id.debug && "
			     "objcopy --only-keep-debug inline.so crc.debug"), 0);
	expect_debug("id3-s.so", "id.so", false);
	expect_debug("crc2-s.so", "crc.so", false);

	/* A link to something that would block, or is not a file. */
	assert_int_equal(run("rm id.debug crc.debug && mkfifo id.debug && mkdir crc.debug && "
			     "cp crc-s.so crc4-s.so && cp id-s.so id4-s.so"), 0);
	expect_debug("id4-s.so", "id.so", false);
	expect_debug("crc4-s.so", "crc.so", false);
	assert_int_equal(run("rmdir crc.debug && rm id.debug"), 0);
}

static void compressed_debug_information(void **state)
{
	(void)state;
	build_library("packed.so", "-g -gz=zlib");
	expect_debug("packed.so", "packed.so", true);
}

static void mini_debug_information(void **state)
{
	(void)state;
	if (!have("xz"))
		skip();
	assert_int_equal(run("printf 'hidden\\n' > keep && objcopy -S --keep-symbols=keep full.so mini"
			     " && xz -k mini && strip -o mini.so full.so && "
			     "objcopy --add-section .gnu_debugdata=mini.xz mini.so"), 0);
	struct binary binary = open_binary("mini.so");

	expect(&binary, "full.so", "hidden", "hidden");
	expect(&binary, "full.so", "exported_a", "exported_a");
	close_binary(&binary);

	/* Cut short, and not xz at all: as if it were not there. */
	assert_int_equal(run("head -c 200 mini.xz > cut.xz && strip -o cut.so full.so && "
			     "objcopy --add-section .gnu_debugdata=cut.xz cut.so && "
			     "strip -o bad.so full.so && "
			     "objcopy --add-section .gnu_debugdata=keep bad.so"), 0);
	for (unsigned int i = 0; i < 2; i++) {
		binary = open_binary(i ? "bad.so" : "cut.so");
		expect(&binary, "full.so", "hidden", "-");
		close_binary(&binary);
	}
}
