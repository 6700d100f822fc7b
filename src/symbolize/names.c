/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Symbol tables. A name is given only where its symbol covers the instruction: a stripped binary
 * exports few of its functions, and the nearest exported name would be a lie about all others.
 * A symbol of size zero (assembly) says where it starts and no more; it is believed up to the
 * next symbol, and only as far as .eh_frame does not contradict.
 *
 * One function has many names: a C library knows read() as __libc_read, __read and __GI_read too.
 * The one to show is the one a caller can have written: exported, in the version that a link gets
 * today, and not with the underscore that reserves it for the implementation. Debug files add
 * names but never a better one of that kind, so the answer is the same with and without them.
 */
#include "symbolize/module.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "symbolize/spans.h"

enum source { FROM_DYNSYM, FROM_MINI, FROM_SYMTAB };

/* From the least to the most important. */
#define RANK_LENGTH 0
#define RANK_SOURCE 20
#define RANK_BARS 22
#define RANK_BIND 26
#define RANK_DEFAULT 28
#define RANK_PLAIN 29
#define RANK_EXPORTED 30
#define RANK_FUNCTION 31

#define MAX_SYMBOLS (4u << 20)
#define MAX_BARS 15
#define MAX_LENGTH 0xfffff
#define VERSION_HIDDEN 0x8000

struct names {
	struct spans sized, loose;
	bool complete; /* there is a .symtab */
};

bool name_is_mangled(const char *name)
{
	return !strncmp(name, "_Z", 2) || !strncmp(name, "_R", 2);
}

bool name_is_reserved(const char *name)
{
	return *name == '_' && !name_is_mangled(name);
}

static uint32_t rank(const GElf_Sym *sym, const char *name, enum source source, bool hidden)
{
	size_t bars = name_is_reserved(name) ? strspn(name, "_") : 0, length = strlen(name);
	uint32_t bind = GELF_ST_BIND(sym->st_info) == STB_LOCAL	 ? 0
			: GELF_ST_BIND(sym->st_info) == STB_WEAK ? 1
								 : 2;
	bool exported = source == FROM_DYNSYM && bind;

	/* What the C library calls its own functions by. */
	if (bars > MAX_BARS || !strncmp(name, "__GI_", 5))
		bars = MAX_BARS;
	if (length > MAX_LENGTH)
		length = MAX_LENGTH;
	return (uint32_t)(GELF_ST_TYPE(sym->st_info) != STT_NOTYPE) << RANK_FUNCTION |
	       (uint32_t)exported << RANK_EXPORTED | (uint32_t)!bars << RANK_PLAIN |
	       (uint32_t)!hidden << RANK_DEFAULT | bind << RANK_BIND |
	       (uint32_t)(MAX_BARS - bars) << RANK_BARS | (uint32_t)source << RANK_SOURCE |
	       (uint32_t)(MAX_LENGTH - length) << RANK_LENGTH;
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

static Elf_Data *version_table(const struct elf_file *file)
{
	GElf_Shdr shdr;
	Elf_Scn *scn = elf_file_section(file, ".gnu.version", &shdr);

	return scn && shdr.sh_type == SHT_GNU_versym ? elf_getdata(scn, NULL) : NULL;
}

static int read_table(struct names *names, const struct elf_file *file, const char *section,
		      enum source source)
{
	GElf_Shdr shdr;
	Elf_Scn *scn = elf_file_section(file, section, &shdr);
	Elf_Data *data = scn ? elf_getdata(scn, NULL) : NULL;
	size_t n = data ? data->d_size / sizeof(Elf64_Sym) : 0;
	Elf_Data *versions = source == FROM_DYNSYM ? version_table(file) : NULL;
	size_t before;

	if (n > MAX_SYMBOLS)
		n = MAX_SYMBOLS;
	if (!n || (shdr.sh_type != SHT_SYMTAB && shdr.sh_type != SHT_DYNSYM))
		return -ENOENT;
	before = names->sized.n + names->loose.n;
	for (size_t i = 1; i < n; i++) {
		GElf_Versym version = 0;
		const char *name;
		GElf_Sym sym;
		int r;

		if (!gelf_getsym(data, (int)i, &sym) || !is_code(file->elf, &sym))
			continue;
		name = elf_file_string(file, shdr.sh_link, sym.st_name);
		/* Labels of compilers and annotation tools are no functions. */
		if (!name || !*name || *name == '.')
			continue;
		if (versions)
			gelf_getversym(versions, (int)i, &version);
		r = spans_add(sym.st_size ? &names->sized : &names->loose, sym.st_value,
			      sym.st_value + sym.st_size, (uintptr_t)name,
			      rank(&sym, name, source, version & VERSION_HIDDEN));
		if (r < 0)
			return r;
	}
	return names->sized.n + names->loose.n > before ? 0 : -ENOENT;
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
		span->end = elf_file_code_at(file, span->start, &shdr) ? shdr.sh_addr + shdr.sh_size
								       : span->start;
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
	names->complete = !read_table(names, &module->elf, ".symtab", FROM_SYMTAB) ||
			  !read_table(names, &module->debug, ".symtab", FROM_SYMTAB);
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

	if (!module->names->complete)
		return entry && entry->start == span->start;
	if (entry)
		return entry->start <= span->start;
	for (unsigned int i = 0; i < 2; i++) {
		entry = cfi_before(module->cfi[i], address);
		if (entry &&
		    (entry->start > span->start || span->start - entry->start < entry->size))
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
	ret->exported = span->rank >> RANK_EXPORTED & 1;
	return true;
}

/* Thread-local ones have no address. */
static bool has_address(const GElf_Sym *sym)
{
	unsigned int type = GELF_ST_TYPE(sym->st_info);

	return sym->st_shndx != SHN_UNDEF && sym->st_shndx < SHN_LORESERVE &&
	       (type == STT_OBJECT || type == STT_FUNC || type == STT_GNU_IFUNC ||
		type == STT_NOTYPE);
}

static int find_in_table(const struct elf_file *file, const char *section, const char *wanted,
			 GElf_Sym *ret)
{
	GElf_Shdr shdr;
	Elf_Scn *scn = elf_file_section(file, section, &shdr);
	Elf_Data *data = scn ? elf_getdata(scn, NULL) : NULL;
	size_t n = data ? data->d_size / sizeof(Elf64_Sym) : 0;
	Elf_Data *versions = n && shdr.sh_type == SHT_DYNSYM ? version_table(file) : NULL;
	unsigned int best = 0;
	bool several = false;

	if (n > MAX_SYMBOLS)
		n = MAX_SYMBOLS;
	for (size_t i = 1; i < n; i++) {
		GElf_Versym version = 0;
		unsigned int worth;
		const char *name;
		GElf_Sym sym;

		if (!gelf_getsym(data, (int)i, &sym) || !has_address(&sym))
			continue;
		name = elf_file_string(file, shdr.sh_link, sym.st_name);
		if (!name || strcmp(name, wanted))
			continue;
		if (versions)
			gelf_getversym(versions, (int)i, &version);
		worth = 1 + 2 * (GELF_ST_BIND(sym.st_info) != STB_LOCAL) +
			!(version & VERSION_HIDDEN);
		if (worth == best)
			several |= sym.st_value != ret->st_value;
		if (worth <= best)
			continue;
		best = worth;
		several = false;
		*ret = sym;
	}
	return several ? -ENOTUNIQ : best ? 0 : -ENOENT;
}

int names_address(const struct module *module, const char *name, uint64_t *address, uint64_t *size)
{
	GElf_Sym sym;
	int r = find_in_table(&module->elf, ".symtab", name, &sym);

	if (r == -ENOENT)
		r = find_in_table(&module->debug, ".symtab", name, &sym);
	if (r == -ENOENT)
		r = find_in_table(&module->mini, ".symtab", name, &sym);
	if (r == -ENOENT)
		r = find_in_table(&module->elf, ".dynsym", name, &sym);
	if (r < 0)
		return r;
	*address = sym.st_value;
	if (size)
		*size = sym.st_size;
	return 0;
}
