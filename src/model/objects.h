/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What a profile knows of the objects that its faults hit: by kind of object, by connection, and by
 * age against all that lived. Only faults that came one by one have an address, and so an object.
 * All tables are bounded; what finds no room is counted.
 */
#ifndef MODEL_OBJECTS_H
#define MODEL_OBJECTS_H

#include "model/ages.h"
#include "model/allocations.h"
#include "model/durations.h"
#include "model/fault.h"

#define OBJECT_KINDS_MAX 1024 /* what is of more kinds counts as its provider's "(other)" */
#define CONNECTIONS_MAX 65536 /* kept one by one */
#define PROVIDED_MAX 1024     /* processes of which the provider is remembered */

struct profile;

/* Equal kinds are one, which lives as long as the profile. */
struct object_kind {
	const char *provider, *type;
	const char *pool; /* NULL: not known */
};

enum object_outcome {
	OBJECT_FOUND,
	OBJECT_ABSENT, /* not known: the pages that would tell are not present */
	OBJECT_NONE,   /* in no object that a provider knows */
};

enum allocation_answer {
	ALLOCATION_NOT_ASKED,
	ALLOCATION_UNKNOWN,
	ALLOCATION_CUT, /* only the first of its callers */
	ALLOCATION_WHOLE,
};

/* What was found out about one fault. */
struct object_answer {
	bool asked;	      /* else nothing of it means anything */
	const char *provider; /* that knows the object */
	enum object_outcome outcome;
	const struct fp_object *object;		    /* when it was FOUND */
	uint64_t swapped_ns, swapped_resolution_ns; /* as profile_add_object() takes them */
	enum allocation_answer allocation;
	const uint64_t *callers; /* of its allocator, innermost first; when they are known */
	unsigned int nr_callers;
};

/* Living objects, at the end of the run. */
struct object_census {
	uint64_t objects, bytes, present_bytes, swapped_bytes;
	uint64_t aged[NR_AGE_BANDS]; /* sum: objects */
};

struct profile_object {
	struct object_kind kind;
	struct stall stall;			       /* of its faults */
	uint64_t by_source[FP_AGE_AT_LEAST + 1];       /* faults by enum fp_age_source */
	struct durations age, at_least, idle, swapped; /* when it faulted; at_least: lower bounds */
	uint64_t age_resolution_ns, idle_resolution_ns; /* the coarsest; 0: exact */
	uint64_t swapped_resolution_ns;
	struct object_census census;
};

/* A connection that was hit. */
struct profile_connection {
	const char *provider;
	uint32_t pid;
	const char *frontend, *backend; /* NULL: not known */
	char peer[64];			/* "": not known */
	bool age_known, idle_known;
	uint64_t born_ns;
	uint64_t age_ns;	/* when it faulted last */
	uint64_t idle_ns;	/* the longest that it had been idle when it faulted */
	uint64_t resolution_ns; /* of both */
	uint64_t waiting_bytes; /* in its buffers, after the last fault; UINT64_MAX: not known */
	uint64_t faults, timed, stall_ns, max_ns; /* as in struct stall */
};

/* Of one symbol's faults, or one stack's. */
struct object_share {
	const struct object_kind *kind;
	uint64_t faults, timed, stall_ns; /* as in struct stall */
};

struct objects {
	bool known;			 /* a provider was asked; else all is empty */
	uint64_t addressed;		 /* faults: sum of all kinds, absent and none */
	struct stall absent, none;	 /* enum object_outcome */
	struct profile_object **objects; /* owned; sorted by objects_finish(): most faults first */
	size_t nr_objects;
	struct profile_connection **connections; /* likewise: longest stall first */
	size_t nr_connections;
	uint64_t unlisted; /* faults of connections that found no room */
	struct object_ages ages;
	struct allocations allocations;
	struct objects_index *index; /* private */
};

/* Says who knows the objects of process @pid, for when it is added as a target, or was already. Of
 * processes that are no targets yet, the first PROVIDED_MAX are remembered. 0 or -ENOMEM. */
int profile_set_provider(struct profile *profile, uint32_t pid, const char *provider);

/* One kind of object; NULL: out of memory. */
const struct object_kind *profile_object_kind(struct profile *profile, const char *provider,
					      const char *type, const char *pool);

int object_kind_compare(const struct object_kind *a, const struct object_kind *b); /* by name */

/* Adds one fault that came with its address. @object: when it was FOUND, else not looked at, like
 * @provider. @swapped_ns: how long the page had been swapped out, 0: not known; give or take
 * @swapped_resolution_ns. All is copied. 0 or -ENOMEM. */
int profile_add_object(struct profile *profile, const struct fault *fault, const char *provider,
		       enum object_outcome outcome, const struct fp_object *object,
		       uint64_t swapped_ns, uint64_t swapped_resolution_ns);

/* Adds one living object of process @pid, after all faults: to be called once for each object, so
 * for one provider of a process, the one that was asked first for the objects of its faults. 0 or
 * -ENOMEM. */
int profile_add_live_object(struct profile *profile, uint32_t pid, const char *provider,
			    const struct fp_object *object, uint64_t now_ns, uint64_t present_bytes,
			    uint64_t swapped_bytes);

/* ---- for profile.c ---- */

int objects_new(struct objects **ret);
void objects_free(struct objects *objects); /* NULL is fine */
/* Who knows the objects of process @pid; NULL: nobody, as far as is known. */
const char *objects_provider(const struct objects *objects, uint32_t pid);
/* Sorts, and compares the ages; without memory for it, there is no comparison. */
void objects_finish(struct objects *objects, uint64_t begin_ns);

#endif
