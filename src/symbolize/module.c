/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Lazy reading. While a profile is taken only call frame information is wanted, and memory is
 * short: .eh_frame is read on the first unwind, .debug_frame only when that does not cover an
 * instruction, and symbols and DWARF not before the first name is asked for, be it of an
 * instruction or of a type.
 */
#include "symbolize/module.h"

#include <stdlib.h>

#include "symbolize/typeindex.h"

void module_open(struct module *module, const struct binary *binary)
{
	if (module->elf_tried)
		return;
	if (binary->fd >= 0) {
		module->elf_tried = true;
		elf_file_open(binary->fd, &module->elf);
	} else if (binary->path && !strcmp(binary->path, "[vdso]")) {
		module->elf_tried = true;
		/* That of another kernel is another one. */
		if (!elf_file_vdso(&module->elf) && binary->build_id &&
		    !build_id_is(&module->elf, binary->build_id))
			elf_file_close(&module->elf);
	}
}

static const struct cfi *module_cfi(struct module *module, unsigned int i)
{
	static const char *const names[] = { ".eh_frame", ".debug_frame" };
	const uint8_t *data;
	GElf_Shdr shdr;
	Elf_Scn *scn;
	size_t size;

	if (module->cfi_tried[i])
		return module->cfi[i];
	module->cfi_tried[i] = true;
	scn = elf_file_section(&module->elf, names[i], &shdr);
	if (scn && !elf_file_bytes(&module->elf, scn, &data, &size))
		cfi_new(data, size, shdr.sh_addr, i == 0, &module->cfi[i]);
	return module->cfi[i];
}

const struct cfi_entry *module_entry(struct module *module, uint64_t address,
				     const struct cfi **cfi)
{
	for (unsigned int i = 0; i < 2; i++) {
		const struct cfi_entry *entry = cfi_find(module_cfi(module, i), address);

		if (entry) {
			*cfi = module->cfi[i];
			return entry;
		}
	}
	return NULL;
}

void module_read_names(struct module *module)
{
	if (module->debug_tried || !module->elf.elf)
		return;
	module->debug_tried = true;
	if (dwarf_info_new(&module->elf, &module->dwarf) < 0 &&
	    !debug_file_open(&module->elf, module->path, &module->debug))
		dwarf_info_new(&module->debug, &module->dwarf);
	debug_file_open_mini(&module->elf, &module->mini);
	names_new(module, &module->names);
}

struct type_index *module_types(struct module *module)
{
	module_read_names(module);
	if (!module->types_tried && module->dwarf) {
		struct dwarf_handles handles;

		dwarf_info_handles(module->dwarf, &handles);
		type_index_new(&handles, &module->types);
	}
	module->types_tried = true;
	return module->types;
}

void module_release(struct module *module)
{
	type_index_free(module->types);
	dwarf_info_free(module->dwarf);
	names_free(module->names);
	cfi_free(module->cfi[0]);
	cfi_free(module->cfi[1]);
	free(module->rules);
	free(module->build_id);
	free(module->path);
	elf_file_close(&module->mini);
	elf_file_close(&module->debug);
	elf_file_close(&module->elf);
}
