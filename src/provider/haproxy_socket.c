/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "provider/haproxy_socket.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "provider/haproxy_told.h"

#define SILENCE_MS 5000 /* it is busy, or hangs */
#define TOTAL_MS 60000
#define MAX_BYTES (1ULL << 30) /* some 500,000 sessions */
#define LINE_BYTES 8192

static const char question[] = "show info;show fd;show sess all\n";

static struct told *asked; /* not taken yet */

static int64_t now_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

__attribute__((format(printf, 4, 5))) static int tell(char *why, size_t size, int r,
						      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, size, format, args);
	va_end(args);
	return r;
}

static int open_socket(const char *path, int *ret)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, r;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* Who hangs up without listening may have said something before. */
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    (send(fd, question, sizeof(question) - 1, MSG_NOSIGNAL) != sizeof(question) - 1 &&
	     errno != EPIPE)) {
		r = errno ? -errno : -EIO;
		close(fd);
		return r;
	}
	*ret = fd;
	return 0;
}

/* ---- the answer ---- */

struct lines {
	struct shown *shown;
	char line[LINE_BYTES];
	size_t used;
	bool cut; /* what is left of a line that was too long is passed by */
};

static int feed(struct lines *lines, const char *bytes, size_t nr)
{
	int r = 0;

	for (size_t i = 0; !r && i < nr; i++) {
		if (bytes[i] != '\n') {
			lines->cut |= lines->used == LINE_BYTES - 1;
			if (!lines->cut && bytes[i])
				lines->line[lines->used++] = bytes[i];
			continue;
		}
		lines->line[lines->used] = 0;
		lines->shown->skipped += lines->cut;
		r = shown_line(lines->shown, lines->line);
		lines->used = 0;
		lines->cut = false;
	}
	return r;
}

/* Until it hangs up. -ETIMEDOUT; -EFBIG; -EPROTO: it is something else. */
static int receive(int fd, struct shown *shown)
{
	int64_t end = now_us(CLOCK_MONOTONIC) + TOTAL_MS * 1000LL, left;
	struct pollfd poller = { .fd = fd, .events = POLLIN };
	struct lines lines = { .shown = shown };
	uint64_t total = 0;
	char buf[65536];
	int64_t heard = now_us(CLOCK_MONOTONIC);

	for (;;) {
		int64_t now = now_us(CLOCK_MONOTONIC);
		ssize_t n;
		int r;

		left = heard + SILENCE_MS * 1000LL < end ? heard + SILENCE_MS * 1000LL - now
							 : end - now;
		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(&poller, 1, (int)(left / 1000) + 1) <= 0)
			continue;
		n = recv(fd, buf, sizeof(buf), 0);
		if (!n || (n < 0 && errno == ECONNRESET))
			return lines.used || lines.cut ? feed(&lines, "\n", 1) : 0;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n <= 0)
			continue;
		heard = now_us(CLOCK_MONOTONIC);
		total += (uint64_t)n;
		r = total > MAX_BYTES ? -EFBIG : feed(&lines, buf, (size_t)n);
		/* What is no stats socket need not be listened to. */
		if (!r && !shown->pid && (shown->unknown || total > LINE_BYTES))
			r = -EPROTO;
		if (r)
			return r;
	}
}

/* Its PID as itself knows it, in its own name space. */
static pid_t inner_pid(pid_t pid)
{
	char path[64], line[256];
	pid_t inner = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, "NSpid:", 6))
			inner = (pid_t)strtol(strrchr(line, '\t') ? strrchr(line, '\t') : line + 6,
					      NULL, 10);
	if (file)
		fclose(file);
	return inner;
}

static int find_owner(const struct shown *shown, const pid_t *pids, size_t nr, pid_t *ret,
		      char *why, size_t size)
{
	pid_t found = 0;

	for (size_t i = 0; i < nr; i++) {
		if (inner_pid(pids[i]) != shown->pid)
			continue;
		if (found)
			return tell(why, size, -EINVAL,
				    "it says that it is process %d, as %d and %d do in their "
				    "containers: watch one of them alone",
				    shown->pid, found, pids[i]);
		found = pids[i];
	}
	if (!found)
		return tell(
			why, size, -EINVAL,
			"it is that of process %d, which is not watched: give the socket of the "
			"process itself, or -p %d",
			shown->pid, shown->pid);
	*ret = found;
	return 0;
}

static int ask(const char *path, struct shown *ret, char *why, size_t size)
{
	int64_t when = now_us(CLOCK_REALTIME);
	int fd = -1, r = open_socket(path, &fd);

	if (r == -EACCES || r == -EPERM)
		return tell(why, size, r,
			    "%s; it is for another user: run faultprof as that one, or as root",
			    strerror(-r));
	if (r)
		return tell(why, size, r, "%s; see \"stats socket\" in its configuration",
			    strerror(-r));
	r = receive(fd, ret);
	close(fd);
	if (!r)
		r = shown_finish(ret, when);
	if (!r && ret->pid && !ret->refused)
		return 0;
	if (!r && ret->pid)
		return tell(why, size, -EPERM,
			    "permission denied: the socket's level has to be operator or admin");
	if (!r || r == -EPROTO)
		return tell(why, size, -EPROTO,
			    "no answer of a HAProxy worker; a master's socket is of no use here");
	return tell(why, size, r, "%s", r == -ETIMEDOUT ? "no answer in time" : strerror(-r));
}

int provider_haproxy_ask(const char *path, const pid_t *pids, size_t nr, char *why, size_t size)
{
	struct told *told = calloc(1, sizeof(*told));
	int r = told ? 0 : -ENOMEM;

	if (r)
		return tell(why, size, r, "%s", strerror(-r));
	told->path = path;
	r = ask(path, &told->shown, why, size);
	if (!r)
		r = find_owner(&told->shown, pids, nr, &told->pid, why, size);
	if (r) {
		told_free(told);
		return r;
	}
	told_free(asked);
	asked = told;
	return 0;
}

int told_again(const struct told *before, struct told **ret, char *why, size_t size)
{
	struct told *told = calloc(1, sizeof(*told));
	int r = told ? 0 : -ENOMEM;

	if (r)
		return tell(why, size, r, "%s", strerror(-r));
	told->path = before->path;
	told->pid = before->pid;
	told->before = before;
	r = ask(told->path, &told->shown, why, size);
	if (r == -EACCES)
		tell(why, size, r,
		     "the privilege to ask another user's socket was given up when the run began; "
		     "run faultprof as that user to have them");
	if (!r && told->shown.pid != before->shown.pid)
		r = tell(why, size, -EINVAL, "it is that of another process by now");
	if (r)
		told_free(told);
	else
		*ret = told;
	return r;
}

struct told *told_take(pid_t pid)
{
	struct told *told = asked && asked->pid == pid ? asked : NULL;

	if (told)
		asked = NULL;
	return told;
}

void provider_haproxy_forget(void)
{
	told_free(asked);
	asked = NULL;
}
