/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * owner LOG CONNECTIONS [THREADS[wild]]: the memory of a proxy, and the truth about it. A table of
 * connections, each with a stream, buffers and a list of notes, all from malloc. LOG tells of every
 * object its address, size, birth and owner:
 *
 *	A type address size born_ns id port	it exists, from born_ns on
 *	F address time_ns			it does no more
 *
 * Prints "ready". For each line on stdin it touches every page of every object, connections in
 *random order, objects too, closes and opens some on its way, and prints its account of it. Ends at
 *the end of stdin. The two births in a connection are of the same moment, by either clock.
 *
 * wild: one in WILD connections each is half made, has a loop in its list, a list into nowhere, or
 *a pointer to a buffer that was freed and has another owner by now.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define IN_SIZE 16384
#define OUT_SIZE 8192
#define NOTES 3
#define WILD 32 /* of so many connections */
#define CHURN 64
#define LAG 128 /* a connection that is closed was last touched so many before */

enum { STATE_NEW = 1, STATE_OPEN };

struct note {
	struct note *next;
	uint32_t size; /* with this head */
};

struct buffer {
	char *area;
	size_t size;
};

struct stream {
	struct conn *conn;
	struct buffer in, out, spare;
	struct note *notes;
	char rest[512];
};

struct conn {
	int state;
	uint32_t id;
	uint16_t port;
	uint64_t born_ns;
	struct timeval born; /* wall clock */
	struct stream *stream;
	char rest[256];
};

/* What a provider starts from. */
struct conn **table;
unsigned int table_size;

struct worker {
	pthread_t thread;
	unsigned int first, step, seed;
	unsigned long touched, opened;
};

static int log_fd, zero_fd;
static bool wild;
static uint32_t last_id;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void *must(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

/* One write: threads do not mix their lines. */
static void log_text(const char *text, size_t size)
{
	if (write(log_fd, text, size) != (ssize_t)size)
		abort();
}

static int add(char *at, const char *type, const void *object, size_t size, const struct conn *conn)
{
	return sprintf(at, "A %s %lu %zu %lu %u %u\n", type, (unsigned long)object, size,
		       conn->born_ns, conn->id, conn->port);
}

static void log_open(const struct conn *conn)
{
	const struct stream *s = conn->stream;
	const struct note *note = s->notes;
	char text[1024], *at = text;

	at += add(at, "conn", conn, sizeof(*conn), conn);
	at += add(at, "stream", s, sizeof(*s), conn);
	at += add(at, "in", s->in.area, s->in.size, conn);
	at += add(at, "out", s->out.area, s->out.size, conn);
	for (int i = 0; i < NOTES; i++, note = note->next)
		at += add(at, "note", note, note->size, conn);
	log_text(text, at - text);
}

static char *buffer_new(struct buffer *buffer, size_t size)
{
	buffer->area = must(malloc(size));
	buffer->size = size;
	return memset(buffer->area, 'b', size);
}

static void notes_new(struct stream *stream, uint32_t id)
{
	for (int i = 0; i < NOTES; i++) {
		uint32_t size = 80 + (id * 7 + i) % 11 * 96;
		struct note *note = must(malloc(size));

		memset(note, 'n', size);
		note->next = stream->notes;
		note->size = size;
		stream->notes = note;
	}
}

/* What nobody should be taken in by. */
static void mislead(struct stream *stream, unsigned int how)
{
	struct note *last = stream->notes;

	for (int i = 1; i < NOTES; i++)
		last = last->next;
	if (how == 1)
		last->next = stream->notes;
	if (how == 2)
		last->next = (struct note *)0xdead00000000beefUL;
	if (how == 3)
		free(buffer_new(&stream->spare, IN_SIZE));
}

static void conn_open(unsigned int slot)
{
	uint64_t born_ns = now_ns();
	struct timeval born;
	struct stream *stream;
	struct conn *conn;

	gettimeofday(&born, NULL);
	conn = must(calloc(1, sizeof(*conn)));
	conn->id = __atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED);
	conn->port = 1024 + conn->id % 60000;
	conn->born_ns = born_ns;
	conn->born = born;
	conn->state = STATE_NEW;
	if (wild && slot % WILD == 0) {
		conn->stream = (struct stream *)conn->rest;
		table[slot] = conn;
		return;
	}
	stream = must(calloc(1, sizeof(*stream)));
	stream->conn = conn;
	buffer_new(&stream->in, IN_SIZE);
	buffer_new(&stream->out, OUT_SIZE);
	notes_new(stream, conn->id);
	conn->stream = stream;
	log_open(conn);
	if (wild)
		mislead(stream, slot % WILD);
	conn->state = STATE_OPEN;
	table[slot] = conn;
}

static void conn_close(unsigned int slot)
{
	struct conn *conn = table[slot];
	struct stream *stream = conn->stream;
	struct note *note = stream->notes, *notes[NOTES];
	unsigned long now = now_ns();
	char text[512], *at = text;

	at += sprintf(at, "F %lu %lu\nF %lu %lu\n", (unsigned long)conn, now, (unsigned long)stream,
		      now);
	at += sprintf(at, "F %lu %lu\nF %lu %lu\n", (unsigned long)stream->in.area, now,
		      (unsigned long)stream->out.area, now);
	for (int i = 0; i < NOTES; i++, note = note->next) {
		notes[i] = note;
		at += sprintf(at, "F %lu %lu\n", (unsigned long)note, now);
	}
	log_text(text, at - text);
	table[slot] = NULL;
	for (int i = 0; i < NOTES; i++)
		free(notes[i]);
	free(stream->in.area);
	free(stream->out.area);
	free(stream);
	free(conn);
}

static void touch(struct worker *worker, const void *object, size_t size)
{
	const volatile char *at = object;

	for (size_t i = 0; i < size; i += PAGE)
		(void)at[i];
	(void)at[size - 1];
	worker->touched++;
}

/* As recv() does: the kernel writes. */
static void fill(struct worker *worker, const struct buffer *buffer)
{
	for (size_t i = 0; i < buffer->size; i += PAGE)
		if (read(zero_fd, buffer->area + i, 1) != 1)
			abort();
	worker->touched++;
}

static void conn_touch(struct worker *worker, const struct conn *conn)
{
	const struct stream *stream = conn->stream;
	const struct note *note;
	int first = rand_r(&worker->seed);

	touch(worker, conn, sizeof(*conn));
	touch(worker, stream, sizeof(*stream));
	for (int i = 0; i < 3; i++) {
		switch ((first + i) % 3) {
		case 0:
			fill(worker, &stream->in);
			break;
		case 1:
			touch(worker, stream->out.area, stream->out.size);
			break;
		default:
			note = stream->notes;
			for (int n = 0; n < NOTES; n++, note = note->next)
				touch(worker, note, note->size);
		}
	}
}

/* Its share of the table, in an order of its own. */
static void *work(void *arg)
{
	struct worker *worker = arg;
	unsigned int nr = (table_size - worker->first + worker->step - 1) / worker->step;
	unsigned int slots[nr];

	for (unsigned int i = 0; i < nr; i++) {
		unsigned int j = rand_r(&worker->seed) % (i + 1);

		slots[i] = slots[j];
		slots[j] = worker->first + i * worker->step;
	}
	for (unsigned int i = 0; i < nr; i++) {
		if (table[slots[i]]->state != STATE_OPEN)
			continue;
		conn_touch(worker, table[slots[i]]);
		if (wild || i % CHURN || i < LAG)
			continue;
		conn_close(slots[i - LAG]);
		conn_open(slots[i - LAG]);
		worker->opened++;
	}
	return NULL;
}

static void round_of(unsigned int threads, unsigned int nr)
{
	struct worker workers[threads];
	unsigned long touched = 0, opened = 0;

	for (unsigned int i = 0; i < threads; i++) {
		workers[i] = (struct worker){ .first = i, .step = threads, .seed = nr + i };
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			abort();
	}
	for (unsigned int i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		touched += workers[i].touched;
		opened += workers[i].opened;
	}
	printf("{\"touched\": %lu, \"opened\": %lu}\n", touched, opened);
}

int main(int argc, char **argv)
{
	unsigned int threads = 1, nr = 0;
	char line[16], *rest = "";

	if (argc > 3)
		threads = strtoul(argv[3], &rest, 10);
	if (argc < 3 || threads < 1 || threads > 64) {
		fprintf(stderr, "usage: owner LOG CONNECTIONS [THREADS[wild]]\n");
		return 64;
	}
	wild = !strcmp(rest, "wild");
	log_fd = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	zero_fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	table_size = strtoul(argv[2], NULL, 10);
	table = must(calloc(table_size, sizeof(*table)));
	for (unsigned int i = 0; i < table_size; i++)
		conn_open(i);
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof(line), stdin))
		round_of(threads, nr++);
	return 0;
}
