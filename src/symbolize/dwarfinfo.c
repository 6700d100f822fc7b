/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Inline chains and lines. Compilers differ in whether they write .debug_aranges, so the ranges of
 * all compilation units are collected once, from the units themselves, and the functions of a unit
 * when its first address is asked for. libdw's own scope search is not used: it recurses as deep
 * as the data nests, and after an inlined function it goes on with the scopes of its definition
 * where we want its caller. The walks here are bounded in depth, and all that are made in one file
 * together in steps (an entry, a range): entries may link back, and many may share one endless list
 * of ranges. An honest file has fewer than it has bytes. One that has used up its steps answers
 * "not known" from then on.
 */
#include "symbolize/module.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <errno.h>
#include <stdlib.h>

#include "base/grow.h"
#include "symbolize/spans.h"

#define MAX_DEPTH 64
#define MAX_UNITS (1u << 19)
#define MIN_FUNCTION 4		 /* bytes of debug information that tell of one */
#define MAX_SEARCH (1u << 20)	 /* steps to find what is inlined at one address ... */
#define MAX_SEARCHES (64u << 20) /* ... and at all: some four seconds */

struct unit {
	Dwarf_Off offset;
	struct spans functions; /* value: offset of the DIE */
	bool read;
};

struct dwarf_info {
	Dwarf *dwarf, *alt;
	struct elf_file image, alt_image;
	struct unit *units;
	size_t nr_units;
	struct spans ranges; /* value: index of the unit */
	/* What is left of the bounds: spans, entries and ranges to collect, and to search. */
	uint64_t functions, steps, searches;
};

static bool take(uint64_t *budget)
{
	if (!*budget)
		return false;
	--*budget;
	return true;
}

static void add_ranges(struct dwarf_info *info, struct spans *spans, Dwarf_Die *die, uint64_t value)
{
	Dwarf_Addr base, start, end;
	ptrdiff_t at = 0;

	while (take(&info->steps) && (at = dwarf_ranges(die, at, &base, &start, &end)) > 0)
		/* What the linker dropped is left at address zero. */
		if (start && start < end &&
		    (!take(&info->functions) || spans_add(spans, start, end, value, 0) < 0))
			return;
}

static bool covers(Dwarf_Die *die, uint64_t address, uint64_t *budget)
{
	Dwarf_Addr base, start, end;
	ptrdiff_t at = 0;

	while (take(budget) && (at = dwarf_ranges(die, at, &base, &start, &end)) > 0)
		if (address >= start && address < end)
			return true;
	return false;
}

static int add_unit(struct dwarf_info *info, Dwarf_Die *die)
{
	int r = grow(&info->units, info->nr_units, sizeof(*info->units));

	if (r < 0)
		return r;
	info->units[info->nr_units] = (struct unit){ .offset = dwarf_dieoffset(die) };
	add_ranges(info, &info->ranges, die, info->nr_units++);
	return 0;
}

static void read_units(struct dwarf_info *info)
{
	unsigned int left = MAX_UNITS;
	Dwarf_CU *unit = NULL;
	Dwarf_Die die;
	uint8_t type;

	while (left-- && !dwarf_get_units(info->dwarf, unit, &unit, NULL, &type, &die, NULL))
		if ((type == DW_UT_compile || type == DW_UT_skeleton) &&
		    dwarf_tag(&die) != DW_TAG_invalid && add_unit(info, &die) < 0)
			break;
	spans_sort(&info->ranges);
}

/* What dwz moved out of @file; Returns 0 (also when it did not) or -errno. */
static int open_alt(struct dwarf_info *info, const struct elf_file *file)
{
	struct elf_file alt;
	int r;

	/* Left alone, libdw would open whatever the link names, a FIFO even; the image has no link.
	 */
	if (!elf_file_section(file, ".gnu_debugaltlink", NULL))
		return 0;
	r = debug_file_open_alt(file, &alt);
	if (r < 0)
		return r;
	r = debug_image_new(&alt, &info->alt_image);
	elf_file_close(&alt);
	if (r < 0)
		return r;
	info->alt = dwarf_begin_elf(info->alt_image.elf, DWARF_C_READ, NULL);
	if (!info->alt)
		return -EBADMSG;
	dwarf_setalt(info->dwarf, info->alt);
	return 0;
}

int dwarf_info_new(const struct elf_file *file, struct dwarf_info **ret)
{
	struct elf_file image;
	struct dwarf_info *info;
	int r = debug_image_new(file, &image);

	if (r < 0)
		return r;
	info = calloc(1, sizeof(*info));
	if (!info) {
		elf_file_close(&image);
		return -ENOMEM;
	}
	info->image = image;
	info->alt_image = (struct elf_file)ELF_FILE_CLOSED;
	info->steps = image.size;
	info->functions = image.size / MIN_FUNCTION;
	info->searches = MAX_SEARCHES;
	info->dwarf = dwarf_begin_elf(image.elf, DWARF_C_READ, NULL);
	r = info->dwarf ? open_alt(info, file) : -EBADMSG;
	if (r < 0) {
		dwarf_info_free(info);
		return r;
	}
	read_units(info);
	*ret = info;
	return 0;
}

void dwarf_info_free(struct dwarf_info *info)
{
	if (!info)
		return;
	for (size_t i = 0; i < info->nr_units; i++)
		spans_release(&info->units[i].functions);
	free(info->units);
	spans_release(&info->ranges);
	if (info->dwarf)
		dwarf_end(info->dwarf);
	if (info->alt)
		dwarf_end(info->alt);
	elf_file_close(&info->alt_image);
	elf_file_close(&info->image);
	free(info);
}

void dwarf_info_handles(const struct dwarf_info *info, struct dwarf_handles *ret)
{
	ret->dwarf = info->dwarf;
	ret->alt = info->alt;
	ret->bytes = info->image.size + info->alt_image.size;
}

static bool may_hold_functions(int tag)
{
	switch (tag) {
	case DW_TAG_subprogram:
	case DW_TAG_lexical_block:
	case DW_TAG_namespace:
	case DW_TAG_module:
	case DW_TAG_class_type:
	case DW_TAG_structure_type:
	case DW_TAG_union_type:
		return true;
	default:
		return false;
	}
}

static void collect(struct dwarf_info *info, struct unit *unit, Dwarf_Die *parent,
		    unsigned int depth)
{
	Dwarf_Die die;

	if (depth == MAX_DEPTH || dwarf_child(parent, &die))
		return;
	do {
		int tag = dwarf_tag(&die);

		if (!take(&info->steps) || tag == DW_TAG_invalid)
			return;
		if (tag == DW_TAG_subprogram)
			add_ranges(info, &unit->functions, &die, dwarf_dieoffset(&die));
		if (may_hold_functions(tag))
			collect(info, unit, &die, depth + 1);
	} while (!dwarf_siblingof(&die, &die));
}

/* The child of @parent that is inlined there at @address, through any blocks between. */
static bool find_inlined(Dwarf_Die *parent, uint64_t address, Dwarf_Die *ret, unsigned int depth,
			 uint64_t *budget)
{
	Dwarf_Die die;

	if (depth == MAX_DEPTH || dwarf_child(parent, &die))
		return false;
	do {
		int tag = dwarf_tag(&die);

		if (!take(budget) || tag == DW_TAG_invalid)
			return false;
		if (tag == DW_TAG_inlined_subroutine && covers(&die, address, budget)) {
			*ret = die;
			return true;
		}
		/* A block without code of its own may still hold some. */
		if (tag == DW_TAG_lexical_block &&
		    (!(dwarf_hasattr(&die, DW_AT_low_pc) || dwarf_hasattr(&die, DW_AT_ranges)) ||
		     covers(&die, address, budget)) &&
		    find_inlined(&die, address, ret, depth + 1, budget))
			return true;
	} while (!dwarf_siblingof(&die, &die));
	return false;
}

static const char *string(Dwarf_Die *die, unsigned int attribute)
{
	Dwarf_Attribute value;

	return dwarf_formstring(dwarf_attr_integrate(die, attribute, &value));
}

static void name_frame(Dwarf_Die *die, struct source_frame *frame)
{
	frame->linkage_name = string(die, DW_AT_linkage_name);
	if (!frame->linkage_name)
		frame->linkage_name = string(die, DW_AT_MIPS_linkage_name);
	frame->name = string(die, DW_AT_name);
}

/* Where @die, an inlined function, was called. */
static void call_site(Dwarf_Die *unit, Dwarf_Die *die, struct source_frame *caller)
{
	Dwarf_Attribute value;
	Dwarf_Word file, line;
	Dwarf_Files *files;
	size_t n;

	caller->file = NULL;
	caller->line = 0;
	if (!dwarf_formudata(dwarf_attr(die, DW_AT_call_file, &value), &file) &&
	    !dwarf_getsrcfiles(unit, &files, &n) && file < n)
		caller->file = dwarf_filesrc(files, file, NULL, NULL);
	if (caller->file && !dwarf_formudata(dwarf_attr(die, DW_AT_call_line, &value), &line) &&
	    line <= INT32_MAX)
		caller->line = (unsigned int)line;
}

static void source_line(Dwarf_Die *unit, uint64_t address, struct source_frame *frame)
{
	Dwarf_Line *line = dwarf_getsrc_die(unit, address);
	int number;

	frame->file = NULL;
	frame->line = 0;
	if (!line)
		return;
	frame->file = dwarf_linesrc(line, NULL, NULL);
	if (frame->file && !dwarf_lineno(line, &number) && number > 0)
		frame->line = (unsigned int)number;
}

/* The function that covers @address and, whether there is one or not, its unit; false: no unit. */
static bool find_function(struct dwarf_info *info, uint64_t address, Dwarf_Die *die,
			  const struct span **ret)
{
	const struct span *span = spans_find(&info->ranges, address);
	struct unit *unit;

	if (!span)
		return false;
	unit = &info->units[span->value];
	if (!dwarf_offdie(info->dwarf, unit->offset, die))
		return false;
	if (!unit->read) {
		unit->read = true;
		collect(info, unit, die, 0);
		spans_sort(&unit->functions);
	}
	*ret = spans_find(&unit->functions, address);
	return true;
}

unsigned int dwarf_info_frames(struct dwarf_info *info, uint64_t address,
			       struct source_frame *frames, unsigned int max, uint64_t *start)
{
	Dwarf_Die chain[MAX_DEPTH], unit;
	unsigned int depth = 1, n = 0;
	const struct span *span;
	uint64_t budget, left;

	if (!info || !find_function(info, address, &unit, &span))
		return 0;
	*start = span ? span->start : 0;
	frames[0] = (struct source_frame){ 0 };
	source_line(&unit, address, &frames[0]);
	/* Assembly has lines, but not always functions. */
	if (!span || !dwarf_offdie(info->dwarf, span->value, &chain[0]))
		return frames[0].line != 0;
	budget = left = info->searches < MAX_SEARCH ? info->searches : MAX_SEARCH;
	while (depth < MAX_DEPTH && depth < max &&
	       find_inlined(&chain[depth - 1], address, &chain[depth], 0, &left))
		depth++;
	info->searches -= budget - left;
	while (depth--) {
		name_frame(&chain[depth], &frames[n]);
		n++;
		if (depth)
			call_site(&unit, &chain[depth], &frames[n]);
	}
	return n;
}
