/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The text exposition format, version 0.0.4: no timestamps, which node_exporter refuses. */
#include <inttypes.h>
#include <string.h>

#include "sink/prometheus_series.h"

static const struct bounds stall_bounds = STALL_BOUNDS, age_bounds = AGE_BOUNDS;

static void head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* @value is valid UTF-8 without control characters. */
static void put_label(FILE *out, const char *before, const char *label, const char *value)
{
	fprintf(out, "%s%s=\"", before, label);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			fputc('\\', out);
		fputc(*value, out);
	}
	fputc('"', out);
}

static void put_instance(FILE *out, const char *name, const struct instance *instance)
{
	fputs(name, out);
	put_label(out, "{", "comm", instance->comm);
	put_label(out, ",", "cgroup", instance->cgroup);
}

static void put_count(FILE *out, uint64_t n)
{
	fprintf(out, "} %" PRIu64 "\n", n);
}

/* The one of all others shows only once there was no room: else there are none. */
static const struct instance *instance_at(const struct prometheus *p, unsigned int i)
{
	if (i < p->nr_instances)
		return &p->instances[i];
	return i == p->nr_instances && i == PROMETHEUS_INSTANCES ? &p->instances[i] : NULL;
}

static void put_faults(const struct prometheus *p, FILE *out)
{
	static const char name[] = "faultprof_page_faults_total";
	const struct instance *instance;

	head(out, name, "counter",
	     "Completed page faults, by kind and by the function that caused them; other: of all "
	     "functions without a series of their own.");
	for (const struct symbol_series *s = p->symbols; s; s = s->hh.next) {
		for (unsigned int kind = 0; kind < FP_NR_KINDS; kind++) {
			if (!s->faults[kind]) /* none, or it is not listed */
				continue;
			put_instance(out, name, &p->instances[s->instance]);
			put_label(out, ",", "kind", kind_name(kind));
			put_label(out, ",", "module", s->module);
			put_label(out, ",", "symbol", s->symbol);
			put_count(out, s->faults[kind]);
		}
	}
	for (unsigned int i = 0; (instance = instance_at(p, i)); i++) {
		for (unsigned int kind = 0; kind < FP_NR_KINDS; kind++) {
			put_instance(out, name, instance);
			put_label(out, ",", "kind", kind_name(kind));
			put_label(out, ",", "module", "");
			put_label(out, ",", "symbol", OTHER);
			put_count(out, instance->other_faults[kind]);
		}
	}
}

/* Those of one series: @labels prints them, without the brace that ends them. */
struct labels {
	void (*put)(FILE *out, const char *name, const void *of);
	const void *of;
};

static void put_histogram(FILE *out, const char *name, const struct labels *labels,
			  const struct bounds *bounds, const struct histogram *histogram)
{
	char full[64];
	unsigned int i = 0;

	snprintf(full, sizeof(full), "%s_bucket", name);
	for (unsigned int shift = bounds->first; shift <= bounds->last; shift += bounds->step) {
		uint64_t ns = (1ull << shift) - 1;

		labels->put(out, full, labels->of);
		fprintf(out, ",le=\"%" PRIu64 ".%09" PRIu64 "\"", ns / 1000000000, ns % 1000000000);
		put_count(out, histogram->below[i++]);
	}
	labels->put(out, full, labels->of);
	fputs(",le=\"+Inf\"", out);
	put_count(out, histogram->nr);
	snprintf(full, sizeof(full), "%s_sum", name);
	labels->put(out, full, labels->of);
	fprintf(out, "} %.9f\n", histogram->sum_ns / 1e9);
	snprintf(full, sizeof(full), "%s_count", name);
	labels->put(out, full, labels->of);
	put_count(out, histogram->nr);
}

struct kind_of_instance {
	const struct instance *instance;
	unsigned int kind;
};

static void put_kind(FILE *out, const char *name, const void *of)
{
	const struct kind_of_instance *k = of;

	put_instance(out, name, k->instance);
	put_label(out, ",", "kind", kind_name(k->kind));
}

static void put_stalls(const struct prometheus *p, FILE *out)
{
	static const char name[] = "faultprof_stall_seconds";
	struct kind_of_instance k;

	head(out, name, "histogram",
	     "How long a page fault took, of those that could be timed; the boundaries are exact.");
	for (unsigned int i = 0; (k.instance = instance_at(p, i)); i++)
		for (k.kind = 0; k.kind < FP_NR_KINDS; k.kind++)
			put_histogram(out, name, &(struct labels){ put_kind, &k }, &stall_bounds,
				      &k.instance->stalls[k.kind]);
}

struct type_of_instance {
	const struct prometheus *prometheus;
	const struct type_series *series;
};

static void put_type(FILE *out, const char *name, const void *of)
{
	const struct type_of_instance *t = of;

	put_instance(out, name, &t->prometheus->instances[t->series->instance]);
	put_label(out, ",", "provider", t->series->provider);
	put_label(out, ",", "type", t->series->type);
}

static void put_objects(const struct prometheus *p, FILE *out)
{
	static const char faults[] = "faultprof_object_faults_total",
			  ages[] = "faultprof_object_age_seconds";
	struct type_of_instance t = { .prometheus = p };

	head(out, faults, "counter",
	     "Page faults that came with an address, by what was there; unknown: the pages that "
	     "would tell are not in memory, none: nobody knows.");
	for (t.series = p->types; t.series; t.series = t.series->hh.next) {
		put_type(out, faults, &t);
		put_count(out, t.series->faults);
	}
	head(out, ages, "histogram",
	     "Age of what these faults hit, of its connection or since it was allocated, where it "
	     "is known; the boundaries are exact.");
	for (t.series = p->types; t.series; t.series = t.series->hh.next)
		if (t.series->ages.nr)
			put_histogram(out, ages, &(struct labels){ put_type, &t }, &age_bounds,
				      &t.series->ages);
}

static void put_processes(const struct prometheus *p, bool swapped_out_known, FILE *out)
{
	static const char targets[] = "faultprof_targets", swapped[] = "faultprof_swapped_bytes",
			  evicted[] = "faultprof_evicted_pages_total";
	const struct instance *instance;

	head(out, targets, "gauge", "Processes that are watched.");
	for (unsigned int i = 0; (instance = instance_at(p, i)); i++) {
		put_instance(out, targets, instance);
		put_count(out, instance->processes);
	}
	head(out, swapped, "gauge", "Anonymous memory of the watched processes that is in swap.");
	for (unsigned int i = 0; (instance = instance_at(p, i)); i++) {
		put_instance(out, swapped, instance);
		put_count(out, instance->swapped_bytes);
	}
	if (!swapped_out_known)
		return;
	head(out, evicted, "counter",
	     "Anonymous pages of the watched processes that were swapped out.");
	for (unsigned int i = 0; (instance = instance_at(p, i)); i++) {
		put_instance(out, evicted, instance);
		put_count(out, instance->swapped_out);
	}
}

static void put_losses(const struct profile *run, FILE *out)
{
	static const char lost[] = "faultprof_lost_events_total",
			  cut[] = "faultprof_truncated_stacks_total",
			  failed[] = "faultprof_failed_faults_total";

	head(out, lost, "counter",
	     "What was not counted or told in full, by reason; the manual says what each lacks.");
	for (unsigned int i = 0; i < FP_NR_LOSSES; i++) {
		if (i == FP_LOSS_STACK)
			continue;
		fputs(lost, out);
		put_label(out, "{", "reason", loss_name(i));
		put_count(out, run->lost[i]);
	}
	head(out, cut, "counter",
	     "Faults in the kernel whose stack did not lead to a function of the program.");
	fprintf(out, "%s %" PRIu64 "\n", cut, run->lost[FP_LOSS_STACK]);
	if (run->failed_unseen)
		return;
	head(out, failed, "counter", "Page faults that never completed: a signal came of it.");
	fprintf(out, "%s %" PRIu64 "\n", failed, run->failed);
}

static void put_unavailable(const struct profile *run, const struct prometheus_self *self,
			    FILE *out)
{
	static const char name[] = "faultprof_unavailable_info";
	const struct {
		bool lacks;
		const char *metric, *reason;
	} all[] = {
		{ !run->stall_known, "faultprof_stall_seconds", "no BPF" },
		{ !self->swapped_out_known, "faultprof_evicted_pages_total",
		  "the kernel does not tell" },
		{ run->failed_unseen, "faultprof_failed_faults_total", "no BPF" },
		{ run->kinds_inferred, "faultprof_page_faults_total",
		  "kinds are inferred from the mapping" },
		{ run->kernel_unseen, "faultprof_page_faults_total",
		  "faults in user mode only, for lack of privileges" },
	};

	head(out, name, "gauge", "What cannot be known here, in whole or in part, and why.");
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		if (!all[i].lacks)
			continue;
		fputs(name, out);
		put_label(out, "{", "metric", all[i].metric);
		put_label(out, ",", "reason", all[i].reason);
		put_count(out, 1);
	}
}

static void put_self(const struct profile *run, const struct prometheus_self *self, FILE *out)
{
	static const char build[] = "faultprof_build_info";
	char tier[32];

	snprintf(tier, sizeof(tier), "%.*s", (int)strcspn(run->tier, " "), run->tier);
	head(out, build, "gauge", "Version of the profiler, and how it measures.");
	fputs(build, out);
	put_label(out, "{", "version", FP_VERSION);
	put_label(out, ",", "tier", tier);
	put_count(out, 1);

	head(out, "faultprof_start_time_seconds", "gauge", "When counting began, Unix time.");
	fprintf(out, "faultprof_start_time_seconds %.3f\n", self->start_s);
	head(out, "faultprof_interval_seconds", "gauge", "How often this file is written.");
	fprintf(out, "faultprof_interval_seconds %g\n", self->interval_s);
	head(out, "faultprof_process_cpu_seconds_total", "counter",
	     "CPU time of the profiler, without what its programs take in the kernel.");
	fprintf(out, "faultprof_process_cpu_seconds_total %.6f\n", self->cpu_s);
	head(out, "faultprof_process_resident_memory_bytes", "gauge", "Memory of the profiler.");
	fprintf(out, "faultprof_process_resident_memory_bytes %" PRIu64 "\n", self->resident_bytes);
	head(out, "faultprof_textfile_write_failures_total", "counter",
	     "How often this file could not be written; counting went on.");
	fprintf(out, "faultprof_textfile_write_failures_total %" PRIu64 "\n", self->failed_writes);
}

void prometheus_write(const struct prometheus *p, const struct profile *run,
		      const struct prometheus_self *self, FILE *out)
{
	put_faults(p, out);
	if (run->stall_known)
		put_stalls(p, out);
	put_objects(p, out);
	put_processes(p, self->swapped_out_known, out);
	put_losses(run, out);
	put_unavailable(run, self, out);
	put_self(run, self, out);
}
