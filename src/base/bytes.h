/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Numbers and texts in few bytes: little-endian base 128 for numbers, zigzag for signed ones, and
 * a length before a text. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VARINT_BYTES 10 /* at most */

/* What is written. Without memory it fails once for all: ask @failed at the end. */
struct bytes {
	uint8_t *data; /* owned; NULL when nothing was ever put in */
	size_t nr, room;
	bool failed;
};

/* Makes room for @nr more bytes, to be filled at data + nr. */
void bytes_reserve(struct bytes *bytes, size_t nr);
void bytes_put(struct bytes *bytes, const void *data, size_t nr);
void bytes_number(struct bytes *bytes, uint64_t value);
void bytes_signed(struct bytes *bytes, int64_t value);
void bytes_release(struct bytes *bytes);

/* What is read, which may be anything: beyond its end, and after a number that is none, all reads
 * give 0 and @bad stays true. */
struct cursor {
	const uint8_t *at, *end;
	bool bad;
};

uint64_t cursor_number(struct cursor *cursor);
/* One that is to be no greater than @max: else bad. */
uint64_t cursor_bounded(struct cursor *cursor, uint64_t max);
int64_t cursor_signed(struct cursor *cursor);
/* The next @nr bytes; NULL: bad. */
const uint8_t *cursor_take(struct cursor *cursor, uint64_t nr);

#endif
