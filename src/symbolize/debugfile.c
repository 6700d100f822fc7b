/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Where the debug information of a stripped file lives: by build ID under /usr/lib/debug, by
 * .gnu_debuglink near the file or under /usr/lib/debug, as xz inside the file (.gnu_debugdata),
 * and what dwz moved out of it (.gnu_debugaltlink). All names come from the file and so from
 * anybody: only regular files are opened, without blocking, and only those that prove to belong
 * to it, by build ID or, where there is none, by the checksum in the link.
 */
#include "symbolize/elffile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_MINI (64u << 20)
#define MAX_DECODER (80u << 20)	     /* what "xz -9" takes to unpack */
#define MAX_CHECKSUMMED (2ull << 30) /* a file that only a checksum ties to its binary */

static int open_path(const char *path, struct elf_file *ret)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = elf_file_open(fd, ret);
	close(fd);
	return r;
}

static bool same_id(const struct elf_file *file, const uint8_t *id, size_t n)
{
	const uint8_t *other;

	return elf_file_build_id(file, &other) == n && !memcmp(id, other, n);
}

static int below(const char *root, const uint8_t *id, size_t n, struct elf_file *ret)
{
	char path[PATH_MAX];
	int length = snprintf(path, sizeof(path), "%s/.build-id/%02x/", root, id[0]), r;

	if ((size_t)length + 2 * n + sizeof(".debug") > sizeof(path))
		return -ENAMETOOLONG;
	for (size_t i = 1; i < n; i++)
		length += sprintf(path + length, "%02x", id[i]);
	strcpy(path + length, ".debug");
	r = open_path(path, ret);
	if (r < 0)
		return r;
	if (same_id(ret, id, n))
		return 0;
	elf_file_close(ret);
	return -ENOENT;
}

static int by_build_id(const struct elf_file *file, const uint8_t *id, size_t n,
		       struct elf_file *ret)
{
	int r = -ENOENT;

	if (n < 2)
		return r;
	if (file->debug_dir)
		r = below(file->debug_dir, id, n, ret);
	return r ? below(DEBUG_ROOT, id, n, ret) : r;
}

static bool checksum_is(const struct elf_file *file, uint32_t wanted)
{
	uint8_t buffer[65536];
	uint64_t offset = 0;
	uint32_t crc = 0;
	ssize_t n;

	if (file->size > MAX_CHECKSUMMED)
		return false;
	while ((n = pread(file->fd, buffer, sizeof(buffer), (off_t)offset)) > 0) {
		crc = lzma_crc32(buffer, (size_t)n, crc);
		offset += (uint64_t)n;
	}
	return !n && crc == wanted;
}

static int try_link(const struct elf_file *file, const char *path, uint32_t crc,
		    struct elf_file *ret)
{
	const uint8_t *id, *other;
	size_t n = elf_file_build_id(file, &id);
	struct stat a, b;
	bool belongs;
	int r;

	r = open_path(path, ret);
	if (r < 0)
		return r;
	if (n && elf_file_build_id(ret, &other))
		belongs = same_id(ret, id, n);
	else
		belongs = checksum_is(ret, crc);
	/* A link may name the file itself. */
	if (file->fd >= 0 && !fstat(file->fd, &a) && !fstat(ret->fd, &b) && a.st_dev == b.st_dev &&
	    a.st_ino == b.st_ino)
		belongs = false;
	if (belongs)
		return 0;
	elf_file_close(ret);
	return -ENOENT;
}

static int by_link(const struct elf_file *file, const char *path, struct elf_file *ret)
{
	static const char *const places[] = { "%s%.*s/%s", "%s%.*s/.debug/%s", "%s%.*s/%s" };
	const char *slash = path ? strrchr(path, '/') : NULL;
	const uint8_t *data;
	uint32_t crc;
	size_t size, end;
	int r = -ENOENT;

	if (!slash || path[0] != '/' ||
	    elf_file_bytes(file, elf_file_section(file, ".gnu_debuglink", NULL), &data, &size))
		return -ENOENT;
	end = strnlen((const char *)data, size);
	if (!end || end == size || memchr(data, '/', end))
		return -ENOENT;
	if (size < 4 || ((end + 4) & ~(size_t)3) > size - 4)
		return -ENOENT;
	memcpy(&crc, data + ((end + 4) & ~(size_t)3), sizeof(crc));

	for (unsigned int i = 0; i < 3 && r < 0; i++) {
		char name[PATH_MAX];
		int n = snprintf(name, sizeof(name), places[i], i == 2 ? DEBUG_ROOT : "",
				 (int)(slash - path), path, (const char *)data);

		if (n > 0 && (size_t)n < sizeof(name))
			r = try_link(file, name, crc, ret);
	}
	return r;
}

int debug_file_open(const struct elf_file *file, const char *path, struct elf_file *ret)
{
	const uint8_t *id;
	size_t n = elf_file_build_id(file, &id);

	int r = n ? by_build_id(file, id, n, ret) : -ENOENT;

	if (r < 0)
		r = by_link(file, path, ret);
	if (!r)
		ret->debug_dir = file->debug_dir;
	return r;
}

int debug_file_open_alt(const struct elf_file *file, struct elf_file *ret)
{
	char link[64], dir[PATH_MAX], path[2 * PATH_MAX];
	const uint8_t *data;
	size_t size, end;
	ssize_t n;
	int r;

	if (elf_file_bytes(file, elf_file_section(file, ".gnu_debugaltlink", NULL), &data, &size))
		return -ENOENT;
	end = strnlen((const char *)data, size);
	if (!end || end + 1 >= size || end >= PATH_MAX || size - end - 1 > 64)
		return -ENOENT;
	if (!by_build_id(file, data + end + 1, size - end - 1, ret))
		return 0;
	if (data[0] == '/') {
		memcpy(path, data, end + 1);
	} else {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", file->fd);
		n = readlink(link, dir, sizeof(dir) - 1);
		if (n <= 0 || dir[0] != '/')
			return -ENOENT;
		dir[n] = 0;
		*strrchr(dir, '/') = 0;
		snprintf(path, sizeof(path), "%s/%s", dir, (const char *)data);
	}
	r = open_path(path, ret);
	if (r < 0)
		return r;
	if (same_id(ret, data + end + 1, size - end - 1))
		return 0;
	elf_file_close(ret);
	return -ENOENT;
}

/* Decodes into *@image, doubling it up to MAX_MINI. Returns 0 or -errno. */
static int decode(lzma_stream *stream, uint8_t **image, size_t *size)
{
	size_t capacity = 1 << 16;
	lzma_ret status = LZMA_OK;

	while (status == LZMA_OK) {
		uint8_t *more;

		if (!stream->avail_out) {
			if (*image)
				capacity *= 2;
			if (capacity > MAX_MINI)
				return -EFBIG;
			more = realloc(*image, capacity);
			if (!more)
				return -ENOMEM;
			*image = more;
			stream->next_out = more + stream->total_out;
			stream->avail_out = capacity - stream->total_out;
		}
		status = lzma_code(stream, LZMA_FINISH);
	}
	*size = stream->total_out;
	return status == LZMA_STREAM_END ? 0 : -EBADMSG;
}

int debug_file_open_mini(const struct elf_file *file, struct elf_file *ret)
{
	lzma_stream stream = LZMA_STREAM_INIT;
	const uint8_t *data;
	uint8_t *image = NULL;
	size_t size, packed;
	int r;

	r = elf_file_bytes(file, elf_file_section(file, ".gnu_debugdata", NULL), &data, &packed);
	if (r < 0)
		return r;
	if (lzma_stream_decoder(&stream, MAX_DECODER, 0) != LZMA_OK)
		return -ENOMEM;
	stream.next_in = data;
	stream.avail_in = packed;
	r = decode(&stream, &image, &size);
	lzma_end(&stream);
	if (r < 0) {
		free(image);
		return r;
	}
	return elf_file_memory(image, size, ret);
}
