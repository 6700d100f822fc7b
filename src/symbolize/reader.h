/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A cursor over bytes that nobody vouches for. A read past the end gives zero and sets bad, and
 * stays bad: callers check once, at the end of what they read.
 */
#ifndef SYMBOLIZE_READER_H
#define SYMBOLIZE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct reader {
	const uint8_t *at, *end;
	bool bad;
};

static inline const uint8_t *reader_skip(struct reader *reader, uint64_t n)
{
	const uint8_t *from = reader->at;

	if (reader->bad || n > (uint64_t)(reader->end - reader->at)) {
		reader->bad = true;
		return from;
	}
	reader->at += n;
	return from;
}

/* Little-endian, @n bytes up to 8. */
static inline uint64_t reader_uint(struct reader *reader, unsigned int n)
{
	const uint8_t *from = reader_skip(reader, n);
	uint64_t value = 0;

	if (!reader->bad)
		memcpy(&value, from, n);
	return value;
}

static inline int64_t reader_sint(struct reader *reader, unsigned int n)
{
	uint64_t value = reader_uint(reader, n);
	unsigned int shift = 64 - 8 * n;

	return (int64_t)(value << shift) >> shift;
}

/* Padded ones are legal, but nobody pads to more than a few bytes. */
#define READER_MAX_LEB 16

static inline uint64_t reader_leb(struct reader *reader, bool is_signed)
{
	uint64_t value = 0;
	unsigned int shift = 0;
	uint8_t byte;

	do {
		reader->bad |= shift == 7 * READER_MAX_LEB;
		byte = (uint8_t)reader_uint(reader, 1);
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while ((byte & 0x80) && !reader->bad);
	if (is_signed && (byte & 0x40) && shift < 64)
		value |= ~(uint64_t)0 << shift;
	return value;
}

static inline uint64_t reader_uleb(struct reader *reader)
{
	return reader_leb(reader, false);
}

static inline int64_t reader_sleb(struct reader *reader)
{
	return (int64_t)reader_leb(reader, true);
}

#endif
