/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

void bytes_reserve(struct bytes *b, size_t nr)
{
	size_t room = b->room ? b->room : 256;
	uint8_t *more;

	while (room - b->nr < nr)
		room *= 2;
	if (b->failed || room == b->room)
		return;
	more = realloc(b->data, room);
	if (!more) {
		b->failed = true;
		return;
	}
	b->data = more;
	b->room = room;
}

void bytes_put(struct bytes *b, const void *data, size_t nr)
{
	bytes_reserve(b, nr);
	if (b->failed || !nr)
		return;
	memcpy(b->data + b->nr, data, nr);
	b->nr += nr;
}

void bytes_number(struct bytes *b, uint64_t value)
{
	uint8_t buf[VARINT_BYTES];
	size_t nr = 0;

	for (; value >= 0x80; value >>= 7)
		buf[nr++] = (uint8_t)(value | 0x80);
	buf[nr++] = (uint8_t)value;
	bytes_put(b, buf, nr);
}

void bytes_signed(struct bytes *b, int64_t value)
{
	bytes_number(b, (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0));
}

void bytes_release(struct bytes *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}

uint64_t cursor_number(struct cursor *c)
{
	uint64_t value = 0;

	for (unsigned int shift = 0; !c->bad && shift < 64; shift += 7) {
		uint8_t byte;

		if (c->at == c->end)
			break;
		byte = *c->at++;
		if (shift == 63 && byte > 1)
			break;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
	c->bad = true;
	return 0;
}

uint64_t cursor_bounded(struct cursor *c, uint64_t max)
{
	uint64_t value = cursor_number(c);

	if (value <= max)
		return value;
	c->bad = true;
	return 0;
}

int64_t cursor_signed(struct cursor *c)
{
	uint64_t value = cursor_number(c);

	return (int64_t)(value >> 1 ^ (value & 1 ? UINT64_MAX : 0));
}

const uint8_t *cursor_take(struct cursor *c, uint64_t nr)
{
	const uint8_t *at = c->at;

	if (c->bad || nr > (uint64_t)(c->end - c->at)) {
		c->bad = true;
		return NULL;
	}
	c->at += nr;
	return at;
}
