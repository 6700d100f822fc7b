/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Which pages of a process are present, and which swapped out, as /proc/PID/pagemap tells: for sums
 * over many objects, in any order. Nothing is faulted in or marked. */
#ifndef COLLECT_PRESENCE_H
#define COLLECT_PRESENCE_H

#include <stdint.h>

/* What was looked at so far: 200 bytes for each 2 MB. Begins as NULL. */
struct presence;

/* Adds how many bytes of [start, end) are present, and how many swapped out. Each page is as it was
 * when something near it was asked for first. 0, -ENOMEM; -ESRCH when the address space is gone. */
int presence_add(struct presence **presence, int pagemap, uint64_t start, uint64_t end,
		 uint64_t *present_bytes, uint64_t *swapped_bytes);
void presence_forget(struct presence **presence);

#endif
