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

/* 1: there was one, and it was whole. 0: the recording is at its end, and says why. */
static int read_chunk(int fd, bool locked, struct recording *recording,
		      const struct recording_visitor *visitor, uint8_t *data)
{
	uint8_t head[8];
	ssize_t n = read_all(fd, head, sizeof(head));
	uint32_t nr = 0;
	int r;

	if (n == sizeof(head)) {
		nr = get_le32(head);
		if (!nr || nr > RECORDING_CHUNK_BYTES) {
			recording->state = RECORDING_DAMAGED;
			return 0;
		}
		n = read_all(fd, data, nr);
	}
	if (n < 0)
		return (int)n;
	if (!nr || n < (ssize_t)nr) {
		recording->state = locked ? RECORDING_GROWING : RECORDING_CUT;
		return 0;
	}
	r = lzma_crc32(data, nr, 0) == get_le32(head + 4)
		    ? parse_chunk(recording, visitor, data, nr)
		    : -EBADMSG;
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
	uint8_t *data = malloc(RECORDING_CHUNK_BYTES);
	int r = data ? 1 : -ENOMEM;

	if (!locked)
		flock(fd, LOCK_UN);
	while (r == 1)
		r = read_chunk(fd, locked, recording, visitor, data);
	free(data);
	if (r > 0)
		return -EBADMSG;
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
