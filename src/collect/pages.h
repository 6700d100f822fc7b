/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Since when pages are swapped out, as scans of the page tables tell. A scan neither faults nor
 * marks anything; the time between two of them is the resolution of the answers. Shared memory is
 * left out: its page tables do not tell what is swapped out from what is not mapped.
 *
 * How long a page has been idle is not known: the accessed bits that would tell are reclaim's own
 * and can be read only by clearing them (idle page tracking, DAMON), and soft-dirty bits by
 * write-protecting the target's pages, which makes it fault. But what is swapped out has been idle
 * for at least as long.
 */
#ifndef COLLECT_PAGES_H
#define COLLECT_PAGES_H

#include <stddef.h>
#include <stdint.h>

enum pages_source {
	PAGES_IOCTL, /* PAGEMAP_SCAN, Linux 6.7: skips what is not swapped out */
	PAGES_READ,  /* reads of pagemap: 8 bytes for each page, mapped or not */
};

struct pages_range {
	uint64_t start, end;
};

struct pages_scan {
	uint64_t swapped_bytes;	  /* of these it is known since when */
	uint64_t uncovered_bytes; /* swapped out, or not looked at, beyond the limits below */
	uint64_t took_ns;
};

/* 0.6 MB of notes for each GB that is swapped out, at most 40 MB (64 GB when it lies together).
 * PAGES_READ leaves out ranges of more than 64 GB, as some run times reserve. */
struct pages;

/* What works with this descriptor of a /proc/PID/pagemap. */
enum pages_source pages_source(int pagemap);
/* @pagemap stays the caller's, and open. 0 or -ENOMEM. */
int pages_new(int pagemap, enum pages_source source, struct pages **ret);
void pages_free(struct pages *pages); /* NULL is fine */

/* A scan; @ranges: by address. What lies in none of them is not swapped out. @ret may be NULL. 0;
 * -ESRCH when the address space is gone; after an error it is as if there had been no scan. */
int pages_scan(struct pages *pages, const struct pages_range *ranges, size_t nr,
	       struct pages_scan *ret);
/* The page at @address was swapped out at the last scan or the one before it, since a time between
 * *@after_ns (a scan had begun that saw it not swapped out; 0: the first scan, or the first that
 * covered it, saw it swapped out already) and *@before_ns (the scan that first saw it swapped out
 * had ended). In CLOCK_MONOTONIC. Of long ago the two lie further apart than scans did, by up to a
 * thousandth of the run. What mremap() moves counts from then on. -ENOENT: it was not swapped out,
 * or nothing is known. */
int pages_swapped_out(const struct pages *pages, uint64_t address, uint64_t *after_ns,
		      uint64_t *before_ns);
/* A fault at @time_ns brought the page in: what was noted of the time before is over. Without this,
 * a page that is in for a moment between two scans counts as swapped out all the time. */
void pages_came_in(struct pages *pages, uint64_t address, uint64_t time_ns);

#endif
