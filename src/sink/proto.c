/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "sink/proto.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VARINT_BYTES 10

enum { TYPE_VARINT, TYPE_BYTES = 2 };

static void append(struct message *message, const void *bytes, size_t nr)
{
	size_t room = message->room ? message->room : 64;
	char *data;

	while (room < message->nr + nr)
		room *= 2;
	if (room > message->room && !message->failed) {
		data = realloc(message->data, room);
		message->failed = !data;
		if (data) {
			message->data = data;
			message->room = room;
		}
	}
	if (message->failed || !nr)
		return;
	memcpy(message->data + message->nr, bytes, nr);
	message->nr += nr;
}

/* Seven bits a byte, the lowest first. */
static size_t varint(uint8_t buf[VARINT_BYTES], uint64_t value)
{
	size_t nr = 0;

	for (; value >= 0x80; value >>= 7)
		buf[nr++] = (uint8_t)value | 0x80;
	buf[nr++] = (uint8_t)value;
	return nr;
}

static void append_varint(struct message *message, uint64_t value)
{
	uint8_t buf[VARINT_BYTES];

	append(message, buf, varint(buf, value));
}

void put_number(struct message *message, unsigned int field, uint64_t value)
{
	if (!value)
		return;
	append_varint(message, field << 3 | TYPE_VARINT);
	append_varint(message, value);
}

void put_bytes(struct message *message, unsigned int field, const void *bytes, size_t nr)
{
	append_varint(message, field << 3 | TYPE_BYTES);
	append_varint(message, nr);
	append(message, bytes, nr);
}

void put_numbers(struct message *message, unsigned int field, const uint64_t *values, size_t nr)
{
	uint8_t buf[VARINT_BYTES];
	size_t bytes = 0;

	for (size_t i = 0; i < nr; i++)
		bytes += varint(buf, values[i]);
	append_varint(message, field << 3 | TYPE_BYTES);
	append_varint(message, bytes);
	for (size_t i = 0; i < nr; i++)
		append_varint(message, values[i]);
}

void message_clear(struct message *message)
{
	message->nr = 0;
}

void message_release(struct message *message)
{
	free(message->data);
	*message = (struct message){ 0 };
}

int gzip_open(struct gzip *gzip, FILE *out)
{
	*gzip = (struct gzip){ .out = out };
	/* 16: with the header of gzip. */
	if (deflateInit2(&gzip->stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS + 16,
			 MAX_MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	return 0;
}

static void pump(struct gzip *gzip, int flush)
{
	uint8_t buf[16384];

	do {
		gzip->stream.next_out = buf;
		gzip->stream.avail_out = sizeof(buf);
		deflate(&gzip->stream, flush);
		fwrite(buf, 1, sizeof(buf) - gzip->stream.avail_out, gzip->out);
	} while (!gzip->stream.avail_out);
}

void gzip_write(struct gzip *gzip, const void *bytes, size_t nr)
{
	gzip->stream.next_in = (z_const Bytef *)bytes;
	gzip->stream.avail_in = (uInt)nr;
	if (nr)
		pump(gzip, Z_NO_FLUSH);
}

void gzip_close(struct gzip *gzip)
{
	gzip->stream.avail_in = 0;
	pump(gzip, Z_FINISH);
	deflateEnd(&gzip->stream);
}
