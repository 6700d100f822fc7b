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
 * -ENODATA: it may be where this file does not reach; -ENOTUNIQ: several that contradict each
 * other. Of typedefs and enums, the first is as good as any. */
int type_index_find(const struct type_index *index, enum type_kind kind, const char *name,
		    Dwarf_Die *ret);

#endif
