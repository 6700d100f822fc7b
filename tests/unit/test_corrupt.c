/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Files that nobody vouches for: cut short, changed at random, and made to be slow.
 */
#include "elflab.h"

#include <sys/wait.h>

/* All there is to ask, of a file that may be anything. */
static void ask_everything(const char *name, const uint64_t *offsets, unsigned int n)
{
	struct binary binary = open_binary(name);
	struct region region = { .start = 0x10000, .end = 0x90000, .exec = true, .binary = &binary };
	static struct fp_raw_stack raw;
	struct image *image = image_new(1, 1, "x");
	enum fp_stack_end end;
	struct fp_rule rules[16];
	uint64_t ips[16];
	struct frame frames[16];

	assert_int_equal(symbolizer_new(&symbolizer), 0);
	assert_int_equal(image_add_region(image, &region), 0);
	for (unsigned int i = 0; i < n; i++) {
		raw.reg[16] = region.start + offsets[i];
		raw.reg[7] = raw.reg[6] = 0x7ff0000;
		raw.bytes = sizeof(raw.data);
		for (unsigned int w = 0; w < raw.bytes / 8; w++)
			((uint64_t *)raw.data)[w] = w % 3 ? region.start + offsets[w % n] :
							    raw.reg[7] + 8 * (w + 5);
		assert_in_range(symbolizer_unwind(symbolizer, image, 0, &raw, ips, rules, 16, &end),
				1, 16);
		assert_in_range(symbolizer_frames(symbolizer, &binary, offsets[i], frames, 16), 1, 16);
	}
	symbolizer_build_id(symbolizer, &binary);
	symbolizer_free(symbolizer);
	image_free(image);
	close_binary(&binary);
}

static size_t read_all(const char *name, unsigned char *data, size_t size)
{
	char path[256];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY);
	n = read(fd, data, size);
	close(fd);
	assert_true(n > 0 && (size_t)n < size);
	return (size_t)n;
}

static void write_all(const char *name, const unsigned char *data, size_t size)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	assert_int_equal(fwrite(data, 1, size, file), size);
	fclose(file);
}

/* In a child, so that a crash is a failed test and not the end of all. */
static void mutate(const char *name, unsigned int mutations, const uint64_t *offsets, unsigned int n)
{
	static unsigned char good[1 << 20], bad[1 << 20];
	size_t size = read_all(name, good, sizeof(good));
	int status;
	pid_t pid = fork();

	if (!pid) {
		for (unsigned int m = 0; m < mutations; m++) {
			size_t cut = m % 4 ? size : random_below((unsigned int)size);

			alarm(20);
			memcpy(bad, good, size);
			for (unsigned int i = random_below(64); i; i--) {
				unsigned int at = random_below((unsigned int)size);

				/* Headers at both ends decide most. */
				if (i % 4 == 0)
					at = random_below(1024);
				else if (i % 4 == 1)
					at = (unsigned int)size - 1 - random_below(2600);
				if (random_below(2))
					bad[at] ^= (unsigned char)(1u << random_below(8));
				else
					bad[at] = (unsigned char)random_below(256);
			}
			write_all("bad", bad, cut + 1 > size ? size : cut + 1);
			ask_everything("bad", offsets, n);
		}
		_exit(0);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

static void corrupt_files_do_not_crash(void **state)
{
	static const char *const files[] = { "inline.so", "mini.so", "packed.so", "plus.so" };
	struct symbolizer *saved = symbolizer;

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		uint64_t offsets[24];
		char path[256];

		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		if (access(path, R_OK))
			continue;
		for (unsigned int o = 0; o < 24; o++)
			offsets[o] = 0x1000 + o * 29;
		mutate(files[i], 300, offsets, 24);
	}
	symbolizer = saved;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(corrupt_files_do_not_crash),
	};

	return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
