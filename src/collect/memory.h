/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The memory of one process, read without disturbing it: the process is never stopped, nothing is
 * faulted in for it, and nothing but ordinary memory is read, no device.
 *
 * A page is read through /proc/PID/mem right after /proc/PID/pagemap has shown it present. That
 * file rather than process_vm_readv(), which goes by PID and could meet the program of an exec in
 * between, and on older kernels, 6.1 among them, takes NUMA hinting faults, which move pages: it
 * stays with the address space it was opened on, and ends with it.
 *
 * Two things are left. The kernel marks a page that is read this way as referenced, as a use by the
 * target itself would. Of two times 100 MB with 70 MB to go, the older 100 MB had to go; not when
 * they had been read once. So read what a fault or its owner touched just now, and walk through the
 * rest rarely. memory_presence() and memory_scan() leave no trace.
 *
 * And a page that reclaim takes in the microseconds between the two is brought back by the read,
 * nearly always from the swap cache, in which it stays until it is written out. Such a fault is
 * counted as ours, not as the target's.
 *
 * User space has nothing better up to Linux 6.18: no read has a flag "only if present",
 * PAGEMAP_SCAN tells of pages but does not read them, and the helpers of BPF that copy from another
 * process fault pages in. A BPF program that walks the page tables itself and copies from the
 * kernel's own mapping of a page is free of both (tried: the order of reclaim stays as it is, at
 * the same cost).
 *
 * Opened with the right to trace the process (its user, or CAP_SYS_PTRACE); after that none is
 * needed any more. One thread at a time.
 */
#ifndef COLLECT_MEMORY_H
#define COLLECT_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "collect/pages.h"
#include "faultprof/provider.h"

#define MEMORY_MAX_READ (1UL << 20)
#define MEMORY_MAX_PRESENCE (1UL << 30)

struct memory; /* about 2 MB when in use, and what the scans note: see pages.h */

/* 0; -EACCES or -EPERM: not allowed; -ESRCH: no such process, or it has ended. */
int memory_open(pid_t pid, struct memory **ret);
void memory_close(struct memory *memory); /* NULL is fine */

/* All of these return -ESRCH once the process has ended or has become another program. */

/* Begins a round. Within a round a page is read once, and what was absent stays so: to be called
 * before pages that came in are looked at. */
void memory_round(struct memory *memory);
/* Copies @size bytes at @address, each page as it was at some time of this round. -ENODATA: one is
 * not present, *@absent (if not NULL) is the address of the first such page. -EFAULT: nothing that
 * may be read is mapped there. -EINVAL: more than MEMORY_MAX_READ. After an error the buffer holds
 * garbage. */
int memory_read(struct memory *memory, uint64_t address, void *buf, size_t size, uint64_t *absent);
/* The mapping that covers @address, or (@next) the first one that ends behind it; -ENOENT. Known
 * from an earlier round, perhaps: /proc/PID/maps is read again at most once a round, and only when
 * there is nothing at @address. */
int memory_mapping(struct memory *memory, uint64_t address, bool next, struct fp_mapping *ret);
/* How many of these bytes are present, and how many swapped out; the rest was never touched, is not
 * mapped, or belongs to a file or to shared memory, whose absent pages the kernel does not tell
 * apart. As in memory_read(), of this round. -EINVAL: more than MEMORY_MAX_PRESENCE, or beyond the
 * end of all addresses. */
int memory_presence(struct memory *memory, uint64_t base, uint64_t size, uint64_t *present_bytes,
		    uint64_t *swapped_bytes);

/* Notes which pages of private memory are swapped out, and since when: pages_scan() over all of it.
 * Reads /proc/PID/maps. */
int memory_scan(struct memory *memory, struct pages_scan *ret);
/* May a scan find anything else than the last one? False: as much is swapped out as was then, as
 * far as the kernel's counter tells; on some kernels it lags, by tens of pages for each CPU. Pages
 * that came in while as many went out are not seen. */
bool memory_swap_moved(const struct memory *memory);
int memory_swapped_out(struct memory *memory, uint64_t page, uint64_t *after_ns,
		       uint64_t *before_ns); /* pages_swapped_out() */
void memory_came_in(struct memory *memory, uint64_t page, uint64_t time_ns); /* pages_came_in() */

#endif
