/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The temporary file has no name until it is whole (O_TMPFILE), so that a killed run leaves nothing
 * behind. File systems that cannot do that get a named one beside the target.
 *
 * By then the privileges are gone that may be needed to write to the directory. So a helper process
 * is forked while they are there. It gets no byte of the report: it waits for the word to give the
 * file its name, or for the end of this process, however that comes, and then cleans up.
 */
#include "base/output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/privilege.h"

#define NAME ".faultprof-"

/* The file to be, as the helper sees it. */
struct place {
	const char *name;		       /* in the directory, as the temporary one is */
	char temporary[sizeof(NAME "XXXXXX")]; /* "": none yet */
	int directory, file;
};

/* ---- the helper ---- */

/* link() does not replace a file, rename() does. */
static int give_temporary_name(struct place *place)
{
	char self[40], name[sizeof(place->temporary)];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", place->file);
	for (unsigned int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), NAME "%06u", ((unsigned int)getpid() + i) % 1000000);
		if (!linkat(AT_FDCWD, self, place->directory, name, AT_SYMLINK_FOLLOW)) {
			strcpy(place->temporary, name);
			return 0;
		}
		if (errno != EEXIST)
			break;
	}
	return -errno;
}

static int give_name(struct place *place)
{
	int r = place->temporary[0] ? 0 : give_temporary_name(place);

	if (!r && renameat(place->directory, place->temporary, place->directory, place->name))
		r = -errno;
	if (!r)
		place->temporary[0] = '\0';
	return r;
}

__attribute__((noreturn)) static void help(struct place *place, int socket)
{
	/* A terminal's signals go to us, too; the end comes with that of the other side. */
	static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGPIPE };
	ssize_t n;
	char byte;
	int r = 0;

	for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
		signal(ignored[i], SIG_IGN);
	for (int fd = 0; fd < 3; fd++)
		if (fd != socket && fd != place->directory && fd != place->file)
			close(fd);
	privilege_drop(PRIVILEGE_NAME);
	do
		n = recv(socket, &byte, 1, 0);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		r = give_name(place);
	if (place->temporary[0])
		unlinkat(place->directory, place->temporary, 0);
	if (n == 1)
		n = send(socket, &r, sizeof(r), MSG_NOSIGNAL);
	_exit(0);
}

static int start_helper(struct output *output, struct place *place)
{
	int sockets[2], r = 0;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets))
		return -errno;
	pid = fork();
	if (!pid) {
		close(sockets[0]);
		help(place, sockets[1]);
	}
	if (pid < 0) {
		r = -errno;
		close(sockets[0]);
	} else {
		output->helper = pid;
		output->socket = sockets[0];
	}
	close(sockets[1]);
	return r;
}

/* Returns what the helper says; without @name it is to clean up. */
static int end_helper(struct output *output, bool name)
{
	ssize_t n = 0;
	int r = -EIO;

	if (name && send(output->socket, "", 1, MSG_NOSIGNAL) == 1) {
		do
			n = recv(output->socket, &r, sizeof(r), MSG_WAITALL);
		while (n < 0 && errno == EINTR);
	}
	close(output->socket);
	while (waitpid(output->helper, NULL, 0) < 0 && errno == EINTR)
		;
	output->helper = 0;
	return n == sizeof(r) ? r : -EIO;
}

/* ---- opening ---- */

static int create(struct place *place)
{
	char path[64 + sizeof(place->temporary)];
	mode_t mask = umask(0);

	umask(mask);
	place->temporary[0] = '\0';
	place->file = openat(place->directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
	if (place->file >= 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d/" NAME "XXXXXX", place->directory);
	place->file = mkostemp(path, O_CLOEXEC);
	if (place->file < 0)
		return -errno;
	fchmod(place->file, 0666 & ~mask);
	strcpy(place->temporary, strrchr(path, '/') + 1);
	return 0;
}

static int open_whole(struct output *output, char *path)
{
	char *slash = strrchr(path, '/');
	struct place place = { .name = slash ? slash + 1 : path };
	int r;

	if (!*place.name)
		return -EISDIR;
	if (slash)
		*slash = '\0';
	place.directory = open(!slash ? "." : *path ? path : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (place.directory < 0)
		return -errno;
	r = create(&place);
	if (!r) {
		output->file = fdopen(place.file, "w");
		r = output->file ? start_helper(output, &place) : -errno;
		if (r && place.temporary[0])
			unlinkat(place.directory, place.temporary, 0);
		if (r && output->file)
			fclose(output->file);
		else if (r)
			close(place.file);
	}
	close(place.directory);
	return r;
}

static int open_straight(struct output *output, int fd)
{
	if (fd < 0)
		return -errno;
	output->file = fdopen(fd, "w");
	if (output->file)
		return 0;
	close(fd);
	return -ENOMEM;
}

int output_open(struct output *output, const char *path)
{
	struct stat st, own;
	char *real;
	int r;

	*output = (struct output){ .file = stdout };
	if (!path)
		return 0;
	if (stat(path, &st)) {
		r = -errno;
		/* A link that leads nowhere would be replaced itself. */
		if (r != -ENOENT || !lstat(path, &st))
			return r;
		real = strdup(path);
	} else if (S_ISDIR(st.st_mode)) {
		return -EISDIR;
	} else if (!fstat(STDOUT_FILENO, &own) && own.st_dev == st.st_dev &&
		   own.st_ino == st.st_ino) {
		return open_straight(output, fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
	} else if (!S_ISREG(st.st_mode)) {
		return open_straight(output, open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY));
	} else {
		real = realpath(path, NULL);
	}
	if (!real)
		return -errno;
	r = open_whole(output, real);
	free(real);
	return r;
}

int output_commit(struct output *output)
{
	int r = 0;

	if (fflush(output->file) || ferror(output->file))
		r = errno ? -errno : -EIO;
	if (!output->helper)
		return r;
	if (!r && fsync(fileno(output->file)))
		r = -errno;
	if (!r)
		r = end_helper(output, true);
	output_abort(output);
	return r;
}

int output_publish(struct output *output)
{
	if (fflush(output->file))
		return -errno;
	return output->helper ? end_helper(output, true) : 0;
}

void output_abort(struct output *output)
{
	if (output->helper)
		end_helper(output, false);
	if (output->file && output->file != stdout)
		fclose(output->file);
	output->file = NULL;
}
