/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Text from targets (comm, paths, symbol names) is any bytes at all. What goes to a terminal or
 * into a format with rules passes through here first. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

#define TEXT_CHAR_BYTES 4

/* Bytes of the valid UTF-8 sequence that @text begins with; 0: not valid, or the end. @ret gets
 * the code point; untouched on 0. */
size_t text_utf8(const char *text, uint32_t *ret);

/* Takes one character off *@text (which must not be at its end) and writes it to @out, not
 * terminated. What is not valid UTF-8, or could steer a terminal, becomes '?'. Returns the bytes
 * written (at most TEXT_CHAR_BYTES). Each character counts as one column. */
size_t text_char(const char **text, char *out);

/* The whole of @text through text_char() into @buf, cut at a character when @size is too small. */
void text_clean(char *buf, size_t size, const char *text);
/* The same, of all of @text, in new memory. NULL: out of memory. */
char *text_clean_dup(const char *text);

/* Columns that @text takes when printed through text_char(). */
size_t text_columns(const char *text);

/* Bytes that text_fit() may write for so many columns. */
#define TEXT_FIT_BYTES(columns) (TEXT_CHAR_BYTES * (columns) + 1)

/* @text through text_char() in at most @columns columns (@buf holds TEXT_FIT_BYTES(@columns)): both
 * ends stay, "…" stands for the middle. Returns the columns used. */
size_t text_fit(char *buf, const char *text, size_t columns);

/* A number as people read it, returned by value so that it can stand in an argument list. */
struct text_cell {
	char text[32];
};

struct text_cell text_count(uint64_t n);     /* "1,234,567" */
struct text_cell text_duration(uint64_t ns); /* "840ns" "18.2ms" "1.21s": six columns to 99,999 s */

#endif
