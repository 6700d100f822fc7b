/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* All faults of a profile as call paths, each fault once: what formats of stacks are made of. */
#ifndef SINK_SAMPLES_H
#define SINK_SAMPLES_H

#include <uthash.h>

#include "model/sink.h"

/* Faults of one path. All of them have the same kind, mode and object. */
struct sample {
	const char *comm;
	enum fp_kind kind;
	enum fp_mode mode;
	const struct object_kind *object;    /* NULL: not known */
	const struct profile_stack *stack;   /* NULL: no full stack, @symbol is all */
	const struct profile_symbol *symbol; /* NULL: @stack */
	uint64_t faults, timed, stall_ns;    /* as in struct stall */
};

struct sample_frame {
	const char *name;
	struct profile_place place; /* module NULL: not known */
};

/* All frames of one name. */
struct function {
	const char *name;	   /* as in the profile: equal ones are one string */
	const char *module, *file; /* where it was seen first; NULL: not known */
	unsigned int index;	   /* from 0 on, in the order of the list */
	UT_hash_handle hh;
};

struct functions {
	struct function *first; /* walk by hh.next */
};

struct samples {
	struct sample *sample;
	size_t nr;
};

/* Each fault under its full stack when it has one (and @stacks), else under its symbol, with what
 * that called (via) as the leaf. Nothing is left out by --top: the sums are the profile's. 0 or
 * -ENOMEM. */
int samples_gather(const struct profile *profile, bool stacks, struct samples *ret);
void samples_release(struct samples *samples);

unsigned int sample_nr_frames(const struct sample *sample);		       /* at least 1 */
struct sample_frame sample_frame(const struct sample *sample, unsigned int i); /* outermost first */
/* The same below the comm of its process: 0 is that. */
struct sample_frame sample_step(const struct sample *sample, unsigned int i);

/* All that sample_step() gives, each name once. 0 or -ENOMEM. */
int functions_gather(const struct samples *samples, struct functions *ret);
unsigned int functions_index(const struct functions *functions, const char *name); /* a known one */
void functions_release(struct functions *functions);

/* "haproxy: stream". To be freed; NULL: no memory. */
char *object_label(const struct object_kind *kind);

#endif
