/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A helper process that attaches uprobes for us when we may not any more. It is forked while the
 * privileges are there and keeps those that attaching needs, and no descriptor but its socket and
 * the programs. It does one thing: attach one of these programs to an offset of an open file in a
 * process. It never reads a byte of that file.
 */
#ifndef COLLECT_BROKER_H
#define COLLECT_BROKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum broker_program { BROKER_ALLOC, BROKER_RETURN, BROKER_FREE, BROKER_NR };

struct broker {
	pid_t pid; /* 0: none */
	int socket;
};

/* How this kernel attaches them: by links of uprobes alone (Linux 6.6, and as far as they keep to a
 * process), which need CAP_BPF, are off in a quarter of the time that perf events take, and make
 * nobody wait meanwhile; perf events want CAP_SYS_ADMIN. But in children that the process forks,
 * breakpoints stay until the end. Programs have to be loaded for the one or the other. */
#define BROKER_MULTI 48 /* expected_attach_type, BPF_TRACE_UPROBE_MULTI */
bool broker_has_multi(void);

/* @programs: descriptors of loaded programs, by enum broker_program; they stay the caller's.
 * @multi: they were loaded as BROKER_MULTI. 0 or -errno; -ENOTSUP: this kernel has no uprobes. */
int broker_start(const int programs[BROKER_NR], bool multi, struct broker *ret);
/* Breakpoint at file offset @offset of @file, in the memory of @pid alone. 0 or -errno: -ENOTSUP,
 * -EPERM, -EACCES: refused here; -ESRCH: it is gone; -EINVAL: no place for a breakpoint. */
int broker_attach(const struct broker *broker, pid_t pid, int file, uint64_t offset,
		  enum broker_program program, uint64_t cookie);
/* Takes all of @pid's off again; soon, nobody waits for it. */
void broker_detach(const struct broker *broker, pid_t pid);
/* Takes all off, soon. Also of a broker that was not started (all zeros). */
void broker_stop(struct broker *broker);

#endif
