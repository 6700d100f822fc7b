/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The front: which binary, which of the sources of names, and what was answered before. Every
 * answer is kept, by binary and file offset: a profile asks about the same few thousand
 * instructions over and over, for every process that runs the binary. All strings are interned
 * here, so frames stay valid whatever becomes of the files they came from.
 */
#define HASH_NONFATAL_OOM 1
#include "symbolize/symbolize.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/intern.h"
#include "symbolize/module.h"

#define MAX_CHAIN 64
#define MAX_STRING ELF_FILE_MAX_STRING

struct place {
	uint64_t offset;
	UT_hash_handle hh;
	unsigned int nr_frames;
	struct frame frames[];
};

struct symbolizer {
	struct module *modules;
	struct strings strings;
	const char *debug_dir;
};

int symbolizer_new(struct symbolizer **ret)
{
	struct symbolizer *symbolizer = calloc(1, sizeof(*symbolizer));

	if (!symbolizer)
		return -ENOMEM;
	*ret = symbolizer;
	return 0;
}

void symbolizer_set_debug_dir(struct symbolizer *symbolizer, const char *directory)
{
	symbolizer->debug_dir = directory;
}

static void module_free(struct module *module)
{
	struct place *place, *next;

	HASH_ITER (hh, module->places, place, next) {
		HASH_DEL(module->places, place);
		free(place);
	}
	module_release(module);
	free(module);
}

void symbolizer_free(struct symbolizer *symbolizer)
{
	struct module *module, *next_module;

	if (!symbolizer)
		return;
	HASH_ITER (hh, symbolizer->modules, module, next_module) {
		HASH_DEL(symbolizer->modules, module);
		module_free(module);
	}
	strings_release(&symbolizer->strings);
	free(symbolizer);
}

static struct module_key key_of(const struct binary *binary)
{
	struct module_key key = { .device = binary->device, .inode = binary->inode };

	if (!key.device && !key.inode)
		key.unique = (uintptr_t)binary;
	return key;
}

void symbolizer_forget(struct symbolizer *symbolizer, const struct binary *binary)
{
	const struct module_key key = key_of(binary);
	struct module *module, *other;

	HASH_FIND(hh, symbolizer->modules, &key, sizeof(key), module);
	if (!module)
		return;
	/* Its copies open their own file when they are asked again. */
	for (other = symbolizer->modules; other; other = other->hh.next) {
		if (other->same == module) {
			other->same = NULL;
			other->elf_tried = false;
		}
	}
	HASH_DEL(symbolizer->modules, module);
	module_free(module);
}

static struct module *module_new(struct symbolizer *symbolizer, const struct module_key *key,
				 const struct binary *binary)
{
	struct module *module = calloc(1, sizeof(*module));

	if (!module)
		return NULL;
	module->key = *key;
	module->elf = module->debug = module->mini = (struct elf_file)ELF_FILE_CLOSED;
	module->name = strings_intern(&symbolizer->strings, binary->name);
	module->path = binary->path ? strdup(binary->path) : NULL;
	if (!module->name)
		module->name = "[unknown]";
	HASH_ADD(hh, symbolizer->modules, key, sizeof(*key), module);
	if (!module->hh.tbl) {
		module_free(module);
		return NULL;
	}
	return module;
}

static bool is_copy(const struct module *a, const struct module *b)
{
	const uint8_t *x, *y;
	size_t n = elf_file_build_id(&a->elf, &x);

	return n && a->name == b->name && a->elf.size == b->elf.size &&
	       elf_file_build_id(&b->elf, &y) == n && !memcmp(x, y, n);
}

static void find_copy(const struct symbolizer *symbolizer, struct module *module)
{
	struct module *other = symbolizer->modules;

	while (other && (other == module || other->same || !is_copy(module, other)))
		other = other->hh.next;
	if (!other)
		return;
	module->same = other;
	elf_file_close(&module->elf);
}

struct module *symbolizer_module(struct symbolizer *symbolizer, const struct binary *binary)
{
	const struct module_key key = key_of(binary);
	struct module *module;

	HASH_FIND(hh, symbolizer->modules, &key, sizeof(key), module);
	if (!module)
		module = module_new(symbolizer, &key, binary);
	if (module && !module->elf_tried) {
		module_open(module, binary);
		module->elf.debug_dir = symbolizer->debug_dir;
		find_copy(symbolizer, module);
	}
	return module && module->same ? module->same : module;
}

/* Debug information may hold one endless string, and have a name begin at each byte of it. */
static const char *keep(struct symbolizer *symbolizer, const char *text)
{
	const char *result;
	char *cut;

	if (!text || strnlen(text, MAX_STRING + 1) <= MAX_STRING)
		return strings_intern(&symbolizer->strings, text);
	cut = strndup(text, MAX_STRING);
	result = strings_intern(&symbolizer->strings, cut);
	free(cut);
	return result;
}

/* Interns @raw as people want to read it, with @tail behind. */
static const char *readable(struct symbolizer *symbolizer, const char *raw, const char *tail)
{
	char *plain, *full = NULL, *bare = NULL;
	const char *result, *version;

	if (!raw)
		return NULL;
	version = strchr(raw, '@');
	if (version && version > raw)
		raw = bare = strndup(raw, (size_t)(version - raw));
	if (!raw)
		return NULL;
	plain = demangle(raw);
	if (*tail && asprintf(&full, "%s%s", plain ? plain : raw, tail) < 0)
		full = NULL;
	result = keep(symbolizer, full ? full : plain ? plain : raw);
	free(full);
	free(plain);
	free(bare);
	return result;
}

/* A linkage name that is not mangled is an assembler alias (__GI___libc_read), which nobody wrote.
 */
static const char *source_name(const struct source_frame *source)
{
	if (source->linkage_name && (!source->name || name_is_mangled(source->linkage_name)))
		return source->linkage_name;
	return source->name;
}

/* DWARF has the name that stands in the source. The symbol table knows better when the code is a
 * part split off of it, when DWARF gives only the last word of a C++ name, and when the name in
 * the source is internal to a library that exports the function by another one. */
static const char *physical_name(const struct source_frame *source, const struct symbol *symbol,
				 uint64_t start)
{
	const char *name = source_name(source);
	size_t length;

	if (!name || !symbol->name)
		return name ? name : symbol->name;
	if (symbol->start != start)
		return name;
	length = strlen(name);
	if (!strncmp(symbol->name, name, length) && symbol->name[length] == '.')
		return symbol->name;
	if (!name_is_mangled(name) && name_is_mangled(symbol->name))
		return symbol->name;
	return symbol->exported && name_is_reserved(name) ? symbol->name : name;
}

static unsigned int name_address(struct symbolizer *symbolizer, struct module *module,
				 uint64_t address, struct frame *frames)
{
	struct source_frame source[MAX_CHAIN];
	struct symbol symbol = { 0 };
	const struct cfi_entry *entry;
	const struct cfi *cfi;
	unsigned int n = 0;
	uint64_t start = 0;
	bool plt;

	plt = plt_find(&module->elf, address, &symbol);
	if (!plt)
		n = dwarf_info_frames(module->dwarf, address, source, MAX_CHAIN, &start);
	if (!plt && !names_find(module, address, &symbol))
		symbol.name = NULL;
	entry = module_entry(module, address, &cfi);
	if (!n)
		source[n++] = (struct source_frame){ 0 };
	if (!start) /* no debug information that knows the function */
		start = plt || symbol.name ? symbol.start : entry ? entry->start : 0;

	for (unsigned int i = 0; i < n; i++) {
		const char *raw = i < n - 1 ? source_name(&source[i])
					    : physical_name(&source[i], &symbol, start);

		frames[i] = (struct frame){
			.function = readable(symbolizer, raw, plt ? "@plt" : ""),
			.module = module->name,
			.file = keep(symbolizer, source[i].file),
			.line = source[i].line,
			.start = start,
			.offset = address - start,
			.inlined = i < n - 1,
		};
	}
	return n;
}

static struct place *place_new(struct symbolizer *symbolizer, struct module *module,
			       uint64_t offset)
{
	struct frame frames[MAX_CHAIN];
	struct place *place;
	uint64_t address;
	unsigned int n = 1;

	module_read_names(module);
	if (elf_file_address(&module->elf, offset, &address))
		frames[0] = (struct frame){ .module = module->name, .offset = offset };
	else
		n = name_address(symbolizer, module, address, frames);
	place = malloc(sizeof(*place) + n * sizeof(*frames));
	if (!place)
		return NULL;
	place->offset = offset;
	place->nr_frames = n;
	memcpy(place->frames, frames, n * sizeof(*frames));
	HASH_ADD(hh, module->places, offset, sizeof(offset), place);
	if (!place->hh.tbl) {
		free(place);
		return NULL;
	}
	return place;
}

unsigned int symbolizer_frames(struct symbolizer *symbolizer, const struct binary *binary,
			       uint64_t offset, struct frame *frames, unsigned int max)
{
	struct module *module = binary ? symbolizer_module(symbolizer, binary) : NULL;
	struct place *place = NULL;
	unsigned int n;

	if (module) {
		HASH_FIND(hh, module->places, &offset, sizeof(offset), place);
		if (!place)
			place = place_new(symbolizer, module, offset);
	}
	if (!place) {
		frames[0] = (struct frame){ .module = module ? module->name : "[unknown]",
					    .offset = offset };
		return 1;
	}
	n = place->nr_frames < max ? place->nr_frames : max;
	memcpy(frames, place->frames, n * sizeof(*frames));
	/* The physical function stays, whatever is cut. */
	frames[n - 1] = place->frames[place->nr_frames - 1];
	return n;
}

const char *symbolizer_build_id(struct symbolizer *symbolizer, const struct binary *binary)
{
	struct module *module = binary ? symbolizer_module(symbolizer, binary) : NULL;

	if (binary && binary->build_id)
		return binary->build_id;
	if (module && !module->build_id)
		module->build_id = build_id_hex(&module->elf);
	return module ? module->build_id : NULL;
}
