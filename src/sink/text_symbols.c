/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The text report's table of symbols: columns as wide as their names need, the rest for the symbol.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sink/report.h"

#define MAX_VIA 24
#define MIN_NAME 24 /* a name is not cut shorter than this to show its place */

/* "f(std::string const&) const" -> "f(…) const": of a long C++ name, the arguments say least.
 * NULL: there are none, or no memory. */
static char *without_arguments(const char *name)
{
	const char *close = strrchr(name, ')'), *open = close;
	unsigned int depth = 0;
	char *text;

	for (; open && open >= name; open--) {
		depth += *open == ')';
		if (*open == '(' && !--depth)
			break;
	}
	if (!open || open < name || close - open < 2)
		return NULL;
	return asprintf(&text, "%.*s(…)%s", (int)(open - name), name, close + 1) < 0 ? NULL : text;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

/* Function, what it called, what is inlined at the place, and the place; what does not fit in
 * @columns goes in this order: inlined function, middle of the name down to MIN_NAME, place. */
static void put_symbol_name(FILE *out, const struct profile_symbol *symbol, size_t columns)
{
	char via[CELL] = "", inlined[CELL] = "", place[CELL] = "", name[CELL], file[CELL];
	size_t fixed = 0, rest = 0, wanted = text_columns(symbol->symbol);
	char *shorter;

	if (symbol->via) {
		fixed = strlen(" (via )");
		fixed += text_fit(name, symbol->via,
				  columns / 2 < fixed + MAX_VIA ? columns / 2 - fixed : MAX_VIA);
		snprintf(via, sizeof(via), " (via %.*s)", MAX_VIA * 4, name);
	}
	if (symbol->inlined) {
		rest = text_fit(name, symbol->inlined, WIDTH / 2) + strlen(" [inlined ]");
		snprintf(inlined, sizeof(inlined), " [inlined %.*s]", WIDTH * 2, name);
	}
	if (symbol->file) {
		text_fit(file, base_name(symbol->file), MAX_VIA);
		snprintf(place, sizeof(place), symbol->line ? " %.*s:%u" : " %.*s", MAX_VIA * 4,
			 file, symbol->line);
	} else if (!symbol->has_name && symbol->offset) {
		snprintf(place, sizeof(place), "+0x%" PRIx64, symbol->offset);
	}
	if (wanted + fixed + rest + text_columns(place) > columns) {
		inlined[0] = '\0';
		rest = 0;
	}
	if (fixed + text_columns(place) + (wanted < MIN_NAME ? wanted : MIN_NAME) > columns)
		place[0] = '\0';
	rest += fixed + text_columns(place);
	shorter = wanted + rest > columns ? without_arguments(symbol->symbol) : NULL;
	text_fit(name, shorter ? shorter : symbol->symbol, columns > rest ? columns - rest : 1);
	free(shorter);
	if (symbol->has_name)
		fprintf(out, "%s%s%s%s\n", name, via, inlined, place);
	else
		fprintf(out, "%s%s%s\n", name, place, via);
}

/* "libc.so.6" as "libc.so", "[unknown]" as "-": columns are dear, and JSON has it in full. */
static void module_name(char buf[CELL], const char *module)
{
	const char *suffix = strstr(module, ".so.");
	char *text = suffix ? strndup(module, (size_t)(suffix - module) + strlen(".so")) : NULL;

	text_fit(buf, text ? text : strcmp(module, "[unknown]") ? module : "-", MAX_COLUMN);
	free(text);
}

struct columns {
	size_t faults, kind, comm, module, symbol;
};

static size_t widest(size_t columns, const char *text)
{
	size_t needs = text_columns(text);

	needs = needs < MAX_COLUMN ? needs : MAX_COLUMN;
	return needs > columns ? needs : columns;
}

static struct columns measure(const struct report *report, size_t rows)
{
	struct columns columns = { .faults = strlen("faults"),
				   .kind = strlen("kind"),
				   .comm = strlen("comm"),
				   .module = strlen("module") };

	if (strlen(text_count(report->faults).text) > columns.faults)
		columns.faults = strlen(text_count(report->faults).text);
	for (size_t i = 0; i < rows; i++) {
		const struct profile_symbol *symbol = report->profile->symbols[i];
		char module[CELL];

		module_name(module, symbol->module);
		columns.kind = widest(columns.kind, kind_name(symbol->kind));
		columns.comm = widest(columns.comm, symbol->comm);
		columns.module = widest(columns.module, module);
	}
	columns.symbol = WIDTH - strlen("100.0   00.0ms 00.0ms    [k] ") - columns.faults -
			 columns.kind - columns.comm - columns.module;
	return columns;
}

static void put_symbol(const struct report *report, const struct profile_symbol *symbol,
		       const struct columns *columns)
{
	bool known = timed(report, &symbol->stall);
	FILE *out = report->out;
	char module[CELL];

	fprintf(out, "%5.1f %*s %6s %6s %s%-*s%s ", share(report, symbol->stall.faults),
		(int)columns->faults, text_count(symbol->stall.faults).text,
		stall_cell(known, symbol->stall.total_ns).text,
		stall_cell(known, stall_quantile(&symbol->stall, .99)).text,
		kind_color(report, symbol->kind), (int)columns->kind, kind_name(symbol->kind),
		kind_plain(report, symbol->kind));
	put_padded(out, symbol->comm, columns->comm);
	fputc(' ', out);
	module_name(module, symbol->module);
	put_padded(out, module, columns->module);
	fprintf(out, " %s ", symbol->mode == FP_KERNEL ? "[k]" : "[.]");
	put_symbol_name(out, symbol, columns->symbol);
}

void put_symbols(const struct report *report)
{
	const struct profile *profile = report->profile;
	size_t rows = profile->nr_symbols, top = report->options->top;
	struct columns columns;
	uint64_t shown = 0;

	if (top && rows > top)
		rows = top;
	columns = measure(report, rows);
	put_title(report, "Faults by symbol ([.] in user mode, [k] in the kernel, called by it)");
	fprintf(report->out, "%5s %*s %6s %6s %-*s %-*s %-*s     symbol\n", "%",
		(int)columns.faults, "faults", "stall", "p99", (int)columns.kind, "kind",
		(int)columns.comm, "comm", (int)columns.module, "module");
	for (size_t i = 0; i < rows; i++) {
		shown += profile->symbols[i]->stall.faults;
		put_symbol(report, profile->symbols[i], &columns);
	}
	if (rows < profile->nr_symbols)
		put_line(report->out, 4,
			 "  (… %s more symbol%s, %.1f %% of faults; --top 0 shows "
			 "all)",
			 text_count(profile->nr_symbols - rows).text,
			 profile->nr_symbols - rows == 1 ? "" : "s",
			 share(report, report->faults - shown));
}
