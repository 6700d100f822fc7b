/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Living objects of watched processes, with the time of their birth, by uprobes on their allocators
 * (bpf/births.bpf.c). What was born before the watch began is not known; everything later is,
 * exactly, as long as nothing is counted as lost. An object that was made by two allocators, one
 * within the other, at the same address belongs to the outer one.
 *
 * Opening needs CAP_BPF and CAP_PERFMON; afterwards a helper process (broker.h) attaches, so they
 * may be given up. Before Linux 5.19 the use of maps still needs CAP_BPF, as for the collector.
 */
#ifndef COLLECT_BIRTHS_H
#define COLLECT_BIRTHS_H

#include <stdbool.h>
#include <sys/types.h>

#include "collect/birthstacks.h"
#include "faultprof/provider.h"

struct birth_register;

/* What is watched: an allocator, and how it gives its objects. */
struct births_allocator {
	const struct fp_allocator *is; /* has to stay as it is */
	int result_arg; /* argument that points to where it puts them, and it returns 0; -1: none */
};

/* A function, as its place in a file. */
struct births_place {
	int file; /* open descriptor; the caller's, needed during the call only */
	uint64_t offset;
};

struct births_options {
	unsigned int objects; /* how many at a time, over all processes; 0: 262,144, in 30 MB */
	bool stacks;	      /* who made them is known, too, for 9 MB more */
	bool inherit;	      /* children will be watched, too: see broker_has_multi() */
	bool debug;	      /* libbpf says on stderr why the kernel refuses */
};

/* 0; -ENOTSUP: no uprobes or no BTF here; -EPERM, -EACCES: not allowed; or -errno. */
int births_open(const struct births_options *options, struct birth_register **ret);
void births_close(struct birth_register *births); /* NULL is fine */

/* The helper: a process of ours, which is no target. */
pid_t births_helper(const struct birth_register *births);

/* Watches an allocator of @pid, which runs the program @image (0: without stacks), from now on;
 * @free NULL: objects never end. A function that is watched already, under another name perhaps
 * (memalign is aligned_alloc), is not watched again: that is no error. 0; -EINVAL: an argument
 * number above 5, or no instruction there; -E2BIG: too many; -ENOTSUP, -EPERM, -EACCES: refused
 * here; -ESRCH: the process is gone. */
int births_watch(struct birth_register *births, pid_t pid, uint32_t image,
		 const struct births_place *alloc, const struct births_place *free,
		 const struct births_allocator *allocator);

/* Ends that for all allocators of @pid, and forgets its objects. */
void births_unwatch(struct birth_register *births, pid_t pid);

/* The innermost living object of @pid that covers @address. 0; -ENOENT: none that was born by
 * @time_ns; -EAGAIN: it would cost more than 1 % of a core to know so soon after others were born.
 */
int births_find(struct birth_register *births, pid_t pid, uint64_t address, uint64_t time_ns,
		struct fp_live *ret);

/* All living objects of @pid as they were at one time, not before @since_ns; those within one
 * another each. The same @since_ns again costs nothing but the walk. A nonzero return of @fn ends
 * it, and is returned. */
int births_walk(struct birth_register *births, pid_t pid, uint64_t since_ns, fp_live_fn fn,
		void *arg);

/* Who made the object of @pid at @base that was born at @born_ns. NULL: not known. Valid until the
 * register is closed. */
const struct fp_birth_stack *births_stack(struct birth_register *births, pid_t pid, uint64_t base,
					  uint64_t born_ns);
/* Who unwinds the stacks that the kernel side cannot walk yet: called by births_poll() and
 * births_stack(). */
void births_set_unwinder(struct birth_register *births, births_unwind_fn fn, void *arg);

/* Takes notice of ended processes, and of how often watched functions are called. To be called some
 * times a second, and once more at the @end of the run, which may be short. */
void births_poll(struct birth_register *births, bool end);
/* The most calls of watched functions in a second of @pid that there were; of a run that is shorter
 * than a second: so many as if it went on like this. */
uint64_t births_calls_per_s(const struct birth_register *births, pid_t pid);

/* By enum fp_birth_loss. */
void births_lost(const struct birth_register *births, uint64_t ret[FP_NR_BIRTH_LOSSES]);

#endif
