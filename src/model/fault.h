/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A fault as a collector hands it on, and as the symbolizer completes it. */
#ifndef MODEL_FAULT_H
#define MODEL_FAULT_H

#include <stdbool.h>
#include <stddef.h>

#include "model/image.h"
#include "model/stall.h"

struct object_kind; /* model/objects.h */

/* One completed fault, or (site != NULL) many with the same coordinates, counted in the kernel. */
struct fault {
	uint64_t time_ns;  /* CLOCK_MONOTONIC; 0 when counted in the kernel */
	uint64_t address;  /* 0 when counted in the kernel */
	uint64_t stall_ns; /* of the one fault; 0: not known */
	uint32_t pid, tid; /* 0 when counted in the kernel */
	enum fp_kind kind;
	enum fp_access access;
	enum fp_mode mode;
	bool major;
	const struct image *image;
	const struct fp_site_value *site; /* borrowed */
	const uint64_t *ips;		  /* borrowed; as in fp_site_key (site) or fp_fault_event */
	unsigned int nr_ips;
	const struct fp_raw_stack *raw; /* borrowed; NULL: ips is all there is */
	enum fp_stack_end stack_end;
	const struct object_kind *object; /* of the profile; NULL: none, or not known */
};

/* One function at one address of a stack. Strings are owned by the symbolizer. */
struct frame {
	const char *function; /* demangled; NULL: no name, then start says which function */
	const char *module;   /* name of the binary; "[unknown]" when not in any */
	const char *file;     /* source file; NULL: not known */
	unsigned int line;    /* 0: not known */
	uint64_t start;	      /* of the function, in the module's own addresses; 0: not known */
	uint64_t offset;      /* of the instruction in the function */
	bool inlined;	      /* inlined into the next frame */
};

/* A group of faults with names: what a profile is made of. */
struct resolved_fault {
	const char *comm;
	enum fp_kind kind;
	enum fp_access access;
	enum fp_mode mode;
	bool major;
	const struct stall *stall;
	const struct frame *frames; /* innermost first; the owner's inline chain ends at @owner */
	unsigned int nr_frames;
	unsigned int owner; /* index of the physical (not inlined) frame that owns the fault */
	const char *via;    /* what the owner called, kernel mode only; NULL: not known */
	const struct object_kind *object; /* as in struct fault */
	uint64_t addressed; /* those of its faults that came one by one, so with an address */
	bool stack;	    /* frames is a full stack, to be listed under stacks */
};

#endif
