/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The names of the wire enums, as people and JSON read them: one table each, in enum order, so that
 * a new member without a name shows as "?" and fails a test. */
#include <errno.h>
#include <string.h>

#include "model/profile.h"
#include "model/tier.h"

static const char *const kinds[FP_NR_KINDS] = {
	[FP_SWAP_IN] = "swap-in",     [FP_SWAP_CACHE] = "swap-cache",
	[FP_FILE_READ] = "file-read", [FP_FILE_MAP] = "file-map",
	[FP_ZERO] = "zero",	      [FP_COW] = "cow",
	[FP_SHMEM] = "shmem",	      [FP_HUGE] = "huge",
	[FP_OTHER] = "other",
};

static const char *const modes[FP_NR_MODES] = {
	[FP_USER] = "user",
	[FP_KERNEL] = "kernel",
};

static const char *const tiers[NR_TIERS] = {
	[TIER_AUTO] = "auto",
	[TIER_FENTRY] = "fentry",
	[TIER_TRACEPOINT] = "tracepoint",
	[TIER_PERF] = "perf",
};

static const struct {
	const char *name, *text;
	bool counts;
} losses[FP_NR_LOSSES] = {
	[FP_LOSS_DETAIL] = { "detail", "ring buffer full: counted by site, address and stack gone",
			     true },
	[FP_LOSS_SITE] = { "site", "site map full: counted by kind, symbol gone", true },
	[FP_LOSS_STATE] = { "state", "no task state: no stall time, kind and access guessed",
			    false },
	[FP_LOSS_START] = { "start", "start not seen: no stall time, kind and access guessed",
			    false },
	[FP_LOSS_TARGET] = { "target",
			     "target map full, or a setuid program: processes not followed, faults "
			     "not counted",
			     true },
	[FP_LOSS_TASK] = { "task", "ring buffer full: a fork, exec or exit not told", false },
	[FP_LOSS_STACK] = { "stack", "stack cut short", false },
	[FP_LOSS_SKIPPED] = { "skipped",
			      "the kernel did not run the program: no stall time, no stack",
			      false },
	[FP_LOSS_MAPPING] = { "mapping", "mapping record lost: symbols may be unknown", false },
	[FP_LOSS_SAMPLE] = { "sample",
			     "perf ring full, or another recorder in the way: faults not counted",
			     true },
	[FP_LOSS_OUTCOME] = { "outcome",
			      "told as a minor fault that turned out major, or did not complete",
			      true },
};

const char *kind_name(enum fp_kind kind)
{
	return (unsigned int)kind < FP_NR_KINDS && kinds[kind] ? kinds[kind] : "?";
}

int kind_parse(const char *name, enum fp_kind *ret)
{
	for (unsigned int i = 0; i < FP_NR_KINDS; i++) {
		if (!strcmp(name, kind_name(i))) {
			*ret = i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *mode_name(enum fp_mode mode)
{
	return (unsigned int)mode < FP_NR_MODES && modes[mode] ? modes[mode] : "?";
}

const char *loss_name(enum fp_loss loss)
{
	return (unsigned int)loss < FP_NR_LOSSES && losses[loss].name ? losses[loss].name : "?";
}

const char *loss_text(enum fp_loss loss)
{
	return (unsigned int)loss < FP_NR_LOSSES && losses[loss].text ? losses[loss].text : "?";
}

bool loss_counts(enum fp_loss loss)
{
	return (unsigned int)loss < FP_NR_LOSSES && losses[loss].counts;
}

uint64_t losses_that_count(const uint64_t lost[FP_NR_LOSSES])
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < FP_NR_LOSSES; i++)
		sum += loss_counts(i) ? lost[i] : 0;
	return sum;
}

const char *tier_name(enum tier tier)
{
	return (unsigned int)tier < NR_TIERS ? tiers[tier] : "?";
}
