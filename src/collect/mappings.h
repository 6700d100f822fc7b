/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The mapping tracker: which image a process runs, and what is mapped in it since when. It reads
 * /proc/PID/maps once, when a process is attached, and from then on the kernel's own side-band
 * records (mmap, exec, fork) of perf dummy events.
 *
 * Forked processes share their parent's image until they exec. What one of them maps later (dlopen)
 * is added to the image of all. That is harmless while the others have no code at that address.
 * Where they have, as of other plugins, a self-numbered process goes on with an image of its own.
 * An image that the owner named can only say that the place is unknown, to all of them from then on
 * and to what has no time; each such mapping counts as lost.
 *
 * Two ways to use it:
 *  - images named by the owner (the BPF programs number them): mappings_image_attached(),
 *    mappings_fork(), mappings_exec(), mappings_exit() as those events come. Records of an exec
 *    that the owner has not told yet wait for mappings_exec().
 *  - self_numbered: forks and execs are followed from the side-band itself; mappings_attach() and
 *    mappings_image_of() is all the owner needs.
 *
 * Images and their regions live until mappings_free(), for sites counted long ago still want
 * symbols, or until nobody has run them at two calls of mappings_forget().
 */
#ifndef COLLECT_MAPPINGS_H
#define COLLECT_MAPPINGS_H

#include <sys/types.h>

#include "model/image.h"

struct mappings;

enum mappings_scope {
	MAPPINGS_SNAPSHOT, /* no perf events allowed: only what /proc showed when attached */
	MAPPINGS_PROCESS,  /* of attached processes and their children */
	MAPPINGS_SYSTEM,   /* of all processes */
};

struct mappings_options {
	bool data; /* track data mappings, too; else only executable ones after the start */
	bool self_numbered;	   /* see above */
	enum mappings_scope scope; /* the widest to try */
};

/* @options NULL: executable mappings, system-wide if allowed. @binaries must outlive it. It gives
 * what the kernel allows: ask mappings_scope(). 0 or -errno (out of memory, descriptors). */
int mappings_new(struct binary_table *binaries, const struct mappings_options *options,
		 struct mappings **ret);
void mappings_free(struct mappings *mappings); /* NULL is fine */
enum mappings_scope mappings_scope(const struct mappings *mappings);

/* Starts to follow a process; its image is made from /proc/PID/maps, under the owner's number. A
 * process that is attached already gets the new image. 0, -ESRCH and the like when it is gone. */
int mappings_image_attached(struct mappings *mappings, uint32_t id, pid_t pid, struct image **ret);
/* The same with the next free number; keeps the image of a process that is followed already. */
int mappings_attach(struct mappings *mappings, pid_t pid, struct image **ret);

/* Drains the rings, and applies in order of time all records up to @until_ns (CLOCK_MONOTONIC,
 * UINT64_MAX: up to now). The records that came before an event are there when the event is seen.
 * To be called some ten times a second at least, or records are lost. 0 or -errno. */
int mappings_poll(struct mappings *mappings, uint64_t until_ns);

/* What the owner learned about processes, to be told in order of time. 0 or -errno. */
int mappings_fork(struct mappings *mappings, pid_t child, pid_t parent, uint64_t time_ns);
/* The new image gets what @pid mapped between its exec and @time_ns, and then on. When the records
 * are missing and @pid is alive, /proc tells. */
int mappings_exec(struct mappings *mappings, pid_t pid, uint32_t id, const char *comm,
		  uint64_t time_ns, struct image **ret);
void mappings_exit(struct mappings *mappings, pid_t pid);

/* NULL: no such image. */
struct image *mappings_image(const struct mappings *mappings, uint32_t id);
/* The image that @pid ran at @time_ns; NULL: never heard of. */
struct image *mappings_image_of(const struct mappings *mappings, pid_t pid, uint64_t time_ns);
/* Calls @fn for each process of which the owner knows, or if self-numbered, that is not known to
 * have ended. */
void mappings_each_process(const struct mappings *mappings,
			   void (*fn)(void *arg, pid_t pid, const struct image *image), void *arg);
/* For an owner that goes on for ever, once nobody refers to images of the past, other than what
 * comes in before the next call: forgets what was run in the past, then the files that are mapped
 * by no image any more, if they are many, after it has told @gone. */
void mappings_forget(struct mappings *mappings,
		     void (*gone)(void *arg, const struct binary *binary), void *arg);
/* Walks all images by image->next. */
struct image *mappings_first(const struct mappings *mappings);
/* FP_LOSS_MAPPING: records lost, regions that found no room, files that found no descriptor, and
 * code that one process has where another of the same image has other code. */
uint64_t mappings_lost(const struct mappings *mappings);

#endif
