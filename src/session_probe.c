/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* faultprof --probe: what this kernel gives, which tiers work, and where each figure comes from. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "collect/probe.h"
#include "session.h"

#define UNKNOWN "not known"
#define EVENTS "perf software events page-faults-maj and -min, one for each"
#define ACCOUNT "tracepoint count_memcg_events, perf software event page-faults-maj"
#define STARTS "tracepoints page_fault_user and page_fault_kernel"

/* Where a figure comes from, by tier. */
static const struct {
	const char *figure, *from[NR_TIERS];
} figures[] = {
	{ "faults, major, mode", { NULL, EVENTS, EVENTS, EVENTS } },
	{ "stall time", { NULL, STARTS " to completion", STARTS " to completion", UNKNOWN } },
	{ "access, failed faults", { NULL, STARTS, STARTS, UNKNOWN } },
	{ "kind",
	  { NULL, "handlers the fault goes through (handle_mm_fault, do_swap_page, …)",
	    "counters the fault moves (rss_stat)", "inferred from the mapping at the address" } },
	{ "owner, stack",
	  { NULL, "user registers and stack, unwound by .eh_frame",
	    "user registers and stack, unwound by .eh_frame",
	    "registers and stack in the perf sample, unwound by .eh_frame" } },
};

static void put_hooks(const struct probe *probe)
{
	for (enum probe_what what = 0; what < PROBE_NR; what++) {
		int error = probe->error[what];

		printf("  %-22s %-8s %s\n", probe_name(what), error ? "missing" : "works",
		       probe_use(what));
		if (error)
			printf("  %-31s %s:\n  %-31s %s\n", "", strerror(error), "",
			       probe_remedy(what, probe));
	}
}

static void put_tier(const struct probe *probe, enum tier tier)
{
	enum probe_what what = probe_obstacle(probe, tier);

	if (what == PROBE_NR)
		printf("  %-22s works\n", tier_name(tier));
	else
		printf("  %-22s missing  no %s\n", tier_name(tier), probe_name(what));
}

static void put_figures(const struct probe *probe, enum tier tier)
{
	bool account = tier != TIER_PERF && !probe->error[PROBE_ACCOUNT];

	for (size_t i = 0; i < sizeof(figures) / sizeof(*figures); i++)
		printf("  %-22s %s\n", figures[i].figure,
		       !i && account ? ACCOUNT : figures[i].from[tier]);
	if (tier == TIER_PERF && probe->error[PROBE_PERF_KERNEL])
		printf("  %-22s not seen: %s\n", "kernel-mode faults",
		       probe_remedy(PROBE_PERF_KERNEL, probe));
}

/* Resolutions are those of session_host.c: a scan is made again after a hundred times what it took.
 * Costs: 1 ms for each GB by the ioctl, 10 ms by reading; 4 ms where all of it is swapped out. */
static void put_ages(const struct probe *probe)
{
	if (probe->error[PROBE_PAGEMAP] == ENOENT)
		printf("  %-22s not known: no pagemap\n", "swapped out since");
	else if (probe->error[PROBE_SCAN])
		printf("  %-22s pagemap, to 1 s for each GB of the target, 0.1 s at least\n",
		       "swapped out since");
	else
		printf("  %-22s PAGEMAP_SCAN, to 0.1 s for each GB of the target, 0.4 s where it "
		       "is\n"
		       "  %-22s swapped out; 0.1 s at least\n",
		       "swapped out since", "");
	printf("  %-22s not known, but for at least as long as it is swapped out: idle page\n"
	       "  %-22s tracking and DAMON clear the accessed bits that reclaim goes by, and\n"
	       "  %-22s soft-dirty bits make the target fault. Go by the ages of objects.\n",
	       "idle since", "", "");
}

int session_probe(const struct options *options)
{
	enum tier tier = TIER_FENTRY;
	struct utsname system;
	struct probe probe;

	(void)options;
	probe_run(&probe);
	probe_release();
	if (!uname(&system))
		printf("%s %s %s, with the privileges of this process\n\n", system.sysname,
		       system.release, system.machine);
	puts("What the kernel gives");
	put_hooks(&probe);
	puts("\nTiers (--tier), best first");
	for (enum tier t = TIER_FENTRY; t < NR_TIERS; t++)
		put_tier(&probe, t);
	puts("\nPage ages");
	put_ages(&probe);
	while (tier < NR_TIERS && !probe_tier(&probe, tier))
		tier++;
	if (tier == NR_TIERS) {
		puts("\nNone works here: nothing can be measured.");
		return 0;
	}
	printf("\nWhere each figure comes from here (tier %s)\n", tier_name(tier));
	put_figures(&probe, tier);
	return 0;
}
