/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A strict UTF-8 reader, and on top of it the one place that decides which characters are safe to
 * show: a process can give itself any comm, and a file can have any name. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

size_t text_utf8(const char *text, uint32_t *ret)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *s = (const unsigned char *)text;
	uint32_t code;
	size_t bytes;

	if (!*s)
		return 0;
	if (*s < 0x80) {
		*ret = *s;
		return 1;
	}
	bytes = *s >= 0xf8 ? 0 : *s >= 0xf0 ? 4 : *s >= 0xe0 ? 3 : *s >= 0xc0 ? 2 : 0;
	if (!bytes)
		return 0;
	code = *s & (0x7f >> bytes);
	for (size_t i = 1; i < bytes; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	if (code < least[bytes] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret = code;
	return bytes;
}

/* Controls act on a terminal; the invisible and the direction marks make a line read as another. */
static bool steers(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0x200b && c <= 0x200f) ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
	       (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe007f);
}

size_t text_char(const char **text, char *out)
{
	uint32_t code;
	size_t bytes = text_utf8(*text, &code);

	if (bytes && !steers(code)) {
		memcpy(out, *text, bytes);
		*text += bytes;
		return bytes;
	}
	*text += bytes ? bytes : 1;
	*out = '?';
	return 1;
}

void text_clean(char *buf, size_t size, const char *text)
{
	char out[TEXT_CHAR_BYTES];
	size_t at = 0, bytes;

	while (*text) {
		bytes = text_char(&text, out);
		if (at + bytes >= size)
			break;
		memcpy(buf + at, out, bytes);
		at += bytes;
	}
	buf[at] = '\0';
}

char *text_clean_dup(const char *text)
{
	size_t size = strlen(text) + 1;
	char *clean = malloc(size);

	if (clean)
		text_clean(clean, size, text);
	return clean;
}

size_t text_columns(const char *text)
{
	char out[TEXT_CHAR_BYTES];
	size_t columns = 0;

	while (*text) {
		text_char(&text, out);
		columns++;
	}
	return columns;
}

size_t text_fit(char *buf, const char *text, size_t columns)
{
	static const char ellipsis[] = "…";
	size_t all = text_columns(text), head = columns / 2, tail, at = 0;
	char out[TEXT_CHAR_BYTES];

	tail = columns > head ? columns - head - 1 : 0;
	for (size_t i = 0; *text; i++) {
		size_t bytes = text_char(&text, out);

		if (all > columns && columns && i == head) {
			memcpy(buf + at, ellipsis, strlen(ellipsis));
			at += strlen(ellipsis);
		}
		if (all > columns && i >= head && i < all - tail)
			continue;
		memcpy(buf + at, out, bytes);
		at += bytes;
	}
	buf[at] = '\0';
	return all < columns ? all : columns;
}

struct text_cell text_count(uint64_t n)
{
	struct text_cell cell;
	char digits[24];
	size_t length = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, n), at = 0;

	for (size_t i = 0; i < length; i++) {
		if (i && (length - i) % 3 == 0)
			cell.text[at++] = ',';
		cell.text[at++] = digits[i];
	}
	cell.text[at] = '\0';
	return cell;
}

struct text_cell text_duration(uint64_t ns)
{
	/* Each unit ends where its rounding would give one digit more. */
	static const struct {
		double below, unit;
		const char *format;
	} forms[] = {
		{ 999.5, 1, "%.0fns" },	    { 99.95e3, 1e3, "%.1fus" }, { 999.5e3, 1e3, "%.0fus" },
		{ 99.95e6, 1e6, "%.1fms" }, { 999.5e6, 1e6, "%.0fms" }, { 99.995e9, 1e9, "%.2fs" },
		{ 999.95e9, 1e9, "%.1fs" }, { 2e19, 1e9, "%.0fs" },
	};
	struct text_cell cell;
	unsigned int i = 0;

	while ((double)ns >= forms[i].below)
		i++;
	snprintf(cell.text, sizeof(cell.text), forms[i].format, (double)ns / forms[i].unit);
	return cell;
}
