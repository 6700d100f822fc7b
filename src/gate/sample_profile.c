/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* One run's profile as counts, with what it was measured on. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "gate/sample.h"

#define UNNAMED "[functions without a name]"

/* A kernel's handling of faults changes from one release to the next, not within one. */
void sample_kernel_text(struct sample_origin *ret, const char *release, const char *machine)
{
	unsigned int major = 0, minor = 0;

	if (sscanf(release, "%u.%u", &major, &minor) != 2)
		snprintf(ret->kernel, sizeof(ret->kernel), "%.60s %.30s", release, machine);
	else
		snprintf(ret->kernel, sizeof(ret->kernel), "Linux %u.%u %.60s", major, minor,
			 machine);
}

static void machine_text(struct sample_origin *ret)
{
	char line[256], model[128] = "";
	FILE *file = fopen("/proc/cpuinfo", "re");
	struct sysinfo info;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "model name : %127[^\n]", model) == 1)
			break;
	if (file)
		fclose(file);
	snprintf(ret->machine, sizeof(ret->machine), "%s, %ld CPUs, %.0f GB", model,
		 sysconf(_SC_NPROCESSORS_ONLN),
		 sysinfo(&info) ? 0 : (double)info.totalram * info.mem_unit / (1 << 30));
}

void sample_origin_here(struct sample_origin *ret, enum tier tier)
{
	struct utsname name = { .release = "?", .machine = "?" };

	*ret = (struct sample_origin){ .tier = tier, .begin_s = time(NULL) };
	uname(&name);
	sample_kernel_text(ret, name.release, name.machine);
	machine_text(ret);
}

static const char *filter_of(struct sample *sample, const struct profile *profile)
{
	uint32_t kinds = profile->only_kinds, modes = profile->only_modes;
	char text[256] = "";
	size_t used = 0;

	if (profile->kernel_unseen)
		modes = 1 << FP_USER;
	for (unsigned int i = 0; i < FP_NR_KINDS; i++)
		if (kinds >> i & 1)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s",
						 used ? "," : "", kind_name(i));
	for (unsigned int i = 0; i < FP_NR_MODES; i++)
		if (modes >> i & 1)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s mode",
						 used ? ", " : "", mode_name(i));
	return sample_text(sample, text);
}

static bool is_suffix(const char *text, size_t length)
{
	static const char *const names[] = { "constprop", "isra", "part", "cold", "lto_priv" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strlen(names[i]) == length && !strncmp(text, names[i], length))
			return true;
	return false;
}

/* Cuts off ".constprop.0", ".part.1.cold" and the like. */
static void cut_suffixes(char *name)
{
	char *dot, *at;

	while ((dot = strrchr(name, '.')) && dot > name) {
		at = dot + 1;
		if (*at && strspn(at, "0123456789") == strlen(at)) {
			char *before = memrchr(name, '.', (size_t)(dot - name));

			if (!before || before == name ||
			    !is_suffix(before + 1, (size_t)(dot - before - 1)))
				return;
			dot = before;
		} else if (!is_suffix(at, strlen(at))) {
			return;
		}
		*dot = '\0';
	}
}

static int add_symbol(struct sample *sample, size_t run, const struct profile_symbol *symbol)
{
	char *name = strdup(symbol->has_name ? symbol->symbol : UNNAMED);
	struct sample_series *series;

	if (!name)
		return -ENOMEM;
	cut_suffixes(name);
	series = sample_series(sample, SERIES_SYMBOL, symbol->kind, symbol->module, name);
	free(name);
	/* The profile has its most frequent symbols first, so theirs is the place that stays. */
	if (!series ||
	    (symbol->has_name && sample_place(sample, series, symbol->file, symbol->line)))
		return -ENOMEM;
	return sample_add(series, run, (double)symbol->stall.faults);
}

static int add_sum(struct sample *sample, enum series_level level, enum fp_kind kind, size_t run,
		   uint64_t faults)
{
	struct sample_series *series = sample_series(sample, level, kind, "", "");

	return series ? sample_add(series, run, (double)faults) : -ENOMEM;
}

static int add_counts(struct sample *sample, size_t run, const struct profile *profile)
{
	int r = add_sum(sample, SERIES_TOTAL, 0, run, profile_faults(profile));

	if (!r)
		r = add_sum(sample, SERIES_MAJOR, 0, run, profile->major);
	for (unsigned int i = 0; !r && i < FP_NR_KINDS; i++)
		r = add_sum(sample, SERIES_KIND, i, run, profile->kinds[i].faults);
	for (size_t i = 0; !r && i < profile->nr_symbols; i++)
		r = add_symbol(sample, run, profile->symbols[i]);
	return r;
}

int sample_add_profile(struct sample *sample, const struct profile *profile,
		       const struct sample_origin *origin)
{
	struct sample_run run = { .seconds = profile_seconds(profile),
				  .begin_s = origin->begin_s,
				  .session = 1,
				  .lost = profile_lost(profile) };
	int r = sample_add_run(sample, &run);

	if (r)
		return r;
	sample->tier = sample_text(sample, tier_name(origin->tier));
	sample->kernel = sample_text(sample, origin->kernel);
	sample->machine = sample_text(sample, origin->machine);
	sample->filter = filter_of(sample, profile);
	if (!sample->tier || !sample->kernel || !sample->machine || !sample->filter)
		return -ENOMEM;
	for (size_t i = 0; !r && i < profile->nr_targets; i++)
		r = sample_add_program(sample, profile->targets[i].comm,
				       profile->targets[i].build_id);
	return r ? r : add_counts(sample, sample->nr_runs - 1, profile);
}
