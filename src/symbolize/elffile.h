/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* One ELF file, opened and checked: x86-64, every section inside the file. */
#ifndef SYMBOLIZE_ELFFILE_H
#define SYMBOLIZE_ELFFILE_H

#include <gelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_file {
	Elf *elf;	       /* NULL: not open */
	int fd;		       /* owned; -1: in memory */
	void *memory;	       /* owned; NULL: a file */
	uint64_t size;	       /* bytes */
	const char *debug_dir; /* where its debug files may be, beside DEBUG_ROOT; NULL: nowhere */
};

#define ELF_FILE_CLOSED  \
	{                \
		.fd = -1 \
	}

/* Opens what @fd refers to; @fd stays the caller's. Returns 0 or -errno. */
int elf_file_open(int fd, struct elf_file *ret);
/* The same for an image in memory; takes @memory (from malloc) whether it works or not. */
int elf_file_memory(void *memory, uint64_t size, struct elf_file *ret);
/* A copy of the vdso that the kernel gave this process. */
int elf_file_vdso(struct elf_file *ret);
void elf_file_close(struct elf_file *file);

/* The section of that name that has contents; NULL: none. */
Elf_Scn *elf_file_section(const struct elf_file *file, const char *name, GElf_Shdr *header);
/* Its bytes, decompressed; they live as long as @file. Returns 0 or -errno. */
int elf_file_bytes(const struct elf_file *file, Elf_Scn *scn, const uint8_t **data, size_t *size);
/* A string of table @section; lives as long as @file. NULL: there is none, or it is longer than
 * anybody's name (ELF_FILE_MAX_STRING). */
#define ELF_FILE_MAX_STRING 16384
const char *elf_file_string(const struct elf_file *file, size_t section, uint64_t offset);
/* What a section that has contents comes to once unpacked (SHF_COMPRESSED, .zdebug_*), bytes. */
uint64_t elf_file_unpacked_size(const struct elf_file *file, Elf_Scn *scn, const GElf_Shdr *shdr);
/* The section of code that covers @address; false: there is none. */
bool elf_file_code_at(const struct elf_file *file, uint64_t address, GElf_Shdr *header);
/* File offset to address. Returns 0 or -ENOENT when no segment holds it. */
int elf_file_address(const struct elf_file *file, uint64_t offset, uint64_t *ret);
/* Length of the build ID, 0: none. @id lives as long as @file. */
size_t elf_file_build_id(const struct elf_file *file, const uint8_t **id);

/* recorded.c: the build ID in hex, from malloc. NULL: it has none, or out of memory. */
char *build_id_hex(const struct elf_file *file);
bool build_id_is(const struct elf_file *file, const char *hex);

#define DEBUG_ROOT "/usr/lib/debug"

/* debugfile.c: separate debug information for @file, known to its users as @path (may be NULL).
 * Return 0 or -errno; -ENOENT: there is none. */
int debug_file_open(const struct elf_file *file, const char *path, struct elf_file *ret);
int debug_file_open_alt(const struct elf_file *file, struct elf_file *ret);
int debug_file_open_mini(const struct elf_file *file, struct elf_file *ret);

/* debugimage.c: what libdw needs of @file, fit for it, on its own: @file may be closed then.
 * Returns 0; -ENOENT: there is no debug information; or -errno. */
int debug_image_new(const struct elf_file *file, struct elf_file *ret);

#endif
