/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The wire format: what the BPF programs tell user space, through a ring buffer and through maps.
 * Included by both sides, so it needs nothing but the fixed-width types of its includer.
 * Structures are append-only: a reader skips what it does not know by fp_event.size.
 */
#ifndef FAULTPROF_EVENT_H
#define FAULTPROF_EVENT_H

#ifndef __bpf__
#include <stdint.h>
typedef uint8_t fp_u8;
typedef uint16_t fp_u16;
typedef uint32_t fp_u32;
typedef uint64_t fp_u64;
typedef int32_t fp_s32;
#endif

enum fp_kind {
	FP_SWAP_IN,    /* major: read from swap */
	FP_SWAP_CACHE, /* minor: was swapped out, found in the swap cache */
	FP_FILE_READ,  /* major: file page read from disk */
	FP_FILE_MAP,   /* minor: file page already in the page cache */
	FP_ZERO,       /* first touch of anonymous memory */
	FP_COW,	       /* write to a shared or write-protected page */
	FP_SHMEM,      /* shared memory; major when it came from swap */
	FP_HUGE,       /* huge page allocated */
	FP_OTHER,      /* NUMA hint, userfaultfd, spurious */
	FP_NR_KINDS,
};

enum fp_access { FP_READ, FP_WRITE, FP_EXEC, FP_NR_ACCESSES };
enum fp_mode { FP_USER, FP_KERNEL, FP_NR_MODES };

/*
 * A stall histogram is log-linear: 2^FP_STALL_SUB_BITS buckets an octave, from
 * 2^FP_STALL_MIN_SHIFT ns (all below is bucket 0) to 2^(FP_STALL_MIN_SHIFT + FP_STALL_OCTAVES) ns
 * (all above is the last bucket). A percentile read from it is right to one part in 16.
 */
#define FP_STALL_SUB_BITS 3
#define FP_STALL_MIN_SHIFT 7
#define FP_STALL_OCTAVES 27
#define FP_STALL_BUCKETS ((FP_STALL_OCTAVES << FP_STALL_SUB_BITS) + 1)

/* Frequent faults, counted in the kernel. `ip[0]` is the user instruction that faulted, or that
 * entered the kernel; for a kernel-mode fault `ip[1]` is the function that the owner called and
 * `ip[2]` the owner, the first frame in the target's own binary. 0: none, or not known. */
struct fp_site_key {
	fp_u32 image;
	fp_u8 kind, access, mode, major;
	fp_u64 ip[3];
};

/* In the place of a kind: pages of the image that were swapped out, all of them untimed. */
#define FP_SITE_SWAPPED_OUT FP_NR_KINDS
#define FP_NR_SITE_KINDS (FP_NR_KINDS + 1)

/* Few members, for each costs an atomic operation a fault: those with a stall time are the sum of
 * the buckets. */
struct fp_site_value {
	fp_u64 untimed;	 /* faults without a stall time */
	fp_u64 total_ns; /* of the others */
	fp_u64 max_ns;
	fp_u32 bucket[FP_STALL_BUCKETS];
};

/*
 * How to get from one frame to its caller at one instruction, in the only form that the kernel
 * side needs: CFA = register + offset, return address at CFA - 8. User space derives it from
 * .eh_frame the first time an instruction is seen on a stack, and teaches it to the kernel.
 */
enum fp_rule_how {
	FP_RULE_END,  /* outermost frame: the stack ends here */
	FP_RULE_RSP,  /* CFA = rsp + cfa_offset */
	FP_RULE_RBP,  /* CFA = rbp + cfa_offset */
	FP_RULE_RAW,  /* needs more than that (a signal frame, say): ship the stack */
	FP_RULE_NONE, /* no unwind data: nobody can go on */
};
#define FP_RULE_OWN 1 /* the instruction is in the target's own binary */
#define FP_RBP_SAME INT32_MIN
struct fp_rule {
	fp_u8 how;   /* enum fp_rule_how */
	fp_u8 flags; /* FP_RULE_OWN */
	fp_u16 reserved;
	fp_s32 cfa_offset;
	fp_s32 rbp_offset; /* caller's rbp stands at CFA + rbp_offset, or FP_RBP_SAME */
};
struct fp_rule_key {
	fp_u32 image;
	fp_u32 caller; /* 0: the innermost frame, 1: ip is a return address */
	fp_u64 ip;
};

enum fp_event_type {
	FP_EVENT_FAULT = 1, /* struct fp_fault_event */
	FP_EVENT_FORK,	    /* struct fp_task_event: pid is the child, other the parent */
	FP_EVENT_EXEC,	    /* struct fp_task_event: image is the new one, other the old */
	FP_EVENT_EXIT,	    /* struct fp_task_event: the last thread of pid is gone */
	FP_EVENT_MAJOR,	    /* struct fp_major_event */
};

struct fp_event {
	fp_u32 size; /* of the whole event, bytes */
	fp_u16 type; /* enum fp_event_type */
	fp_u16 reserved;
	fp_u64 time_ns; /* CLOCK_MONOTONIC */
	fp_u32 pid, tid;
	fp_u32 image; /* an executed program: one exec to the next, shared by forks */
	fp_u32 pad;
};

struct fp_task_event {
	struct fp_event h;
	fp_u32 other, pad;
	char comm[16];
};

/* Why a stack is shorter than the real one. */
enum fp_stack_end {
	FP_STACK_WHOLE,	  /* reached the outermost frame, or (aggregated) the owner */
	FP_STACK_NO_RULE, /* no unwind data at the last frame */
	FP_STACK_ABSENT,  /* the stack page itself is not present */
	FP_STACK_DEEP,	  /* more frames, or more bytes, than are kept */
	FP_STACK_LOST,	  /* the ring had no room for the raw stack */
};

#define FP_MAX_FRAMES 64
#define FP_STACK_BYTES 8192
#define FP_NR_REGS 17 /* DWARF numbering of x86-64: 6 rbp, 7 rsp, 16 rip */

struct fp_fault_event {
	struct fp_event h;
	fp_u64 address;	 /* that faulted, user space */
	fp_u64 stall_ns; /* 0: start not seen */
	fp_u8 kind, access, mode, major;
	fp_u8 stack_end; /* enum fp_stack_end */
	fp_u8 nr_frames; /* valid in ip[]; ip[0] as in fp_site_key, then callers' return addresses
			  */
	fp_u8 raw;	 /* a struct fp_raw_stack follows */
	fp_u8 unsettled; /* minor, as far as can be told: struct fp_major_event may follow */
	fp_u64 ip[FP_MAX_FRAMES];
};

/* The last fault told of this thread turned out to be major. */
struct fp_major_event {
	struct fp_event h;
	fp_u64 address;
	fp_u8 kind, pad[7];
};

struct fp_raw_stack {
	fp_u64 reg[FP_NR_REGS];
	fp_u32 bytes; /* valid in data, from reg[7] (rsp) upwards */
	fp_u32 pad;
	fp_u8 data[FP_STACK_BYTES];
};

/* A process whose faults are counted. */
struct fp_target {
	fp_u32 image;
	fp_u32 on_exec; /* 1: nothing counts until it calls exec */
};

/* Every place where something can be lost. The names stand in src/model/kinds.c. */
enum fp_loss {
	FP_LOSS_DETAIL,	 /* ring full: fault counted by site, its address and stack gone */
	FP_LOSS_SITE,	 /* site map full: fault counted by kind, its symbol gone */
	FP_LOSS_STATE,	 /* no task state: fault counted, no stall time, kind inferred */
	FP_LOSS_START,	 /* began before the run, or its start was missed: no stall time */
	FP_LOSS_TARGET,	 /* target map full: a process not followed, its faults not counted */
	FP_LOSS_TASK,	 /* ring full: a fork, exec or exit not told */
	FP_LOSS_STACK,	 /* stack cut short (any reason but FP_STACK_WHOLE) */
	FP_LOSS_SKIPPED, /* the kernel did not run the program: counted later, no stall time, no
			    stack */
	FP_LOSS_MAPPING, /* a mapping record lost: symbols may be unknown */
	FP_LOSS_SAMPLE,	 /* perf tier: the ring had no room, fault not counted */
	FP_LOSS_OUTCOME, /* told as a completed minor fault, and then major, or not completed */
	FP_NR_LOSSES,
};

/* What each CPU counts beside the faults themselves. Aligned, so that no two CPUs share a line. */
struct fp_counts {
	fp_u64 failed; /* faults that ended without completing */
	fp_u64 sites;  /* entries added to the site maps */
	fp_u64 faults; /* completed faults of the targets, major ones included */
	fp_u64 major;
	fp_u64 lost[FP_NR_LOSSES];
} __attribute__((aligned(64)));

/* Faults whose site found no room stand in an array by these coordinates alone. */
#define FP_NR_OVERFLOW (FP_NR_SITE_KINDS * FP_NR_ACCESSES * FP_NR_MODES * 2)

#endif
