/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What /proc says of the memory of a process: to whom it is charged, and how much of it is out. */
#ifndef COLLECT_PROCMEM_H
#define COLLECT_PROCMEM_H

#include <stdint.h>
#include <sys/types.h>

/* The control group that its memory is charged to, as we see it: "/system.slice/haproxy.service".
 * *@ret is the caller's. 0, -ENOMEM, -ENOENT when the kernel has no control groups or the process
 * is gone. */
int procmem_cgroup(pid_t pid, char **ret);
/* Bytes in swap, as VmSwap: its anonymous memory, without what is shared. */
int procmem_swapped(pid_t pid, uint64_t *ret);

#endif
