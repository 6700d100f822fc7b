/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Folded stacks, the input of flame graph tools: "comm;outermost;…;innermost COUNT". Every fault is
 * in exactly one line: under its full stack when it has one, else under its symbol, with what that
 * called (via) as the leaf. Lines that read the same (faults of several kinds) become one.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/text.h"
#include "model/sink.h"

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

static int add_line(struct lines *lines, const char *comm, const char *const *frames,
		    unsigned int nr_frames, uint64_t faults)
{
	struct line line = { .faults = faults };
	size_t size;
	FILE *out;

	if (grow(&lines->line, lines->nr, sizeof(line)))
		return -ENOMEM;
	out = open_memstream(&line.text, &size);
	if (!out)
		return -ENOMEM;
	put_frame(out, comm);
	for (unsigned int i = 0; i < nr_frames; i++) {
		fputc(';', out);
		put_frame(out, frames[i]);
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
	int ret;

	for (size_t i = 0; stacks && i < profile->nr_stacks; i++) {
		const struct profile_stack *stack = profile->stacks[i];

		ret = add_line(lines, stack->comm, stack->frames, stack->nr_frames, stack->faults);
		if (ret)
			return ret;
	}
	for (size_t i = 0; i < profile->nr_symbols; i++) {
		const struct profile_symbol *symbol = profile->symbols[i];
		const char *frames[] = { symbol->symbol, symbol->via };
		uint64_t faults = stacks ? symbol->loose.faults : symbol->stall.faults;

		if (!faults)
			continue;
		ret = add_line(lines, symbol->comm, frames, symbol->via ? 2 : 1, faults);
		if (ret)
			return ret;
	}
	return 0;
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
