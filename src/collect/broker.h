/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A helper process that attaches uprobes for us when we may not any more. It is forked while the
 * privileges are there and keeps those that attaching needs, and no descriptor but its socket and
 * the programs. It does one thing: attach one of these programs to an offset of an open file in a
 * process. It never reads a byte of that file.
 */
#ifndef COLLECT_BROKER_H
#define COLLECT_BROKER_H

#include <stdint.h>
#include <sys/types.h>

enum broker_program { BROKER_ALLOC, BROKER_RETURN, BROKER_FREE, BROKER_NR };

struct broker {
	pid_t pid; /* 0: none */
	int socket;
};

/* @programs: descriptors of loaded programs, by enum broker_program; they stay the caller's. 0 or
 * -errno; -ENOTSUP: this kernel has no uprobes. */
int broker_start(const int programs[BROKER_NR], struct broker *ret);
/* Breakpoint at file offset @offset of @file, in the memory of @pid alone. 0 or -errno: -ENOTSUP,
 * -EPERM, -EACCES: refused here; -ESRCH: it is gone; -EINVAL: no place for a breakpoint. */
int broker_attach(const struct broker *broker, pid_t pid, int file, uint64_t offset,
		  enum broker_program program, uint64_t cookie);
/* Takes all of @pid's off again; soon, nobody waits for it. */
void broker_detach(const struct broker *broker, pid_t pid);
/* Takes all off, soon. Also of a broker that was not started (all zeros). */
void broker_stop(struct broker *broker);

#endif
