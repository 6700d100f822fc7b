/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The text report's header: what was watched, how, and what is missing. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sink/report.h"

#define NR_COMMS 3 /* targets named in the header: so many programs, */
#define NR_PIDS 4  /* and so many processes of each */

/* Those that were asked for: the header names them. */
static size_t nr_named(const struct profile *profile)
{
	size_t nr = 0;

	while (nr < profile->nr_targets && !profile->targets[nr].later)
		nr++;
	return nr;
}

/* One program of the targets: "haproxy (pids 1, 2, …, 8 threads)". */
static void put_comm(FILE *out, const struct profile *profile, const char *comm)
{
	unsigned int threads = 0, nr = 0;
	bool all_known = true;

	for (size_t i = 0; i < nr_named(profile); i++) {
		const struct profile_target *target = &profile->targets[i];

		if (strcmp(target->comm, comm))
			continue;
		nr++;
		threads += target->threads;
		all_known = all_known && target->threads;
	}
	fprintf(out, "%s (%s", comm, nr > 1 ? "pids" : "pid");
	nr = 0;
	for (size_t i = 0; i < nr_named(profile); i++) {
		if (strcmp(profile->targets[i].comm, comm))
			continue;
		if (nr++ == NR_PIDS) {
			fputs(", …", out);
			break;
		}
		fprintf(out, "%s%" PRIu32, nr > 1 ? ", " : " ", profile->targets[i].pid);
	}
	if (all_known)
		fprintf(out, ", %u thread%s", threads, threads == 1 ? "" : "s");
	fputc(')', out);
}

static void put_targets(FILE *out, const struct profile *profile)
{
	size_t listed = nr_named(profile), all = listed + profile->nr_unlisted;
	unsigned int nr = 0;

	if (!listed)
		fputs("no process", out);
	if (all > 1)
		fprintf(out, "%zu processes: ", all);
	for (size_t i = 0, first; i < listed; i++) {
		for (first = 0; strcmp(profile->targets[first].comm, profile->targets[i].comm);)
			first++;
		if (first < i)
			continue;
		if (nr++ == NR_COMMS) {
			fputs(", …", out);
			break;
		}
		fputs(nr > 1 ? ", " : "", out);
		put_comm(out, profile, profile->targets[i].comm);
	}
	if (profile->later)
		fprintf(out, " and %s program%s started later", text_count(profile->later).text,
			profile->later == 1 ? "" : "s");
}

/* "swap-in, swap-cache, user mode" */
static void put_filter(const struct report *report)
{
	const struct profile *profile = report->profile;
	char text[256] = "";
	size_t used = 0;

	for (unsigned int i = 0; i < FP_NR_KINDS; i++)
		if (profile->only_kinds >> i & 1)
			used += snprintf(text + used, sizeof(text) - used, "%s%s", used ? ", " : "",
					 kind_name(i));
	for (unsigned int i = 0; i < FP_NR_MODES; i++)
		if (profile->only_modes >> i & 1)
			used += snprintf(text + used, sizeof(text) - used, "%s%s mode",
					 used ? ", " : "", mode_name(i));
	if (used)
		put_line(report->out, 4, "  only: %s", text);
}

static void put_losses(const struct report *report)
{
	const struct profile *profile = report->profile;

	if (profile->failed)
		put_line(report->out, 4,
			 "  %s fault%s never completed (ended in a signal, or %s "
			 "restarted): not counted below",
			 text_count(profile->failed).text, profile->failed == 1 ? "" : "s",
			 profile->failed == 1 ? "was" : "were");
	for (int counts = 1; counts >= 0; counts--) {
		for (unsigned int i = 0; i < FP_NR_LOSSES; i++) {
			if (profile->lost[i] && loss_counts(i) == counts)
				put_line(report->out, 4, "  %s: %s (%s): %s",
					 counts ? "lost" : "incomplete",
					 text_count(profile->lost[i]).text, loss_name(i),
					 loss_text(i));
		}
	}
	for (size_t i = 0; i < profile->nr_warnings; i++)
		put_line(report->out, 4, "  could not observe: %s", profile->warnings[i]);
}

static void put_stalled(const struct report *report, const struct stall *all)
{
	const struct profile *profile = report->profile;

	if (!profile->stall_known) {
		put_line(report->out, 4,
			 "  stall times: not known in this mode of measurement, "
			 "shown as \"-\"");
		return;
	}
	if (all->timed)
		put_line(report->out, 4,
			 "  stalled %s in total (%s of wall time, summed over all "
			 "threads)",
			 text_duration(all->total_ns).text,
			 wall_cell(report, true, all->total_ns).text);
	if (all->timed < all->faults)
		put_line(report->out, 4,
			 "  stall time known for %s of %s faults: totals and "
			 "quantiles are over those",
			 text_count(all->timed).text, text_count(all->faults).text);
}

/* What was not observed is no zero, and what was not asked for is left out. */
static void put_modes(const struct report *report)
{
	const struct profile *profile = report->profile;
	char access[128] = "", kernel[64] = "";

	if (!report->faults)
		return;
	if (!profile->access_unknown)
		snprintf(access, sizeof(access), "; reads %s, writes %s, execs %s",
			 text_count(profile->access[FP_READ]).text,
			 text_count(profile->access[FP_WRITE]).text,
			 text_count(profile->access[FP_EXEC]).text);
	if (!profile->only_modes || profile->only_modes >> FP_KERNEL & 1)
		snprintf(kernel, sizeof(kernel), "kernel mode %s",
			 profile->kernel_unseen ? "not seen" : text_count(profile->kernel).text);
	if (profile_has_mode(profile, FP_USER))
		put_line(report->out, 4, "  user mode %s%s%s%s", text_count(profile->user).text,
			 kernel[0] ? ", " : "", kernel, access);
	else
		put_line(report->out, 4, "  %s%s", kernel, access);
}

int put_header(const struct report *report, const struct stall *all)
{
	const struct profile *profile = report->profile;
	size_t size;
	char *text;
	FILE *line = open_memstream(&text, &size);

	if (!line)
		return -ENOMEM;
	fputs("faultprof: ", line);
	put_targets(line, profile);
	fprintf(line, " for %.1f s: %s fault%s, %s major, %s lost", report->seconds,
		text_count(report->faults).text, report->faults == 1 ? "" : "s",
		text_count(profile->major).text, text_count(profile_lost(profile)).text);
	if (fclose(line)) {
		free(text);
		return -ENOMEM;
	}
	fputs(color(report, BOLD), report->out);
	put_wrapped(report->out, text, 4);
	fputs(color(report, PLAIN), report->out);
	free(text);
	put_line(report->out, 4, "  measured by: %s%s", profile->tier ? profile->tier : "?",
		 profile->kinds_inferred ? "; kinds inferred from mappings" : "");
	put_filter(report);
	put_stalled(report, all);
	put_modes(report);
	put_losses(report);
	return 0;
}

char *header_text(const struct profile *profile)
{
	const struct sink_options plain = { 0 };
	struct report report = { .profile = profile, .options = &plain };
	struct stall all = { 0 };
	size_t size;
	char *text;
	int ret;

	report.out = open_memstream(&text, &size);
	if (!report.out)
		return NULL;
	report.faults = profile_faults(profile);
	report.seconds = profile_seconds(profile);
	for (unsigned int i = 0; i < FP_NR_KINDS; i++)
		stall_merge(&all, &profile->kinds[i]);
	ret = put_header(&report, &all);
	if (fclose(report.out) || ret) {
		free(text);
		return NULL;
	}
	for (char *at = text; (at = strstr(at, "\n    "));) {
		*at = ' ';
		memmove(at + 1, at + 5, strlen(at + 5) + 1);
	}
	return text;
}
