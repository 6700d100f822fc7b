/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Types, variables and enumerators of one file's DWARF, by name. */
#ifndef SYMBOLIZE_TYPEINDEX_H
#define SYMBOLIZE_TYPEINDEX_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

struct dwarf_handles;
struct type_index;

enum type_kind {
	TYPE_STRUCT, /* and class */
	TYPE_UNION,
	TYPE_ENUM,
	TYPE_PLAIN,    /* typedefs and base types */
	TYPE_VARIABLE, /* by linkage name where it has one (C++) */
	TYPE_ENUMERATOR,
};

/* Reads all units; what @handles names has to live as long. Returns 0 or -errno. */
int type_index_new(const struct dwarf_handles *handles, struct type_index **ret);
void type_index_free(struct type_index *index); /* NULL is fine */

/* The definition of @name, never a mere declaration. C++ names in scopes: "a::b". -ENOENT;
 * -ENODATA: it may be where this file does not reach; -ENOTUNIQ: several that contradict each other
 * (of a type, the first is as good as any). */
int type_index_find(const struct type_index *index, enum type_kind kind, const char *name,
		    Dwarf_Die *ret);

/* What both need to read DIEs that nobody vouches for. Steps: how many entries may yet be read. */

/* The next child of the same parent, into @ret (may be @die). 0; 1: there is none; -1: bad. */
int die_next(Dwarf_Die *die, Dwarf_Die *ret, uint64_t *steps);
/* The same for the first child. */
int die_first(Dwarf_Die *parent, Dwarf_Die *ret, uint64_t *steps);
/* NULL: none, or endless. Lives as long as the file. */
const char *die_name(Dwarf_Die *die);
bool die_has(Dwarf_Die *die, unsigned int attribute);
/* A constant; signed ones as in two's complement. */
bool die_constant(Dwarf_Die *die, unsigned int attribute, uint64_t *ret);
/* The address of a variable; false: it has none that stays. */
bool die_address(Dwarf_Die *die, uint64_t *ret);
/* The type of @die behind typedefs and qualifiers. False: void, not complete, or bad. */
bool die_type(Dwarf_Die *die, Dwarf_Die *ret);
/* The same for what may be a type already; @ret may be @die. */
bool die_strip(Dwarf_Die *die, Dwarf_Die *ret);

#endif
