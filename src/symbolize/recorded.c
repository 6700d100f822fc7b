/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The files of a recording, which may be of another machine, or have changed since: whatever its
 * path leads to, a file is only what it was recorded as when its build ID says so. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbolize/elffile.h"
#include "symbolize/symbolize.h"

char *build_id_hex(const struct elf_file *file)
{
	const uint8_t *id;
	size_t n = elf_file_build_id(file, &id);
	char *hex = n ? malloc(2 * n + 1) : NULL;

	for (size_t i = 0; hex && i < n; i++)
		sprintf(hex + 2 * i, "%02x", id[i]);
	return hex;
}

bool build_id_is(const struct elf_file *file, const char *hex)
{
	char *own = build_id_hex(file);
	bool is = own && !strcmp(own, hex);

	free(own);
	return is;
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

static int tell(const struct elf_file *file, const char *build_id, symbolizer_file_fn fn, void *arg)
{
	char *own = build_id ? NULL : build_id_hex(file);
	int r = build_id || own ? fn(arg, file->fd, build_id ? build_id : own) : 0;

	free(own);
	return r;
}

int symbolizer_debug_files(const struct binary *binary, const char *debug_dir,
			   symbolizer_file_fn fn, void *arg)
{
	struct elf_file file, debug = ELF_FILE_CLOSED, alt;
	int r = elf_file_open(binary->fd, &file);

	if (r)
		return 0;
	file.debug_dir = debug_dir;
	if (!debug_file_open(&file, binary->path, &debug))
		r = tell(&debug, binary->build_id, fn, arg);
	if (!r && !debug_file_open_alt(debug.elf ? &debug : &file, &alt)) {
		r = tell(&alt, NULL, fn, arg);
		elf_file_close(&alt);
	}
	elf_file_close(&debug);
	elf_file_close(&file);
	return r;
}
