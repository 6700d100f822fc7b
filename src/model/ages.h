/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* How old objects are, and whether age had to do with being hit. */
#ifndef MODEL_AGES_H
#define MODEL_AGES_H

#include "faultprof/provider.h"
#include "model/ratio.h"

#define OWNERS_MAX 262144 /* of which it is remembered that they were hit, or live */

enum age_band {
	AGE_MINUTE,  /* below 1 min */
	AGE_MINUTES, /* below 10 min */
	AGE_HOUR,
	AGE_DAY,
	AGE_OLDER,
	AGE_BEFORE,  /* older than the run; how much is not known */
	AGE_UNKNOWN, /* nothing is known */
	NR_AGE_BANDS,
};

struct age {
	enum fp_age_source source;
	uint64_t born_ns, resolution_ns;
	uint64_t ns; /* 0 when the source is unknown */
};

/* Of @object at @now_ns: its own, or that of its connection when that says more. */
struct age age_of(const struct fp_object *object, uint64_t now_ns);
enum age_band age_band(const struct age *age);
uint64_t age_band_ns(enum age_band band);		/* where it ends; UINT64_MAX: nowhere */
const char *age_band_name(enum age_band band);		/* "<1min" …, ">run", "unknown" */
const char *age_source_name(enum fp_age_source source); /* "accept" …; NULL: unknown */

/* No padding: it is hashed as bytes. */
struct owner_key {
	const char *provider; /* interned */
	uint64_t id;	      /* of the connection, or address */
	uint32_t pid, is_connection;
};

/*
 * Were old objects hit more often? The objects of a connection are touched together, so what counts
 * is owners: a connection, or an object without one; each once, however many faults it took. The
 * ratio compares the older with the younger half of those that were born before the run and lived
 * to its end, for only these had the same time to be hit.
 */
struct object_ages {
	uint64_t living[NR_AGE_BANDS]; /* owners, by age at the end */
	uint64_t hit[NR_AGE_BANDS];    /* those of them that were hit */
	uint64_t gone;		       /* owners that were hit, and not seen living at the end */
	uint64_t left_out;	       /* hits and living objects whose owner found no room */
	bool ratio_known;	       /* else what follows means nothing */
	uint64_t split_ns;	       /* all of the older half are at least so old */
	uint64_t older, older_hit, younger, younger_hit;
	struct ratio ratio;	     /* share hit among the older to that among the younger */
	struct owner *owners, *last; /* private */
};

/* An owner was hit, or (@living) is there at the end. 0 or -ENOMEM. */
int ages_note(struct object_ages *ages, const struct owner_key *key, const struct age *age,
	      bool living);
/* Fills in all but what ages_note() did. The run began at @begin_ns and ended at @now_ns.
 * Without memory for it, nothing. */
void ages_compare(struct object_ages *ages, uint64_t begin_ns, uint64_t now_ns);
void ages_release(struct object_ages *ages);

#endif
