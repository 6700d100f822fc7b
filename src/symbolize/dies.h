/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Entries of DWARF that nobody vouches for. */
#ifndef SYMBOLIZE_DIES_H
#define SYMBOLIZE_DIES_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

/* Steps: how many entries may yet be read. False, and none is left: fewer than @n were. */
bool steps_take(uint64_t *steps, uint64_t n);

/* The next child of the same parent, into @ret (may be @die). 0; 1: there is none; -1: bad. */
int die_next(Dwarf_Die *die, Dwarf_Die *ret, uint64_t *steps);
/* The same for the first child. */
int die_first(Dwarf_Die *parent, Dwarf_Die *ret, uint64_t *steps);
/* The strings live as long as the file. NULL: none, or endless. */
const char *die_string(Dwarf_Die *die, unsigned int attribute);
const char *die_name(Dwarf_Die *die);
bool die_has(Dwarf_Die *die, unsigned int attribute);
/* Set here, or where @die was declared. */
bool die_flag(Dwarf_Die *die, unsigned int attribute);
/* A constant; signed ones as in two's complement. */
bool die_constant(Dwarf_Die *die, unsigned int attribute, uint64_t *ret);
/* The address of a variable; false: it has none that stays. */
bool die_address(Dwarf_Die *die, uint64_t *ret);
/* The type of @die behind typedefs and qualifiers. False: void, not complete, or bad. */
bool die_type(Dwarf_Die *die, Dwarf_Die *ret);
/* The same for what may be a type already; @ret may be @die. */
bool die_strip(Dwarf_Die *die, Dwarf_Die *ret);

#endif
