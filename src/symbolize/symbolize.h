/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * From addresses to names, and from a frame to its caller. The only door to libelf and libdw.
 * All input is hostile: a corrupt ELF answers "not known", never worse.
 */
#ifndef SYMBOLIZE_SYMBOLIZE_H
#define SYMBOLIZE_SYMBOLIZE_H

#include "model/fault.h"

struct symbolizer;

int symbolizer_new(struct symbolizer **ret);
void symbolizer_free(struct symbolizer *symbolizer);
/* @binary will be asked about no more: what was read of it is freed. Names that were handed out
 * stay. */
void symbolizer_forget(struct symbolizer *symbolizer, const struct binary *binary);
/* Before the first name is asked for: debug information may be there, too, by build ID. @directory
 * stays the caller's; NULL: nowhere. */
void symbolizer_set_debug_dir(struct symbolizer *symbolizer, const char *directory);

/* Names the instruction at file offset @offset of @binary (NULL: gives one "[unknown]" frame).
 * Writes up to @max frames, innermost inlined function first, the physical function last, and
 * returns how many (>= 1). Names come from DWARF, .symtab, .gnu_debugdata, .dynsym, and only where
 * the symbol covers the instruction; else function is NULL and start comes from .eh_frame.
 * Frames of one function always carry the same start. Pass a return address minus one. */
unsigned int symbolizer_frames(struct symbolizer *symbolizer, const struct binary *binary,
			       uint64_t offset, struct frame *frames, unsigned int max);

/* Build ID in hex, as recorded or owned by the symbolizer; NULL when it has none or cannot be read.
 */
const char *symbolizer_build_id(struct symbolizer *symbolizer, const struct binary *binary);

/* Opens the file that @binary was when it was recorded: by its path, or by its build ID below
 * @debug_dir (NULL: none) and /usr/lib/debug. 0, or -errno: it is not there any more, or not here.
 */
int symbolizer_find(struct binary *binary, const char *debug_dir);

/* A nonzero return ends the walk, which returns it. */
typedef int (*symbolizer_file_fn)(void *arg, int fd, const char *build_id);
/* The files with separate debug information for @binary, which is open: those of which the build ID
 * says that they belong to it. */
int symbolizer_debug_files(const struct binary *binary, const char *debug_dir,
			   symbolizer_file_fn fn, void *arg);

/* Unwinds @raw through the mappings of @image, as they were at @time_ns. Writes up to @max
 * instruction pointers, and for each the rule that leads on from it (flag FP_RULE_OWN set where the
 * instruction lies in image->own). The first is the rip of @raw itself, the others are return
 * addresses: the instruction that a frame is at lies one byte before (also where a signal came in
 * between, there it is that of the interrupted instruction plus one).
 * Returns how many (>= 1), and why it ended in @end. */
unsigned int symbolizer_unwind(struct symbolizer *symbolizer, const struct image *image,
			       uint64_t time_ns, const struct fp_raw_stack *raw, uint64_t *ips,
			       struct fp_rule *rules, unsigned int max, enum fp_stack_end *end);

#endif
