/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Folded stacks, the input of flame graph tools: "comm;outermost;…;innermost COUNT". Every fault is
 * in exactly one line. Lines that read the same (faults of several kinds) become one.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/text.h"
#include "sink/samples.h"

struct line {
	char *text;
	uint64_t faults;
};

struct lines {
	struct line *line;
	size_t nr;
};

/* ';' and the newline are the format's own. */
static void put_frame(FILE *out, const char *name)
{
	char bytes[TEXT_CHAR_BYTES];
	size_t nr;

	while (*name) {
		if (*name == ';' || *name == '\n') {
			fputc(':', out);
			name++;
			continue;
		}
		nr = text_char(&name, bytes);
		fwrite(bytes, 1, nr, out);
	}
}

static int add_line(struct lines *lines, const struct sample *sample)
{
	struct line line = { .faults = sample->faults };
	size_t size;
	FILE *out;

	if (grow(&lines->line, lines->nr, sizeof(line)))
		return -ENOMEM;
	out = open_memstream(&line.text, &size);
	if (!out)
		return -ENOMEM;
	put_frame(out, sample->comm);
	for (unsigned int i = 0; i < sample_nr_frames(sample); i++) {
		fputc(';', out);
		put_frame(out, sample_frame(sample, i).name);
	}
	if (fclose(out)) {
		free(line.text);
		return -ENOMEM;
	}
	lines->line[lines->nr++] = line;
	return 0;
}

static int gather(const struct profile *profile, bool stacks, struct lines *lines)
{
	struct samples samples;
	int ret = samples_gather(profile, stacks, &samples);

	if (ret)
		return ret;
	for (size_t i = 0; !ret && i < samples.nr; i++)
		ret = add_line(lines, &samples.sample[i]);
	samples_release(&samples);
	return ret;
}

static int line_compare(const void *left, const void *right)
{
	return strcmp(((const struct line *)left)->text, ((const struct line *)right)->text);
}

static int write_folded(const struct profile *profile, const struct sink_options *options,
			FILE *out)
{
	struct lines lines = { 0 };
	uint64_t faults = 0;
	int ret = gather(profile, options->stacks, &lines);

	if (!ret && lines.nr) {
		qsort(lines.line, lines.nr, sizeof(*lines.line), line_compare);
		for (size_t i = 0; i < lines.nr; i++) {
			faults += lines.line[i].faults;
			if (i + 1 < lines.nr && !line_compare(&lines.line[i], &lines.line[i + 1]))
				continue;
			fprintf(out, "%s %" PRIu64 "\n", lines.line[i].text, faults);
			faults = 0;
		}
	}
	for (size_t i = 0; i < lines.nr; i++)
		free(lines.line[i].text);
	free(lines.line);
	return ret;
}

const struct sink sink_folded = {
	.name = "folded",
	.help = "folded stacks, for flame graphs",
	.write = write_folded,
};
