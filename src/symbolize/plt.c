/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Entries of procedure linkage tables have no symbols. Their code tells: an entry jumps through a
 * slot of the global offset table (jmp *slot(%rip)) or pushes the number of its relocation, and
 * the relocation of either names the function.
 */
#include "symbolize/module.h"

#include <string.h>

static bool read_entry(const struct elf_file *file, uint64_t address, uint8_t code[16],
		       uint64_t *start)
{
	static const char *const sections[] = { ".plt", ".plt.sec", ".plt.got" };

	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		GElf_Shdr shdr;
		Elf_Scn *scn = elf_file_section(file, sections[i], &shdr);
		const uint8_t *data;
		size_t size, width, at;

		if (!scn || address < shdr.sh_addr || address - shdr.sh_addr >= shdr.sh_size ||
		    elf_file_bytes(file, scn, &data, &size))
			continue;
		width = shdr.sh_entsize == 8 ? 8 : 16;
		at = (address - shdr.sh_addr) / width * width;
		memset(code, 0, 16);
		if (at < size)
			memcpy(code, data + at, size - at < width ? size - at : width);
		*start = shdr.sh_addr + at;
		return true;
	}
	return false;
}

static const char *symbol_name(const struct elf_file *file, uint64_t index)
{
	GElf_Shdr shdr;
	Elf_Scn *scn = elf_file_section(file, ".dynsym", &shdr);
	Elf_Data *data = scn ? elf_getdata(scn, NULL) : NULL;
	const char *name;
	GElf_Sym sym;

	if (!data || shdr.sh_type != SHT_DYNSYM || !index || index > INT32_MAX ||
	    !gelf_getsym(data, (int)index, &sym))
		return NULL;
	name = elf_file_string(file, shdr.sh_link, sym.st_name);
	return name && *name ? name : NULL;
}

/* By number (@slot 0) or by the address of the slot. */
static const char *relocation(const struct elf_file *file, const char *section, uint64_t slot,
			      uint64_t number)
{
	Elf_Scn *scn = elf_file_section(file, section, NULL);
	const uint8_t *data;
	size_t size;

	if (!scn || elf_file_bytes(file, scn, &data, &size))
		return NULL;
	for (uint64_t i = slot ? 0 : number; i < size / sizeof(Elf64_Rela); i++) {
		Elf64_Rela rela;

		memcpy(&rela, data + i * sizeof(rela), sizeof(rela));
		if (!slot || rela.r_offset == slot)
			return symbol_name(file, ELF64_R_SYM(rela.r_info));
	}
	return NULL;
}

bool plt_find(const struct elf_file *file, uint64_t address, struct symbol *ret)
{
	uint8_t code[16];
	uint32_t number;
	int32_t distance;

	if (!read_entry(file, address, code, &ret->start))
		return false;
	ret->name = NULL;
	if (code[0] == 0xff && code[1] == 0x35)
		return true; /* the entry that all others go through */
	for (unsigned int i = 0; i + 6 <= sizeof(code); i++) {
		if (code[i] != 0xff || code[i + 1] != 0x25)
			continue;
		memcpy(&distance, code + i + 2, sizeof(distance));
		address = ret->start + i + 6 + (uint64_t)(int64_t)distance;
		ret->name = relocation(file, ".rela.plt", address, 0);
		if (!ret->name)
			ret->name = relocation(file, ".rela.dyn", address, 0);
		return true;
	}
	for (unsigned int i = 0; i <= 4; i += 4) {
		if (code[i] != 0x68)
			continue;
		memcpy(&number, code + i + 1, sizeof(number));
		ret->name = relocation(file, ".rela.plt", 0, number);
		break;
	}
	return true;
}
