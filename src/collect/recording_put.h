/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* For the files that write a recording: records, and the numbers of what comes again. */
#ifndef COLLECT_RECORDING_PUT_H
#define COLLECT_RECORDING_PUT_H

#include "base/bytes.h"
#include "collect/recording_write.h"

struct told; /* what has a number already */
struct told_image;

struct recording_writer {
	int fd, error;
	off_t whole; /* where the file's last whole chunk ends; -1: it cannot be cut there */
	struct bytes chunk, packed, body, key;
	struct told *told;
	uint64_t nr_told[RECORDING_END + 1]; /* by type */
	struct told_image *images;
	const struct image *newest;
	recording_build_id_fn build_id;
	void *build_id_arg;
	uint64_t begin_ns, fault_ns, now_ns; /* what times are told from */
	uint64_t address, base;		     /* what addresses are told from */
	struct fp_connection connection;     /* of the last living object that had one */
};

/* Appends a record, or sets @writer->error. Returns that. */
int recording_emit(struct recording_writer *writer, enum recording_type type, const void *body,
		   size_t nr);
/* The number of the record of this body, which is told when it is new. 0: there was an error. */
uint64_t recording_number(struct recording_writer *writer, enum recording_type type,
			  const void *body, size_t nr);
uint64_t recording_text(struct recording_writer *writer, const char *text); /* 0 for NULL */

/* The body of the next record, empty: to be filled after the numbers of what it refers to are
 * known, and then used by one of the others. */
struct bytes *recording_body(struct recording_writer *writer);
int recording_emit_body(struct recording_writer *writer, enum recording_type type);
uint64_t recording_body_number(struct recording_writer *writer, enum recording_type type);

/* Told from @base_ns; 0 is not known. */
void recording_put_time(struct bytes *body, uint64_t time_ns, uint64_t base_ns);

/* recording_images.c: what is new in one image. */
int recording_put_image(struct recording_writer *writer, const struct image *image);
void recording_images_free(struct recording_writer *writer);

#endif
