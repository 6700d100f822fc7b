/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* An owner is known by its connection's id, else by its address; an address may be used again, and
 * another birth tells that it was. */
#include "model/ages.h"

#include <errno.h>
#include <stdlib.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define SECOND 1000000000ull
#define SAME_BIRTH_NS 1000000 /* births so close, beside their resolution, are one */

struct owner {
	struct owner_key key;
	uint64_t born_ns; /* 0: not known */
	bool exact, hit, living;
	UT_hash_handle hh;
};

/* What is born after @now_ns, by
 * more than the clock's steps, is a contradiction. */
struct age age_of(const struct fp_object *object, uint64_t now_ns)
{
	const struct fp_connection *connection = object->connection;
	struct age age = { object->age_source, object->born_ns, object->resolution_ns, 0 };

	if (age.source > FP_AGE_AT_LEAST || !age.born_ns)
		age.source = FP_AGE_UNKNOWN;
	if (connection && connection->born_ns &&
	    (age.source == FP_AGE_UNKNOWN || age.source == FP_AGE_AT_LEAST))
		age = (struct age){ FP_AGE_ACCEPTED, connection->born_ns, connection->resolution_ns,
				    0 };
	if (age.source == FP_AGE_UNKNOWN ||
	    (age.born_ns > now_ns && age.born_ns - now_ns > age.resolution_ns))
		return (struct age){ .source = FP_AGE_UNKNOWN };
	age.ns = now_ns > age.born_ns ? now_ns - age.born_ns : 0;
	return age;
}

uint64_t age_band_ns(enum age_band band)
{
	static const uint64_t seconds[] = { 60, 600, 3600, 86400 };

	return band < AGE_OLDER ? seconds[band] * SECOND : UINT64_MAX;
}

const char *age_band_name(enum age_band band)
{
	static const char *const names[] = { "<1min", "<10min", "<1h",	  "<1d",
					     ">=1d",  ">run",	"unknown" };

	return band < NR_AGE_BANDS ? names[band] : "?";
}

enum age_band age_band(const struct age *age)
{
	enum age_band band = AGE_MINUTE;

	if (age->source == FP_AGE_UNKNOWN || age->source == FP_AGE_AT_LEAST)
		return age->source == FP_AGE_UNKNOWN ? AGE_UNKNOWN : AGE_BEFORE;
	while (age->ns >= age_band_ns(band))
		band++;
	return band;
}

const char *age_source_name(enum fp_age_source source)
{
	static const char *const names[] = { NULL, "alloc", "accept", "at_least" };

	return source <= FP_AGE_AT_LEAST ? names[source] : NULL;
}

/* *@ret NULL: there is no room. 0 or -ENOMEM. */
static int owner_of(struct object_ages *ages, const struct owner_key *key, struct owner **ret)
{
	struct owner *owner = ages->last;

	/* The objects of a connection come one after the other. */
	if (!owner || memcmp(&owner->key, key, sizeof(*key)))
		HASH_FIND(hh, ages->owners, key, sizeof(*key), owner);
	ages->last = *ret = owner;
	if (owner || HASH_COUNT(ages->owners) >= OWNERS_MAX)
		return 0;
	owner = calloc(1, sizeof(*owner));
	if (!owner)
		return -ENOMEM;
	owner->key = *key;
	HASH_ADD(hh, ages->owners, key, sizeof(owner->key), owner);
	if (!owner->hh.tbl) {
		free(owner);
		return -ENOMEM;
	}
	ages->last = *ret = owner;
	return 0;
}

/* Is it another one, at the address of one that is gone? */
static bool reborn(const struct owner *owner, const struct age *age)
{
	uint64_t apart = age->born_ns > owner->born_ns ? age->born_ns - owner->born_ns
						       : owner->born_ns - age->born_ns;

	return owner->born_ns && !owner->key.is_connection &&
	       apart > age->resolution_ns + SAME_BIRTH_NS;
}

int ages_note(struct object_ages *ages, const struct owner_key *key, const struct age *age,
	      bool living)
{
	struct owner *owner;
	int r = owner_of(ages, key, &owner);

	if (r)
		return r;
	if (!owner) {
		ages->left_out++;
		return 0;
	}
	if (age->source != FP_AGE_UNKNOWN) {
		if (reborn(owner, age)) {
			ages->gone += owner->hit;
			owner->hit = owner->living = owner->exact = false;
		}
		if (!owner->exact) {
			owner->born_ns = age->born_ns;
			owner->exact = age->source != FP_AGE_AT_LEAST;
		}
	}
	*(living ? &owner->living : &owner->hit) = true;
	return 0;
}

static int owner_compare(const void *left, const void *right)
{
	const struct owner *a = *(struct owner *const *)left, *b = *(struct owner *const *)right;

	return a->born_ns < b->born_ns ? -1 : a->born_ns > b->born_ns;
}

/* How many of @owners, oldest first, are the older half. Those of one birth are not parted: the cut
 * next to the middle that leaves something on both sides; 0: there is none. */
static size_t half_of(struct owner *const *owners, size_t nr)
{
	size_t middle = nr / 2, before = middle, behind = middle;

	while (before && owners[before - 1]->born_ns == owners[middle]->born_ns)
		before--;
	while (behind < nr && owners[behind]->born_ns == owners[middle]->born_ns)
		behind++;
	if (behind == nr || (before && middle - before <= behind - middle))
		return before;
	return behind;
}

/* Those without room may be of any age, so with them there is no comparison. */
static void compare_halves(struct object_ages *ages, struct owner **owners, size_t nr,
			   uint64_t now_ns)
{
	size_t half;

	if (!nr || ages->left_out)
		return;
	qsort(owners, nr, sizeof(*owners), owner_compare);
	half = half_of(owners, nr);
	for (size_t i = 0; i < nr; i++)
		*(i < half ? &ages->older_hit : &ages->younger_hit) += owners[i]->hit;
	ages->older = half;
	ages->younger = nr - half;
	ages->split_ns = half ? now_ns - owners[half - 1]->born_ns : 0;
	ages->ratio_known = ratio_of(ages->older_hit, ages->older, ages->younger_hit, ages->younger,
				     &ages->ratio);
}

void ages_compare(struct object_ages *ages, uint64_t begin_ns, uint64_t now_ns)
{
	size_t nr = 0, all = HASH_COUNT(ages->owners);
	struct owner **owners = all ? malloc(all * sizeof(struct owner *)) : NULL;

	if (!owners)
		return;
	for (struct owner *owner = ages->owners; owner; owner = owner->hh.next) {
		struct age age = { .source = FP_AGE_UNKNOWN };

		if (!owner->living) {
			ages->gone += owner->hit;
			continue;
		}
		if (owner->born_ns)
			age.source = owner->exact ? FP_AGE_ALLOCATED : FP_AGE_AT_LEAST;
		age.ns = now_ns > owner->born_ns ? now_ns - owner->born_ns : 0;
		ages->living[age_band(&age)]++;
		ages->hit[age_band(&age)] += owner->hit;
		if (owner->exact && owner->born_ns < begin_ns)
			owners[nr++] = owner;
	}
	compare_halves(ages, owners, nr, now_ns);
	free(owners);
}

void ages_release(struct object_ages *ages)
{
	struct owner *owner, *next;

	HASH_ITER (hh, ages->owners, owner, next) {
		HASH_DEL(ages->owners, owner);
		free(owner);
	}
}
