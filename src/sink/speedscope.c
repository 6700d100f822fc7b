/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The file format of speedscope: frames once, then a profile of faults and, where stalls are
 * measured, one of stall time. Each fault is in one sample, below the comm of its process, as
 * folded has them. The format has no place for what is missing from the figures but the names of
 * the file and of the profiles, which speedscope shows.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sink/json.h"
#include "sink/report.h"
#include "sink/samples.h"

struct writer {
	const struct profile *profile;
	const struct samples *samples;
	FILE *out;
	struct functions functions;
};

/* A function is one frame, so that all of it is summed up, whatever its lines. */
static int put_frames(struct writer *w)
{
	struct array array = { .out = w->out };
	int ret = functions_gather(w->samples, &w->functions);

	fputs(",\n \"shared\":{\"frames\":[", w->out);
	for (struct function *f = w->functions.first; !ret && f; f = f->hh.next) {
		if (f->file)
			ret = put_row(&array, json_pack("{s:o, s:o}", "name", text_json(f->name),
							"file", text_json(f->file)));
		else
			ret = put_row(&array, json_pack("{s:o}", "name", text_json(f->name)));
	}
	end_array(&array);
	fputc('}', w->out);
	return ret;
}

static void put_path(struct writer *w, const struct sample *sample)
{
	for (unsigned int n = 0; n <= sample_nr_frames(sample); n++)
		fprintf(w->out, "%s%u", n ? "," : "[",
			functions_index(&w->functions, sample_step(sample, n).name));
	fputc(']', w->out);
}

static uint64_t weight_of(const struct sample *sample, bool stall)
{
	return stall ? sample->stall_ns : sample->faults;
}

static int put_profile(struct writer *w, bool stall, const char *name)
{
	uint64_t sum = 0;
	size_t rows = 0;
	int ret;

	fprintf(w->out, "{\n  \"type\":\"sampled\"");
	ret = put_key(w->out, "name", text_json(name));
	for (size_t i = 0; i < w->samples->nr; i++)
		sum += weight_of(&w->samples->sample[i], stall);
	fprintf(w->out, ",\n \"unit\":\"%s\",\n \"startValue\":0,\n \"endValue\":%" PRIu64,
		stall ? "nanoseconds" : "none", sum);
	fputs(",\n \"samples\":[", w->out);
	for (size_t i = 0; i < w->samples->nr; i++) {
		if (!weight_of(&w->samples->sample[i], stall))
			continue;
		fputs(rows++ ? ",\n  " : "\n  ", w->out);
		put_path(w, &w->samples->sample[i]);
	}
	fputs("],\n \"weights\":[", w->out);
	rows = 0;
	for (size_t i = 0; i < w->samples->nr; i++)
		if (weight_of(&w->samples->sample[i], stall))
			fprintf(w->out, "%s%" PRIu64, rows++ ? "," : "",
				weight_of(&w->samples->sample[i], stall));
	fputs("]}", w->out);
	return ret;
}

/* "faults, 1,205 lost" */
static int put_faults(struct writer *w)
{
	uint64_t lost = profile_lost(w->profile);
	char name[64] = "faults";

	if (lost)
		snprintf(name, sizeof(name), "faults, %s lost", text_count(lost).text);
	return put_profile(w, false, name);
}

/* "stall, known of 5,104 of 5,106 faults" */
static int put_stall(struct writer *w)
{
	uint64_t faults = profile_faults(w->profile), timed = 0;
	char name[96] = "stall";

	for (size_t i = 0; i < w->samples->nr; i++)
		timed += w->samples->sample[i].timed;
	if (timed < faults)
		snprintf(name, sizeof(name), "stall, known of %s of %s faults",
			 text_count(timed).text, text_count(faults).text);
	return put_profile(w, true, name);
}

static int put_file(struct writer *w)
{
	char *header = header_text(w->profile);
	int ret = header ? 0 : -ENOMEM;

	fputs("{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\",\n"
	      " \"exporter\":\"faultprof\"",
	      w->out);
	if (header)
		header[strcspn(header, "\n")] = '\0';
	ret = ret ? ret : put_key(w->out, "name", text_json(header));
	free(header);
	ret = ret ? ret : put_frames(w);
	if (ret)
		return ret;
	fputs(",\n \"profiles\":[", w->out);
	ret = put_faults(w);
	if (!ret && w->profile->stall_known) {
		fputc(',', w->out);
		ret = put_stall(w);
	}
	fputs("]\n}\n", w->out);
	return ret;
}

static int write_speedscope(const struct profile *profile, const struct sink_options *options,
			    FILE *out)
{
	struct samples samples;
	struct writer w = { .profile = profile, .samples = &samples, .out = out };
	int ret = samples_gather(profile, options->stacks, &samples);

	if (ret)
		return ret;
	ret = put_file(&w);
	functions_release(&w.functions);
	samples_release(&samples);
	return ret;
}

const struct sink sink_speedscope = {
	.name = "speedscope",
	.help = "call paths by faults and by stall time, for speedscope",
	.write = write_speedscope,
};
