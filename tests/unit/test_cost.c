/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the symbolizer costs, on all that a proxy maps: memory while a profile is taken, and the
 * time to name ten thousand stacks at its end.
 */
#include "elflab.h"

#include <malloc.h>

#define MAX_FILES 64
#define STACKS 10000
#define DEPTH 20

struct file {
	struct binary binary;
	uint64_t offset, bytes; /* of its code, in the file */
};

static struct file files[MAX_FILES];
static unsigned int nr_files;

static void add_file(const char *path)
{
	struct file *file = &files[nr_files];
	struct stat st;
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	assert_int_equal(fstat(fd, &st), 0);
	*file = (struct file){ .binary = { .device = st.st_dev, .inode = st.st_ino, .fd = fd } };
	file->binary.path = strdup(path);
	file->binary.name = strrchr(file->binary.path, '/') + 1;
	assert_int_equal(pread(fd, &ehdr, sizeof(ehdr), 0), sizeof(ehdr));
	for (unsigned int i = 0; i < ehdr.e_phnum; i++) {
		assert_int_equal(pread(fd, &phdr, sizeof(phdr), (off_t)(ehdr.e_phoff + i * 56)),
				 56);
		if (phdr.p_type == PT_LOAD && (phdr.p_flags & PF_X)) {
			file->offset = phdr.p_offset;
			file->bytes = phdr.p_filesz;
		}
	}
	nr_files++;
}

/* haproxy, or else some other large program, with its libraries. */
static void add_files(void)
{
	char path[512];
	FILE *pipe;

	add_file(access("/usr/sbin/haproxy", R_OK) ? "/usr/bin/gdb" : "/usr/sbin/haproxy");
	add_file("/proc/self/exe");
	pipe = popen("for f in /usr/sbin/haproxy /usr/bin/python3; do ldd $f; done 2>/dev/null | "
		     "sed -n 's/.*=> \\(\\/[^ ]*\\) .*/\\1/p' | sort -u",
		     "r");
	while (nr_files < MAX_FILES && fscanf(pipe, "%511s", path) == 1)
		add_file(path);
	pclose(pipe);
	assert_true(nr_files > 2);
}

static size_t in_use(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

static void everything_mapped(void **state)
{
	struct image *image = image_new(1, 1, "proxy");
	static struct fp_raw_stack raw;
	struct timespec begin;
	struct fp_rule rule;
	enum fp_stack_end end;
	size_t before = in_use();
	uint64_t ip;

	(void)state;
	for (unsigned int i = 0; i < nr_files; i++) {
		struct region region = { .start = (uint64_t)(i + 1) << 32,
					 .offset = files[i].offset,
					 .exec = true,
					 .binary = &files[i].binary };

		region.end = region.start + files[i].bytes;
		assert_int_equal(image_add_region(image, &region), 0);
	}
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (unsigned int i = 0; i < nr_files * 1000; i++) {
		unsigned int at = i % nr_files;

		raw.reg[16] =
			((uint64_t)(at + 1) << 32) + random_below((unsigned int)files[at].bytes);
		symbolizer_unwind(symbolizer, image, 0, &raw, &ip, &rule, 1, &end);
	}
	print_message("%u files: %.0f ms, %.1f MB to unwind\n", nr_files,
		      seconds_since(&begin) * 1e3, (double)(in_use() - before) / (1 << 20));
	assert_true(in_use() - before < 16u << 20);
	image_free(image);
}

/* Calls come from a few thousand places of a few libraries, whatever the number of stacks. */
static void ten_thousand_stacks(void **state)
{
	static uint64_t places[MAX_FILES][100];
	size_t before = in_use();
	struct timespec begin;
	struct frame frames[16];
	unsigned int named = 0, total = 0;

	(void)state;
	for (unsigned int i = 0; i < nr_files; i++)
		for (unsigned int p = 0; p < 100; p++)
			places[i][p] = files[i].offset + random_below((unsigned int)files[i].bytes);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (unsigned int s = 0; s < STACKS * DEPTH; s++) {
		unsigned int at = random_below(nr_files);
		unsigned int n = symbolizer_frames(symbolizer, &files[at].binary,
						   places[at][random_below(100)], frames, 16);

		named += frames[n - 1].function != NULL;
		total++;
	}
	print_message("%u frames, %.0f %% of them with names: %.0f ms, %.1f MB\n", total,
		      100.0 * named / total, seconds_since(&begin) * 1e3,
		      (double)(in_use() - before) / (1 << 20));
#ifndef __SANITIZE_ADDRESS__
	assert_true(seconds_since(&begin) < 2);
#endif
}

static int cost_setup(void **state)
{
	add_files();
	return lab_setup(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_mapped),
		cmocka_unit_test(ten_thousand_stacks),
	};

	return cmocka_run_group_tests(tests, cost_setup, lab_teardown);
}
