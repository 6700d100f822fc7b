/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What is mapped where. An image is a program from one exec to the next; forked processes share
 * it. A region is one mapping of it. A binary is the file behind executable regions, shared by all
 * images that map it.
 */
#ifndef MODEL_IMAGE_H
#define MODEL_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One ELF file, known by device and inode. Owned by the binary table, lives until it is freed. */
struct binary {
	uint64_t device, inode; /* both 0: no file (the vdso, anonymous code) */
	char *path;		/* as the target sees it; "[vdso]" for the vdso */
	char *name;		/* last part of path, without " (deleted)"; what reports print */
	int fd;			/* open for reading, or -1 when it could not be opened */
	bool mapped;		/* by an image, when binary_table_sweep() is called */
	char *build_id;		/* hex, as recorded; NULL: none, or the file itself tells */
	uint64_t size;		/* as recorded, bytes; 0: not known */
	uint64_t changed_ns;	/* likewise, when its contents changed last */
	struct binary *next;
};

struct binary_table {
	struct binary *first;
};

/* Finds the binary, or adds it with fd -1. Returns NULL only when out of memory. */
struct binary *binary_get(struct binary_table *table, uint64_t device, uint64_t inode,
			  const char *path);
/* Frees the binaries that are not @mapped, once there are more than @keep of them: @gone is told
 * first. */
void binary_table_sweep(struct binary_table *table, size_t keep,
			void (*gone)(void *arg, const struct binary *binary), void *arg);
void binary_table_release(struct binary_table *table);

struct region {
	uint64_t start, end; /* [start, end) in the target */
	uint64_t offset;     /* of start in the file, bytes */
	uint64_t born_ns;    /* CLOCK_MONOTONIC; 0: there when the run began */
	uint32_t pid;	     /* the process that mapped it; 0: several did */
	bool exec, write, shared;
	struct binary *binary; /* NULL: no file; not owned */
	char name[32];	       /* "[heap]", "[stack]", or "" */
};

struct image {
	uint32_t id;
	uint32_t pid; /* the process it was first seen in */
	char comm[16];
	char *cgroup;	    /* that its memory is charged to, as "/a/b"; NULL: not known; owned */
	bool forked;	    /* more than one process ran it */
	struct binary *own; /* the target's own binary; NULL: not known; not owned */
	struct region *regions; /* in order of birth */
	size_t nr_regions;
	uint64_t swapped_out; /* pages, as far as the collector counts and handed them on */
	struct image *next;
};

struct image *image_new(uint32_t id, uint32_t pid, const char *comm);
void image_free(struct image *image);

/* Copies @region into the image. Returns 0 or -ENOMEM. */
int image_add_region(struct image *image, const struct region *region);

/* The region that covers @address at @time_ns (0: at the end): the youngest that was born by then.
 * NULL when there is none. Valid until the next image_add_region(). */
const struct region *image_find(const struct image *image, uint64_t address, uint64_t time_ns);

#endif
