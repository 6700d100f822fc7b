/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The file, chunk by chunk: a chunk whose checksum is right was written by a writer, or by somebody
 * who took pains. */
#include "collect/recording_read.h"

#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include <zlib.h>

#include "collect/recording_parse.h"

static uint32_t get_le32(const uint8_t *from)
{
	return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
	       (uint32_t)from[3] << 24;
}

/* Returns how many of @nr bytes there were, or -errno. */
static ssize_t read_all(int fd, uint8_t *data, size_t nr)
{
	size_t got = 0;

	while (got < nr) {
		ssize_t n = read(fd, data + got, nr - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

static int read_head(int fd, struct recording *recording)
{
	uint8_t head[RECORDING_HEAD_BYTES];
	ssize_t n = read_all(fd, head, sizeof(head));
	uint32_t what;

	if (n < 0)
		return (int)n;
	if (n < (ssize_t)sizeof(head) || memcmp(head, RECORDING_MAGIC, 8) ||
	    get_le32(head + 12) != lzma_crc32(head, 12, 0))
		return -EBADMSG;
	what = get_le32(head + 8);
	recording->version = what & 0xffff;
	recording->whole_bytes = sizeof(head);
	if (recording->version != RECORDING_VERSION)
		return -ENOTSUP;
	return what >> 16 == RECORDING_MACHINE ? 0 : -ENOEXEC;
}

static int parse_chunk(struct recording *recording, const struct recording_visitor *visitor,
		       const uint8_t *data, size_t nr)
{
	struct cursor all = { data, data + nr, false };
	int r = 0;

	while (!r && all.at < all.end && !recording->index->has_end) {
		uint64_t type = cursor_number(&all), size = cursor_number(&all);
		const uint8_t *at = cursor_take(&all, size);
		struct cursor body = { at, at + size, false };

		r = at ? recording_parse(recording, visitor, type, &body) : -EBADMSG;
	}
	return r;
}

/* The bytes of one chunk, as they stand in the file, and unpacked. */
struct chunk {
	uint8_t packed[RECORDING_CHUNK_BYTES], plain[RECORDING_CHUNK_BYTES];
};

/* -EBADMSG: they are not what was written. */
static int unpack(struct chunk *chunk, const uint8_t *head, const uint8_t **ret)
{
	uint32_t nr = get_le32(head), plain = get_le32(head + 4);
	uLongf got = plain;

	if (get_le32(head + 8) != lzma_crc32(chunk->packed, nr, lzma_crc32(head, 8, 0)))
		return -EBADMSG;
	*ret = nr == plain ? chunk->packed : chunk->plain;
	return nr == plain || (uncompress(chunk->plain, &got, chunk->packed, nr) == Z_OK &&
			       got == plain)
		       ? 0
		       : -EBADMSG;
}

/* 1: there was one, and it was whole. 0: the recording is at its end, and says why. */
static int read_chunk(int fd, bool locked, struct recording *recording,
		      const struct recording_visitor *visitor, struct chunk *chunk)
{
	uint8_t head[RECORDING_CHUNK_HEAD_BYTES];
	ssize_t n = read_all(fd, head, sizeof(head));
	const uint8_t *plain;
	uint32_t nr = 0;
	int r;

	if (n == sizeof(head)) {
		nr = get_le32(head);
		if (!nr || nr > RECORDING_CHUNK_BYTES ||
		    get_le32(head + 4) > RECORDING_CHUNK_BYTES) {
			recording->state = RECORDING_DAMAGED;
			return 0;
		}
		n = read_all(fd, chunk->packed, nr);
	}
	if (n < 0)
		return (int)n;
	if (!nr || n < (ssize_t)nr) {
		recording->state = locked ? RECORDING_GROWING : RECORDING_CUT;
		return 0;
	}
	r = unpack(chunk, head, &plain);
	if (!r)
		r = parse_chunk(recording, visitor, plain, get_le32(head + 4));
	if (r && r != -EBADMSG)
		return r;
	recording->state = r ? RECORDING_DAMAGED : RECORDING_WHOLE;
	if (!r)
		recording->whole_bytes += sizeof(head) + nr;
	return !r && !recording->index->has_end;
}

static int read_chunks(int fd, struct recording *recording, const struct recording_visitor *visitor)
{
	/* Asked first: who writes its end meanwhile, is at its end then. */
	bool locked = flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
	struct chunk *chunk = malloc(sizeof(*chunk));
	int r = chunk ? 1 : -ENOMEM;

	if (!locked)
		flock(fd, LOCK_UN);
	while (r == 1)
		r = read_chunk(fd, locked, recording, visitor, chunk);
	free(chunk);
	/* Faults may have gone out before their interval did. */
	if (recording->state != RECORDING_WHOLE && recording->index->fault_ns > recording->end_ns)
		recording->end_ns = recording->index->fault_ns;
	return !r && !recording->index->has_run ? -EBADMSG : r;
}

int recording_read(const char *path, const struct recording_visitor *visitor, struct recording *ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), r;

	memset(ret, 0, sizeof(*ret));
	if (fd < 0)
		return -errno;
	ret->index = calloc(1, sizeof(*ret->index));
	r = ret->index ? read_head(fd, ret) : -ENOMEM;
	if (!r)
		r = read_chunks(fd, ret, visitor);
	close(fd);
	return r;
}

void recording_release(struct recording *recording)
{
	recording_index_free(recording->index);
	images_release(&recording->images);
	binary_table_release(&recording->binaries);
	pid_list_release(&recording->added);
	memset(recording, 0, sizeof(*recording));
}
