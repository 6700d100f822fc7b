/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A recording: all that a run tells its profile, in a file from which the same report can be made
 * at any time. Not the report itself: addresses, not names, so that it is small while it is
 * written, and can be named on another machine by the build IDs of the binaries.
 *
 * The format. A head of RECORDING_HEAD_BYTES: magic, version, machine, checksum. Then chunks: how
 * many bytes follow, how many they are unpacked, the CRC-32 of these two and of what follows, each
 * 4 bytes and little-endian; and the bytes, packed by zlib unless the two numbers are one: records.
 * A record is its type, the number of bytes of its body, and the body; numbers, also in bodies, as
 * in base/bytes.h. Whoever reads it skips records of types that it does not know, and what stands
 * in a body behind what it knows: that is how the format grows. Only a change that an old reader
 * would get wrong raises the version, and then it refuses.
 *
 * It is only ever appended to. A chunk is written about once a second, or when it is full, so a
 * file that was cut off anywhere, or is still being written, is whole up to its last whole chunk;
 * one that came to its end says so by its last record. What records refer to (texts, binaries,
 * images, stacks, sites, …) was told in an earlier record of the same file, and is numbered from 1
 * by that order; 0 is none.
 */
#ifndef COLLECT_RECORDING_H
#define COLLECT_RECORDING_H

#include "collect/collector.h"
#include "model/profile.h"

#define RECORDING_MAGIC "faultprf"
#define RECORDING_VERSION 1
#define RECORDING_HEAD_BYTES 16 /* magic; version and machine, 2 bytes each; CRC-32 of these */
#define RECORDING_MACHINE 62	/* x86-64, as in an ELF file */
#define RECORDING_CHUNK_HEAD_BYTES 12
#define RECORDING_CHUNK_BYTES (1U << 20) /* one is never longer, packed or unpacked */

enum recording_type {
	RECORDING_RUN = 1,    /* struct recording_run */
	RECORDING_TEXT,	      /* the next text */
	RECORDING_BINARY,     /* the next binary */
	RECORDING_IMAGE,      /* an image, by its own number; again when more is known of it */
	RECORDING_REGION,     /* of an image */
	RECORDING_STACK,      /* the next stack */
	RECORDING_SITE,	      /* the next place in the code, with its kind of fault */
	RECORDING_KIND,	      /* the next kind of object */
	RECORDING_CONNECTION, /* the next connection, as it was known at a fault */
	RECORDING_FAULT,      /* one fault, with what it hit */
	RECORDING_COUNTED,    /* faults that the kernel counted at one site in this interval */
	RECORDING_LIVE,	      /* an object that lives at the end */
	RECORDING_TARGET,     /* a line of the list of targets */
	RECORDING_ADDED,      /* a process that was added */
	RECORDING_PROVIDER,   /* who knows the objects of a process */
	RECORDING_WARNING,    /* what could not be observed */
	RECORDING_TICK,	      /* an interval ends: counts by now */
	RECORDING_END,	      /* the run ends: final counts */
};

/* How it was measured. Strings are borrowed from whoever gives it. */
struct recording_run {
	const char *version;			/* of faultprof */
	const char *system, *release, *machine; /* as uname has them */
	const char *node;
	enum tier tier;
	const char *description; /* of the collector */
	uint32_t kinds, modes;	 /* what was counted, by bits */
	bool stacks;
	bool alloc_stacks; /* who allocated what was hit was asked */
	uint64_t slow_ns;
	uint64_t begin_ns;	/* CLOCK_MONOTONIC */
	uint64_t begin_date_ns; /* CLOCK_REALTIME; 0: not known */
	pid_t command;		/* the process that was started for the run; 0: none */
};

#endif
