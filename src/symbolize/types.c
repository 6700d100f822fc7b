/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * From the names of types to offsets. A path is followed word by word; where it has come to is a
 * type, stripped of typedefs and qualifiers, and how many dimensions of it, if it is an array, have
 * been gone through. Sizes and offsets beyond MAX_BYTES are nobody's: no sum of them overflows.
 */
#include "symbolize/types.h"

#include <dwarf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "symbolize/dies.h"
#include "symbolize/module.h"
#include "symbolize/typeindex.h"

#define MAX_STEPS (1u << 20) /* of one lookup */
#define MAX_DIMENSIONS 8
#define MAX_NESTING 16 /* of arrays, and of anonymous members and base classes */
#define MAX_PATH_LENGTH 1024
#define MAX_BYTES (1ull << 40)

/* How far a path has led. */
struct spot {
	Dwarf_Die type; /* stripped */
	uint64_t offset;
	unsigned int dimension; /* of an array: how many lie behind */
};

struct dimensions {
	uint64_t count[MAX_DIMENSIONS]; /* 0: not bounded */
	unsigned int n;
};

static bool is_array(Dwarf_Die *type)
{
	return dwarf_tag(type) == DW_TAG_array_type;
}

static bool read_dimensions(Dwarf_Die *array, struct dimensions *ret, uint64_t *steps)
{
	Dwarf_Die die;
	int r;

	ret->n = 0;
	for (r = die_first(array, &die, steps); !r; r = die_next(&die, &die, steps)) {
		uint64_t count = 0;

		if (dwarf_tag(&die) != DW_TAG_subrange_type)
			continue;
		if (ret->n == MAX_DIMENSIONS)
			return false;
		/* The highest index of an array without elements is -1. */
		if (!die_constant(&die, DW_AT_count, &count) &&
		    die_constant(&die, DW_AT_upper_bound, &count))
			count++;
		if (count > MAX_BYTES)
			return false;
		ret->count[ret->n++] = count;
	}
	return r > 0 && ret->n;
}

/* Bytes of a type that is no array. */
static bool size_of_single(Dwarf_Die *type, uint64_t *ret)
{
	uint64_t size;

	switch (dwarf_tag(type)) {
	case DW_TAG_pointer_type:
	case DW_TAG_reference_type:
	case DW_TAG_rvalue_reference_type:
		size = 8;
		die_constant(type, DW_AT_byte_size, &size);
		break;
	case DW_TAG_enumeration_type:
	case DW_TAG_structure_type:
	case DW_TAG_class_type:
	case DW_TAG_union_type:
	case DW_TAG_base_type:
	case DW_TAG_ptr_to_member_type:
		if (!die_constant(type, DW_AT_byte_size, &size))
			return false;
		break;
	default:
		return false;
	}
	if (size > MAX_BYTES)
		return false;
	*ret = size;
	return true;
}

/* Bytes of @type without its first @dimension dimensions. */
static bool size_of(const Dwarf_Die *type, unsigned int dimension, uint64_t *ret, uint64_t *steps)
{
	uint64_t size, factor = 1;
	Dwarf_Die die = *type;

	for (unsigned int depth = 0; is_array(&die); depth++, dimension = 0) {
		struct dimensions dimensions;

		if (depth == MAX_NESTING || !read_dimensions(&die, &dimensions, steps))
			return false;
		for (unsigned int i = dimension; i < dimensions.n; i++) {
			if (dimensions.count[i] && factor > MAX_BYTES / dimensions.count[i])
				return false;
			factor *= dimensions.count[i];
		}
		if (!die_type(&die, &die))
			return false;
	}
	if (!size_of_single(&die, &size) || (size && factor > MAX_BYTES / size))
		return false;
	*ret = factor * size;
	return true;
}

/* ---- paths ---- */

/* Where a member lies in its structure. */
static bool member_offset(Dwarf_Die *member, uint64_t *ret)
{
	Dwarf_Attribute value;
	Dwarf_Block block;
	uint64_t offset = 0;

	if (!dwarf_attr(member, DW_AT_data_member_location, &value)) {
		*ret = 0; /* a union's */
		return true;
	}
	if (!dwarf_formblock(&value, &block)) {
		unsigned int shift = 0;
		size_t i = 1;

		if (block.length < 2 || block.length > 8 || block.data[0] != DW_OP_plus_uconst)
			return false;
		do {
			offset |= (uint64_t)(block.data[i] & 0x7f) << shift;
			shift += 7;
		} while (block.data[i++] & 0x80 && i < block.length);
		if (i != block.length || block.data[i - 1] & 0x80)
			return false;
	} else if (!die_constant(member, DW_AT_data_member_location, &offset)) {
		return false;
	}
	*ret = offset;
	return offset <= MAX_BYTES;
}

/* A member of each object, not of the class. */
static bool is_member(Dwarf_Die *die)
{
	return dwarf_tag(die) == DW_TAG_member && !die_has(die, DW_AT_declaration) &&
	       !die_has(die, DW_AT_external);
}

static bool is_structure(Dwarf_Die *type)
{
	int tag = dwarf_tag(type);

	return tag == DW_TAG_structure_type || tag == DW_TAG_class_type || tag == DW_TAG_union_type;
}

static int enter(struct spot *spot, Dwarf_Die *member)
{
	uint64_t offset;

	if (die_has(member, DW_AT_bit_size) || die_has(member, DW_AT_data_bit_offset))
		return -ENOTSUP;
	if (!member_offset(member, &offset) || !die_type(member, &spot->type))
		return -ENOENT;
	spot->offset += offset;
	spot->dimension = 0;
	return spot->offset <= MAX_BYTES ? 0 : -ENOENT;
}

static bool is_called(Dwarf_Die *die, const char *name, size_t length)
{
	const char *own = die_name(die);

	return own && !strncmp(own, name, length) && !own[length];
}

/* Moves @spot to its member @name; to what has no name goes on its own. */
static int enter_named(struct spot *spot, const char *name, size_t length, uint64_t *steps,
		       unsigned int depth)
{
	Dwarf_Die die, structure = spot->type;

	if (depth == MAX_NESTING || !is_structure(&structure))
		return -ENOENT;
	for (int r = die_first(&structure, &die, steps); !r; r = die_next(&die, &die, steps))
		if (is_member(&die) && is_called(&die, name, length))
			return enter(spot, &die);
	for (int r = die_first(&structure, &die, steps); !r; r = die_next(&die, &die, steps)) {
		struct spot inner = *spot;
		int found;

		if (dwarf_tag(&die) != DW_TAG_inheritance &&
		    !(is_member(&die) && !die_has(&die, DW_AT_name)))
			continue;
		if (enter(&inner, &die) < 0)
			continue;
		found = enter_named(&inner, name, length, steps, depth + 1);
		if (found == -ENOENT)
			continue;
		if (!found)
			*spot = inner;
		return found;
	}
	return -ENOENT;
}

/* The element size and the number of elements of the array that @spot is at. */
static bool array_at(const struct spot *spot, uint64_t *stride, uint64_t *count, uint64_t *steps)
{
	struct dimensions dimensions;
	Dwarf_Die type = spot->type;

	if (!is_array(&type) || !read_dimensions(&type, &dimensions, steps) ||
	    spot->dimension >= dimensions.n || !size_of(&type, spot->dimension + 1, stride, steps))
		return false;
	*count = dimensions.count[spot->dimension];
	return true;
}

static int enter_element(struct spot *spot, uint64_t i, uint64_t *steps)
{
	struct dimensions dimensions;
	uint64_t stride, count;

	if (!array_at(spot, &stride, &count, steps) || (count && i >= count) ||
	    (stride && i > (MAX_BYTES - spot->offset) / stride) ||
	    !read_dimensions(&spot->type, &dimensions, steps))
		return -ENOENT;
	spot->offset += i * stride;
	if (++spot->dimension < dimensions.n)
		return 0;
	spot->dimension = 0;
	return die_type(&spot->type, &spot->type) ? 0 : -ENOENT;
}

/* "[n]" at *@path, which is moved behind it. */
static bool read_index(const char **path, uint64_t *ret)
{
	const char *at = *path + 1;
	uint64_t i = 0;

	if (*at < '0' || *at > '9')
		return false;
	for (; *at >= '0' && *at <= '9'; at++) {
		i = i * 10 + (uint64_t)(*at - '0');
		if (i > MAX_BYTES)
			return false;
	}
	*path = at + 1;
	*ret = i;
	return *at == ']';
}

static int follow(struct spot *spot, const char *path, uint64_t *steps)
{
	const char *at = path;
	int r = *path && strlen(path) <= MAX_PATH_LENGTH ? 0 : -ENOENT;

	while (!r && *at) {
		size_t length;
		uint64_t i;

		if (*at == '[') {
			r = read_index(&at, &i) ? enter_element(spot, i, steps) : -ENOENT;
			continue;
		}
		if (at > path && *at++ != '.')
			return -ENOENT;
		length = strcspn(at, ".[");
		r = length ? enter_named(spot, at, length, steps, 0) : -ENOENT;
		at += length;
	}
	return r;
}

/* ---- what is asked ---- */

static struct type_index *index_of(struct symbolizer *symbolizer, const struct binary *binary)
{
	struct module *module = binary ? symbolizer_module(symbolizer, binary) : NULL;

	return module ? module_types(module) : NULL;
}

static int find_type(const struct type_index *index, const char *name, Dwarf_Die *ret)
{
	static const struct {
		const char *word; /* "": any type may go without */
		enum type_kind kind;
	} words[] = {
		{ "struct ", TYPE_STRUCT }, { "class ", TYPE_STRUCT }, { "union ", TYPE_UNION },
		{ "enum ", TYPE_ENUM },	    { "", TYPE_PLAIN },	       { "", TYPE_STRUCT },
		{ "", TYPE_UNION },	    { "", TYPE_ENUM },
	};
	int r = -ENOENT;

	for (unsigned int i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t length = strlen(words[i].word);

		if (strncmp(name, words[i].word, length))
			continue;
		r = type_index_find(index, words[i].kind, name + length, ret);
		if (!r)
			return die_strip(ret, ret) ? 0 : -ENOENT;
		if (length)
			break;
	}
	return r;
}

static int variable_in_dwarf(const struct type_index *index, const char *name, uint64_t *address,
			     uint64_t *size, bool *external)
{
	uint64_t steps = MAX_STEPS;
	Dwarf_Die die, type;
	int r = type_index_find(index, TYPE_VARIABLE, name, &die);

	if (r < 0)
		return r;
	if (!die_address(&die, address))
		return -ENOENT;
	*external = die_flag(&die, DW_AT_external);
	if (die_type(&die, &type))
		size_of(&type, 0, size, &steps);
	return 0;
}

int symbolizer_variable(struct symbolizer *symbolizer, const struct binary *binary,
			const char *name, uint64_t *address, uint64_t *size)
{
	struct module *module = binary ? symbolizer_module(symbolizer, binary) : NULL;
	uint64_t at = 0, bytes = 0, symbol_at, symbol_bytes;
	const struct type_index *index;
	bool external = false;
	int r = -ENOENT, s;

	if (!module)
		return -ENOENT;
	index = module_types(module);
	if (index)
		r = variable_in_dwarf(index, name, &at, &bytes, &external);
	/* Beside a static one there may be a function of that name. */
	s = external ? -ENOENT : names_address(module, name, &symbol_at, &symbol_bytes);
	if (!s) {
		if (r < 0 || at != symbol_at)
			bytes = symbol_bytes;
		at = symbol_at;
	} else if (s == -ENOTUNIQ || r == -ENOTUNIQ) {
		return -ENOTUNIQ;
	} else if (r < 0) {
		return -ENOENT;
	}
	*address = at;
	if (size)
		*size = bytes;
	return 0;
}

int symbolizer_function(struct symbolizer *symbolizer, const struct binary *binary,
			const char *name, uint64_t *address)
{
	struct module *module = binary ? symbolizer_module(symbolizer, binary) : NULL;

	return module ? names_address(module, name, address, NULL) : -ENOENT;
}

int symbolizer_member(struct symbolizer *symbolizer, const struct binary *binary, const char *type,
		      const char *path, struct fp_member *ret)
{
	struct type_index *index = index_of(symbolizer, binary);
	struct fp_member member = { 0 };
	struct spot spot = { 0 };
	uint64_t steps = MAX_STEPS;
	int r;

	if (!index)
		return -ENODATA;
	r = find_type(index, type, &spot.type);
	if (!r)
		r = follow(&spot, path, &steps);
	if (r < 0)
		return r;
	if (!size_of(&spot.type, spot.dimension, &member.size, &steps))
		return -ENOENT;
	member.offset = spot.offset;
	if (is_array(&spot.type) && !array_at(&spot, &member.stride, &member.count, &steps))
		return -ENOENT;
	*ret = member;
	return 0;
}

int symbolizer_size_of(struct symbolizer *symbolizer, const struct binary *binary, const char *type,
		       uint64_t *ret)
{
	struct type_index *index = index_of(symbolizer, binary);
	uint64_t steps = MAX_STEPS;
	Dwarf_Die die;
	int r;

	if (!index)
		return -ENODATA;
	r = find_type(index, type, &die);
	if (r < 0)
		return r;
	return size_of(&die, 0, ret, &steps) ? 0 : -ENOENT;
}

int symbolizer_enumerator(struct symbolizer *symbolizer, const struct binary *binary,
			  const char *name, int64_t *ret)
{
	struct type_index *index = index_of(symbolizer, binary);
	uint64_t value;
	Dwarf_Die die;
	int r;

	if (!index)
		return -ENODATA;
	r = type_index_find(index, TYPE_ENUMERATOR, name, &die);
	if (r < 0)
		return r;
	if (!die_constant(&die, DW_AT_const_value, &value))
		return -ENOENT;
	*ret = (int64_t)value;
	return 0;
}

int symbolizer_bias(struct symbolizer *symbolizer, const struct binary *binary, uint64_t start,
		    uint64_t offset, bool exec, uint64_t *ret)
{
	struct module *module = binary ? symbolizer_module(symbolizer, binary) : NULL;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	size_t n;

	if (!module || !module->elf.elf || elf_getphdrnum(module->elf.elf, &n))
		return -ENOENT;
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr phdr;
		uint64_t skew;

		if (!gelf_getphdr(module->elf.elf, (int)i, &phdr) || phdr.p_type != PT_LOAD ||
		    !phdr.p_filesz || (exec && !(phdr.p_flags & PF_X)))
			continue;
		skew = phdr.p_offset % page;
		if (phdr.p_vaddr % page != skew || offset < phdr.p_offset - skew ||
		    offset - (phdr.p_offset - skew) >= phdr.p_filesz + skew)
			continue;
		*ret = start - (phdr.p_vaddr + (offset - phdr.p_offset));
		return 0;
	}
	return -ENOENT;
}
