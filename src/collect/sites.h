/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The faults that the kernel side counted by site. There are two maps: one is filled while the
 * other is emptied. After the switch, a program that read the old value may still be writing;
 * sites_wait() waits for all of them. The maps lead to slots of one array, half for each. What
 * found no room stands in another array by its kind, again half for each.
 */
#ifndef COLLECT_SITES_H
#define COLLECT_SITES_H

#include <stdbool.h>
#include <stdint.h>

#include "faultprof/event.h"

/* Takes what was counted at one site; @nr_ips valid in key->ip. Nonzero ends the walk. */
typedef int (*site_fn)(void *arg, const struct fp_site_key *key, const struct fp_site_value *value,
		       unsigned int nr_ips);

struct sites {
	int map[2], array, overflow; /* descriptors, borrowed */
	volatile uint32_t *turn;     /* the kernel side's: its last bit says which map is filled */
	volatile uint32_t *used;     /* the kernel side's: slots in use, of each half */
	unsigned int room;	     /* of one map, entries */
	uint64_t added,
		faults; /* what the kernel side had counted when the maps were switched last */
	struct fp_site_key *keys; /* of one batch */
	uint32_t *slots;
};

int sites_init(struct sites *sites); /* after the other members are set; 0 or -ENOMEM */
void sites_release(struct sites *sites);
/* Until every BPF program that runs now has ended. */
void sites_wait(void);
/* Is the map in use half full, or may its counters overflow? @added, @faults: entries that the
 * kernel side ever added, and faults that it ever counted. To be followed by the next two. */
bool sites_due(struct sites *sites, uint64_t added, uint64_t faults);
/* Lets the other map be filled. What the kernel side told of before it counted in this one has been
 * told when this returns. */
void sites_switch(struct sites *sites);
/* Hands on what was counted until then. At the end, when nothing is counted any more, both once
 * more. */
int sites_take(struct sites *sites, site_fn fn, void *arg);

#endif
