/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A finished profile: all that a sink may know. */
#ifndef MODEL_PROFILE_H
#define MODEL_PROFILE_H

#include "model/fault.h"
#include "model/objects.h"

struct profile_target {
	uint32_t pid;
	char comm[16];
	char *exe;	      /* NULL: not known; owned */
	char *build_id;	      /* hex; NULL: not known; owned */
	const char *provider; /* who knows its objects; NULL: none; lives as long as the profile */
	unsigned int threads; /* when the run began; 0: not known */
	bool later;	      /* not asked for by name: started by one that was */
};

/* Grouped by comm, module, function (or its start), mode, via and kind. Equal strings are one
 * string, which lives as long as the profile. The place is the instruction with most faults. */
struct profile_symbol {
	const char *comm, *module;
	const char *symbol;  /* function, or "module@0xSTART" without a name, or "[unknown]" */
	const char *via;     /* NULL: none */
	const char *file;    /* of the place's innermost frame, so of @inlined; NULL: not known */
	const char *inlined; /* innermost inlined function at the place; NULL: none */
	unsigned int line;   /* in @file; 0: not known */
	uint64_t offset;     /* of the place in the function, bytes */
	bool has_name;	     /* false: symbol is built from an address */
	enum fp_kind kind;
	enum fp_mode mode;
	struct stall stall;
	uint64_t addressed;	      /* those of its faults that came with an address */
	struct object_share *objects; /* of those, by kind of object, most faults first; owned */
	size_t nr_objects;
	struct profile_loose {
		uint64_t faults, timed, stall_ns; /* as in struct stall */
		struct object_share *objects;	  /* likewise */
		size_t nr_objects;
	} loose; /* those of its faults that are in no stack of profile.stacks */
};

/* Where the code of a frame is. Equal ones are one, which lives as long as the profile. */
struct profile_place {
	const char *module;
	const char *file;     /* NULL: not known */
	unsigned int line;    /* 0: not known */
	unsigned int inlined; /* 1: into the frame outside of it */
};

/* Faults that came with a full stack, grouped by comm, kind, mode and frames. Strings as above; an
 * inlined function is a frame, and a frame without a name is called as a symbol is. */
struct profile_stack {
	const char *comm;
	const char *const *frames; /* outermost first; owned */
	const struct profile_place *const
		*places; /* of each frame, where most faults were; owned */
	unsigned int nr_frames;
	enum fp_kind kind;
	enum fp_mode mode;
	uint64_t faults, timed, stall_ns; /* as in struct stall */
	struct object_share *objects;	  /* as in struct profile_symbol */
	size_t nr_objects;
};

struct profile {
	uint64_t begin_ns, end_ns; /* CLOCK_MONOTONIC */
	uint64_t begin_date_ns;	   /* CLOCK_REALTIME; 0: not known */
	const char *tier;	   /* how it was measured, one phrase; borrowed */
	bool kernel_unseen;	   /* kernel-mode faults could not be observed: user mode is all */
	bool access_unknown;	   /* access[] means nothing */
	bool stall_known;	   /* false: this tier has no stall times; sinks print null */
	bool kinds_inferred;	   /* kinds come from mappings, not from the kernel's own path */
	struct stall kinds[FP_NR_KINDS];
	uint64_t major, minor, user, kernel;
	uint64_t access[FP_NR_ACCESSES];
	uint32_t only_kinds, only_modes; /* bits; the figures are of these alone; 0: of all */
	uint64_t failed;		 /* ended in a signal, or restarted: never completed */
	bool failed_unseen;		 /* those could not be observed */
	uint64_t lost[FP_NR_LOSSES];
	struct profile_target *targets;	 /* not all; those that came later are the last */
	size_t nr_targets, nr_unlisted;	 /* nr_unlisted: targets for which the list was too long */
	uint64_t later;			 /* programs that targets started, listed or not */
	struct profile_symbol **symbols; /* owned; sorted by profile_finish(): most faults first */
	size_t nr_symbols;
	struct profile_stack **stacks; /* likewise */
	size_t nr_stacks;
	struct objects *objects; /* owned, never NULL */
	char **warnings;	 /* what could not be observed, and why */
	size_t nr_warnings;
	struct profile_index *index; /* private */
};

int profile_init(struct profile *profile);
void profile_release(struct profile *profile);

/* Adds a group of faults to totals, kinds, symbols and (if it has one) stacks.
 * Returns 0 or -ENOMEM. Copies all it keeps. */
int profile_add(struct profile *profile, const struct resolved_fault *fault);

/* Adds a target, not a later one; strings are copied, NULL allowed. Returns 0 or -ENOMEM. */
int profile_add_target(struct profile *profile, uint32_t pid, const char *comm, const char *exe,
		       const char *build_id, unsigned int threads);

__attribute__((format(printf, 2, 3))) int profile_warn(struct profile *profile, const char *format,
						       ...);

/* Sorts, settles the most frequent place of each symbol, and compares the ages of objects; for lack
 * of memory it leaves out that comparison alone. Call once, before any sink. */
void profile_finish(struct profile *profile);

/* Are faults of this mode among the figures, and could they be observed? */
bool profile_has_mode(const struct profile *profile, enum fp_mode mode);
uint64_t profile_faults(const struct profile *profile);	  /* completed, all kinds */
uint64_t profile_stall_ns(const struct profile *profile); /* total over all kinds */
double profile_seconds(const struct profile *profile);	  /* from begin to end */

/* The losses that make the report's numbers wrong: faults not counted (SAMPLE, and TARGET, which
 * counts processes), without a symbol (SITE), or without the address and stack that others of their
 * kind have (DETAIL). The other losses leave every fault counted under its kind and symbol: sinks
 * show them apart, as incomplete. */
uint64_t profile_lost(const struct profile *profile);
bool loss_counts(enum fp_loss loss);			       /* is it part of profile_lost()? */
uint64_t losses_that_count(const uint64_t lost[FP_NR_LOSSES]); /* their sum */

const char *kind_name(enum fp_kind kind);	     /* "swap-in" … */
int kind_parse(const char *name, enum fp_kind *ret); /* 0 or -EINVAL */
const char *mode_name(enum fp_mode mode);	     /* "user", "kernel" */
const char *loss_name(enum fp_loss loss);	     /* short key for JSON: "detail" … */
const char *loss_text(enum fp_loss loss);	     /* one clause for people */

#endif
