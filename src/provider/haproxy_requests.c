/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* One connection from before the run until after it: by then the privilege that it may have needed
 * is given up. */
#include "provider/haproxy_requests.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_BYTES 16384
#define PROMPT "\n> "

static const struct timeval patience = { .tv_sec = 5 };

__attribute__((format(printf, 3, 4))) static int fail(struct haproxy_requests *requests, int r,
						      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(requests->why, sizeof(requests->why), format, args);
	va_end(args);
	return r;
}

static int answer(int fd, char *buf, size_t size)
{
	size_t used = 0;

	for (;;) {
		ssize_t n = recv(fd, buf + used, size - 1 - used, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (!n)
			return -EPIPE;
		used += (size_t)n;
		buf[used] = 0;
		if (used >= strlen(PROMPT) && !strcmp(buf + used - strlen(PROMPT), PROMPT))
			return 0;
		if (used == size - 1)
			return -EPROTO;
	}
}

static int ask(struct haproxy_requests *requests, const char *question, char *buf, size_t size)
{
	size_t length = strlen(question);
	int r = 0;

	if (send(requests->fd, question, length, MSG_NOSIGNAL) != (ssize_t)length)
		r = errno ? -errno : -EIO;
	if (!r)
		r = answer(requests->fd, buf, size);
	return r ? fail(requests, r, "no answer: %s", strerror(-r)) : 0;
}

static int count(struct haproxy_requests *requests, double *ret)
{
	static const char key[] = "\nCumReq: ";
	char buf[ANSWER_BYTES], *at;
	int r = ask(requests, "show info\n", buf, sizeof(buf));

	if (r)
		return r;
	at = strstr(buf, key);
	if (!at)
		return fail(requests, -EPROTO,
			    "no answer of a HAProxy worker; a master's socket is of no use here");
	*ret = strtod(at + strlen(key), NULL);
	return 0;
}

int haproxy_requests_open(struct haproxy_requests *requests, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char buf[ANSWER_BYTES];
	int r;

	*requests = (struct haproxy_requests){ .path = path, .fd = -1 };
	if (strlen(path) >= sizeof(address.sun_path))
		return fail(requests, -ENAMETOOLONG, "%s", strerror(ENAMETOOLONG));
	strcpy(address.sun_path, path);
	requests->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (requests->fd < 0 ||
	    setsockopt(requests->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) ||
	    connect(requests->fd, (struct sockaddr *)&address, sizeof(address))) {
		r = -errno;
		return fail(requests, r, "%s; see \"stats socket\" in its configuration",
			    strerror(-r));
	}
	/* It hangs up after a command otherwise, or after ten seconds. */
	r = ask(requests, "prompt\n", buf, sizeof(buf));
	return r ? r : ask(requests, "set timeout cli 24d\n", buf, sizeof(buf));
}

int haproxy_requests_begin(struct haproxy_requests *requests)
{
	return count(requests, &requests->before);
}

int haproxy_requests_end(struct haproxy_requests *requests, double *ret)
{
	double after;
	int r = count(requests, &after);

	if (r)
		return r;
	/* It was started anew meanwhile. */
	if (after < requests->before)
		return fail(requests, -EPROTO, "it has had fewer requests than before the run");
	*ret = after - requests->before;
	return 0;
}

void haproxy_requests_close(struct haproxy_requests *requests)
{
	if (requests->path && requests->fd >= 0)
		close(requests->fd);
	requests->fd = -1;
}
