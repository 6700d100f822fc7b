/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The mappings of one address space, from a /proc/PID/maps that is opened once: it goes on showing
 * the address space it was opened on, also after an exec. */
#ifndef COLLECT_LAYOUT_H
#define COLLECT_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/intern.h"

struct layout_mapping {
	uint64_t start, end;
	bool read, write, exec, shared;
	bool memory;	  /* of the kernel's ordinary memory: no device, no special page */
	const char *name; /* as procfs_mapping.path; until the next layout_refresh() */
};

struct layout {
	int maps;
	struct layout_mapping *mappings; /* by address */
	size_t nr;
	struct strings names;
};

/* @proc: a directory descriptor of /proc/PID. Reads nothing yet. 0 or -errno. */
int layout_open(struct layout *layout, int proc);
void layout_close(struct layout *layout);
/* 0; -ESRCH when the address space is gone; another -errno. The old one is forgotten in any case.
 */
int layout_refresh(struct layout *layout);
/* The first one that ends behind @address; NULL: none does. */
const struct layout_mapping *layout_behind(const struct layout *layout, uint64_t address);
/* The one that covers @address, or NULL. */
const struct layout_mapping *layout_find(const struct layout *layout, uint64_t address);

#endif
