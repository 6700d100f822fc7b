/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A demonstration of what faultprof is for: an epoll TCP echo proxy that holds thousands of idle
 * connections, each with a buffer, and its own client. Once the buffers are cold they are pushed
 * out of memory (by this program, or from outside through a memory cgroup), then every connection
 * gets data. What stalls then, and where, is for faultprof to tell.
 *
 * On stdin: "evict" pushes the cold memory out, "wake" lets the client send on every connection,
 * "quit" ends; any other line, or SIGUSR1, is evict and wake. Ends by itself after --rounds wakes,
 * or --time seconds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

/* So that its symbol is its name. */
#ifdef __clang__
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noinline, noclone))
#endif
#define PAGE 4096U
#define BUFFER_SIZE (4 * PAGE) /* pages 0 and 1: input; 2 and 3: history */
#define HISTORY (2 * PAGE)
#define MESSAGE 6000U
#define WINDOW 64U /* messages of the client on their way */

/* Objects of one size in one mapping. The free list is a queue and stands apart, so that an object
 * that is not in use is never touched. */
struct pool {
	char *base;
	size_t size, bytes; /* of an object, of all */
	int fd;		    /* of the file behind it; -1: anonymous */
	void **queue;
	size_t count, head, free;
};

struct conn {
	int fd;
	uint32_t id;
	uint32_t have;	/* bytes of the message that are in */
	uint32_t sent;	/* bytes of the reply that are out */
	uint32_t total; /* of the reply; 0: none under way */
	char *buffer;
	char *out; /* first page of the reply; NULL: send from buffer */
	uint64_t messages, checksum;
	uint64_t accepted_ns;
	char peer[64];
	char headers[824]; /* an HTTP proxy would keep its request here */
};

struct proxy {
	unsigned long connections, rounds, seconds;
	bool file;
	int epoll, listener, signals;
	int to_client, from_client;
	pid_t client;
	unsigned long accepted, done, woken;
	uint64_t wake_ns;
	struct pool conns, buffers, outs;
};

/* Not on the stack: examples/provider_coldproxy.c finds it here. */
static struct proxy coldproxy = { .connections = 2000, .rounds = 1, .seconds = 60 };

/* What epoll hands back for everything that is not a connection: small numbers, not pointers. */
enum { TAG_LISTENER = 1, TAG_STDIN, TAG_SIGNAL, TAG_CLIENT };

static __attribute__((noreturn)) void die(const char *what)
{
	fprintf(stderr, "coldproxy: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* Pools */

static int temporary_file(size_t bytes)
{
	const char *dir = getenv("TMPDIR");
	char path[4096];
	int fd;

	/* /tmp is memory on many machines, and memory is not read from disk. */
	snprintf(path, sizeof(path), "%s/coldproxy.XXXXXX", dir ? dir : "/var/tmp");
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		die(path);
	unlink(path);
	errno = posix_fallocate(fd, 0, bytes);
	if (errno)
		die("buffer file");
	return fd;
}

static void pool_init(struct pool *pool, size_t size, size_t count, bool file)
{
	pool->size = size;
	pool->bytes = (size * count + PAGE - 1) / PAGE * PAGE;
	pool->count = pool->free = count;
	pool->head = 0;
	pool->fd = file ? temporary_file(pool->bytes) : -1;
	pool->base = mmap(NULL, pool->bytes, PROT_READ | PROT_WRITE,
			  file ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, pool->fd, 0);
	pool->queue = calloc(count, sizeof(*pool->queue));
	if (pool->base == MAP_FAILED || !pool->queue)
		die("memory for a pool");
	madvise(pool->base, pool->bytes, MADV_NOHUGEPAGE);
	if (file)
		madvise(pool->base, pool->bytes, MADV_RANDOM);
	for (size_t i = 0; i < count; i++)
		pool->queue[i] = pool->base + i * size;
}

static NOINLINE void *pool_alloc(struct pool *pool)
{
	void *object;

	if (!pool->free)
		return NULL;
	object = pool->queue[pool->head];
	pool->head = (pool->head + 1) % pool->count;
	pool->free--;
	return object;
}

static NOINLINE void pool_free(struct pool *pool, void *object)
{
	pool->queue[(pool->head + pool->free) % pool->count] = object;
	pool->free++;
}

static void pool_evict(const struct pool *pool)
{
	if (pool->fd < 0) {
		madvise(pool->base, pool->bytes, MADV_PAGEOUT);
		return;
	}
	fdatasync(pool->fd);
	madvise(pool->base, pool->bytes, MADV_DONTNEED); /* shared: the file keeps it */
	posix_fadvise(pool->fd, 0, 0, POSIX_FADV_DONTNEED);
}

/* Connections */

static void watch(const struct proxy *proxy, int op, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = { .events = events, .data.u64 = data };

	if (epoll_ctl(proxy->epoll, op, fd, &event) && errno != EPERM)
		die("epoll_ctl");
}

static NOINLINE void conn_close(struct proxy *proxy, struct conn *conn)
{
	close(conn->fd);
	conn->fd = -1;
	pool_free(&proxy->buffers, conn->buffer);
	if (conn->out)
		pool_free(&proxy->outs, conn->out);
	pool_free(&proxy->conns, conn);
	proxy->accepted--;
}

static NOINLINE struct conn *conn_new(struct proxy *proxy, int fd, const struct sockaddr_in *peer)
{
	struct conn *conn = pool_alloc(&proxy->conns);

	if (!conn)
		return NULL;
	memset(conn, 0, sizeof(*conn));
	conn->buffer = pool_alloc(&proxy->buffers);
	if (!conn->buffer) {
		pool_free(&proxy->conns, conn);
		return NULL;
	}
	conn->fd = fd;
	conn->id = proxy->accepted++;
	conn->accepted_ns = now_ns();
	snprintf(conn->peer, sizeof(conn->peer), "127.0.0.1:%u", ntohs(peer->sin_port));
	memset(conn->headers, 'h', sizeof(conn->headers));
	memset(conn->buffer + HISTORY, 'o', BUFFER_SIZE - HISTORY);
	return conn;
}

static NOINLINE void conn_accept(struct proxy *proxy)
{
	struct sockaddr_in peer;
	socklen_t length = sizeof(peer);
	struct conn *conn;
	int fd;

	while ((fd = accept4(proxy->listener, (struct sockaddr *)&peer, &length,
			     SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		conn = conn_new(proxy, fd, &peer);
		if (conn)
			watch(proxy, EPOLL_CTL_ADD, fd, EPOLLIN, (uintptr_t)conn);
		else
			close(fd);
		length = sizeof(peer);
	}
}

/* Returns 1 when the message is whole, 0 when more is to come, -1 at the end. */
static NOINLINE int conn_read(struct conn *conn)
{
	ssize_t n = recv(conn->fd, conn->buffer + conn->have, MESSAGE - conn->have, 0);

	if (n <= 0)
		return n < 0 && errno == EAGAIN ? 0 : -1;
	conn->have += n;
	return conn->have == MESSAGE;
}

static NOINLINE void conn_process(struct proxy *proxy, struct conn *conn)
{
	for (unsigned int at = HISTORY; at < BUFFER_SIZE; at += PAGE)
		conn->checksum += (unsigned char)conn->buffer[at + conn->id % PAGE];
	conn->buffer[HISTORY + conn->messages % HISTORY] = conn->buffer[0];
	conn->messages++;
	conn->total = MESSAGE;
	conn->sent = 0;
	/* The first answer goes out as it came in, later ones are put together in an own buffer. */
	if (conn->messages == 1)
		return;
	conn->out = pool_alloc(&proxy->outs);
	if (conn->out)
		memcpy(conn->out, conn->buffer, PAGE);
}

/* Returns 1 when all is out, 0 when the socket is full, -1 at the end. */
static NOINLINE int conn_write(struct conn *conn)
{
	while (conn->sent < conn->total) {
		bool own = conn->out && conn->sent < PAGE;
		const char *from = own ? conn->out : conn->buffer;
		uint32_t end = own ? PAGE : conn->total;
		ssize_t n = send(conn->fd, from + conn->sent, end - conn->sent,
				 MSG_NOSIGNAL | (own ? MSG_MORE : 0));

		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		conn->sent += n;
	}
	return 1;
}

static NOINLINE void wake_cb(struct proxy *proxy, struct conn *conn)
{
	int ret;

	if (!conn->total) {
		ret = conn_read(conn);
		if (ret < 0)
			conn_close(proxy, conn);
		if (ret <= 0)
			return;
		conn_process(proxy, conn);
	}
	ret = conn_write(conn);
	if (ret < 0) {
		conn_close(proxy, conn);
		return;
	}
	watch(proxy, EPOLL_CTL_MOD, conn->fd, ret ? EPOLLIN : EPOLLOUT, (uintptr_t)conn);
	if (!ret)
		return;
	if (conn->out)
		pool_free(&proxy->outs, conn->out);
	conn->out = NULL;
	conn->have = conn->total = 0;
}

/* The client: one process, blocking sockets */

static void transfer(int fd, char *data, bool out)
{
	size_t done = 0;

	while (done < MESSAGE) {
		ssize_t n = out ? send(fd, data + done, MESSAGE - done, MSG_NOSIGNAL)
				: recv(fd, data + done, MESSAGE - done, 0);

		if (n <= 0)
			exit(1); /* the proxy is gone, and says so itself */
		done += n;
	}
}

static void exchange(const int *fds, unsigned long count)
{
	static char message[MESSAGE], answer[MESSAGE];

	for (unsigned long i = 0; i < count + WINDOW; i++) {
		if (i < count) {
			memset(message, 'a' + fds[i] % 26, MESSAGE);
			transfer(fds[i], message, true);
		}
		if (i >= WINDOW && i - WINDOW < count) {
			transfer(fds[i - WINDOW], answer, false);
			if (answer[MESSAGE - 1] != 'a' + fds[i - WINDOW] % 26) {
				fprintf(stderr, "coldproxy: client: wrong echo\n");
				exit(1);
			}
		}
	}
}

/* Data never comes in the order in which connections were made. */
static void shuffle(int *fds, unsigned long count)
{
	for (unsigned long i = count; i > 1; i--) {
		unsigned long other = random() % i;
		int fd = fds[i - 1];

		fds[i - 1] = fds[other];
		fds[other] = fd;
	}
}

static __attribute__((noreturn)) void client_run(int orders, int answers, unsigned long count)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	int *fds = calloc(count, sizeof(*fds));
	char order;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "coldclient");
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (!fds ||
	    read(orders, &address.sin_port, sizeof(address.sin_port)) != sizeof(address.sin_port))
		exit(1);
	for (unsigned long i = 0; i < count; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fds[i] < 0 || connect(fds[i], (struct sockaddr *)&address, sizeof(address)))
			die("client: connect");
	}
	do {
		exchange(fds, count);
		shuffle(fds, count);
		if (write(answers, "d", 1) != 1)
			break;
	} while (read(orders, &order, 1) == 1);
	exit(0);
}

static void client_start(struct proxy *proxy)
{
	int orders[2], answers[2];

	if (pipe2(orders, O_CLOEXEC) || pipe2(answers, O_CLOEXEC))
		die("pipe");
	proxy->client = fork();
	if (proxy->client < 0)
		die("fork");
	if (!proxy->client) {
		close(orders[1]);
		close(answers[0]);
		client_run(orders[0], answers[1], proxy->connections);
	}
	close(orders[0]);
	close(answers[1]);
	proxy->to_client = orders[1];
	proxy->from_client = answers[0];
}

/* Orders from outside */

/* A line of /proc/self/status, in kB. */
static unsigned long status_kb(const char *name)
{
	unsigned long kb = 0;
	char line[256];
	FILE *status = fopen("/proc/self/status", "re");

	while (status && fgets(line, sizeof(line), status))
		if (!strncmp(line, name, strlen(name)))
			kb = strtoul(line + strlen(name) + 1, NULL, 10);
	if (status)
		fclose(status);
	return kb;
}

static void evict(const struct proxy *proxy)
{
	unsigned long before = status_kb("VmRSS");

	pool_evict(&proxy->buffers);
	pool_evict(&proxy->conns);
	printf("coldproxy: evicted: resident %lu kB, was %lu kB, in swap %lu kB\n",
	       status_kb("VmRSS"), before, status_kb("VmSwap"));
}

static void wake(struct proxy *proxy)
{
	if (proxy->wake_ns || !proxy->done)
		return; /* under way */
	proxy->wake_ns = now_ns();
	if (write(proxy->to_client, "w", 1) != 1)
		die("client");
}

/* Returns false when it is time to end. */
static bool order(struct proxy *proxy, const char *line)
{
	if (!strncmp(line, "quit", 4))
		return false;
	if (strncmp(line, "wake", 4))
		evict(proxy);
	if (strncmp(line, "evict", 5))
		wake(proxy);
	return true;
}

static bool on_stdin(struct proxy *proxy)
{
	char text[512];
	ssize_t n = read(STDIN_FILENO, text, sizeof(text) - 1);
	char *line, *rest = text;

	if (n <= 0) {
		epoll_ctl(proxy->epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
		return true;
	}
	text[n] = '\0';
	while ((line = strsep(&rest, "\n")) && rest)
		if (!order(proxy, line))
			return false;
	return true;
}

static bool on_signal(struct proxy *proxy)
{
	struct signalfd_siginfo info;

	if (read(proxy->signals, &info, sizeof(info)) != sizeof(info))
		return true;
	if (info.ssi_signo == SIGALRM)
		printf("coldproxy: %lu seconds are over\n", proxy->seconds);
	return info.ssi_signo == SIGUSR1 && order(proxy, "");
}

/* The client has all its answers. */
static bool on_client(struct proxy *proxy)
{
	char answer;

	if (read(proxy->from_client, &answer, 1) != 1) {
		fprintf(stderr, "coldproxy: the client is gone\n");
		return false;
	}
	if (!proxy->done++) {
		printf("coldproxy: filled %lu connections, resident %lu kB\n", proxy->accepted,
		       status_kb("VmRSS"));
		if (isatty(STDIN_FILENO))
			printf("coldproxy: press Enter to push the buffers out and wake all\n");
		return true;
	}
	printf("coldproxy: woken %lu connections in %.3f s\n", proxy->accepted,
	       (now_ns() - proxy->wake_ns) / 1e9);
	proxy->wake_ns = 0;
	return ++proxy->woken < proxy->rounds;
}

static NOINLINE bool dispatch(struct proxy *proxy, uint64_t data)
{
	switch (data) {
	case TAG_LISTENER:
		conn_accept(proxy);
		return true;
	case TAG_STDIN:
		return on_stdin(proxy);
	case TAG_SIGNAL:
		return on_signal(proxy);
	case TAG_CLIENT:
		return on_client(proxy);
	default:
		wake_cb(proxy, (struct conn *)(uintptr_t)data);
		return true;
	}
}

static void run_loop(struct proxy *proxy)
{
	struct epoll_event events[64];

	for (;;) {
		int n = epoll_wait(proxy->epoll, events, 64, -1);

		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < n; i++)
			if (!dispatch(proxy, events[i].data.u64))
				return;
	}
}

/* Start */

static void raise_descriptors(struct proxy *proxy)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		die("getrlimit");
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < proxy->connections + 64) {
		proxy->connections = limit.rlim_cur > 128 ? limit.rlim_cur - 64 : 64;
		printf("coldproxy: only %lu connections: limit of open files (ulimit -Hn)\n",
		       proxy->connections);
	}
}

static in_port_t start_listener(struct proxy *proxy)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t length = sizeof(address);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	proxy->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (proxy->listener < 0 ||
	    bind(proxy->listener, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(proxy->listener, 4096) ||
	    getsockname(proxy->listener, (struct sockaddr *)&address, &length))
		die("listen on 127.0.0.1");
	return address.sin_port;
}

static void start_signals(struct proxy *proxy)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGALRM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	proxy->signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (proxy->signals < 0)
		die("signalfd");
	alarm(proxy->seconds);
}

static unsigned long number(const char *text, unsigned long max)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end || n < 1 || n > max) {
		fprintf(stderr, "coldproxy: not a number from 1 to %lu: %s\n", max, text);
		exit(64);
	}
	return n;
}

static void parse(int argc, char **argv, struct proxy *proxy)
{
	static const struct option options[] = {
		{ "connections", required_argument, NULL, 'n' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "time", required_argument, NULL, 't' },
		{ "file", no_argument, NULL, 'f' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "n:r:t:f", options, NULL)) != -1) {
		switch (c) {
		case 'n':
			proxy->connections = number(optarg, 25000);
			break;
		case 'r':
			proxy->rounds = number(optarg, 1000);
			break;
		case 't':
			proxy->seconds = number(optarg, 600);
			break;
		case 'f':
			proxy->file = true;
			break;
		default:
			fprintf(stderr, "usage: coldproxy [--connections N] [--rounds N]"
					" [--time SECONDS] [--file]\n");
			exit(64);
		}
	}
}

int main(int argc, char **argv)
{
	struct proxy *proxy = &coldproxy;
	in_port_t port;

	setvbuf(stdout, NULL, _IOLBF, 0);
	parse(argc, argv, proxy);
	raise_descriptors(proxy);
	client_start(proxy); /* before there is memory that it would share */
	start_signals(proxy);
	port = start_listener(proxy);
	pool_init(&proxy->conns, sizeof(struct conn), proxy->connections, proxy->file);
	pool_init(&proxy->buffers, BUFFER_SIZE, proxy->connections, proxy->file);
	pool_init(&proxy->outs, PAGE, proxy->connections, false);
	proxy->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (proxy->epoll < 0)
		die("epoll_create1");
	watch(proxy, EPOLL_CTL_ADD, proxy->listener, EPOLLIN, TAG_LISTENER);
	watch(proxy, EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN, TAG_STDIN);
	watch(proxy, EPOLL_CTL_ADD, proxy->signals, EPOLLIN, TAG_SIGNAL);
	watch(proxy, EPOLL_CTL_ADD, proxy->from_client, EPOLLIN, TAG_CLIENT);
	printf("coldproxy: pid %d port %u connections %lu\n", getpid(), ntohs(port),
	       proxy->connections);
	if (write(proxy->to_client, &port, sizeof(port)) != sizeof(port))
		die("client");
	run_loop(proxy);
	kill(proxy->client, SIGKILL);
	waitpid(proxy->client, NULL, 0);
	return proxy->woken ? 0 : 1;
}
