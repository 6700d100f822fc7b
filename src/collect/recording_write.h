/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Writes a recording. Every call but the last adds to the chunk in memory, which goes out when it
 * is full; all return 0 or -errno, and after an error the same error: then the file holds what was
 * whole before. */
#ifndef COLLECT_RECORDING_WRITE_H
#define COLLECT_RECORDING_WRITE_H

#include "collect/recording.h"

struct recording_writer;

/* What the files of binaries say of themselves. */
typedef const char *(*recording_build_id_fn)(void *arg, const struct binary *binary);

/* Writes the head, and how it is measured, to @fd, which stays the caller's. A reader sees by its
 * lock that it is being written. */
int recording_begin(int fd, const struct recording_run *run, recording_build_id_fn build_id,
		    void *arg, struct recording_writer **ret);
void recording_free(struct recording_writer *writer); /* NULL is fine */

/* What is new in the list of images that begins with @first: to be called before each fault, and
 * (@all) before each tick for what is new in those that are known. */
int recording_images(struct recording_writer *writer, const struct image *first, bool all);
/* One fault, or what was counted at a site, already unwound. @answer: of one fault. */
int recording_fault(struct recording_writer *writer, const struct fault *fault,
		    const struct object_answer *answer);
/* As profile_add_live_object(). */
int recording_live(struct recording_writer *writer, uint32_t pid, const char *provider,
		   const struct fp_object *object, uint64_t now_ns, uint64_t present_bytes,
		   uint64_t swapped_bytes);
int recording_target(struct recording_writer *writer, const struct profile_target *target);
int recording_added(struct recording_writer *writer, pid_t pid);
int recording_provider(struct recording_writer *writer, uint32_t pid, const char *provider);
int recording_warning(struct recording_writer *writer, const char *text);
/* An interval ends, or (@end) the run. All there is so far goes out. */
int recording_tick(struct recording_writer *writer, uint64_t time_ns,
		   const struct collect_counts *counts, bool end);

#endif
