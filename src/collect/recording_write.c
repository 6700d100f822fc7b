/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What comes again is told once: a text, a stack, a site, a kind of object, a connection is a
 * record of its own the first time, known from then on by the bytes of its body, and elsewhere its
 * number. Times are told as differences, so that they are short.
 */
#include "collect/recording_put.h"

#include <errno.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include <zlib.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define CHUNK_FULL (1U << 16)
#define MAX_TEXT 65535
#define MAX_TOLD (1U << 18) /* bounds what a long run can cost; others are told each time */

/* What has a number already. */
struct told {
	UT_hash_handle hh;
	uint64_t number;
	uint8_t key[]; /* type, body */
};

/* ---- chunks ---- */

static void put_le32(uint8_t *to, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		to[i] = (uint8_t)(value >> 8 * i);
}

static int write_all(int fd, const uint8_t *data, size_t nr)
{
	while (nr) {
		ssize_t n = write(fd, data, nr);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		data += n;
		nr -= (size_t)n;
	}
	return 0;
}

/* What does not fit goes again, so that the file ends with a whole chunk. */
static int put_whole(struct recording_writer *w, const uint8_t *head, size_t nr_head,
		     const uint8_t *data, size_t nr)
{
	int r = write_all(w->fd, head, nr_head);

	if (!r)
		r = write_all(w->fd, data, nr);
	if (w->whole >= 0 && !r)
		w->whole += (off_t)(nr_head + nr);
	else if (w->whole >= 0 && ftruncate(w->fd, w->whole))
		w->whole = -1;
	return r;
}

static int put_head(struct recording_writer *w)
{
	uint8_t head[RECORDING_HEAD_BYTES] = RECORDING_MAGIC;

	put_le32(head + 8, RECORDING_MACHINE << 16 | RECORDING_VERSION);
	put_le32(head + 12, lzma_crc32(head, 12, 0));
	return put_whole(w, head, sizeof(head), NULL, 0);
}

/* @w->packed gets the chunk, smaller if it can be. */
static size_t pack(struct recording_writer *w)
{
	uLongf nr = compressBound(w->chunk.nr);

	w->packed.nr = 0;
	bytes_reserve(&w->packed, nr);
	if (w->packed.failed)
		return 0;
	if (compress2(w->packed.data, &nr, w->chunk.data, w->chunk.nr, Z_BEST_SPEED) == Z_OK &&
	    nr < w->chunk.nr)
		return nr;
	memcpy(w->packed.data, w->chunk.data, w->chunk.nr);
	return w->chunk.nr;
}

static int flush(struct recording_writer *w)
{
	uint8_t head[RECORDING_CHUNK_HEAD_BYTES];
	size_t nr;

	if (w->chunk.failed || w->body.failed || w->key.failed)
		w->error = w->error ? w->error : -ENOMEM;
	if (w->error || !w->chunk.nr)
		return w->error;
	nr = pack(w);
	if (!nr)
		return w->error = -ENOMEM;
	put_le32(head, (uint32_t)nr);
	put_le32(head + 4, (uint32_t)w->chunk.nr);
	put_le32(head + 8, lzma_crc32(w->packed.data, nr, lzma_crc32(head, 8, 0)));
	w->error = put_whole(w, head, sizeof(head), w->packed.data, nr);
	w->chunk.nr = 0;
	return w->error;
}

/* ---- records ---- */

int recording_emit(struct recording_writer *w, enum recording_type type, const void *body,
		   size_t nr)
{
	if (w->error)
		return w->error;
	bytes_number(&w->chunk, type);
	bytes_number(&w->chunk, nr);
	bytes_put(&w->chunk, body, nr);
	return w->chunk.nr >= CHUNK_FULL ? flush(w) : 0;
}

int recording_emit_body(struct recording_writer *w, enum recording_type type)
{
	return recording_emit(w, type, w->body.data, w->body.nr);
}

/* Under the key that was put together. */
static int remember(struct recording_writer *w, uint64_t number)
{
	struct told *told = malloc(sizeof(*told) + w->key.nr);

	if (told) {
		memcpy(told->key, w->key.data, w->key.nr);
		told->number = number;
		HASH_ADD_KEYPTR(hh, w->told, told->key, w->key.nr, told);
		if (told->hh.tbl)
			return 0;
	}
	free(told);
	return w->error = -ENOMEM;
}

uint64_t recording_number(struct recording_writer *w, enum recording_type type, const void *body,
			  size_t nr)
{
	uint8_t first = (uint8_t)type;
	struct told *told;

	w->key.nr = 0;
	bytes_put(&w->key, &first, 1);
	bytes_put(&w->key, body, nr);
	if (w->error || w->key.failed)
		return 0;
	HASH_FIND(hh, w->told, w->key.data, w->key.nr, told);
	if (told)
		return told->number;
	if (HASH_COUNT(w->told) < MAX_TOLD && remember(w, w->nr_told[type] + 1))
		return 0;
	w->nr_told[type]++;
	return recording_emit(w, type, body, nr) ? 0 : w->nr_told[type];
}

uint64_t recording_body_number(struct recording_writer *w, enum recording_type type)
{
	return recording_number(w, type, w->body.data, w->body.nr);
}

uint64_t recording_text(struct recording_writer *w, const char *text)
{
	size_t length = text ? strlen(text) : 0;

	if (!text)
		return 0;
	return recording_number(w, RECORDING_TEXT, text, length < MAX_TEXT ? length : MAX_TEXT);
}

struct bytes *recording_body(struct recording_writer *w)
{
	w->body.nr = 0;
	return &w->body;
}

void recording_put_time(struct bytes *body, uint64_t time_ns, uint64_t base_ns)
{
	uint64_t off = time_ns - base_ns;
	uint64_t folded = off << 1 ^ ((int64_t)off < 0 ? UINT64_MAX : 0);

	bytes_number(body, !time_ns ? 0 : folded < UINT64_MAX ? folded + 1 : folded);
}

/* ---- the run ---- */

static int put_run(struct recording_writer *w, const struct recording_run *run)
{
	const uint64_t texts[] = {
		recording_text(w, run->version), recording_text(w, run->system),
		recording_text(w, run->release), recording_text(w, run->machine),
		recording_text(w, run->node),	 recording_text(w, run->description),
	};
	struct bytes *body = recording_body(w);

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		bytes_number(body, texts[i]);
	bytes_number(body, run->tier);
	bytes_number(body, run->kinds);
	bytes_number(body, run->modes);
	bytes_number(body, run->stacks);
	bytes_number(body, run->slow_ns);
	bytes_number(body, run->begin_ns);
	bytes_number(body, run->begin_date_ns);
	bytes_number(body, (uint64_t)run->command);
	bytes_number(body, run->alloc_stacks);
	return recording_emit_body(w, RECORDING_RUN);
}

int recording_begin(int fd, const struct recording_run *run, recording_build_id_fn build_id,
		    void *arg, struct recording_writer **ret)
{
	struct recording_writer *w = calloc(1, sizeof(*w));
	int r = w ? 0 : -ENOMEM;

	if (r)
		return r;
	w->fd = fd;
	w->whole = lseek(fd, 0, SEEK_CUR);
	w->build_id = build_id;
	w->build_id_arg = arg;
	w->begin_ns = w->fault_ns = w->now_ns = w->connection.born_ns = run->begin_ns;
	flock(fd, LOCK_EX | LOCK_NB); /* without it, a reader takes it for one that was cut off */
	r = put_head(w);
	if (!r)
		r = put_run(w, run);
	if (!r)
		r = flush(w);
	if (r)
		recording_free(w);
	else
		*ret = w;
	return r;
}

void recording_free(struct recording_writer *w)
{
	struct told *told, *next;

	if (!w)
		return;
	HASH_ITER (hh, w->told, told, next) {
		HASH_DEL(w->told, told);
		free(told);
	}
	recording_images_free(w);
	bytes_release(&w->chunk);
	bytes_release(&w->packed);
	bytes_release(&w->body);
	bytes_release(&w->key);
	free(w);
}

int recording_target(struct recording_writer *w, const struct profile_target *target)
{
	uint64_t comm = recording_text(w, target->comm), exe = recording_text(w, target->exe);
	struct bytes *body = recording_body(w);

	bytes_number(body, target->pid);
	bytes_number(body, comm);
	bytes_number(body, exe);
	bytes_number(body, target->threads);
	return recording_emit_body(w, RECORDING_TARGET);
}

int recording_added(struct recording_writer *w, pid_t pid)
{
	bytes_number(recording_body(w), (uint64_t)pid);
	return recording_emit_body(w, RECORDING_ADDED);
}

int recording_provider(struct recording_writer *w, uint32_t pid, const char *provider)
{
	uint64_t name = recording_text(w, provider);
	struct bytes *body = recording_body(w);

	bytes_number(body, pid);
	bytes_number(body, name);
	return recording_emit_body(w, RECORDING_PROVIDER);
}

int recording_warning(struct recording_writer *w, const char *text)
{
	uint64_t number = recording_text(w, text);

	bytes_number(recording_body(w), number);
	return recording_emit_body(w, RECORDING_WARNING);
}

int recording_tick(struct recording_writer *w, uint64_t time_ns,
		   const struct collect_counts *counts, bool end)
{
	struct bytes *body = recording_body(w);

	bytes_signed(body, (int64_t)(time_ns - w->begin_ns));
	bytes_number(body, counts->faults);
	bytes_number(body, counts->major);
	bytes_number(body, counts->failed);
	bytes_number(body, counts->kernel_seen | counts->access_known << 1 |
				   counts->stall_known << 2 | counts->kinds_inferred << 3);
	bytes_number(body, FP_NR_LOSSES);
	for (unsigned int i = 0; i < FP_NR_LOSSES; i++)
		bytes_number(body, counts->lost[i]);
	if (recording_emit_body(w, end ? RECORDING_END : RECORDING_TICK))
		return w->error;
	return flush(w);
}
