/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Giving up capabilities once they have done their work. */
#ifndef BASE_PRIVILEGE_H
#define BASE_PRIVILEGE_H

#include <stdbool.h>

enum privilege_keep {
	PRIVILEGE_READ,	   /* other users' /proc and binaries, nothing else */
	PRIVILEGE_BPF,	   /* and BPF maps, which kernels before 5.19 refuse without CAP_BPF */
	PRIVILEGE_PERFMON, /* and new perf events */
	PRIVILEGE_NAME,	   /* makes a name in a directory of another user, nothing else */
	PRIVILEGE_UPROBE,  /* attaches uprobes, nothing else: Linux 6.1 does that with CAP_PERFMON,
			      6.18 wants CAP_SYS_ADMIN */
	PRIVILEGE_LINK,	   /* attaches BPF programs by links alone, nothing else */
};

/* From all sets, ambient and inheritable included. 0 or -errno. */
int privilege_drop(enum privilege_keep keep);
/* Only for now: takes CAP_BPF and CAP_SYS_ADMIN out of the effective set, or puts them back. */
int privilege_suspend_bpf(bool suspend);

#endif
