/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * One request, one packet: who, where, which program, and the file itself as a descriptor. What it
 * attached it holds until it is told that the process is gone, or until the socket closes, however
 * that comes; the kernel then takes the breakpoints out.
 */
#include "collect/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/grow.h"
#include "base/privilege.h"

#define UPROBE "/sys/bus/event_source/devices/uprobe/"

enum op { OP_ATTACH = 1, OP_DETACH };

struct request {
	uint32_t op;
	int32_t pid;
	uint32_t program, pad;
	uint64_t offset, cookie;
};

struct probe {
	pid_t pid; /* 0: taken off */
	int event; /* -1: none */
	int link;
};

/* The helper's own. */
struct work {
	int socket, programs[BROKER_NR];
	bool multi;
	int type, return_bit; /* of the kernel's uprobe events */
	struct probe *probes;
	size_t nr_probes;
};

static int read_number(const char *path, const char *format, int *ret)
{
	FILE *in = fopen(path, "re");
	int r = in && fscanf(in, format, ret) == 1 ? 0 : -ENOTSUP;

	if (in)
		fclose(in);
	return r;
}

/* ---- the helper ---- */

static int keep_probe(struct work *w, const struct probe *probe)
{
	int r = 0;

	for (size_t i = 0; i < w->nr_probes; i++) {
		if (!w->probes[i].pid) {
			w->probes[i] = *probe;
			return 0;
		}
	}
	r = grow(&w->probes, w->nr_probes, sizeof(*w->probes));
	if (!r)
		w->probes[w->nr_probes++] = *probe;
	return r;
}

/* What BPF_LINK_CREATE takes for uprobes; the headers of older systems do not have it. */
struct multi {
	uint32_t program, target, type, flags;
	uint64_t path, offsets, counters, cookies;
	uint32_t nr, multi_flags, pid, pad;
};
#define MULTI_RETURN 1

static int create_multi(const struct multi *multi)
{
	int link = (int)syscall(SYS_bpf, BPF_LINK_CREATE, multi, sizeof(*multi));

	return link < 0 ? -errno : link;
}

static int attach_multi(const struct work *w, const struct request *request, const char *path,
			struct probe *probe)
{
	const struct multi multi = {
		.program = w->programs[request->program],
		.type = BROKER_MULTI,
		.path = (uintptr_t)path,
		.offsets = (uintptr_t)&request->offset,
		.cookies = (uintptr_t)&request->cookie,
		.nr = 1,
		.multi_flags = request->program == BROKER_RETURN ? MULTI_RETURN : 0,
		.pid = request->pid,
	};

	probe->link = create_multi(&multi);
	return probe->link < 0 ? probe->link : 0;
}

static int attach_event(const struct work *w, const struct request *request, const char *path,
			struct probe *probe)
{
	DECLARE_LIBBPF_OPTS(bpf_link_create_opts, options,
			    .perf_event.bpf_cookie = request->cookie);
	struct perf_event_attr attr = { .type = w->type,
					.size = sizeof(attr),
					.uprobe_path = (uintptr_t)path,
					.probe_offset = request->offset };

	if (request->program == BROKER_RETURN)
		attr.config = 1ULL << w->return_bit;
	probe->event =
		syscall(SYS_perf_event_open, &attr, request->pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (probe->event < 0)
		return -errno;
	probe->link = bpf_link_create(w->programs[request->program], probe->event, BPF_PERF_EVENT,
				      &options);
	return probe->link < 0 ? probe->link : 0;
}

static void close_probe(const struct probe *probe)
{
	if (probe->link >= 0)
		close(probe->link);
	if (probe->event >= 0)
		close(probe->event);
}

static int attach(struct work *w, const struct request *request, int file)
{
	struct probe probe = { .pid = request->pid, .event = -1, .link = -1 };
	char path[40];
	struct stat st;
	int r;

	if (request->program >= BROKER_NR || request->pid <= 0 || file < 0 || fstat(file, &st) ||
	    !S_ISREG(st.st_mode))
		return -EINVAL;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	r = w->multi ? attach_multi(w, request, path, &probe)
		     : attach_event(w, request, path, &probe);
	if (!r)
		r = keep_probe(w, &probe);
	if (r)
		close_probe(&probe);
	return r;
}

static void *close_all(void *arg)
{
	struct probe *probes = arg;

	for (size_t i = 0; probes[i].pid; i++)
		close_probe(&probes[i]);
	free(probes);
	return NULL;
}

/* The kernel takes up to a tenth of a second for each, and others want theirs attached meanwhile.
 */
static void detach(struct work *w, pid_t pid)
{
	struct probe *probes = calloc(w->nr_probes + 1, sizeof(*probes));
	pthread_t thread;
	size_t nr = 0;

	for (size_t i = 0; probes && i < w->nr_probes; i++) {
		if (w->probes[i].pid != pid)
			continue;
		probes[nr++] = w->probes[i];
		w->probes[i].pid = 0;
	}
	if (probes && !pthread_create(&thread, NULL, close_all, probes))
		pthread_detach(thread);
	else if (probes)
		close_all(probes);
}

/* Returns how many bytes came; *@file is the descriptor that came with them, or -1. */
static ssize_t take(int socket, struct request *request, int *file)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { request, sizeof(*request) };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *header;
	ssize_t n;

	*file = -1;
	do
		n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	header = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	    header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(file, CMSG_DATA(header), sizeof(int));
	return n;
}

/* Descriptors of the main process would outlive it here, and others wait for their end. */
static void keep_descriptors(struct work *w)
{
	int *wanted[1 + BROKER_NR] = { &w->socket };

	for (int i = 0; i < BROKER_NR; i++)
		wanted[1 + i] = &w->programs[i];
	for (int i = 0; i <= BROKER_NR; i++)
		*wanted[i] = fcntl(*wanted[i], F_DUPFD_CLOEXEC, 1 + BROKER_NR);
	for (int i = 0; i <= BROKER_NR; i++)
		*wanted[i] = dup2(*wanted[i], i);
	if (syscall(SYS_close_range, 1 + BROKER_NR, ~0U, 0))
		_exit(1);
}

__attribute__((noreturn)) static void help(struct work *w)
{
	/* A terminal's signals go to us, too; the end comes with that of the other side. */
	static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGPIPE };
	struct request request;
	int file, r;

	for (size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++)
		signal(ignored[i], SIG_IGN);
	keep_descriptors(w);
	if (privilege_drop(w->multi ? PRIVILEGE_LINK : PRIVILEGE_UPROBE))
		_exit(1);
	for (;;) {
		ssize_t n = take(w->socket, &request, &file);

		if (n <= 0)
			break;
		r = -EINVAL;
		if (n == sizeof(request) && request.op == OP_ATTACH)
			r = attach(w, &request, file);
		if (file >= 0)
			close(file);
		if (n == sizeof(request) && request.op == OP_DETACH && request.pid > 0)
			detach(w, request.pid);
		else if (send(w->socket, &r, sizeof(r), 0) != sizeof(r))
			break;
	}
	_exit(0);
}

/* ---- the main process ---- */

/* The answers to two links that cannot be: the first tells whether there are such links at all, the
 * second whether their PID means a process; at first it meant a thread. */
bool broker_has_multi(void)
{
	static const struct bpf_insn nothing[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	DECLARE_LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BROKER_MULTI);
	const uint64_t offset = 0;
	struct multi multi = { .type = BROKER_MULTI,
			       .path = (uintptr_t) "/",
			       .offsets = (uintptr_t)&offset,
			       .nr = 1 };
	int program = bpf_prog_load(BPF_PROG_TYPE_KPROBE, NULL, "GPL", nothing, 2, &options);
	bool has;

	if (program < 0)
		return false;
	multi.program = program;
	has = create_multi(&multi) == -EBADF;
	multi.pid = -1;
	has = has && create_multi(&multi) == -EINVAL;
	close(program);
	return has;
}

int broker_start(const int programs[BROKER_NR], bool multi, struct broker *ret)
{
	struct work work = { .multi = multi };
	int sockets[2], r;
	pid_t pid;

	memcpy(work.programs, programs, sizeof(work.programs));
	r = read_number(UPROBE "type", "%d", &work.type);
	if (!r)
		r = read_number(UPROBE "format/retprobe", "config:%d", &work.return_bit);
	if (r)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets))
		return -errno;
	pid = fork();
	if (!pid) {
		work.socket = sockets[1];
		help(&work);
	}
	r = pid < 0 ? -errno : 0;
	close(sockets[1]);
	if (r)
		close(sockets[0]);
	else
		*ret = (struct broker){ .pid = pid, .socket = sockets[0] };
	return r;
}

static int say(const struct broker *broker, const struct request *request, int file)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec iov = { (void *)request, sizeof(*request) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *header;

	if (file >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &file, sizeof(int));
	}
	return sendmsg(broker->socket, &message, MSG_NOSIGNAL) == sizeof(*request) ? 0 : -errno;
}

int broker_attach(const struct broker *broker, pid_t pid, int file, uint64_t offset,
		  enum broker_program program, uint64_t cookie)
{
	struct request request = {
		.op = OP_ATTACH, .pid = pid, .program = program, .offset = offset, .cookie = cookie
	};
	int answer, r = say(broker, &request, file);
	ssize_t n;

	if (r)
		return r;
	do
		n = recv(broker->socket, &answer, sizeof(answer), 0);
	while (n < 0 && errno == EINTR);
	return n == sizeof(answer) ? answer : -EIO;
}

void broker_detach(const struct broker *broker, pid_t pid)
{
	struct request request = { .op = OP_DETACH, .pid = pid };

	say(broker, &request, -1);
}

/* Nobody waits: taking off all probes may need seconds. The kernel does it as the helper ends. */
void broker_stop(struct broker *broker)
{
	if (broker->pid)
		close(broker->socket);
	broker->pid = 0;
}
