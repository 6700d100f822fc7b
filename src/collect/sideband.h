/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the kernel tells of programs while they run: mmap, exec, fork and exit, as side-band records
 * of perf dummy events, put in order of time.
 */
#ifndef COLLECT_SIDEBAND_H
#define COLLECT_SIDEBAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "collect/procfs.h"

struct sideband;

/* In a form that can wait. */
struct sideband_record {
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	uint64_t order;	  /* keeps records of the same time in the order they were read */
	uint32_t type;	  /* PERF_RECORD_MMAP2, _COMM (of an exec), _FORK or _EXIT (of a process) */
	pid_t pid, parent;			      /* parent: of a fork */
	uint64_t start, bytes, offset, device, inode; /* of a mapping; device as of makedev() */
	uint32_t prot, flags;			      /* as of mmap() */
	char *text; /* path or comm; from malloc, owned by whoever holds the record; may be NULL */
};

/* A negative return ends the reading and is returned; the record counts as read. To keep the
 * record, copy it and set its text to NULL. */
typedef int (*sideband_fn)(void *arg, struct sideband_record *record);

/* @system: of all processes, else of those that are added, and their children. @data: with mappings
 * that are not executable. 0 or -errno; -EACCES, -EPERM, -ENOSYS: not allowed. */
int sideband_new(bool system, bool data, struct sideband **ret);
void sideband_free(struct sideband *sideband); /* NULL is fine */
/* Once each; 0 or -errno, as above. */
int sideband_add_process(struct sideband *sideband, pid_t pid);
/* Drains the rings, and hands out all records up to @until_ns (at most: up to now). */
int sideband_read(struct sideband *sideband, uint64_t until_ns, sideband_fn fn, void *arg);
uint64_t sideband_lost(const struct sideband *sideband);

/* A record of a mapping as /proc/PID/maps would show it; borrows its text. */
void sideband_mapping(const struct sideband_record *record, struct procfs_mapping *ret);
void sideband_records_free(struct sideband_record *records, size_t nr);

#endif
