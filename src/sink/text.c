/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The report for people: a header that says what was measured and what was not, then one table a
 * question. No line is wider than WIDTH and every row tells all of itself, so that one line can be
 * copied into a ticket. Names come from targets: each goes through text_char() before it is
 * printed, and what does not fit is elided where it says least. Colour is put around cells that are
 * padded already.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "model/sink.h"

#define WIDTH 100
#define CELL TEXT_FIT_BYTES(WIDTH)
#define NR_COMMS 3 /* targets named in the header: so many programs, */
#define NR_PIDS 4  /* and so many processes of each */
#define NR_STACKS 5
#define MAX_COLUMN 12 /* of comm and module */
#define MAX_VIA 24
#define MIN_NAME 24 /* a name is not cut shorter than this to show its place */

#define BOLD "\033[1m"
#define RED "\033[31m"
#define PLAIN "\033[0m"

struct report {
	const struct profile *profile;
	const struct sink_options *options;
	FILE *out;
	uint64_t faults;
	double seconds;
};

static struct text_cell stall_cell(bool known, uint64_t ns)
{
	struct text_cell unknown = { "-" };

	return known ? text_duration(ns) : unknown;
}

static struct text_cell rate_cell(const struct report *report, uint64_t faults)
{
	struct text_cell cell = { "-" };

	if (report->seconds > 0)
		snprintf(cell.text, sizeof(cell.text), "%.1f", (double)faults / report->seconds);
	return cell;
}

/* Of the run's wall time; above 100 % when several threads stalled at once. */
static struct text_cell wall_cell(const struct report *report, bool known, uint64_t ns)
{
	struct text_cell cell = { "-" };

	if (known && report->seconds > 0)
		snprintf(cell.text, sizeof(cell.text), "%.1f%%",
			 (double)ns / 1e7 / report->seconds);
	return cell;
}

static double share(const struct report *report, uint64_t faults)
{
	return report->faults ? 100.0 * (double)faults / (double)report->faults : 0;
}

static bool timed(const struct report *report, const struct stall *stall)
{
	return report->profile->stall_known && stall->timed;
}

static const char *color(const struct report *report, const char *code)
{
	return report->options->color ? code : "";
}

static const char *kind_color(const struct report *report, enum fp_kind kind)
{
	return color(report, kind == FP_SWAP_IN || kind == FP_FILE_READ ? RED : "");
}

static const char *kind_plain(const struct report *report, enum fp_kind kind)
{
	return color(report, kind == FP_SWAP_IN || kind == FP_FILE_READ ? PLAIN : "");
}

/* printf pads by bytes; a name has to be padded by columns. */
static void put_padded(FILE *out, const char *text, size_t columns)
{
	char buf[CELL];
	size_t used = text_fit(buf, text, columns);

	fprintf(out, "%s%*s", buf, (int)(columns - used), "");
}

/* Prints @text in lines of at most WIDTH, broken at spaces, the second and later ones indented. */
static void put_wrapped(FILE *out, const char *text, size_t indent)
{
	size_t column = 0;

	while (*text) {
		size_t spaces = strspn(text, " "), length = strcspn(text + spaces, " ");
		char *word = strndup(text + spaces, length);
		size_t columns = word ? text_columns(word) : 0;
		const char *at = word ? word : "";
		char bytes[TEXT_CHAR_BYTES];

		if (column > indent && column + spaces + columns > WIDTH) {
			fprintf(out, "\n%*s", (int)indent, "");
			column = indent;
		} else {
			fprintf(out, "%*s", (int)spaces, "");
			column += spaces;
		}
		for (; *at; column++) {
			if (column == WIDTH) {
				fprintf(out, "\n%*s", (int)indent, "");
				column = indent;
			}
			fwrite(bytes, 1, text_char(&at, bytes), out);
		}
		free(word);
		text += spaces + length;
	}
	fputc('\n', out);
}

__attribute__((format(printf, 3, 4))) static void put_line(FILE *out, size_t indent,
							   const char *format, ...)
{
	va_list args;
	char *text;
	int bytes;

	va_start(args, format);
	bytes = vasprintf(&text, format, args);
	va_end(args);
	if (bytes < 0)
		return;
	put_wrapped(out, text, indent);
	free(text);
}

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

static int put_header(const struct report *report, const struct stall *all)
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

static void put_title(const struct report *report, const char *title)
{
	fprintf(report->out, "\n%s%s%s\n", color(report, BOLD), title, color(report, PLAIN));
}

static void put_kind(const struct report *report, const struct stall *stall)
{
	bool known = timed(report, stall);

	fprintf(report->out, "%14s %12s %9s %9s %9s %9s %8s\n", text_count(stall->faults).text,
		rate_cell(report, stall->faults).text,
		stall_cell(known, stall_quantile(stall, .5)).text,
		stall_cell(known, stall_quantile(stall, .99)).text,
		stall_cell(known, stall->max_ns).text, stall_cell(known, stall->total_ns).text,
		wall_cell(report, known, stall->total_ns).text);
}

static void put_kinds(const struct report *report, const struct stall *all)
{
	put_title(report, "Faults by kind (stall time of one fault: p50, p99, max; of all: total)");
	fprintf(report->out, "  %-10s %14s %12s %9s %9s %9s %9s %8s\n", "kind", "faults", "rate/s",
		"p50", "p99", "max", "total", "of wall");
	for (unsigned int i = 0; i < FP_NR_KINDS; i++) {
		if (!report->profile->kinds[i].faults)
			continue;
		fprintf(report->out, "  %s%-10s%s ", kind_color(report, i), kind_name(i),
			kind_plain(report, i));
		put_kind(report, &report->profile->kinds[i]);
	}
	fprintf(report->out, "  %-10s ", "all");
	put_kind(report, all);
}

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

static void put_symbols(const struct report *report)
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

/* Broken between frames, never in one: a frame that is too long for a line is elided. */
static void put_frames(FILE *out, const struct profile_stack *stack)
{
	const size_t indent = 8;
	size_t column = 0;

	for (unsigned int i = stack->nr_frames; i--;) {
		char name[CELL];
		size_t columns = text_fit(name, stack->frames[i], WIDTH - indent - strlen("< "));

		if (!column || column + strlen(" < ") + columns > WIDTH) {
			fprintf(out, "%s%*s%s", column ? "\n" : "", (int)indent, "",
				column ? "< " : "");
			column = indent + (column ? strlen("< ") : 0);
		} else {
			fputs(" < ", out);
			column += strlen(" < ");
		}
		fputs(name, out);
		column += columns;
	}
	fputc('\n', out);
}

static void put_stacks(const struct report *report)
{
	const struct profile *profile = report->profile;
	size_t rows = profile->nr_stacks, top = report->options->top;
	uint64_t shown = 0, all = 0;

	if (top)
		rows = rows < top ? rows : top;
	if (top && rows > NR_STACKS)
		rows = NR_STACKS;
	put_title(report,
		  "Stacks of the faults that were followed one by one (innermost < caller)");
	for (size_t i = 0; i < profile->nr_stacks; i++)
		all += profile->stacks[i]->faults;
	for (size_t i = 0; i < rows; i++) {
		const struct profile_stack *stack = profile->stacks[i];
		bool known = profile->stall_known && stack->timed;
		char comm[CELL];

		shown += stack->faults;
		text_fit(comm, stack->comm, MAX_COLUMN);
		fprintf(report->out, "  %s fault%s, stalled %s, %s%s%s, %s\n",
			text_count(stack->faults).text, stack->faults == 1 ? "" : "s",
			stall_cell(known, stack->stall_ns).text, kind_color(report, stack->kind),
			kind_name(stack->kind), kind_plain(report, stack->kind), comm);
		put_frames(report->out, stack);
	}
	if (rows < profile->nr_stacks)
		put_line(report->out, 4,
			 "  (… %s more stack%s, %s of the %s faults with a stack; "
			 "--top 0 shows all)",
			 text_count(profile->nr_stacks - rows).text,
			 profile->nr_stacks - rows == 1 ? "" : "s", text_count(all - shown).text,
			 text_count(all).text);
}

static int write_text(const struct profile *profile, const struct sink_options *options, FILE *out)
{
	struct report report = { .profile = profile, .options = options, .out = out };
	struct stall all = { 0 };
	int ret;

	report.faults = profile_faults(profile);
	report.seconds = profile_seconds(profile);
	for (unsigned int i = 0; i < FP_NR_KINDS; i++)
		stall_merge(&all, &profile->kinds[i]);
	ret = put_header(&report, &all);
	if (ret)
		return ret;
	if (!report.faults) {
		fprintf(out, "\nNo page fault %scompleted in %.1f s.\n",
			profile->only_kinds || profile->only_modes ? "of that kind " : "",
			report.seconds);
		return 0;
	}
	put_kinds(&report, &all);
	put_symbols(&report);
	if (options->stacks && profile->nr_stacks)
		put_stacks(&report);
	return 0;
}

const struct sink sink_text = {
	.name = "text",
	.help = "the report for people (default)",
	.top = 20,
	.write = write_text,
};
