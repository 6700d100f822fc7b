/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * herd CONNECTIONS: a process in the shape of a proxy with so many idle connections: a table by
 * descriptor, and for each a connection, its multiplexer, stream and task, from malloc in the order
 * in which they came. Prints "ready PID", ends at the end of stdin. provider_herd.c knows it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct task {
	uint64_t expire;
	char rest[152];
};

struct stream {
	struct task *task;
	uint64_t accepted_ns;
	char rest[1520];
};

struct mux {
	struct stream *stream;
	char rest[200];
};

struct conn {
	struct mux *mux;
	uint64_t port;
	char rest[184];
};

struct slot {
	struct conn *owner;
	uint64_t state[7];
};

struct slot *herd_table;
unsigned long herd_size;

static void *make(size_t size)
{
	void *object = malloc(size);

	if (!object)
		exit(1);
	return memset(object, 'h', size);
}

int main(int argc, char **argv)
{
	char c;

	herd_size = argc > 1 ? strtoul(argv[1], NULL, 0) : 0;
	herd_table = calloc(herd_size + 1, sizeof(*herd_table));
	for (unsigned long i = 0; herd_table && i < herd_size; i++) {
		struct conn *conn = make(sizeof(*conn));
		struct timespec now;

		clock_gettime(CLOCK_MONOTONIC, &now);
		conn->port = i % 65536;
		conn->mux = make(sizeof(*conn->mux));
		conn->mux->stream = make(sizeof(*conn->mux->stream));
		conn->mux->stream->accepted_ns = now.tv_sec * 1000000000ULL + now.tv_nsec;
		conn->mux->stream->task = make(sizeof(*conn->mux->stream->task));
		herd_table[i].owner = conn;
	}
	printf("ready %d\n", getpid());
	fflush(stdout);
	return read(STDIN_FILENO, &c, 1) < 0;
}
