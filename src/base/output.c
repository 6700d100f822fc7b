/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The temporary file has no name until it is whole (O_TMPFILE), so that a killed run leaves nothing
 * behind. File systems that cannot do that get a named one beside the target.
 */
#include "base/output.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return slash == path ? strdup("/") : strndup(path, slash - path);
}

int output_check(const struct output *output)
{
	char *directory;
	int r;

	if (!output->path)
		return 0;
	directory = directory_of(output->path);
	if (!directory)
		return -ENOMEM;
	r = faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) ? -errno : 0;
	free(directory);
	return r;
}

int output_open(struct output *output, const char *path)
{
	mode_t mask = umask(0);
	struct stat st;
	int fd, r;

	umask(mask);
	*output = (struct output){ .path = path, .file = stdout };
	if (!path)
		return 0;
	if (!stat(path, &st) && S_ISDIR(st.st_mode))
		return -EISDIR;
	r = output_check(output);
	if (r)
		return r;
	if (asprintf(&output->temporary, "%s.XXXXXX", path) < 0)
		return -ENOMEM;
	{
		char *directory = directory_of(path);

		fd = directory ? open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666) : -1;
		free(directory);
	}
	if (fd < 0) {
		fd = mkostemp(output->temporary, O_CLOEXEC);
		if (fd >= 0)
			fchmod(fd, 0666 & ~mask);
	} else {
		/* Named by output_commit(). */
		output->temporary[0] = '\0';
	}
	if (fd < 0) {
		r = -errno;
		free(output->temporary);
		output->temporary = NULL;
		return r;
	}
	output->file = fdopen(fd, "w");
	return 0;
}

/* link() does not replace a file, rename() does. */
static int give_name(struct output *output)
{
	char self[40];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fileno(output->file));
	for (unsigned int i = 0; i < 100; i++) {
		snprintf(output->temporary, strlen(output->path) + 8, "%s.%06u", output->path,
			 ((unsigned int)getpid() + i) % 1000000);
		if (!linkat(AT_FDCWD, self, AT_FDCWD, output->temporary, AT_SYMLINK_FOLLOW))
			return 0;
		if (errno != EEXIST)
			break;
	}
	output->temporary[0] = '\0';
	return -errno;
}

int output_commit(struct output *output)
{
	int r = 0;

	if (fflush(output->file) || ferror(output->file))
		r = errno ? -errno : -EIO;
	if (!output->path)
		return r;
	if (!r && fsync(fileno(output->file)))
		r = -errno;
	if (!r && !output->temporary[0])
		r = give_name(output);
	if (!r && rename(output->temporary, output->path))
		r = -errno;
	if (!r)
		output->temporary[0] = '\0';
	output_abort(output);
	return r;
}

void output_abort(struct output *output)
{
	if (!output->path || !output->temporary)
		return;
	if (output->temporary[0])
		unlink(output->temporary);
	fclose(output->file);
	free(output->temporary);
	output->temporary = NULL;
}
