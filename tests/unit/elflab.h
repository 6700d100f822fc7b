/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A laboratory for the symbolizer's tests: programs compiled on the spot into a temporary
 * directory, and asked about. A case whose tool is not there says so and is skipped.
 */
#ifndef TESTS_UNIT_ELFLAB_H
#define TESTS_UNIT_ELFLAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "symbolize/symbolize.h"

#define LAB __attribute__((unused)) static

LAB char dir[] = "/tmp/faultprof-unit.XXXXXX";
LAB struct symbolizer *symbolizer;

/* Runs a command in the temporary directory; its exit status. */
__attribute__((format(printf, 1, 2))) LAB int run(const char *format, ...)
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

LAB bool have(const char *tool)
{
	if (!run("command -v %s", tool))
		return true;
	print_message("no %s here: skipped\n", tool);
	return false;
}

LAB void write_text(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

LAB struct binary open_binary(const char *name)
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

LAB void close_binary(struct binary *binary)
{
	close(binary->fd);
	free(binary->path);
	free(binary->name);
}

/* Address and size of a symbol, as nm tells. */
LAB uint64_t nm(const char *file, const char *symbol, uint64_t *size)
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

LAB uint64_t to_offset(const struct binary *binary, uint64_t address)
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

LAB unsigned int frames_at(const struct binary *binary, uint64_t address, struct frame *frames)
{
	return symbolizer_frames(symbolizer, binary, to_offset(binary, address), frames, 16);
}

LAB const char *name_at(const struct binary *binary, uint64_t address, uint64_t start)
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
LAB void expect(const struct binary *binary, const char *truth, const char *symbol,
		const char *name)
{
	uint64_t size, start = nm(truth, symbol, &size);

	assert_true(size > 1);
	assert_string_equal(name_at(binary, start, start), name);
	assert_string_equal(name_at(binary, start + size - 1, start), name);
}

LAB const char library[] =
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

LAB void build_library(const char *name, const char *flags)
{
	write_text("library.c", library);
	assert_int_equal(run("gcc -O2 -shared -fPIC %s -o %s library.c", flags, name), 0);
}

LAB unsigned int random_below(unsigned int n)
{
	static uint64_t seed = 0x9e3779b97f4a7c15;

	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned int)((seed >> 20) % n);
}

LAB double seconds_since(const struct timespec *begin)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - begin->tv_sec) + (double)(now.tv_nsec - begin->tv_nsec) / 1e9;
}

LAB int lab_setup(void **state)
{
	(void)state;
	return mkdtemp(dir) ? symbolizer_new(&symbolizer) : -1;
}

LAB int lab_teardown(void **state)
{
	(void)state;
	symbolizer_free(symbolizer);
	return run("rm -rf %s", dir);
}

#endif
