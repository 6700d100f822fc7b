/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The wire format of Protocol Buffers, as far as profile.proto needs it, and gzip around it. By
 * hand, because protobuf-c would want a compiler for .proto files at build time, and the whole
 * profile as a tree in memory; numbers and strings with their field numbers are all there is to it.
 */
#ifndef SINK_PROTO_H
#define SINK_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <zlib.h>

struct message { /* all zeros: empty */
	char *data;
	size_t nr, room;
	bool failed; /* no memory; then nothing is added any more */
};

void put_number(struct message *message, unsigned int field, uint64_t value); /* 0 is left out */
/* Also of a message in the message. */
void put_bytes(struct message *message, unsigned int field, const void *bytes, size_t nr);
/* A repeated number, packed. */
void put_numbers(struct message *message, unsigned int field, const uint64_t *values, size_t nr);
void message_clear(struct message *message); /* keeps the memory */
void message_release(struct message *message);

struct gzip {
	z_stream stream;
	FILE *out;
};

int gzip_open(struct gzip *gzip, FILE *out); /* 0 or -ENOMEM */
/* A write error stays in ferror(). */
void gzip_write(struct gzip *gzip, const void *bytes, size_t nr);
void gzip_close(struct gzip *gzip);

#endif
