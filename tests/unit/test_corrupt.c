/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Files that nobody vouches for: changed at random or cut short, and made to be slow or large. The
 * random ones are the same in every run. A crash ends the test, an endless loop does after a time,
 * and sanitizers (if it is built with them) see what neither shows.
 */
#include "elflab.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "symbolize/cfi.h"
#include "symbolize/elffile.h"
#include "symbolize/reader.h"

#define NR_OFFSETS 24
#define ROUNDS 1000
#define ROUND_SECONDS 5 /* what one file may take, with sanitizers on a busy machine */

/* A good file, and the parts of it worth changing. */
struct sample {
	int fd;
	unsigned char *data;
	size_t size;
	struct {
		size_t offset, size;
	} part[64];
	unsigned int nr_parts;
	uint64_t offsets[NR_OFFSETS]; /* of instructions */
};

static void sample_open(struct sample *sample, const char *path)
{
	struct stat st;
	const Elf64_Ehdr *ehdr;
	const Elf64_Shdr *shdr;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0 && !fstat(fd, &st));
	*sample = (struct sample){ .size = (size_t)st.st_size };
	sample->data = malloc(sample->size);
	assert_int_equal(read(fd, sample->data, sample->size), sample->size);
	close(fd);
	sample->fd = memfd_create("sample", MFD_CLOEXEC);
	assert_int_equal(write(sample->fd, sample->data, sample->size), sample->size);

	ehdr = (const Elf64_Ehdr *)sample->data;
	shdr = (const Elf64_Shdr *)(sample->data + ehdr->e_shoff);
	sample->part[0].size = sizeof(*ehdr) + ehdr->e_phnum * sizeof(Elf64_Phdr);
	sample->part[1].offset = ehdr->e_shoff;
	sample->part[1].size = ehdr->e_shnum * sizeof(*shdr);
	sample->nr_parts = 2;
	for (unsigned int i = 1; i < ehdr->e_shnum && sample->nr_parts < 64; i++) {
		if (shdr[i].sh_type == SHT_NOBITS || !shdr[i].sh_size)
			continue;
		if (!(shdr[i].sh_flags & SHF_EXECINSTR)) {
			sample->part[sample->nr_parts].offset = shdr[i].sh_offset;
			sample->part[sample->nr_parts++].size = shdr[i].sh_size;
			continue;
		}
		for (unsigned int o = 0; o < NR_OFFSETS; o++)
			if (!o || shdr[i].sh_size > 400)
				sample->offsets[o] =
					shdr[i].sh_offset + shdr[i].sh_size * o / NR_OFFSETS;
	}
}

static void sample_close(struct sample *sample)
{
	close(sample->fd);
	free(sample->data);
}

/* All there is to ask, of a file that may be anything. */
static void ask_everything(const struct sample *sample)
{
	struct binary binary = { .device = 1,
				 .inode = 1,
				 .path = (char *)"/nowhere/sample",
				 .name = (char *)"sample",
				 .fd = sample->fd };
	struct region region = {
		.start = 0x10000, .end = 0x10000000, .exec = true, .binary = &binary
	};
	static struct fp_raw_stack raw;
	struct image *image = image_new(1, 1, "x");
	struct symbolizer *fresh;
	struct frame frames[16];
	struct fp_rule rules[16];
	enum fp_stack_end end;
	uint64_t ips[16];

	assert_int_equal(symbolizer_new(&fresh), 0);
	assert_int_equal(image_add_region(image, &region), 0);
	for (unsigned int i = 0; i < NR_OFFSETS; i++) {
		raw.reg[16] = region.start + sample->offsets[i];
		raw.reg[7] = raw.reg[6] = 0x7ff0000;
		raw.bytes = sizeof(raw.data);
		for (unsigned int w = 0; w < raw.bytes / 8; w++) {
			uint64_t word = w % 3 ? region.start + sample->offsets[w % NR_OFFSETS]
					      : raw.reg[7] + 8 * (w + 5);

			memcpy(raw.data + 8 * w, &word, 8);
		}
		assert_in_range(symbolizer_unwind(fresh, image, 0, &raw, ips, rules, 16, &end), 1,
				16);
		assert_in_range(symbolizer_frames(fresh, &binary, sample->offsets[i], frames, 16),
				1, 16);
	}
	symbolizer_build_id(fresh, &binary);
	symbolizer_free(fresh);
	image_free(image);
}

static void change_at(const struct sample *sample, size_t at)
{
	static const uint32_t edges[] = { 0,	      1,	  0x7f,	      0x80,	 0xff,
					  0x7fffffff, 0x80000000, 0xffffffff, 0xfffffff0 };
	uint64_t value = edges[random_below(9)];
	size_t n = 1;

	switch (random_below(4)) {
	case 0:
		value = random_below(256);
		break;
	case 1:
		value = sample->data[at] ^ 1u << random_below(8);
		break;
	case 2:
		n = 4;
		break;
	default:
		n = 8;
		value |= value << 32;
	}
	if (at + n <= sample->size)
		assert_int_equal(pwrite(sample->fd, &value, n, (off_t)at), n);
}

/* Most changes go to one part, so that the rest of the file still leads there. */
static void mutate(const struct sample *sample)
{
	size_t changed[64];
	unsigned int n = 1 + random_below(16), part = random_below(sample->nr_parts);

	for (unsigned int i = 0; i < n; i++) {
		unsigned int to = random_below(8) ? part : random_below(sample->nr_parts);

		changed[i] =
			sample->part[to].offset + random_below((unsigned int)sample->part[to].size);
		change_at(sample, changed[i]);
	}
	if (!random_below(8))
		assert_int_equal(ftruncate(sample->fd, random_below((unsigned int)sample->size)),
				 0);
}

static void mend(const struct sample *sample)
{
	assert_int_equal(pwrite(sample->fd, sample->data, sample->size, 0), sample->size);
}

static void fuzz(const char *path)
{
	struct sample sample;
	struct timespec begin;
	double worst = 0;

	sample_open(&sample, path);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		double seconds;

		mutate(&sample);
		alarm(4 * ROUND_SECONDS);
		clock_gettime(CLOCK_MONOTONIC, &begin);
		ask_everything(&sample);
		seconds = seconds_since(&begin);
		worst = seconds > worst ? seconds : worst;
		mend(&sample);
	}
	alarm(0);
	print_message("%s: %u files, the slowest took %.0f ms\n", strrchr(path, '/') + 1, ROUNDS,
		      worst * 1e3);
	assert_true(worst < ROUND_SECONDS);
	sample_close(&sample);
}

static void fuzz_built(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fuzz(path);
}

static void fuzz_debug_information(void **state)
{
	(void)state;
	build_library("dwarf5.so", "-gdwarf-5");
	fuzz_built("dwarf5.so");
	build_library("dwarf4.so", "-gdwarf-4 -fno-asynchronous-unwind-tables"); /* .debug_frame */
	fuzz_built("dwarf4.so");
	build_library("packed.so", "-g -gz=zlib");
	fuzz_built("packed.so");
	assert_int_equal(run("objcopy --compress-debug-sections=zlib-gnu packed.so old.so"), 0);
	fuzz_built("old.so");
}

static void fuzz_symbols(void **state)
{
	(void)state;
	build_library("full.so", "");
	fuzz_built("full.so");
	assert_int_equal(run("strip -o stripped.so full.so"), 0);
	fuzz_built("stripped.so");
	if (!have("xz"))
		skip();
	assert_int_equal(
		run("printf 'hidden\\n' > keep && objcopy -S --keep-symbols=keep full.so mini"
		    " && xz -k mini && "
		    "objcopy --add-section .gnu_debugdata=mini.xz stripped.so mini.so"),
		0);
	fuzz_built("mini.so");
}

static void fuzz_this_program(void **state)
{
	char path[256];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	(void)state;
	assert_true(n > 0);
	path[n] = 0;
	fuzz(path);
	assert_int_equal(run("strip -o self %s", path), 0);
	fuzz_built("self");
}

static void put(unsigned char **at, const void *data, size_t n)
{
	memcpy(*at, data, n);
	*at += n;
}

static void put_record(unsigned char **at, unsigned char *section, size_t cie, size_t string,
		       uint32_t start)
{
	unsigned char *body = *at + 4;
	uint32_t length;

	if (string) {
		put(&body, &(uint32_t){ 0 }, 4);
		*body++ = 1;
		memset(body, 'z', string);
		body += string;
		put(&body, "\0\1\x78\x10", 4);
	} else {
		put(&body, &(uint32_t){ (uint32_t)(body - section - cie) }, 4);
		put(&body, &(uint64_t){ start }, 8);
		put(&body, &(uint64_t){ 16 }, 8);
	}
	length = (uint32_t)(body - *at - 4);
	put(at, &length, 4);
	*at = body;
}

/* Entries that take turns between two CIEs with endless augmentations. */
static void augmentations_without_end(void **state)
{
	enum { STRING = 1 << 20, ENTRIES = 20000 };
	unsigned char *section = calloc(1, 2 * STRING + 32 * ENTRIES + 1024), *at = section;
	struct timespec begin;
	struct cfi *cfi = NULL;
	size_t cie[2];

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		cie[i] = (size_t)(at - section);
		put_record(&at, section, 0, STRING, 0);
	}
	for (unsigned int i = 0; i < ENTRIES; i++)
		put_record(&at, section, cie[i % 2], 0, 0x1000 + 16 * i);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	assert_true(cfi_new(section, (size_t)(at - section), 0, true, &cfi) < 0);
	assert_true(seconds_since(&begin) < 1);
	free(section);
}

static void numbers_without_end(void **state)
{
	static uint8_t bytes[1 << 16];
	struct reader reader = { bytes, bytes + sizeof(bytes), false };

	(void)state;
	memset(bytes, 0x80, sizeof(bytes));
	reader_uleb(&reader);
	assert_true(reader.bad);
	assert_true(reader.at - bytes < 32);
	/* Padded, but not without reason. */
	bytes[0] = 0x85;
	bytes[4] = 0;
	reader = (struct reader){ bytes, bytes + sizeof(bytes), false };
	assert_int_equal(reader_uleb(&reader), 5);
	assert_false(reader.bad);
}

static long peak_kilobytes(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss;
}

/* Asks about the first instructions of .text; the time and memory it may take. */
static void ask_slow(const char *name, unsigned int questions, double seconds, long kilobytes)
{
	struct binary binary = open_binary(name);
	uint64_t start = nm(name, "first", NULL);
	long before = peak_kilobytes();
	struct timespec begin;
	struct frame frames[16];

	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (unsigned int i = 0; i < questions; i++)
		frames_at(&binary, start + i, frames);
	print_message("%s: %.0f ms, %ld MB\n", name, seconds_since(&begin) * 1e3,
		      (peak_kilobytes() - before) / 1024);
	assert_true(seconds_since(&begin) < seconds);
	assert_true(peak_kilobytes() - before < kilobytes);
	close_binary(&binary);
}

/* Overwrites the largest table of strings: none in it ends. */
static void spoil_strings(int fd)
{
	Elf64_Ehdr ehdr;
	Elf64_Shdr shdr, table = { 0 };
	char *junk;

	assert_int_equal(pread(fd, &ehdr, sizeof(ehdr), 0), sizeof(ehdr));
	for (unsigned int i = 0; i < ehdr.e_shnum; i++) {
		off_t at = (off_t)(ehdr.e_shoff + i * sizeof(shdr));

		assert_int_equal(pread(fd, &shdr, sizeof(shdr), at), sizeof(shdr));
		if (shdr.sh_type == SHT_STRTAB && shdr.sh_size > table.sh_size)
			table = shdr;
	}
	assert_true(table.sh_size > 500000);
	junk = malloc(table.sh_size);
	memset(junk, 'x', table.sh_size);
	junk[0] = 0;
	assert_int_equal(pwrite(fd, junk, table.sh_size, (off_t)table.sh_offset), table.sh_size);
	free(junk);
}

static void strings_without_end(void **state)
{
	struct timespec begin;
	struct frame frames[16];
	struct binary bad;
	int fd;

	(void)state;
	write_text("many.s",
		   ".altmacro\n.macro one n\nname_\\n\\()_that_is_rather_long_to_make_the_"
		   "table_of_strings_large_and_so_slow_to_search: .byte 0x90\n.endm\n"
		   ".text\n.globl first\nfirst: .byte 0x90\n.set i,0\n.rept 12000\n"
		   "one %i\n.set i,i+1\n.endr\n.section .note.GNU-stack\n");
	assert_int_equal(run("gcc -shared -nostdlib -o good.so many.s && cp good.so bad.so"), 0);
	bad = open_binary("bad.so");
	fd = open(bad.path, O_RDWR);
	spoil_strings(fd);
	close(fd);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	frames_at(&bad,
		  nm("good.so",
		     "name_11999_that_is_rather_long_to_make_the_table_of_strings_"
		     "large_and_so_slow_to_search",
		     NULL),
		  frames);
	assert_null(frames[0].function);
	print_message("%.0f ms\n", seconds_since(&begin) * 1e3);
	assert_true(seconds_since(&begin) < 2);
	close_binary(&bad);
}

#define UNIT_HEAD                                                                      \
	".section .debug_abbrev,\"\",@progbits\nabbrev:\n"                             \
	".uleb128 1, 0x11\n.byte 1\n.uleb128 0x11, 1, 0x12, 7, 0, 0\n" /* unit */      \
	".uleb128 2, 0x2e\n.byte 0\n.uleb128 0x55, 0x17, 0, 0\n"       /* by ranges */ \
	".byte 0\n.text\n.globl first\nfirst: .skip 4096, 0x90\nlast:\n"               \
	".section .note.GNU-stack\n.section .debug_info,\"\",@progbits\nunit:\n"       \
	".4byte unit_end - unit - 4\n.2byte 4\n.4byte 0\n.byte 8\n"                    \
	".uleb128 1\n.8byte 0x400000\n.8byte 0x100000\n"

static void build_hostile(const char *name, const char *entries)
{
	char *text;

	assert_true(asprintf(&text, UNIT_HEAD "%s.byte 0\nunit_end:\n", entries) > 0);
	write_text("hostile.s", text);
	free(text);
	assert_int_equal(run("gcc -static -nostdlib -Wl,-e,first -Wl,-Ttext-segment=0x3ff000 "
			     "-Wl,--build-id=none -o %s hostile.s",
			     name),
			 0);
}

/* Functions that all share one long list of ranges. */
static void functions_of_many_ranges(void **state)
{
	(void)state;
	build_hostile("ranges", ".section .debug_ranges,\"\",@progbits\n.rept 5000\n"
				".8byte 0x400000, 0x400010\n.endr\n.8byte 0, 0\n"
				".section .debug_info\n.rept 5000\n.uleb128 2\n.4byte 0\n.endr\n");
	ask_slow("ranges", 100, 2, 64 << 10);
}

static uint64_t entry_address(const struct binary *binary)
{
	Elf64_Ehdr ehdr;

	assert_int_equal(pread(binary->fd, &ehdr, sizeof(ehdr), 0), sizeof(ehdr));
	return ehdr.e_entry;
}

/* Names in debug information have no limit of their own. */
static void names_of_a_megabyte(void **state)
{
	char *text = malloc((1 << 20) + 64);
	struct binary binary;
	struct frame frames[16];

	(void)state;
	strcpy(text, "int ");
	memset(text + 4, 'x', 1 << 20);
	strcpy(text + 4 + (1 << 20), "(int a) { return a * 3; }\n");
	write_text("long.c", text);
	free(text);
	assert_int_equal(run("gcc -g -O2 -nostdlib -static -o long long.c"), 0);
	binary = open_binary("long");
	frames_at(&binary, entry_address(&binary), frames);
	assert_non_null(frames[0].function);
	assert_in_range(strlen(frames[0].function), 1000, 65536);
	close_binary(&binary);
}

/* A few bytes that claim to be gigabytes: refused before anything is allocated. */
static void claims_of_gigabytes(void **state)
{
	static const uint64_t claims[] = { 3ull << 30, 1ull << 40, UINT64_MAX };

	(void)state;
	build_library("plain.so", "");
	for (unsigned int i = 0; i < 3; i++) {
		unsigned char head[64] = "ZLIB";
		struct elf_file file;
		char path[256];
		int fd;

		for (unsigned int b = 0; b < 8; b++)
			head[4 + b] = (unsigned char)(claims[i] >> (56 - 8 * b));
		snprintf(path, sizeof(path), "%s/claim", dir);
		fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
		assert_int_equal(write(fd, head, sizeof(head)), sizeof(head));
		close(fd);
		assert_int_equal(run("objcopy --add-section .zdebug_str=claim plain.so claim.so"),
				 0);
		snprintf(path, sizeof(path), "%s/claim.so", dir);
		fd = open(path, O_RDONLY);
		assert_int_equal(elf_file_open(fd, &file), -ENOEXEC);
		close(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fuzz_debug_information),
		cmocka_unit_test(fuzz_symbols),
		cmocka_unit_test(fuzz_this_program),
		cmocka_unit_test(augmentations_without_end),
		cmocka_unit_test(numbers_without_end),
		cmocka_unit_test(strings_without_end),
		cmocka_unit_test(functions_of_many_ranges),
		cmocka_unit_test(names_of_a_megabyte),
		cmocka_unit_test(claims_of_gigabytes),
	};

	return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
