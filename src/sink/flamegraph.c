/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A flame graph in one HTML file: the page, as it is in flamegraph.html, with the samples in it as
 * JSON. The page needs nothing else, and its policy forbids it to ask for more. Names are cleaned
 * as for a terminal, since a browser, too, reorders and hides what it is told to; and no '<' of
 * theirs is left for the HTML parser to find.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/text.h"
#include "sink/json.h"
#include "sink/report.h"
#include "sink/samples.h"

static const char page[] =
#include "flamegraph.html.h"
	;

struct writer {
	const struct profile *profile;
	const struct samples *samples;
	struct functions functions;
	const struct object_kind **objects; /* by the number that samples have */
	size_t nr_objects;
	FILE *out;
};

static json_t *clean_json(const char *text)
{
	char *clean = text ? text_clean_dup(text) : NULL;
	json_t *json = clean ? json_string(clean) : NULL;

	free(clean);
	return text ? json : json_null();
}

static int put_escaped(const char *text, size_t nr, void *out)
{
	for (size_t i = 0; i < nr; i++) {
		if (text[i] == '<')
			fputs("\\u003c", out);
		else
			fputc(text[i], out);
	}
	return 0;
}

/* Takes the reference. */
static int put_value(struct writer *w, json_t *json)
{
	int ret;

	if (!json)
		return -ENOMEM;
	ret = json_dump_callback(json, put_escaped, w->out,
				 JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
	json_decref(json);
	return ret ? -ENOMEM : 0;
}

static int put_next(struct writer *w, size_t *rows, json_t *json)
{
	fputs((*rows)++ ? ",\n" : "\n", w->out);
	return put_value(w, json);
}

static int put_notes(struct writer *w)
{
	char *text = header_text(w->profile), *rest = text, *line;
	int ret = text ? 0 : -ENOMEM;
	size_t rows = 0;

	fputs("\"notes\":[", w->out);
	while (!ret && (line = strsep(&rest, "\n")))
		if (*line)
			ret = put_next(w, &rows, clean_json(line + strspn(line, " ")));
	free(text);
	return ret;
}

static int put_functions(struct writer *w)
{
	size_t rows = 0;
	int ret = 0;

	fputs("],\n\"frames\":[", w->out);
	for (struct function *f = w->functions.first; !ret && f; f = f->hh.next)
		ret = put_next(w, &rows,
			       json_pack("[o, o, o]", clean_json(f->name), clean_json(f->module),
					 clean_json(f->file)));
	return ret;
}

static size_t object_index(const struct writer *w, const struct object_kind *kind)
{
	size_t i = 0;

	while (i < w->nr_objects && w->objects[i] != kind)
		i++;
	return i;
}

static int put_labels(struct writer *w)
{
	size_t rows = 0;
	int ret = 0;

	fputs("],\n\"objects\":[", w->out);
	for (size_t i = 0; !ret && i < w->samples->nr; i++) {
		const struct object_kind *kind = w->samples->sample[i].object;
		char *label;

		if (!kind || object_index(w, kind) < w->nr_objects)
			continue;
		if (grow(&w->objects, w->nr_objects, sizeof(*w->objects)))
			return -ENOMEM;
		w->objects[w->nr_objects++] = kind;
		label = object_label(kind);
		ret = label ? put_next(w, &rows, clean_json(label)) : -ENOMEM;
		free(label);
	}
	return ret;
}

/* [kind, object or -1, faults, timed, stall in ns, frame, …] */
static void put_samples(struct writer *w)
{
	fputs("],\n\"samples\":[", w->out);
	for (size_t i = 0; i < w->samples->nr; i++) {
		const struct sample *sample = &w->samples->sample[i];
		long object = sample->object ? (long)object_index(w, sample->object) : -1;

		fprintf(w->out, "%s\n[%u,%ld,%" PRIu64 ",%" PRIu64 ",%" PRIu64, i ? "," : "",
			sample->kind, object, sample->faults, sample->timed, sample->stall_ns);
		for (unsigned int n = 0; n <= sample_nr_frames(sample); n++)
			fprintf(w->out, ",%u",
				functions_index(&w->functions, sample_step(sample, n).name));
		fputc(']', w->out);
	}
}

static int put_data(struct writer *w)
{
	int ret = functions_gather(w->samples, &w->functions);

	fprintf(w->out, "{\"stall\":%s,\n\"kinds\":[", w->profile->stall_known ? "true" : "false");
	for (unsigned int i = 0; i < FP_NR_KINDS; i++)
		fprintf(w->out, "%s\"%s\"", i ? "," : "", kind_name(i));
	fputs("],\n", w->out);
	ret = ret ? ret : put_notes(w);
	ret = ret ? ret : put_functions(w);
	ret = ret ? ret : put_labels(w);
	if (!ret)
		put_samples(w);
	fputs("]}", w->out);
	return ret;
}

static int write_flamegraph(const struct profile *profile, const struct sink_options *options,
			    FILE *out)
{
	static const char mark[] = "@DATA@";
	const char *at = strstr(page, mark);
	struct samples samples;
	struct writer w = { .profile = profile, .samples = &samples, .out = out };
	int ret = samples_gather(profile, options->stacks, &samples);

	if (ret)
		return ret;
	fwrite(page, 1, (size_t)(at - page), out);
	ret = put_data(&w);
	fputs(at + strlen(mark), out);
	functions_release(&w.functions);
	samples_release(&samples);
	free(w.objects);
	return ret;
}

const struct sink sink_flamegraph = {
	.name = "flamegraph",
	.help = "a flame graph in one HTML file: by kind, zoom, search",
	.write = write_flamegraph,
};
