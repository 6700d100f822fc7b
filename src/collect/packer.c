/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "collect/packer.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct packer {
	struct archive *archive;
	char buffer[65536];
};

/* libarchive has numbers of its own, too. */
static int error_of(const struct packer *packer)
{
	int error = archive_errno(packer->archive);

	return error > 0 ? -error : -EIO;
}

int packer_new(int fd, const char *name, struct packer **ret)
{
	struct packer *packer = calloc(1, sizeof(*packer));
	int r = 0;

	if (packer)
		packer->archive = archive_write_new();
	if (!packer || !packer->archive) {
		free(packer);
		return -ENOMEM;
	}
	if (archive_write_set_format_filter_by_ext(packer->archive, name) != ARCHIVE_OK)
		r = -EINVAL;
	else if (archive_write_open_fd(packer->archive, fd) != ARCHIVE_OK)
		r = error_of(packer);
	if (r)
		packer_abort(packer);
	else
		*ret = packer;
	return r;
}

static int put_contents(struct packer *packer, int fd, int64_t left)
{
	for (off_t at = 0; left > 0;) {
		size_t wanted = left < (int64_t)sizeof(packer->buffer) ? (size_t)left
								       : sizeof(packer->buffer);
		ssize_t n = pread(fd, packer->buffer, wanted, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO; /* it got shorter */
		if (archive_write_data(packer->archive, packer->buffer, (size_t)n) != n)
			return error_of(packer);
		at += n;
		left -= n;
	}
	return 0;
}

int packer_add(struct packer *packer, const char *name, int fd)
{
	struct archive_entry *entry = archive_entry_new();
	struct stat st;
	int r = entry ? 0 : -ENOMEM;

	if (!r && fstat(fd, &st))
		r = -errno;
	if (!r) {
		archive_entry_set_pathname(entry, name);
		archive_entry_set_filetype(entry, AE_IFREG);
		archive_entry_set_perm(entry, 0644);
		archive_entry_set_size(entry, st.st_size);
		archive_entry_set_mtime(entry, st.st_mtim.tv_sec, 0);
		if (archive_write_header(packer->archive, entry) != ARCHIVE_OK)
			r = error_of(packer);
	}
	if (!r)
		r = put_contents(packer, fd, st.st_size);
	archive_entry_free(entry);
	return r;
}

int packer_finish(struct packer *packer)
{
	int r = archive_write_close(packer->archive) == ARCHIVE_OK ? 0 : error_of(packer);

	packer_abort(packer);
	return r;
}

void packer_abort(struct packer *packer)
{
	if (!packer)
		return;
	archive_write_free(packer->archive);
	free(packer);
}
