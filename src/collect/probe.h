/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What this kernel and these privileges allow, found by trying it. */
#ifndef COLLECT_PROBE_H
#define COLLECT_PROBE_H

#include <stdbool.h>

#include "model/tier.h"

enum probe_what {
	PROBE_BTF,	   /* type information of the kernel */
	PROBE_BPF,	   /* BPF programs may be loaded */
	PROBE_PIDS,	   /* process numbers are those of the kernel: no PID namespace */
	PROBE_START,	   /* tracepoints at the start of a fault */
	PROBE_FENTRY,	   /* programs attach to kernel functions */
	PROBE_RSS_STAT,	   /* the tracepoint that names the counter that moved, exact from 6.2 on */
	PROBE_ACCOUNT,	   /* the tracepoint where a memory cgroup counts a completed fault */
	PROBE_PERF_ALL,	   /* page-fault events of any process */
	PROBE_PERF_KERNEL, /* page-fault events raised in kernel mode, of own processes */
	PROBE_PERF_USER,   /* page-fault events in user mode, of own processes */
	PROBE_PAGEMAP,	   /* which pages of any process are present, which swapped out */
	PROBE_SCAN,	   /* the ioctl that finds what is swapped out */
	PROBE_MULTI,	   /* links of uprobes alone */
	PROBE_NR,
};

struct probe {
	int error[PROBE_NR]; /* 0: works; else errno */
	int paranoid;	     /* kernel.perf_event_paranoid; -2: not known */
};

void probe_run(struct probe *ret);
/* Frees the kernel's type information, some MB; after it, no hook is found any more. */
void probe_release(void);
const char *probe_name(enum probe_what what);
const char *probe_use(enum probe_what what); /* what it is good for */
const char *probe_remedy(enum probe_what what,
			 const struct probe *probe); /* how to get it, as an order */

/* The first thing that @tier lacks here; PROBE_NR: nothing, it works. */
enum probe_what probe_obstacle(const struct probe *probe, enum tier tier);
bool probe_tier(const struct probe *probe, enum tier tier); /* does it work? */

/* Does the kernel have this tracepoint for BPF programs? */
bool probe_tracepoint(const char *name);
/* Has this struct of the kernel's a member of this name? */
bool probe_member(const char *type, const char *member);
/* Has it this function, not inlined, for fentry? Says nothing of whether fentry works. */
bool probe_function(const char *name);

#endif
