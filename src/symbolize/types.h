/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What providers ask about a program by name (see fp_host in faultprof/provider.h). All addresses
 * are the file's own (ELF virtual addresses); symbolizer_bias() leads from them to a process. A
 * binary is read when it is first asked about, and its index of names kept.
 *
 * Types are called as C calls them ("struct x", "union x", "enum x", "x_t", "unsigned int"), those
 * of C++ also by their full name alone ("ns::Class"; "class x" is "struct x"). Only complete types
 * count. Return 0 or -errno; @ret is untouched on failure.
 */
#ifndef SYMBOLIZE_TYPES_H
#define SYMBOLIZE_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#include "faultprof/provider.h"
#include "symbolize/symbolize.h"

/* Address of a variable, static ones too, or of a function; @size, which may be NULL, in bytes, 0:
 * not known. From DWARF, .symtab, .gnu_debugdata, .dynsym. C++ names as the linker has them. Of
 * several of one name, the one that other files can refer to is meant.
 * -ENOENT; -ENOTUNIQ: there are several, all of them static. */
int symbolizer_variable(struct symbolizer *symbolizer, const struct binary *binary,
			const char *name, uint64_t *address, uint64_t *size);

/* Address of a function that the tables of the file itself name: no DWARF, no debug file is read
 * for it, unless that was done already. -ENOENT, -ENOTUNIQ: as above. */
int symbolizer_function(struct symbolizer *symbolizer, const struct binary *binary,
			const char *name, uint64_t *address);

/* The member @path ("req.buf.area", "cache[3].pool") of @type. Goes through anonymous members and
 * base classes, not through pointers. An element beyond the bounds is none (unless there are none).
 * -ENOENT: no such type or member; -ENOTSUP: a bit field; -ENOTUNIQ: parts of the program mean
 * different structures by that name; -ENODATA: there is no DWARF, or not all of it (split off into
 * .dwo files, damaged), and what there is does not have it. */
int symbolizer_member(struct symbolizer *symbolizer, const struct binary *binary, const char *type,
		      const char *path, struct fp_member *ret);

/* Bytes of @type. -ENOENT, -ENOTUNIQ, -ENODATA: as above. */
int symbolizer_size_of(struct symbolizer *symbolizer, const struct binary *binary, const char *type,
		       uint64_t *ret);

/* Value of an enumerator ("E::A" when its enum is a C++ enum class). -ENOENT, -ENODATA: as above;
 * -ENOTUNIQ: parts of the program give the name different values. */
int symbolizer_enumerator(struct symbolizer *symbolizer, const struct binary *binary,
			  const char *name, int64_t *ret);

/* What to add to the file's addresses in a process that has it mapped at @start from file offset
 * @offset; @exec: executable. A page of the file may be mapped twice, as the end of one segment and
 * the beginning of the next; of two that both fit the former is meant, so that the lowest mapping
 * of a file is never mistaken. -ENOENT: not a mapping of it that a program is loaded by. */
int symbolizer_bias(struct symbolizer *symbolizer, const struct binary *binary, uint64_t start,
		    uint64_t offset, bool exec, uint64_t *ret);

#endif
