/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The files of a recording, which may be of another machine, or have changed since: whatever its
 * path leads to, a file is only what it was recorded as when its build ID says so. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbolize/elffile.h"
#include "symbolize/symbolize.h"

bool build_id_is(const struct elf_file *file, const char *hex)
{
	const uint8_t *id;
	size_t n = elf_file_build_id(file, &id);
	char byte[3];

	if (!n || strlen(hex) != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		snprintf(byte, sizeof(byte), "%02x", id[i]);
		if (memcmp(byte, hex + 2 * i, 2))
			return false;
	}
	return true;
}

/* Without a build ID, it is the same one when nothing changed it. */
static bool is_recorded(int fd, const struct binary *binary)
{
	struct elf_file file;
	struct stat st;
	bool same;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return false;
	if (!binary->build_id)
		return binary->size && (uint64_t)st.st_size == binary->size &&
		       (uint64_t)st.st_mtim.tv_sec * 1000000000ULL + (uint64_t)st.st_mtim.tv_nsec ==
			       binary->changed_ns;
	if (elf_file_open(fd, &file))
		return false;
	same = build_id_is(&file, binary->build_id);
	elf_file_close(&file);
	return same;
}

static int try_path(struct binary *binary, const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (!is_recorded(fd, binary)) {
		close(fd);
		return -ENOENT;
	}
	binary->fd = fd;
	return 0;
}

int symbolizer_find(struct binary *binary, const char *debug_dir)
{
	const char *const places[] = { debug_dir, DEBUG_ROOT };
	int r = binary->path[0] == '/' ? try_path(binary, binary->path) : -ENOENT;
	char path[4096];

	for (size_t i = 0; r && binary->build_id && i < sizeof(places) / sizeof(*places); i++) {
		if (!places[i] || strspn(binary->build_id, "0123456789abcdef") < 4 ||
		    strchr(binary->build_id, '/'))
			continue;
		if (snprintf(path, sizeof(path), "%s/.build-id/%.2s/%s", places[i],
			     binary->build_id, binary->build_id + 2) < (int)sizeof(path))
			r = try_path(binary, path);
	}
	return r;
}
