/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What libdw is given instead of a file: an ELF image in memory that has the sections it needs for
 * names, lines and types, unpacked, and nothing else. libdw (0.188) trusts a section to end its
 * last string and its last number; here zeros behind each section do that. And it loads every debug
 * section it knows, of which locations of variables, the largest after the entries themselves, are
 * of no use to us.
 */
#include "symbolize/elffile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PADDING 64
#define MAX_PACKING 16 /* of all sections together; real ones come to three or four */

static const char *const wanted[] = {
	"info",	    "types",	   "abbrev", "line",   "str",
	"line_str", "str_offsets", "addr",   "ranges", "rnglists",
};

#define NR_WANTED (sizeof(wanted) / sizeof(wanted[0]))
/* Besides: the null section and the table of names. */
#define NR_SECTIONS (NR_WANTED + 2)

/* Where a wanted section is, and where it goes. */
struct part {
	Elf_Scn *scn; /* NULL: not there */
	GElf_Shdr shdr;
	bool old_packing; /* .zdebug_* */
	uint64_t size;	  /* unpacked */
	uint64_t offset;  /* in the image */
};

static void find_part(const struct elf_file *file, const char *name, struct part *part)
{
	char full[32] = ".debug_", old[32] = ".zdebug_";

	*part = (struct part){ 0 };
	part->scn = elf_file_section(file, strcat(full, name), &part->shdr);
	if (!part->scn) {
		part->scn = elf_file_section(file, strcat(old, name), &part->shdr);
		part->old_packing = part->scn != NULL;
	}
	if (part->scn)
		part->size = elf_file_unpacked_size(file, part->scn, &part->shdr);
}

static int unpack(struct part *part, uint8_t *to)
{
	Elf_Data *data;
	int r = part->old_packing ? elf_compress_gnu(part->scn, 0, 0)
				  : elf_compress(part->scn, 0, 0);

	data = r < 0 ? NULL : elf_rawdata(part->scn, NULL);
	if (!data || data->d_size != part->size)
		return -EBADMSG;
	memcpy(to, data->d_buf, data->d_size);
	return 0;
}

static int fill(const struct elf_file *file, struct part *part, uint8_t *to)
{
	if (part->old_packing || (part->shdr.sh_flags & SHF_COMPRESSED))
		return unpack(part, to);
	if (file->memory) {
		memcpy(to, (const uint8_t *)file->memory + part->shdr.sh_offset, part->size);
		return 0;
	}
	for (uint64_t done = 0; done < part->size;) {
		ssize_t n = pread(file->fd, to + done, part->size - done,
				  (off_t)(part->shdr.sh_offset + done));

		if (n <= 0)
			return n < 0 ? -errno : -EBADMSG;
		done += (uint64_t)n;
	}
	return 0;
}

/* The table of names, and the headers of all sections; @image begins with the file header. */
static void describe(uint8_t *image, const struct part *parts, uint64_t offset)
{
	Elf64_Shdr shdr[NR_SECTIONS] = { 0 };
	Elf64_Ehdr *ehdr = (Elf64_Ehdr *)image;
	char *names = (char *)image + offset;
	size_t used = 1;

	for (size_t i = 0; i < NR_WANTED; i++) {
		shdr[i + 1] = (Elf64_Shdr){
			.sh_name = (Elf64_Word)used,
			.sh_type = parts[i].scn ? SHT_PROGBITS : SHT_NULL,
			.sh_offset = parts[i].offset,
			.sh_size = parts[i].size,
			.sh_addralign = 1,
		};
		used += (size_t)sprintf(names + used, ".debug_%s", wanted[i]) + 1;
	}
	shdr[NR_SECTIONS - 1] = (Elf64_Shdr){
		.sh_type = SHT_STRTAB, .sh_offset = offset, .sh_size = used, .sh_addralign = 1
	};
	*ehdr = (Elf64_Ehdr){
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_ehsize = sizeof(*ehdr),
		.e_shoff = sizeof(*ehdr),
		.e_shentsize = sizeof(*shdr),
		.e_shnum = NR_SECTIONS,
		.e_shstrndx = NR_SECTIONS - 1,
	};
	memcpy(ehdr + 1, shdr, sizeof(shdr));
}

static int build(const struct elf_file *file, struct elf_file *ret)
{
	uint64_t size = sizeof(Elf64_Ehdr) + NR_SECTIONS * sizeof(Elf64_Shdr), unpacked = 0, names;
	struct part parts[NR_WANTED];
	uint8_t *image;
	int r = 0;

	for (size_t i = 0; i < NR_WANTED; i++) {
		find_part(file, wanted[i], &parts[i]);
		parts[i].offset = size;
		unpacked += parts[i].size;
		size += (parts[i].size + PADDING + 7) & ~(uint64_t)7;
	}
	if (!parts[0].size)
		return -ENOENT;
	if (unpacked / MAX_PACKING > file->size)
		return -EFBIG;
	names = size;
	size += NR_WANTED * 32;
	image = calloc(1, size);
	if (!image)
		return -ENOMEM;
	for (size_t i = 0; !r && i < NR_WANTED; i++)
		if (parts[i].size)
			r = fill(file, &parts[i], image + parts[i].offset);
	if (r < 0) {
		free(image);
		return r;
	}
	describe(image, parts, names);
	return elf_file_memory(image, size, ret);
}

int debug_image_new(const struct elf_file *file, struct elf_file *ret)
{
	struct elf_file once = ELF_FILE_CLOSED;
	int r;

	if (!file->elf)
		return -ENOENT;
	if (file->memory)
		return build(file, ret);
	/* What is unpacked stays with its Elf, so take one that can be dropped. */
	r = elf_file_open(file->fd, &once);
	if (r < 0)
		return r;
	r = build(&once, ret);
	elf_file_close(&once);
	return r;
}
