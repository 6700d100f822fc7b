/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Symbol tables. A name is given only where its symbol covers the instruction: a stripped binary
 * exports few of its functions, and the nearest exported name would be a lie about all others.
 * A symbol of size zero (assembly) says where it starts and no more; it is believed up to the
 * next symbol, and only as far as .eh_frame does not contradict.
 */
#include "symbolize/module.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "symbolize/spans.h"

enum source { FROM_DYNSYM, FROM_MINI, FROM_SYMTAB };

#define RANK_SOURCE 28
#define RANK_FUNCTION 27
#define RANK_BIND 24

struct names {
	struct spans sized, loose;
};

/* Of several names for one address: the better table, functions before labels, global before weak
 * before local, then the one with fewer underscores in front, then the shorter one. */
static uint32_t rank(const GElf_Sym *sym, const char *name, enum source source)
{
	size_t bars = strspn(name, "_"), length = strlen(name);
	uint32_t bind = GELF_ST_BIND(sym->st_info) == STB_LOCAL ? 0 :
			GELF_ST_BIND(sym->st_info) == STB_WEAK ? 1 : 2;

	return (uint32_t)source << RANK_SOURCE |
	       (uint32_t)(GELF_ST_TYPE(sym->st_info) != STT_NOTYPE) << RANK_FUNCTION |
	       bind << RANK_BIND | (uint32_t)(15 - (bars < 15 ? bars : 15)) << 16 |
	       (uint32_t)(0xffff - (length < 0xffff ? length : 0xffff));
}

static bool is_code(Elf *elf, const GElf_Sym *sym)
{
	unsigned int type = GELF_ST_TYPE(sym->st_info);
	GElf_Shdr shdr;

	if (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE)
		return false;
	if (sym->st_shndx == SHN_UNDEF || sym->st_shndx >= SHN_LORESERVE)
		return false;
	return gelf_getshdr(elf_getscn(elf, sym->st_shndx), &shdr) &&
	       (shdr.sh_flags & SHF_EXECINSTR);
}

static int read_table(struct names *names, const struct elf_file *file, const char *section,
		      enum source source)
{
	GElf_Shdr shdr;
	Elf_Scn *scn = elf_file_section(file, section, &shdr);
	Elf_Data *data = scn ? elf_getdata(scn, NULL) : NULL;
	size_t n = data ? data->d_size / sizeof(Elf64_Sym) : 0;

	if (!n || (shdr.sh_type != SHT_SYMTAB && shdr.sh_type != SHT_DYNSYM))
		return -ENOENT;
	for (size_t i = 1; i < n; i++) {
		const char *name;
		GElf_Sym sym;
		int r;

		if (!gelf_getsym(data, (int)i, &sym) || !is_code(file->elf, &sym))
			continue;
		name = elf_strptr(file->elf, shdr.sh_link, sym.st_name);
		/* Labels of compilers and annotation tools are no functions. */
		if (!name || !*name || *name == '.')
			continue;
		r = spans_add(sym.st_size ? &names->sized : &names->loose, sym.st_value,
			      sym.st_value + sym.st_size, (uintptr_t)name,
			      rank(&sym, name, source));
		if (r < 0)
			return r;
	}
	return 0;
}

/* Ends each symbol of size zero where the next symbol, or its section, does. */
static void bound_loose(struct names *names, const struct elf_file *file)
{
	uint64_t next = UINT64_MAX, previous = UINT64_MAX;

	for (size_t i = names->loose.n; i--;) {
		struct span *span = &names->loose.v[i];
		size_t sized = spans_before(&names->sized, span->start);
		GElf_Shdr shdr;

		if (span->start != previous)
			next = previous;
		previous = span->start;
		span->end = elf_file_code_at(file, span->start, &shdr) ?
			    shdr.sh_addr + shdr.sh_size : span->start;
		if (next < span->end)
			span->end = next;
		if (sized < names->sized.n && names->sized.v[sized].start < span->end)
			span->end = names->sized.v[sized].start;
	}
	spans_sort(&names->loose);
}

int names_new(struct module *module, struct names **ret)
{
	struct names *names = calloc(1, sizeof(*names));

	if (!names)
		return -ENOMEM;
	if (read_table(names, &module->elf, ".symtab", FROM_SYMTAB) < 0)
		read_table(names, &module->debug, ".symtab", FROM_SYMTAB);
	read_table(names, &module->mini, ".symtab", FROM_MINI);
	read_table(names, &module->elf, ".dynsym", FROM_DYNSYM);
	spans_sort(&names->sized);
	spans_sort(&names->loose);
	bound_loose(names, &module->elf);
	*ret = names;
	return 0;
}

void names_free(struct names *names)
{
	if (!names)
		return;
	spans_release(&names->sized);
	spans_release(&names->loose);
	free(names);
}

/* A complete table names all its neighbours, so the next symbol is a bound; the others leave out
 * most of them, so there only .eh_frame can tell how far the symbol goes. */
static bool loose_covers(struct module *module, const struct span *span, uint64_t address)
{
	const struct cfi *cfi;
	const struct cfi_entry *entry = module_entry(module, address, &cfi);

	if (span->rank >> RANK_SOURCE != FROM_SYMTAB)
		return entry && entry->start == span->start;
	if (entry)
		return entry->start <= span->start;
	for (unsigned int i = 0; i < 2; i++) {
		entry = cfi_before(module->cfi[i], address);
		if (entry && (entry->start > span->start ||
			      span->start - entry->start < entry->size))
			return false;
	}
	return true;
}

bool names_find(struct module *module, uint64_t address, struct symbol *ret)
{
	const struct span *span;

	if (!module->names)
		return false;
	span = spans_find(&module->names->sized, address);
	if (!span) {
		span = spans_find(&module->names->loose, address);
		if (span && !loose_covers(module, span, address))
			span = NULL;
	}
	if (!span)
		return false;
	ret->name = (const char *)(uintptr_t)span->value;
	ret->start = span->start;
	return true;
}
