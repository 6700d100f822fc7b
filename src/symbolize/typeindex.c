/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * One pass over all units, so that a lookup is a probe into a hash table. Hundreds of units repeat
 * the same types: of each name one place is kept, 16 bytes, that of the first complete definition.
 * A typedef of a type that this unit does not define gives way to one of a unit that does.
 *
 * Names are kept as 64-bit hashes alone. Who could make two collide wrote the file, and could have
 * written any name in the first place.
 *
 * Steps bound it: every entry costs at least one, and more by the length of its name and of the
 * chain it has to go along in the table. An honest file needs fewer than it has bytes.
 */
#include "symbolize/typeindex.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "symbolize/dies.h"
#include "symbolize/module.h"

#define MAX_UNITS (1u << 19)
#define MAX_SCOPES 16 /* one in another */
#define MAX_NAMES (2u << 20)

/* A place: where the DIE is, and what is known of it. 0: the slot is free (no DIE is at 0). */
#define PLACE_ALT 1u	    /* in what dwz moved out */
#define PLACE_TYPES 2u	    /* in .debug_types */
#define PLACE_INCOMPLETE 4u /* a typedef of a type that is not defined there */
#define PLACE_LOCAL 8u	    /* a static variable */
#define PLACE_AMBIGUOUS 16u /* others contradict it */
#define PLACE_SHIFT 8

struct slot {
	uint64_t key, place;
};

struct type_index {
	Dwarf *dwarf, *alt;
	struct slot *slots;
	size_t nr_slots, nr_used; /* nr_slots: a power of two, or 0 */
	bool gaps;		  /* some of it could not be read */
};

/* While the index is made. */
struct pass {
	struct type_index *index;
	uint64_t steps;
	Dwarf_Die unit;	    /* that is read ... */
	unsigned int where; /* ... PLACE_ALT, PLACE_TYPES */
};

/* ---- the table ---- */

#define HASH_START 0xcbf29ce484222325ull /* FNV-1a, which can be gone on with */
#define HASH_STEP 0x100000001b3ull

static uint64_t hash(uint64_t state, const char *text)
{
	for (; *text; text++)
		state = (state ^ (uint8_t)*text) * HASH_STEP;
	return state;
}

static uint64_t key_of(uint64_t state, enum type_kind kind)
{
	state = (state ^ (0x100u + kind)) * HASH_STEP;
	return state ^ state >> 32;
}

static struct slot *probe(const struct type_index *index, uint64_t key, uint64_t *steps)
{
	size_t mask = index->nr_slots - 1;

	for (size_t i = key & mask; steps_take(steps, 1); i = (i + 1) & mask)
		if (!index->slots[i].place || index->slots[i].key == key)
			return &index->slots[i];
	return NULL;
}

static int enlarge(struct pass *pass)
{
	struct type_index *index = pass->index, old = *index;

	index->nr_slots = old.nr_slots ? 2 * old.nr_slots : 1024;
	index->slots = calloc(index->nr_slots, sizeof(*index->slots));
	if (!index->slots) {
		*index = old;
		return -ENOMEM;
	}
	for (size_t i = 0; i < old.nr_slots; i++) {
		struct slot *slot;

		if (!old.slots[i].place)
			continue;
		slot = probe(index, old.slots[i].key, &pass->steps);
		if (slot)
			*slot = old.slots[i];
	}
	free(old.slots);
	return 0;
}

static bool die_at(const struct type_index *index, uint64_t place, Dwarf_Die *ret)
{
	Dwarf *dwarf = place & PLACE_ALT ? index->alt : index->dwarf;
	Dwarf_Off offset = place >> PLACE_SHIFT;

	return place & PLACE_TYPES ? dwarf_offdie_types(dwarf, offset, ret)
				   : dwarf_offdie(dwarf, offset, ret);
}

static bool same_constant(Dwarf_Die *a, Dwarf_Die *b, unsigned int attribute)
{
	uint64_t x = 0, y = 0;

	return die_constant(a, attribute, &x) == die_constant(b, attribute, &y) && x == y;
}

static bool same_name(Dwarf_Die *a, Dwarf_Die *b)
{
	const char *x = die_name(a), *y = die_name(b);

	return x && y ? !strcmp(x, y) : x == y;
}

/* Definitions of one size that begin in the same line are the same one, read by many units. Others
 * may still be, in copies of a header. */
static bool same_structure(Dwarf_Die *a, Dwarf_Die *b, uint64_t *steps)
{
	Dwarf_Die x, y;
	int r, s;

	if (!same_constant(a, b, DW_AT_byte_size))
		return false;
	if (same_constant(a, b, DW_AT_decl_line))
		return true;
	r = die_first(a, &x, steps);
	s = die_first(b, &y, steps);
	while (!r && !s) {
		if (dwarf_tag(&x) != dwarf_tag(&y) || !same_name(&x, &y) ||
		    !same_constant(&x, &y, DW_AT_data_member_location))
			return false;
		r = die_next(&x, &x, steps);
		s = die_next(&y, &y, steps);
	}
	return r == s;
}

/* Whether the definitions @a and @b of one name say the same. */
static bool agree(enum type_kind kind, Dwarf_Die *a, Dwarf_Die *b, uint64_t *steps)
{
	uint64_t x, y;

	switch (kind) {
	case TYPE_VARIABLE:
		return die_address(a, &x) && die_address(b, &y) && x == y;
	case TYPE_ENUMERATOR:
		return same_constant(a, b, DW_AT_const_value);
	case TYPE_STRUCT:
	case TYPE_UNION:
		return same_structure(a, b, steps);
	default:
		return true;
	}
}

/* Adds the definition @die of a name, or does what has to be done when there is one already. */
static void add(struct pass *pass, enum type_kind kind, uint64_t state, Dwarf_Die *die,
		unsigned int flags)
{
	struct type_index *index = pass->index;
	uint64_t place = dwarf_dieoffset(die) << PLACE_SHIFT | pass->where | flags;
	struct slot *slot;
	Dwarf_Die other;

	if (4 * index->nr_used >= 3 * index->nr_slots &&
	    (index->nr_used >= MAX_NAMES || enlarge(pass) < 0)) {
		index->gaps = true;
		return;
	}
	slot = probe(index, key_of(state, kind), &pass->steps);
	if (!slot)
		return;
	if (!slot->place) {
		*slot = (struct slot){ key_of(state, kind), place };
		index->nr_used++;
	} else if ((slot->place & (PLACE_INCOMPLETE | PLACE_LOCAL)) & ~flags) {
		slot->place = place;
	} else if (slot->place != place && !(flags & PLACE_LOCAL & ~slot->place) &&
		   !(slot->place & PLACE_AMBIGUOUS) && die_at(index, slot->place, &other) &&
		   !agree(kind, die, &other, &pass->steps)) {
		slot->place |= PLACE_AMBIGUOUS;
	}
}

int type_index_find(const struct type_index *index, enum type_kind kind, const char *name,
		    Dwarf_Die *ret)
{
	uint64_t steps = index->nr_slots;
	struct slot *slot = NULL;

	if (index->nr_slots)
		slot = probe(index, key_of(hash(HASH_START, name), kind), &steps);
	if (!slot || !slot->place)
		return index->gaps ? -ENODATA : -ENOENT;
	if (slot->place & PLACE_AMBIGUOUS)
		return -ENOTUNIQ;
	return die_at(index, slot->place, ret) ? 0 : -ENOENT;
}

/* ---- the pass ---- */

static int name_of(struct pass *pass, Dwarf_Die *die, uint64_t scope, uint64_t *state)
{
	const char *name = die_name(die);

	if (!name || !steps_take(&pass->steps, strlen(name) / 16))
		return -ENOENT;
	*state = hash(scope, name);
	return 0;
}

static void read_variable(struct pass *pass, Dwarf_Die *die, uint64_t scope)
{
	const char *name;
	uint64_t address, state;

	if (!die_address(die, &address))
		return;
	name = die_string(die, DW_AT_linkage_name);
	if (name && steps_take(&pass->steps, strlen(name) / 16))
		state = hash(HASH_START, name);
	else if (name || name_of(pass, die, scope, &state) < 0)
		return;
	add(pass, TYPE_VARIABLE, state, die, die_flag(die, DW_AT_external) ? 0 : PLACE_LOCAL);
}

static void read_enum(struct pass *pass, Dwarf_Die *parent, uint64_t scope, bool named,
		      uint64_t name)
{
	Dwarf_Die die;
	uint64_t state;

	if (named)
		add(pass, TYPE_ENUM, name, parent, 0);
	if (named && die_has(parent, DW_AT_enum_class))
		scope = hash(name, "::");
	for (int r = die_first(parent, &die, &pass->steps); !r;
	     r = die_next(&die, &die, &pass->steps))
		if (dwarf_tag(&die) == DW_TAG_enumerator && !name_of(pass, &die, scope, &state))
			add(pass, TYPE_ENUMERATOR, state, &die, 0);
}

static int read_scope(struct pass *pass, Dwarf_Die *parent, uint64_t scope, unsigned int depth);

/* What is in it counts only once: hundreds of units repeat it. */
static void read_structure(struct pass *pass, Dwarf_Die *die, enum type_kind kind, uint64_t name,
			   unsigned int depth)
{
	size_t before = pass->index->nr_used;

	add(pass, kind, name, die, 0);
	if (pass->index->nr_used > before)
		read_scope(pass, die, hash(name, "::"), depth + 1);
}

/* The scope of @declaration, which is somewhere in this unit. */
static bool find_scope(struct pass *pass, const Dwarf_Die *declaration, uint64_t *ret)
{
	Dwarf_Die parent = pass->unit, die, next;
	uint64_t scope = HASH_START;

	for (unsigned int depth = 0; depth < MAX_SCOPES; depth++) {
		int r = die_first(&parent, &die, &pass->steps);

		if (r || declaration->cu != parent.cu)
			return false;
		for (; !(r = die_next(&die, &next, &pass->steps)); die = next)
			if ((uintptr_t)next.addr > (uintptr_t)declaration->addr)
				break;
		if (r < 0)
			return false;
		if (die.addr == declaration->addr) {
			*ret = scope;
			return true;
		}
		if (!name_of(pass, &die, scope, &scope))
			scope = hash(scope, "::");
		parent = die;
	}
	return false;
}

/* In a type unit it may be there for the sake of a definition in its scope. */
static void read_declared(struct pass *pass, Dwarf_Die *die, uint64_t scope, unsigned int depth)
{
	Dwarf_Attribute value;
	Dwarf_Die type;
	uint64_t name;

	if (dwarf_haschildren(die) <= 0)
		return;
	if (!dwarf_formref_die(dwarf_attr(die, DW_AT_signature, &value), &type))
		type = *die;
	if (!name_of(pass, &type, scope, &name))
		read_scope(pass, die, hash(name, "::"), depth + 1);
}

static void read_type(struct pass *pass, Dwarf_Die *die, uint64_t scope, unsigned int depth)
{
	int tag = dwarf_tag(die);
	Dwarf_Attribute value;
	Dwarf_Die other;
	uint64_t name;
	bool named;

	if (die_has(die, DW_AT_declaration) || die_has(die, DW_AT_signature)) {
		read_declared(pass, die, scope, depth);
		return;
	}
	/* Declared in one scope and defined in another, as all nested types are in type units. */
	if (dwarf_formref_die(dwarf_attr(die, DW_AT_specification, &value), &other) &&
	    !find_scope(pass, &other, &scope))
		return;
	named = !name_of(pass, die, scope, &name);
	if (tag == DW_TAG_enumeration_type)
		read_enum(pass, die, scope, named, name);
	else if (!named)
		return;
	else if (tag == DW_TAG_typedef || tag == DW_TAG_base_type)
		add(pass, TYPE_PLAIN, name, die, die_strip(die, &other) ? 0 : PLACE_INCOMPLETE);
	else
		read_structure(pass, die, tag == DW_TAG_union_type ? TYPE_UNION : TYPE_STRUCT, name,
			       depth);
}

static void read_die(struct pass *pass, Dwarf_Die *die, uint64_t scope, unsigned int depth)
{
	uint64_t name;

	switch (dwarf_tag(die)) {
	case DW_TAG_variable:
		read_variable(pass, die, scope);
		break;
	case DW_TAG_namespace:
		/* One without a name is as good as the scope around it. */
		if (!name_of(pass, die, scope, &name))
			scope = hash(name, "::");
		read_scope(pass, die, scope, depth + 1);
		break;
	case DW_TAG_structure_type:
	case DW_TAG_class_type:
	case DW_TAG_union_type:
	case DW_TAG_enumeration_type:
	case DW_TAG_typedef:
	case DW_TAG_base_type:
		read_type(pass, die, scope, depth);
		break;
	default:
		break;
	}
}

/* Returns -1 when it could not be read to its end. */
static int read_scope(struct pass *pass, Dwarf_Die *parent, uint64_t scope, unsigned int depth)
{
	Dwarf_Die die;
	int r;

	if (depth == MAX_SCOPES)
		return -1;
	r = die_first(parent, &die, &pass->steps);
	while (!r) {
		read_die(pass, &die, scope, depth);
		r = die_next(&die, &die, &pass->steps);
	}
	return r < 0 ? -1 : 0;
}

static void read_units(struct pass *pass, Dwarf *dwarf, unsigned int where)
{
	unsigned int left = MAX_UNITS;
	Dwarf_CU *unit = NULL;
	Dwarf_Half version;
	uint8_t type;
	int r = 0;

	while (left-- &&
	       !(r = dwarf_get_units(dwarf, unit, &unit, &version, &type, &pass->unit, NULL))) {
		/* Type units before DWARF 5 have a section of their own. */
		pass->where = where | (type == DW_UT_type && version < 5 ? PLACE_TYPES : 0);
		if (type == DW_UT_skeleton || dwarf_tag(&pass->unit) == DW_TAG_invalid ||
		    read_scope(pass, &pass->unit, HASH_START, 0) < 0)
			pass->index->gaps = true;
	}
	if (r < 0)
		pass->index->gaps = true;
}

int type_index_new(const struct dwarf_handles *handles, struct type_index **ret)
{
	struct type_index *index = calloc(1, sizeof(*index));
	struct pass pass = { .index = index, .steps = handles->bytes };

	if (!index)
		return -ENOMEM;
	index->dwarf = handles->dwarf;
	index->alt = handles->alt;
	read_units(&pass, index->dwarf, 0);
	if (index->alt)
		read_units(&pass, index->alt, PLACE_ALT);
	*ret = index;
	return 0;
}

void type_index_free(struct type_index *index)
{
	if (!index)
		return;
	free(index->slots);
	free(index);
}
