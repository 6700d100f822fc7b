/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Entries of DWARF, read with suspicion. libdw checks that what it reads is inside a section, and
 * little else: references may lead back, names may be endless, and types be made of themselves.
 */
#include "symbolize/dies.h"

#include <dwarf.h>
#include <string.h>

#define MAX_NESTING 64
#define MAX_CHAIN 32 /* of typedefs and qualifiers */
#define MAX_NAME 1024
#define MAX_LOCATION 16 /* bytes of one that is an address */

bool steps_take(uint64_t *steps, uint64_t n)
{
	if (*steps < n) {
		*steps = 0;
		return false;
	}
	*steps -= n;
	return true;
}

/* To find the end of children that no reference to a sibling leads around, libdw walks on its own,
 * uncounted; and not every version minds references that lead back. So that way is gone along here
 * first. */
static int next_nested(Dwarf_Die *die, Dwarf_Die *ret, uint64_t *steps, unsigned int depth)
{
	Dwarf_Attribute value;
	Dwarf_Die other;
	int r = 0;

	if (!steps_take(steps, 1) || depth == MAX_NESTING)
		return -1;
	if (dwarf_attr(die, DW_AT_sibling, &value)) {
		if (!dwarf_formref_die(&value, &other) || other.cu != die->cu ||
		    other.addr <= die->addr)
			return -1;
	} else if (dwarf_haschildren(die) > 0) {
		r = dwarf_child(die, &other);
		while (!r)
			r = next_nested(&other, &other, steps, depth + 1);
	}
	return r < 0 ? -1 : dwarf_siblingof(die, ret);
}

int die_next(Dwarf_Die *die, Dwarf_Die *ret, uint64_t *steps)
{
	int r = next_nested(die, ret, steps, 0);

	return !r && dwarf_tag(ret) == DW_TAG_invalid ? -1 : r;
}

int die_first(Dwarf_Die *parent, Dwarf_Die *ret, uint64_t *steps)
{
	int r = steps_take(steps, 1) ? dwarf_child(parent, ret) : -1;

	return !r && dwarf_tag(ret) == DW_TAG_invalid ? -1 : r;
}

const char *die_string(Dwarf_Die *die, unsigned int attribute)
{
	Dwarf_Attribute value;
	const char *text = dwarf_formstring(dwarf_attr_integrate(die, attribute, &value));

	return text && *text && strnlen(text, MAX_NAME + 1) <= MAX_NAME ? text : NULL;
}

const char *die_name(Dwarf_Die *die)
{
	return die_string(die, DW_AT_name);
}

bool die_has(Dwarf_Die *die, unsigned int attribute)
{
	return dwarf_hasattr(die, attribute);
}

bool die_flag(Dwarf_Die *die, unsigned int attribute)
{
	Dwarf_Attribute value;
	bool flag;

	return !dwarf_formflag(dwarf_attr_integrate(die, attribute, &value), &flag) && flag;
}

bool die_constant(Dwarf_Die *die, unsigned int attribute, uint64_t *ret)
{
	Dwarf_Attribute value;
	Dwarf_Sword number;
	Dwarf_Word word;

	if (!dwarf_attr(die, attribute, &value))
		return false;
	switch (dwarf_whatform(&value)) {
	case DW_FORM_sdata:
	case DW_FORM_implicit_const:
		if (dwarf_formsdata(&value, &number))
			return false;
		*ret = (uint64_t)number;
		return true;
	case DW_FORM_data1:
	case DW_FORM_data2:
	case DW_FORM_data4:
	case DW_FORM_data8:
	case DW_FORM_udata:
		if (dwarf_formudata(&value, &word))
			return false;
		*ret = word;
		return true;
	default:
		return false;
	}
}

bool die_address(Dwarf_Die *die, uint64_t *ret)
{
	Dwarf_Attribute value, operand;
	Dwarf_Block block;
	Dwarf_Addr address;
	Dwarf_Op *op;
	size_t n;

	if (!dwarf_attr(die, DW_AT_location, &value) || dwarf_formblock(&value, &block) ||
	    !block.length || block.length > MAX_LOCATION)
		return false;
	if (block.data[0] == DW_OP_addr && block.length == 1 + sizeof(address))
		memcpy(&address, block.data + 1, sizeof(address));
	else if ((block.data[0] != DW_OP_addrx && block.data[0] != DW_OP_GNU_addr_index) ||
		 dwarf_getlocation(&value, &op, &n) || n != 1 ||
		 dwarf_getlocation_attr(&value, op, &operand) || dwarf_formaddr(&operand, &address))
		return false;
	/* What the linker dropped is left at zero, or at the very end. */
	if (!address || address >= UINT64_MAX - 1)
		return false;
	*ret = address;
	return true;
}

static bool is_wrapping(int tag)
{
	return tag == DW_TAG_typedef || tag == DW_TAG_const_type || tag == DW_TAG_volatile_type ||
	       tag == DW_TAG_restrict_type || tag == DW_TAG_atomic_type;
}

bool die_strip(Dwarf_Die *die, Dwarf_Die *ret)
{
	Dwarf_Die type = *die;

	for (unsigned int i = 0; i < MAX_CHAIN; i++) {
		Dwarf_Attribute value;

		if (dwarf_tag(&type) == DW_TAG_invalid)
			return false;
		if (is_wrapping(dwarf_tag(&type))) {
			if (!dwarf_formref_die(dwarf_attr(&type, DW_AT_type, &value), &type))
				return false;
		} else if (die_has(&type, DW_AT_signature)) {
			if (!dwarf_formref_die(dwarf_attr(&type, DW_AT_signature, &value), &type))
				return false;
		} else {
			*ret = type;
			return !die_has(&type, DW_AT_declaration);
		}
	}
	return false;
}

bool die_type(Dwarf_Die *die, Dwarf_Die *ret)
{
	Dwarf_Attribute value;
	Dwarf_Die type;

	return dwarf_formref_die(dwarf_attr_integrate(die, DW_AT_type, &value), &type) &&
	       die_strip(&type, ret);
}
