/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The objects of bpf/births.bpf.c in order of address, to look up an address inside of one: a copy
 * of the map, which ages, and the objects that were noted as born since. The copy is renewed when
 * more were born than there are notes, but not more often than costs 1 % of a core. For births.c.
 */
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

struct sorted_births {
	struct listed_birth *at;
	size_t nr, room;
};

struct birth_list {
	int map;				    /* not owned */
	const volatile struct fp_birth_note *notes; /* not owned, as @born */
	const volatile uint64_t *born;
	struct sorted_births all, young;
	uint64_t noted;		   /* births that the two hold */
	bool whole;		   /* they lack none but later ones */
	uint64_t seen_ns;	   /* what was born by then, they have */
	uint64_t read_ns;	   /* when @all was read last; 0: never */
	struct fp_birth_key *keys; /* of a batch */
	struct fp_birth *births;
	uint64_t note_ns, renew_ns; /* not before: reading the notes, and the map */
};

int birth_list_init(
	struct birth_list *list); /* all zeros but for what it does not own; or -ENOMEM */
void birth_list_release(struct birth_list *list);

/* What is not @current is left out, and removed from the map. */
typedef bool (*birth_current_fn)(void *arg, const struct fp_birth_key *key,
				 const struct fp_birth *birth);
/* Reads the map anew. 0 or -errno. */
int birth_list_renew(struct birth_list *list, birth_current_fn current, void *arg);
bool birth_list_may_renew(const struct birth_list *list);

/* The innermost object that covers @address, is current, and is in the map still. 0; -ENOENT: there
 * is none that was born by @time_ns; -EAGAIN: there may be one, but it is too early to look; or
 * -errno.
 * @ret is valid until the next call. */
int birth_list_find(struct birth_list *list, uint32_t pid, uint64_t address, uint64_t time_ns,
		    birth_current_fn current, void *arg, const struct listed_birth **ret);

#endif
