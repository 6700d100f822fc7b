/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Opening an ELF file. Files are read, never mapped: a target's binary may be truncated while we
 * look at it, and a mapping would turn that into SIGBUS. What libelf is given to chew on is
 * checked once, here: little-endian x86-64 (so libelf never has to convert in place), every
 * section inside the file, and no compressed section that would unpack without bound. Strings are
 * looked up without libelf, which searches a whole table for the end of one.
 */
#include "symbolize/elffile.h"

#include <elfutils/libdwelf.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_SECTIONS 1024
#define MAX_SEGMENTS 256
#define MAX_UNPACKED (4ull << 30) /* of one section */
#define MAX_PACKING 256		  /* zlib reaches 1032, with nothing but zeros */
#define MAX_VDSO (1u << 20)

static Elf_Data *string_table(const struct elf_file *file, size_t section)
{
	Elf_Scn *scn = elf_getscn(file->elf, section);
	GElf_Shdr shdr;
	Elf_Data *data;

	if (!scn || !gelf_getshdr(scn, &shdr) || shdr.sh_type != SHT_STRTAB ||
	    (shdr.sh_flags & SHF_COMPRESSED))
		return NULL;
	data = elf_rawdata(scn, NULL);
	return data && data->d_buf ? data : NULL;
}

/* Does its name begin with @prefix (or is it @prefix, with its end counted)? */
static bool is_named(const GElf_Shdr *shdr, const Elf_Data *names, const char *prefix,
		     size_t length)
{
	return names && shdr->sh_name < names->d_size && names->d_size - shdr->sh_name >= length &&
	       !memcmp((const char *)names->d_buf + shdr->sh_name, prefix, length);
}

static Elf_Data *section_names(const struct elf_file *file)
{
	size_t index;

	return elf_getshdrstrndx(file->elf, &index) ? NULL : string_table(file, index);
}

/* 0: makes no sense. Before SHF_COMPRESSED there was .zdebug_*: "ZLIB", the size (big-endian), the
 * data. */
uint64_t elf_file_unpacked_size(const struct elf_file *file, Elf_Scn *scn, const GElf_Shdr *shdr)
{
	uint64_t size;
	GElf_Chdr chdr;
	char head[12];

	if (shdr->sh_flags & SHF_COMPRESSED)
		return !(shdr->sh_flags & SHF_ALLOC) && gelf_getchdr(scn, &chdr) ? chdr.ch_size : 0;
	if (!is_named(shdr, section_names(file), ".zdebug_", 8) || shdr->sh_size < sizeof(head))
		return shdr->sh_size;
	if (file->memory)
		memcpy(head, (const char *)file->memory + shdr->sh_offset, sizeof(head));
	else if (pread(file->fd, head, sizeof(head), (off_t)shdr->sh_offset) != sizeof(head))
		return 0;
	memcpy(&size, head + 4, sizeof(size));
	return memcmp(head, "ZLIB", 4) ? shdr->sh_size : be64toh(size);
}

static bool section_sane(const struct elf_file *file, Elf_Scn *scn)
{
	GElf_Shdr shdr;
	uint64_t size;

	if (!gelf_getshdr(scn, &shdr))
		return false;
	if (shdr.sh_type == SHT_NOBITS || shdr.sh_type == SHT_NULL || !shdr.sh_size)
		return true;
	if (shdr.sh_offset > file->size || shdr.sh_size > file->size - shdr.sh_offset)
		return false;
	size = elf_file_unpacked_size(file, scn, &shdr);
	return size && size <= MAX_UNPACKED && size / MAX_PACKING <= shdr.sh_size;
}

static int check(const struct elf_file *file)
{
	size_t sections, segments;
	Elf_Scn *scn = NULL;
	GElf_Ehdr ehdr;

	if (!file->elf || elf_kind(file->elf) != ELF_K_ELF || !gelf_getehdr(file->elf, &ehdr))
		return -ENOEXEC;
	if (ehdr.e_ident[EI_CLASS] != ELFCLASS64 || ehdr.e_ident[EI_DATA] != ELFDATA2LSB ||
	    ehdr.e_machine != EM_X86_64)
		return -ENOEXEC;
	if (elf_getshdrnum(file->elf, &sections) || sections > MAX_SECTIONS ||
	    elf_getphdrnum(file->elf, &segments) || segments > MAX_SEGMENTS)
		return -ENOEXEC;
	while ((scn = elf_nextscn(file->elf, scn)))
		if (!section_sane(file, scn))
			return -ENOEXEC;
	return 0;
}

int elf_file_open(int fd, struct elf_file *ret)
{
	struct elf_file file = ELF_FILE_CLOSED;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st))
		return -EBADF;
	if (!S_ISREG(st.st_mode))
		return -ENOEXEC;
	elf_version(EV_CURRENT);
	file.size = (uint64_t)st.st_size;
	file.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (file.fd < 0)
		return -errno;
	file.elf = elf_begin(file.fd, ELF_C_READ, NULL);
	r = check(&file);
	if (r < 0) {
		elf_file_close(&file);
		return r;
	}
	*ret = file;
	return 0;
}

int elf_file_memory(void *memory, uint64_t size, struct elf_file *ret)
{
	struct elf_file file = { .fd = -1, .memory = memory, .size = size };
	int r;

	elf_version(EV_CURRENT);
	file.elf = elf_memory(memory, size);
	r = check(&file);
	if (r < 0) {
		elf_file_close(&file);
		return r;
	}
	*ret = file;
	return 0;
}

int elf_file_vdso(struct elf_file *ret)
{
	const char *base = (const char *)getauxval(AT_SYSINFO_EHDR);
	const Elf64_Ehdr *ehdr = (const Elf64_Ehdr *)base;
	const Elf64_Phdr *phdr;
	uint64_t size;
	void *copy;

	if (!base)
		return -ENOENT;
	size = ehdr->e_shoff + (uint64_t)ehdr->e_shnum * ehdr->e_shentsize;
	phdr = (const Elf64_Phdr *)(base + ehdr->e_phoff);
	for (unsigned int i = 0; i < ehdr->e_phnum; i++)
		if (phdr[i].p_type == PT_LOAD && phdr[i].p_offset + phdr[i].p_filesz > size)
			size = phdr[i].p_offset + phdr[i].p_filesz;
	if (size > MAX_VDSO)
		return -EFBIG;
	copy = malloc(size);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, base, size);
	return elf_file_memory(copy, size, ret);
}

void elf_file_close(struct elf_file *file)
{
	if (file->elf)
		elf_end(file->elf);
	if (file->fd >= 0)
		close(file->fd);
	free(file->memory);
	*file = (struct elf_file)ELF_FILE_CLOSED;
}

const char *elf_file_string(const struct elf_file *file, size_t section, uint64_t offset)
{
	Elf_Data *data = string_table(file, section);
	const char *string;
	size_t room;

	if (!data || offset >= data->d_size)
		return NULL;
	string = (const char *)data->d_buf + offset;
	room = data->d_size - offset;
	if (room > ELF_FILE_MAX_STRING)
		room = ELF_FILE_MAX_STRING;
	return memchr(string, 0, room) ? string : NULL;
}

Elf_Scn *elf_file_section(const struct elf_file *file, const char *name, GElf_Shdr *header)
{
	Elf_Data *names = file->elf ? section_names(file) : NULL;
	Elf_Scn *scn = NULL;

	while (names && (scn = elf_nextscn(file->elf, scn))) {
		GElf_Shdr shdr;

		if (!gelf_getshdr(scn, &shdr) || shdr.sh_type == SHT_NOBITS ||
		    !is_named(&shdr, names, name, strlen(name) + 1))
			continue;
		if (header)
			*header = shdr;
		return scn;
	}
	return NULL;
}

int elf_file_bytes(const struct elf_file *file, Elf_Scn *scn, const uint8_t **data, size_t *size)
{
	Elf_Data *raw;
	GElf_Shdr shdr;

	if (!file->elf || !scn || !gelf_getshdr(scn, &shdr))
		return -ENOENT;
	if ((shdr.sh_flags & SHF_COMPRESSED) && elf_compress(scn, 0, 0) < 0)
		return -EBADMSG;
	raw = elf_rawdata(scn, NULL);
	if (!raw || !raw->d_buf || !raw->d_size)
		return -ENODATA;
	*data = raw->d_buf;
	*size = raw->d_size;
	return 0;
}

bool elf_file_code_at(const struct elf_file *file, uint64_t address, GElf_Shdr *header)
{
	Elf_Scn *scn = NULL;

	if (!file->elf)
		return false;
	while ((scn = elf_nextscn(file->elf, scn)))
		if (gelf_getshdr(scn, header) && (header->sh_flags & SHF_EXECINSTR) &&
		    address >= header->sh_addr && address - header->sh_addr < header->sh_size)
			return true;
	return false;
}

int elf_file_address(const struct elf_file *file, uint64_t offset, uint64_t *ret)
{
	size_t n;

	if (!file->elf || elf_getphdrnum(file->elf, &n))
		return -ENOENT;
	/* Two segments may share a page of the file: code is in the executable one. */
	for (int code = 1; code >= 0; code--) {
		for (size_t i = 0; i < n; i++) {
			GElf_Phdr phdr;

			if (!gelf_getphdr(file->elf, (int)i, &phdr) || phdr.p_type != PT_LOAD ||
			    (code && !(phdr.p_flags & PF_X)) || offset < phdr.p_offset ||
			    offset - phdr.p_offset >= phdr.p_filesz)
				continue;
			*ret = phdr.p_vaddr + (offset - phdr.p_offset);
			return 0;
		}
	}
	return -ENOENT;
}

size_t elf_file_build_id(const struct elf_file *file, const uint8_t **id)
{
	const void *found;
	ssize_t n = file->elf ? dwelf_elf_gnu_build_id(file->elf, &found) : 0;

	if (n <= 0 || n > 64)
		return 0;
	*id = found;
	return (size_t)n;
}
