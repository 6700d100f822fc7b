/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The symbols as one table, quoted by RFC 4180; a line ends with a newline alone, as everything
 * else here does, so that the last column is clean for awk, too. The format has no place for what
 * is true of the whole run, and a comment would be a broken row to most readers: so how long the
 * run was, and what it lost, stands in each row, and rows of several runs can be put together. An
 * empty field is what is not known.
 */
#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "model/sink.h"

/* Fields of one row, of which all but the first have a comma before them. */
struct row {
	FILE *out;
	bool begun;
};

static void next(struct row *row)
{
	if (row->begun)
		fputc(',', row->out);
	row->begun = true;
}

/* NULL is an empty field. Without control characters, a row is a line. */
static void put_text(struct row *row, const char *text)
{
	bool quoted = text && strpbrk(text, "\",");
	char bytes[TEXT_CHAR_BYTES];

	next(row);
	if (quoted)
		fputc('"', row->out);
	while (text && *text) {
		size_t nr = text_char(&text, bytes);

		if (*bytes == '"')
			fputc('"', row->out);
		fwrite(bytes, 1, nr, row->out);
	}
	if (quoted)
		fputc('"', row->out);
}

static void put_count(struct row *row, bool known, uint64_t n)
{
	next(row);
	if (known)
		fprintf(row->out, "%" PRIu64, n);
}

static void put_stall(struct row *row, const struct profile *profile, const struct stall *stall)
{
	static const double quantiles[] = { .5, .9, .99 };
	bool known = profile->stall_known && stall->timed;

	put_count(row, profile->stall_known, stall->timed);
	put_count(row, known, stall->total_ns);
	for (size_t i = 0; i < sizeof(quantiles) / sizeof(*quantiles); i++)
		put_count(row, known, stall_quantile(stall, quantiles[i]));
	put_count(row, known, stall->max_ns);
}

/* What most of its faults hit, of those that came with an address. */
static void put_object(struct row *row, const struct profile *profile,
		       const struct profile_symbol *symbol)
{
	const struct object_share *most = symbol->nr_objects ? symbol->objects : NULL;

	put_count(row, profile->objects->known, symbol->addressed);
	put_text(row, most ? most->kind->provider : NULL);
	put_text(row, most ? most->kind->type : NULL);
	put_count(row, most, most ? most->faults : 0);
}

static void put_symbol(FILE *out, const struct profile *profile,
		       const struct profile_symbol *symbol)
{
	struct row row = { .out = out };

	put_text(&row, symbol->comm);
	put_text(&row, symbol->module);
	put_text(&row, symbol->symbol);
	put_text(&row, symbol->file);
	put_count(&row, symbol->line, symbol->line);
	put_text(&row, symbol->inlined);
	put_text(&row, mode_name(symbol->mode));
	put_text(&row, symbol->via);
	put_text(&row, kind_name(symbol->kind));
	put_count(&row, true, symbol->stall.faults);
	put_stall(&row, profile, &symbol->stall);
	put_object(&row, profile, symbol);
	fprintf(out, ",%.3f,%" PRIu64 ",%" PRIu64 "\n", profile_seconds(profile),
		profile_faults(profile), profile_lost(profile));
}

static int write_csv(const struct profile *profile, const struct sink_options *options, FILE *out)
{
	size_t rows = profile->nr_symbols;

	if (options->top && options->top < rows)
		rows = options->top;
	fputs("comm,module,symbol,file,line,inlined,mode,via,kind,faults,timed,stall_total_ns,"
	      "stall_p50_ns,stall_p90_ns,stall_p99_ns,stall_max_ns,addressed,object_provider,"
	      "object_type,object_faults,run_seconds,run_faults,run_lost\n",
	      out);
	for (size_t i = 0; i < rows; i++)
		put_symbol(out, profile, profile->symbols[i]);
	return 0;
}

const struct sink sink_csv = {
	.name = "csv",
	.help = "the symbols, for spreadsheets and databases",
	.write = write_csv,
};
