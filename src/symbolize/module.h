/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* All that is known of one binary. Each part is read when it is first asked for. */
#ifndef SYMBOLIZE_MODULE_H
#define SYMBOLIZE_MODULE_H

#include <uthash.h>

#include "symbolize/cfi.h"
#include "symbolize/elffile.h"
#include "symbolize/symbolize.h"

struct dwarf_info;
struct names;
struct type_index;
struct place; /* symbolize.c: the frames of one instruction */

/* The same file is the same module, whatever struct binary it comes with. */
struct module_key {
	uint64_t device, inode, unique; /* unique: 0 when device and inode tell */
};

/* Rules for the instructions met last; a slot is free while how is FP_RULE_RAW. */
#define MODULE_RULES 1024
struct module_rule {
	uint64_t address;
	struct fp_rule rule;
};

struct module {
	struct module_key key;
	const char *name; /* owned by the symbolizer */
	char *path;
	struct elf_file elf;
	bool elf_tried, cfi_tried[2], debug_tried, types_tried;
	struct cfi *cfi[2];	     /* .eh_frame, .debug_frame */
	struct module_rule *rules;   /* MODULE_RULES of them, or NULL */
	struct elf_file debug, mini; /* separate debug file; .gnu_debugdata */
	struct dwarf_info *dwarf;
	struct names *names;
	struct type_index *types; /* of dwarf */
	struct place *places;	  /* hash by file offset */
	struct module *same;	  /* another copy of this file, which answers for it; or NULL */
	char *build_id;
	UT_hash_handle hh;
};

/* The module of @binary, or of a copy of it (containers have many) of the same name, size and build
 * ID; opened if that can be done; NULL only when out of memory. */
struct module *symbolizer_module(struct symbolizer *symbolizer, const struct binary *binary);

/* module.c */
void module_open(struct module *module, const struct binary *binary);
/* Debug file, symbols and DWARF; what cannot be read stays NULL. */
void module_read_names(struct module *module);
/* The index of types, variables and enumerators; NULL: there is no DWARF. */
struct type_index *module_types(struct module *module);
void module_release(struct module *module);
/* The entry that covers @address and its table; NULL: none. */
const struct cfi_entry *module_entry(struct module *module, uint64_t address,
				     const struct cfi **cfi);

/* names.c: symbol tables. */
struct symbol {
	const char *name; /* as in the table */
	uint64_t start;
	bool exported; /* others link to it by this name */
};
int names_new(struct module *module, struct names **ret);
void names_free(struct names *names);
/* Only when the symbol covers @address; of several at one start, the name that a caller would
 * have written, whatever tables there are. */
bool names_find(struct module *module, uint64_t address, struct symbol *ret);
/* The variable or function called @name in the first table that has one, the linker's choice before
 * those that are local to a file. -ENOENT; -ENOTUNIQ: several, none of them the better one. */
int names_address(const struct module *module, const char *name, uint64_t *address, uint64_t *size);
bool name_is_mangled(const char *name);
/* With the underscore in front that keeps programs from using it. */
bool name_is_reserved(const char *name);

/* plt.c: true when @address is in a procedure linkage table; @name NULL: of what, is not known. */
bool plt_find(const struct elf_file *file, uint64_t address, struct symbol *ret);

/* demangle.c: for people; from malloc. NULL: @name is not mangled, or out of memory. */
char *demangle(const char *name);
/* rustv0.c: the same for Rust's own mangling. */
char *demangle_rust_v0(const char *name);

/* dwarfinfo.c: functions and lines. Strings live as long as the dwarf_info. */
struct source_frame {
	const char *linkage_name, *name, *file; /* NULL: not known */
	unsigned int line;
};
int dwarf_info_new(const struct elf_file *file, struct dwarf_info **ret);
void dwarf_info_free(struct dwarf_info *info);
/* For who reads more of it; all stays @info's. */
struct dwarf_handles {
	struct Dwarf *dwarf, *alt; /* alt: what dwz moved out; NULL: nothing */
	uint64_t bytes;		   /* of both */
};
void dwarf_info_handles(const struct dwarf_info *info, struct dwarf_handles *ret);
/* Innermost inlined function first; returns how many, 0: not known. @start: where the piece of
 * the physical function that covers @address begins; 0: only the line is known. */
unsigned int dwarf_info_frames(struct dwarf_info *info, uint64_t address,
			       struct source_frame *frames, unsigned int max, uint64_t *start);

#endif
