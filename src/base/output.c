/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The temporary file has no name until it is whole (O_TMPFILE), so that a killed run leaves nothing
 * behind. File systems that cannot do that get a named one beside the target.
 *
 * By then the privileges are gone that may be needed to write to the directory. So a helper process
 * is forked while they are there. It gets no byte of the report: it waits for the word to give the
 * file its name, or to open the next one, or for the end of this process, however that comes, and
 * then cleans up. It looks the directory up each time: another file system may be mounted there.
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

enum word { GIVE_NAME, NEXT_FILE, END }; /* to the helper; it answers, but END, with 0 or -errno */

/* The file to be, as the helper sees it. */
struct place {
	const char *path;		       /* of the directory */
	const char *name;		       /* in it, as the temporary one is */
	char temporary[sizeof(NAME "XXXXXX")]; /* "": none yet */
	int directory, file;		       /* -1: not open */
};

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

static void leave_place(struct place *place)
{
	if (place->temporary[0])
		unlinkat(place->directory, place->temporary, 0);
	if (place->directory >= 0)
		close(place->directory);
	if (place->file >= 0)
		close(place->file);
	place->temporary[0] = '\0';
	place->directory = place->file = -1;
}

static int enter_place(struct place *place)
{
	int r;

	place->file = -1;
	place->temporary[0] = '\0';
	place->directory = open(place->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (place->directory < 0)
		return -errno;
	r = create(place);
	if (r)
		leave_place(place);
	return r;
}

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

/* @r, with @file when there is one. */
static void answer(int socket, int r, int file)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(file))];
	} control = { 0 };
	struct iovec part = { &r, sizeof(r) };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	if (file >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(file));
		memcpy(CMSG_DATA(&control.header), &file, sizeof(file));
	}
	sendmsg(socket, &message, MSG_NOSIGNAL);
}

static void obey(struct place *place, int socket, enum word word)
{
	int r;

	if (word == GIVE_NAME) {
		r = give_name(place);
		/* While nothing is written, nobody is to be kept from unmounting it. */
		leave_place(place);
		answer(socket, r, -1);
		return;
	}
	leave_place(place);
	r = enter_place(place);
	answer(socket, r, place->file);
}

__attribute__((noreturn)) static void help(struct place *place, int socket)
{
	/* A terminal's signals go to us, too; the end comes with that of the other side. */
	static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGPIPE };
	unsigned char word;
	ssize_t n;

	for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
		signal(ignored[i], SIG_IGN);
	for (int fd = 0; fd < 3; fd++)
		if (fd != socket && fd != place->directory && fd != place->file)
			close(fd);
	privilege_drop(PRIVILEGE_NAME);
	do {
		n = recv(socket, &word, 1, 0);
		if (n == 1 && word != END)
			obey(place, socket, word);
	} while ((n == 1 && word != END) || (n < 0 && errno == EINTR));
	leave_place(place);
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

/* What the helper says to @word; *@file: what it opened. */
static int ask_helper(const struct output *output, enum word word, int *file)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(*file))];
	} control = { 0 };
	unsigned char byte = word;
	int r = -EIO;
	struct iovec part = { &r, sizeof(r) };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	ssize_t n;

	if (send(output->socket, &byte, 1, MSG_NOSIGNAL) != 1)
		return -ESRCH;
	do
		n = recvmsg(output->socket, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n != sizeof(r))
		return -ESRCH;
	if (r || word != NEXT_FILE)
		return r;
	if (message.msg_controllen < sizeof(control.header))
		return -EIO;
	memcpy(file, CMSG_DATA(&control.header), sizeof(*file));
	return 0;
}

/* It is told, for a process that was forked since may hold our end of the socket open. */
static void end_helper(struct output *output)
{
	unsigned char byte = END;

	(void)!send(output->socket, &byte, 1, MSG_NOSIGNAL);
	close(output->socket);
	while (waitpid(output->helper, NULL, 0) < 0 && errno == EINTR)
		;
	output->helper = 0;
}

/* ---- opening ---- */

static int open_whole(struct output *output, char *path)
{
	char *slash = strrchr(path, '/');
	struct place place = { .name = slash ? slash + 1 : path };
	int r;

	if (!*place.name)
		return -EISDIR;
	if (slash)
		*slash = '\0';
	place.path = !slash ? "." : *path ? path : "/";
	r = enter_place(&place);
	if (r)
		return r;
	output->file = fdopen(place.file, "w");
	r = output->file ? start_helper(output, &place) : -ENOMEM;
	if (r) {
		if (output->file)
			place.file = -1;
		leave_place(&place);
		output_abort(output);
		return r;
	}
	close(place.directory);
	return 0;
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

static int write_out(struct output *output)
{
	int r = 0;

	if (fflush(output->file) || ferror(output->file))
		r = errno ? -errno : -EIO;
	if (!r && output->helper && fsync(fileno(output->file)))
		r = -errno;
	return r;
}

int output_replace(struct output *output)
{
	int r = write_out(output);

	if (!r && output->helper)
		r = ask_helper(output, GIVE_NAME, NULL);
	if (output->file != stdout)
		fclose(output->file);
	output->file = NULL;
	return r;
}

int output_again(struct output *output)
{
	int file = -1, r = ask_helper(output, NEXT_FILE, &file);

	if (r)
		return r;
	output->file = fdopen(file, "w");
	if (output->file)
		return 0;
	close(file);
	return -ENOMEM;
}

int output_commit(struct output *output)
{
	int r = output_replace(output);

	output_abort(output);
	return r;
}

int output_publish(struct output *output)
{
	int r;

	if (fflush(output->file))
		return -errno;
	if (!output->helper)
		return 0;
	r = ask_helper(output, GIVE_NAME, NULL);
	end_helper(output);
	return r;
}

void output_abort(struct output *output)
{
	if (output->file && output->file != stdout)
		fclose(output->file);
	output->file = NULL;
	if (output->helper)
		end_helper(output);
}
