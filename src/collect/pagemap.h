/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* /proc/PID/pagemap: one word for each page. Its descriptor stays with the address space on which
 * it was opened; what it tells is free of charge for the target: nothing is faulted in or marked.
 */
#ifndef COLLECT_PAGEMAP_H
#define COLLECT_PAGEMAP_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

/* Of x86-64, the one architecture so far. */
#define PAGE_SHIFT 12
#define PAGE_BYTES (1UL << PAGE_SHIFT)

#define PAGEMAP_GUARD (1ULL << 58) /* from Linux 6.15 on; has the bit of swapped ones, too */
#define PAGEMAP_FILE (1ULL << 61)  /* page cache, shared memory, hugetlb: a page of the kernel's */
#define PAGEMAP_SWAPPED (1ULL << 62)
#define PAGEMAP_PRESENT (1ULL << 63)

static inline bool pagemap_present(uint64_t entry)
{
	return (entry & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)) == PAGEMAP_PRESENT;
}

/* Private and swapped out. The word is the same for the moment in which a page is migrated. */
static inline bool pagemap_swapped(uint64_t entry)
{
	return (entry & (PAGEMAP_SWAPPED | PAGEMAP_FILE | PAGEMAP_GUARD)) == PAGEMAP_SWAPPED;
}

/* The words of @nr pages from page number @page on; 0 for what lies behind the last address there
 * can be. 0; -ESRCH when the address space is gone; another -errno. */
static inline int pagemap_read(int fd, uint64_t page, size_t nr, uint64_t *entries)
{
	ssize_t n = pread(fd, entries, nr * sizeof(*entries), page * sizeof(*entries));
	uint64_t first;

	if (n < 0)
		return -errno;
	memset((char *)entries + n, 0, nr * sizeof(*entries) - n);
	/* Nothing: behind the end, or the end of all. The first page can always be asked for. */
	if (!n && nr && pread(fd, &first, sizeof(first), 0) != sizeof(first))
		return -ESRCH;
	return 0;
}

#endif
