/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The objects of bpf/births.bpf.c as a list in order of address, to look up an address inside of
 * one; a copy, which ages. For births.c. */
#ifndef COLLECT_BIRTHLIST_H
#define COLLECT_BIRTHLIST_H

#include <stdbool.h>
#include <stddef.h>

#include "faultprof/births.h"

struct listed_birth {
	struct fp_birth_key key;
	struct fp_birth birth;
	size_t around; /* the object that this one lies in, plus 1; 0: none */
};

struct birth_list {
	int map; /* not owned */
	struct listed_birth *objects;
	size_t nr, room;
	struct fp_birth_key *keys; /* of a batch */
	struct fp_birth *births;
	uint64_t renew_ns; /* not before, if it is to stay below 1 % of a core */
};

int birth_list_init(struct birth_list *list, int map); /* 0 or -ENOMEM */
void birth_list_release(struct birth_list *list);      /* also of all zeros */

/* Reads the map anew. What is not @current is left out, and removed from the map. 0 or -errno. */
typedef bool (*birth_current_fn)(void *arg, const struct fp_birth_key *key,
				 const struct fp_birth *birth);
int birth_list_renew(struct birth_list *list, birth_current_fn current, void *arg);
bool birth_list_may_renew(const struct birth_list *list);

/* The innermost object that covers @address, as listed; NULL: none. Valid until it is renewed. */
const struct listed_birth *birth_list_find(const struct birth_list *list, uint32_t pid,
					   uint64_t address);
/* Whether the map has this very object still. */
bool birth_list_lives(const struct birth_list *list, const struct listed_birth *object);

#endif
