/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Where faults are measured: what is known of them depends on it. */
#ifndef MODEL_TIER_H
#define MODEL_TIER_H

enum tier {
	TIER_AUTO,	 /* the first of the others that works here */
	TIER_FENTRY,	 /* BPF at the kernel's fault handlers */
	TIER_TRACEPOINT, /* BPF at tracepoints */
	TIER_PERF,	 /* perf events alone, no BPF */
	NR_TIERS,
};

const char *tier_name(enum tier tier); /* as --tier takes it */

#endif
