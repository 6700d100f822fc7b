/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the programs remember: which processes are targets, the fault each of their threads is in,
 * and where lost things are counted.
 */
#ifndef BPF_STATE_H
#define BPF_STATE_H

#include "kernel.h"

/* What was seen between the start of a fault and its completion. */
enum {
	SAW_FILE = 1 << MM_FILEPAGES,
	SAW_ANON = 1 << MM_ANONPAGES,
	SAW_SWAP = 1 << MM_SWAPENTS,
	SAW_SHMEM = 1 << MM_SHMEMPAGES,
	SAW_FILE_FAULT = 1 << 4, /* a page cache lookup, or a mapping of a file */
	SAW_HUGE = 1 << 5,
	SAW_PRIVATE_FILE = 1 << 6,
	SAW_OTHER = 1 << 7, /* NUMA hint, userfaultfd */
	SAW_READ = 1 << 8,  /* the kernel had to read the page: it will count a major fault */
};

enum phase {
	NO_FAULT,
	IN_FAULT,
	DONE, /* completed, as far as can be told: counted once the kernel's counters say so */
	TOLD, /* the same, and sent through the ring */
};

struct task_state {
	fp_u32 tid; /* in places: whose it is; 0: nobody's */
	fp_u32 image;
	fp_u32 phase; /* enum phase; exchanged, for at the end another thread takes it */
	fp_u16 saw;
	fp_u16 error;
	fp_u32 reclaiming;
	fp_u64 start_ns;
	fp_u64 stall_ns;	 /* DONE: its stall time */
	struct fp_site_key site; /* and its site, or the last one's */
	fp_u32 site_slot;	 /* where it is counted */
	fp_u32 site_turn;	 /* while site_turn is this */
	fp_u64 address;
	fp_u64 ip;	     /* of the user instruction that faulted; 0: kernel mode */
	fp_u64 minor, major; /* what the kernel had counted at the start */
	fp_u64 switches;     /* likewise, when the thread went to sleep */
	__s64 anon;	     /* global part of the RSS counter at the start */
};

/* Each fault looks for its thread's state three times, so it stands in an array, by thread number:
 * found without a call. A thread whose place is another one's has it in task storage. */
#define NR_PLACES 16384
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NR_PLACES);
	__type(key, fp_u32);
	__type(value, struct task_state);
} places SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_state);
} displaced SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, fp_u32);
	__type(value, struct fp_target);
} targets SEC(".maps");

/* By CPU. Mapped, not looked up, by user space: while it is in a map operation, the kernel runs no
 * perf_event program on that CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, fp_u32);
	__type(value, struct fp_counts);
} counts SEC(".maps");

static __always_inline struct fp_counts *my_counts(void)
{
	fp_u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&counts, &cpu);
}

static __always_inline void lose(enum fp_loss what)
{
	struct fp_counts *c = my_counts();

	if (c)
		c->lost[what]++;
}

static __always_inline struct task_state *place_of(fp_u32 tid)
{
	fp_u32 at = tid % NR_PLACES;

	return bpf_map_lookup_elem(&places, &at);
}

/* The state of a thread, or NULL when it has none. */
static __always_inline struct task_state *state_find(struct task_struct *task)
{
	fp_u32 tid = task->pid;
	struct task_state *place = place_of(tid);

	return place && place->tid == tid ? place : bpf_task_storage_get(&displaced, task, 0, 0);
}

/* The state of a thread of a target that has none yet. Of one that is past its exit's tracepoint,
 * nothing would free the place. */
static __always_inline struct task_state *state_new(struct task_struct *task, fp_u32 image)
{
	fp_u32 tid = task->pid;
	struct task_state *state = place_of(tid);

	if (!state || task->flags & PF_EXITING || __sync_val_compare_and_swap(&state->tid, 0, tid))
		state = bpf_task_storage_get(&displaced, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (state) {
		state->phase = NO_FAULT;
		state->reclaiming = 0;
		state->image = image;
	}
	return state;
}

/* The state of the current task, or NULL: then it is no target, or of @target without memory for a
 * state. Most tasks are none, and most faults of a target come from a thread that has its state
 * already: that lookup is first. */
static __always_inline struct task_state *state_of(struct task_struct *task,
						   struct fp_target **target)
{
	struct task_state *state = state_find(task);
	fp_u32 tgid;

	*target = 0;
	if (state)
		return state;
	tgid = task->tgid;
	*target = bpf_map_lookup_elem(&targets, &tgid);
	if (*target && (*target)->on_exec)
		*target = 0;
	return *target ? state_new(task, (*target)->image) : 0;
}

/* Nobody is @tid any more: another thread may become it. */
static __always_inline void state_free(fp_u32 tid)
{
	struct task_state *place = place_of(tid);

	if (place && place->tid == tid)
		place->tid = 0;
}

#endif
