/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What bpf/births.bpf.c and src/collect/births.c share: maps of living objects and of where they
 * are made. Append-only, as event.h is. */
#ifndef FAULTPROF_BIRTHS_H
#define FAULTPROF_BIRTHS_H

#include "faultprof/event.h"

#define FP_BIRTH_SITES 8192 /* allocators of a process, over all processes */
#define FP_BIRTH_PROCESSES 4096
#define FP_BIRTH_NEST 8 /* allocators that call one another, as operator new does malloc */

/* One allocator of one process; its number is the cookie of its probes. Arguments count from 0, -1:
 * there is none. */
struct fp_birth_site {
	fp_u64 size; /* with size_arg -1, bytes */
	fp_u64 min_size;
	fp_s32 size_arg, count_arg, old_arg, tag_arg, free_arg;
	fp_s32 result_arg; /* where it puts the object and returns 0; -1: it returns the object */
};

struct fp_birth_key {
	fp_u64 base;
	fp_u32 pid, pad;
};

struct fp_birth {
	fp_u64 size;
	fp_u64 born_ns; /* CLOCK_MONOTONIC, as the allocator returned */
	fp_u64 tag;
	fp_u32 site;
	fp_u32 stack; /* 0: not known; FP_BIRTH_RAW | number: shipped so; else: in the map of them
		       */
};

/* A watched process. */
struct fp_birth_process {
	fp_u64 since_ns; /* what is older was another program's */
	fp_u32 image;	 /* of its program, as in struct fp_target; 0: no stacks are wanted */
	fp_u32 pad;
};

/* Who called an allocator, innermost first. Equal ones are kept once. */
#define FP_BIRTH_FRAMES 32
#define FP_BIRTH_STACKS 8192
struct fp_birth_stack {
	fp_u32 image;
	fp_u8 nr_frames, end; /* enum fp_stack_end */
	fp_u8 pad[2];
	fp_u64 ip[FP_BIRTH_FRAMES]; /* return addresses; 0 behind the last */
};

/* A stack that the kernel side has not learned to walk, as the allocator was entered. */
#define FP_BIRTH_RAW 0x80000000U
struct fp_birth_raw {
	fp_u64 time_ns;
	fp_u32 pid, image;
	fp_u32 number, pad; /* counts from 0 */
	struct fp_raw_stack stack;
	fp_u64 slack;
};

/* The latest births, in a ring. */
#define FP_BIRTH_NOTES 16384 /* a power of two */
struct fp_birth_note {
	fp_u64 nr; /* births by then, this one included; another number: it is being written */
	struct fp_birth_key key;
	struct fp_birth birth;
};

enum fp_birth_loss {
	FP_BIRTH_FULL,	   /* no room in the map: an object not known */
	FP_BIRTH_NO_STATE, /* no memory for the thread's state, or calls nested too deep */
	FP_BIRTH_NO_END,   /* a call that was begun and never returned (longjmp, an exception) */
	FP_BIRTH_NO_STACK, /* no room for a stack: the first callers are kept, or none */
	FP_NR_BIRTH_LOSSES,
};

/* By CPU; aligned, so that no two share a line. */
struct fp_birth_counts {
	fp_u64 lost[FP_NR_BIRTH_LOSSES];
} __attribute__((aligned(64)));

#endif
