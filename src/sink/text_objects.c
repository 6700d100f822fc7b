/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The text report's tables of objects: what was hit, by whom, what lives, and whether age mattered.
 */
#include <stdlib.h>
#include <string.h>

#include "sink/report.h"

#define MIN_FAULTS 6
#define NR_SYMBOLS 10
#define NR_ALLOCATIONS 10
#define SHARES 4 /* kinds of object named on a symbol's line */
#define MAX_SYMBOL 32

/* ---- cells ---- */

/* In six columns: "99,999", then "123k". */
static struct text_cell short_count(uint64_t n)
{
	struct text_cell cell;

	if (n < 100000)
		return n ? text_count(n) : (struct text_cell){ "-" };
	snprintf(cell.text, sizeof(cell.text), n < 99500000 ? "%.0fk" : "%.0fM",
		 (double)n / (n < 99500000 ? 1e3 : 1e6));
	return cell;
}

/* ---- names ---- */

/* The one provider of all objects; NULL: there are several, and each object's name begins with it.
 */
static const char *only_provider(const struct objects *objects)
{
	const char *provider = objects->nr_objects ? objects->objects[0]->kind.provider : NULL;

	for (size_t i = 1; i < objects->nr_objects; i++)
		if (strcmp(objects->objects[i]->kind.provider, provider))
			return NULL;
	return provider;
}

/* "buffer", "stream (buffer pool)", "haproxy: stream". NULL: no memory. To be freed. */
static char *object_name(const struct objects *objects, const struct object_kind *kind)
{
	bool several = !only_provider(objects), pool = kind->pool && strcmp(kind->pool, kind->type);
	char *text;

	if (asprintf(&text, "%s%s%s%s%s%s", several ? kind->provider : "", several ? ": " : "",
		     kind->type, pool ? " (" : "", pool ? kind->pool : "", pool ? ")" : "") < 0)
		return NULL;
	return text;
}

static void put_name(const struct report *report, const struct object_kind *kind, size_t columns)
{
	char *name = object_name(report->profile->objects, kind), buf[CELL];

	text_fit(buf, name ? name : "?", columns);
	fprintf(report->out, "%s\n", buf);
	free(name);
}

/* ---- what was hit ---- */

/* With bounds among the ages, their quantiles are bounds too. */
static void put_ages(FILE *out, const struct profile_object *object)
{
	bool at_least = object->at_least.nr, known = object->age.nr || at_least;
	struct durations ages = object->age;
	uint64_t step = object->age_resolution_ns;

	durations_merge(&ages, &object->at_least);
	fprintf(out, " %7s %7s %7s",
		age_cell(known, at_least, durations_quantile(&ages, .5), step).text,
		age_cell(known, at_least, durations_quantile(&ages, .9), step).text,
		age_cell(known, at_least, ages.max_ns, step).text);
}

static void put_object(const struct report *report, const struct profile_object *object, int faults)
{
	const struct durations *idle = &object->idle, *swapped = &object->swapped;
	uint64_t all = report->profile->objects->addressed;
	FILE *out = report->out;

	fprintf(out, "%5.1f %*s %6s", percent_of(object->stall.faults, all), faults,
		text_count(object->stall.faults).text,
		stall_cell(timed(report, &object->stall), object->stall.total_ns).text);
	put_ages(out, object);
	fprintf(out, " %7s %7s  ",
		age_cell(idle->nr, false, durations_quantile(idle, .5), object->idle_resolution_ns)
			.text,
		age_cell(swapped->nr, false, durations_quantile(swapped, .5),
			 object->swapped_resolution_ns)
			.text);
	put_name(report, &object->kind,
		 WIDTH - strlen("100.0  00.0ms                                           ") -
			 faults);
}

static void put_outcome(const struct report *report, const struct stall *stall, int faults,
			const char *text)
{
	if (stall->faults)
		fprintf(report->out, "%5.1f %*s %6s %7s %7s %7s %7s %7s  %s\n",
			percent_of(stall->faults, report->profile->objects->addressed), faults,
			text_count(stall->faults).text,
			stall_cell(timed(report, stall), stall->total_ns).text, "-", "-", "-", "-",
			"-", text);
}

/* Where the ages come from, and how far the times can be trusted. */
static void put_sources(const struct report *report)
{
	static const char *const texts[] = { "not known", "since allocation", "since accept",
					     "lower bounds (>=)" };
	const struct objects *objects = report->profile->objects;
	uint64_t by[FP_AGE_AT_LEAST + 1] = { 0 }, step = 0, swapped = 0, others = 0;
	char text[256] = "";
	size_t used = 0;

	for (size_t i = 0; i < objects->nr_objects; i++) {
		const struct profile_object *object = objects->objects[i];

		for (unsigned int k = 0; k <= FP_AGE_AT_LEAST; k++)
			by[k] += object->by_source[k];
		others += object->idle.nr + object->swapped.nr;
		if (object->age_resolution_ns > step)
			step = object->age_resolution_ns;
		if (object->swapped_resolution_ns > swapped)
			swapped = object->swapped_resolution_ns;
	}
	for (unsigned int i = FP_AGE_AT_LEAST + 1; i--;)
		if (by[i])
			used += snprintf(text + used, sizeof(text) - used, "%s%s %s",
					 used ? ", " : "", texts[i], text_count(by[i]).text);
	if (step)
		used += snprintf(text + used, sizeof(text) - used, "; right to %s",
				 age_cell(true, false, step, step).text);
	if (used)
		put_line(report->out, 4, "  ages: %s", text);
	if (others)
		put_line(report->out, 4,
			 "  idle: since last used, out: since swapped out (medians%s%s)",
			 swapped ? "; out right to " : "",
			 swapped ? age_cell(true, false, swapped, swapped).text : "");
}

static void put_by_object(const struct report *report)
{
	const struct objects *objects = report->profile->objects;
	int faults = (int)strlen(text_count(objects->addressed).text);
	size_t rows = 0, shown, top = report->options->top;
	uint64_t rest = 0;
	char *title;

	while (rows < objects->nr_objects && objects->objects[rows]->stall.faults)
		rows++;
	shown = top && top < rows ? top : rows;
	faults = faults > MIN_FAULTS ? faults : MIN_FAULTS;
	if (asprintf(&title,
		     "Faults by object (of the %s fault%s that came with an address; %.1f %% of "
		     "all)",
		     text_count(objects->addressed).text, objects->addressed == 1 ? "" : "s",
		     share(report, objects->addressed)) < 0)
		return;
	put_title(report, title);
	free(title);
	fprintf(report->out, "%5s %*s %6s %7s %7s %7s %7s %7s  %s\n", "%", faults, "faults",
		"stall", "age p50", "p90", "max", "idle", "out", "object");
	for (size_t i = 0; i < rows; i++) {
		if (i < shown)
			put_object(report, objects->objects[i], faults);
		else
			rest += objects->objects[i]->stall.faults;
	}
	if (shown < rows)
		put_line(report->out, 4,
			 "  (… %s more, %.1f %% of these faults; --top 0 shows all)",
			 text_count(rows - shown).text, percent_of(rest, objects->addressed));
	put_outcome(report, &objects->absent, faults, "unknown: page or process absent");
	put_outcome(report, &objects->none, faults, "none: in no known object");
	put_sources(report);
}

/* ---- symbols and objects ---- */

/* Programs, kinds, modes and callees of one function are one line here. */
static bool same_function(const struct profile_symbol *a, const struct profile_symbol *b)
{
	return a->symbol == b->symbol && a->module == b->module;
}

/* The next one from @at on that stands for its function, of which something is known; nr_symbols:
 * none. */
static size_t next_function(const struct profile *profile, size_t at)
{
	for (; at < profile->nr_symbols; at++) {
		size_t first = 0;

		while (first < at &&
		       !(profile->symbols[first]->nr_objects &&
			 same_function(profile->symbols[first], profile->symbols[at])))
			first++;
		if (profile->symbols[at]->nr_objects && first == at)
			break;
	}
	return at;
}

static int share_compare(const void *left, const void *right)
{
	const struct object_share *a = left, *b = right;

	if (a->faults != b->faults)
		return a->faults < b->faults ? 1 : -1;
	return object_kind_compare(a->kind, b->kind);
}

/* Sums the shares of all symbols like the one at @at into @shares, which has room for every kind.
 * Returns how many there are. */
static size_t add_shares(const struct profile *profile, size_t at, struct object_share *shares,
			 uint64_t *addressed)
{
	size_t nr = 0, k;

	*addressed = 0;
	for (size_t i = 0; i < profile->nr_symbols; i++) {
		const struct profile_symbol *symbol = profile->symbols[i];

		if (!same_function(symbol, profile->symbols[at]))
			continue;
		*addressed += symbol->addressed;
		for (size_t n = 0; n < symbol->nr_objects; n++) {
			for (k = 0; k < nr && shares[k].kind != symbol->objects[n].kind; k++)
				;
			if (k == nr)
				shares[nr++] =
					(struct object_share){ .kind = symbol->objects[n].kind };
			shares[k].faults += symbol->objects[n].faults;
		}
	}
	if (nr)
		qsort(shares, nr, sizeof(*shares), share_compare);
	return nr;
}

/* Lines are broken between shares, never in one. */
static void put_share(const struct report *report, const char *name, double percent, size_t indent,
		      size_t *column)
{
	char text[CELL];
	size_t columns = text_fit(text, name, WIDTH - indent - strlen(" 100.0 %,")), all;

	all = columns + (size_t)snprintf(NULL, 0, " %.1f %%", percent);
	if (*column > indent)
		fputc(',', report->out);
	if (*column > indent && *column + strlen(", ,") + all > WIDTH) {
		fprintf(report->out, "\n%*s", (int)indent, "");
		*column = indent;
	} else if (*column > indent) {
		fputc(' ', report->out);
		*column += 2;
	}
	fprintf(report->out, "%s %.1f %%", text, percent);
	*column += all;
}

static void put_shares(const struct report *report, const struct profile_symbol *symbol,
		       const struct object_share *shares, size_t nr, uint64_t addressed,
		       size_t columns)
{
	int digits = (int)strlen(text_count(report->profile->objects->addressed).text);
	size_t indent, column;
	uint64_t rest = addressed, others = 0;

	digits = digits > MIN_FAULTS ? digits : MIN_FAULTS;
	indent = column = strlen("      ") + digits + columns;
	fprintf(report->out, "  %*s  ", digits, text_count(addressed).text);
	put_padded(report->out, symbol->symbol, columns);
	fputs("  ", report->out);
	for (size_t i = 0; i < nr; i++) {
		char *name = object_name(report->profile->objects, shares[i].kind);

		if (i < SHARES)
			put_share(report, name ? name : "?",
				  percent_of(shares[i].faults, addressed), indent, &column);
		else
			others += shares[i].faults;
		rest -= shares[i].faults;
		free(name);
	}
	if (others)
		put_share(report, "others", percent_of(others, addressed), indent, &column);
	if (rest)
		put_share(report, "not known", percent_of(rest, addressed), indent, &column);
	fputc('\n', report->out);
}

static void put_symbol_objects(const struct report *report)
{
	const struct profile *profile = report->profile;
	size_t top = report->options->top, columns = 0, rows = 0, nr;
	struct object_share *shares;
	uint64_t addressed;

	shares = calloc(profile->objects->nr_objects + 1, sizeof(*shares));
	if (!shares)
		return;
	for (size_t i = 0; (i = next_function(profile, i)) < profile->nr_symbols; i++) {
		size_t needs = text_columns(profile->symbols[i]->symbol);

		if (top && rows == (top < NR_SYMBOLS ? top : NR_SYMBOLS))
			break;
		columns = columns > needs ? columns : needs < MAX_SYMBOL ? needs : MAX_SYMBOL;
		rows++;
	}
	if (rows)
		put_title(report,
			  "What the symbols hit (of their faults that came with an address)");
	for (size_t i = 0; rows-- && (i = next_function(profile, i)) < profile->nr_symbols; i++) {
		nr = add_shares(profile, i, shares, &addressed);
		put_shares(report, profile->symbols[i], shares, nr, addressed, columns);
	}
	free(shares);
}

/* ---- who allocated it ---- */

static void put_allocation(const struct report *report, const struct profile_allocation *site)
{
	bool known = report->profile->stall_known && site->timed;

	fprintf(report->out, "  %s fault%s, %.1f %%, stalled %s, ", text_count(site->faults).text,
		site->faults == 1 ? "" : "s",
		percent_of(site->faults, report->profile->objects->addressed),
		stall_cell(known, site->stall_ns).text);
	put_name(report, site->kind, WIDTH / 2);
	put_call_chain(report->out, site->frames, site->nr_frames);
}

static void put_allocations(const struct report *report)
{
	const struct allocations *a = &report->profile->objects->allocations;
	size_t rows = a->nr_sites, top = report->options->top;
	uint64_t shown = 0;

	if (!a->faults && !a->unknown)
		return;
	if (top && rows > (top < NR_ALLOCATIONS ? top : NR_ALLOCATIONS))
		rows = top < NR_ALLOCATIONS ? top : NR_ALLOCATIONS;
	put_title(report, "Who allocated what was hit (object: who called its allocator < caller)");
	for (size_t i = 0; i < rows; i++) {
		put_allocation(report, a->sites[i]);
		shown += a->sites[i]->faults;
	}
	if (rows < a->nr_sites)
		put_line(report->out, 4, "  (… %s more, %s of these %s faults; --top 0 shows all)",
			 text_count(a->nr_sites - rows).text, text_count(a->faults - shown).text,
			 text_count(a->faults).text);
	if (a->cut)
		put_line(report->out, 4, "  of %s faults, outer callers are not known",
			 text_count(a->cut).text);
	if (a->unknown)
		put_line(report->out, 4,
			 "  %s more hit what was allocated before all was set up, or without room "
			 "for its stack",
			 text_count(a->unknown).text);
}

/* ---- what lives ---- */

static void put_census(const struct report *report)
{
	const struct objects *objects = report->profile->objects;
	size_t top = report->options->top, rows = 0, all = 0;
	uint64_t aged[NR_AGE_BANDS] = { 0 };
	size_t columns = WIDTH - 2 - 9 - 3 * 8 - 2;

	for (size_t i = 0; i < objects->nr_objects; i++) {
		all += objects->objects[i]->census.objects != 0;
		for (unsigned int k = 0; k < NR_AGE_BANDS; k++)
			aged[k] += objects->objects[i]->census.aged[k];
	}
	if (!all)
		return;
	put_title(report, "Living objects at the end of the run (pages present and swapped out; by "
			  "age)");
	fprintf(report->out, "  %9s %7s %7s %7s", "objects", "bytes", "present", "swapped");
	for (unsigned int k = 0; k < NR_AGE_BANDS; k++) {
		columns -= aged[k] ? 8 : 0;
		if (aged[k])
			fprintf(report->out, " %7s", age_band_name(k));
	}
	fprintf(report->out, "  object\n");
	for (size_t i = 0; i < objects->nr_objects && (!top || rows < top); i++) {
		const struct object_census *census = &objects->objects[i]->census;

		if (!census->objects)
			continue;
		rows++;
		fprintf(report->out, "  %9s %7s %7s %7s", text_count(census->objects).text,
			size_cell(true, census->bytes).text,
			size_cell(true, census->present_bytes).text,
			size_cell(true, census->swapped_bytes).text);
		for (unsigned int k = 0; k < NR_AGE_BANDS; k++)
			if (aged[k])
				fprintf(report->out, " %7s", short_count(census->aged[k]).text);
		fputs("  ", report->out);
		put_name(report, &objects->objects[i]->kind, columns);
	}
	if (rows < all)
		put_line(report->out, 4, "  (… %s more; --top 0 shows all)",
			 text_count(all - rows).text);
	if (aged[AGE_BEFORE])
		put_line(report->out, 4, "  >run: older than the run; how much is not known");
}

/* ---- did age matter? ---- */

static struct text_cell times_cell(double ratio)
{
	struct text_cell cell;

	snprintf(cell.text, sizeof(cell.text), "%.*f", ratio < 10 ? 2 : ratio < 100 ? 1 : 0, ratio);
	return cell;
}

static void put_ratio(const struct report *report, const struct object_ages *ages)
{
	const struct ratio *ratio = &ages->ratio;
	bool bounded = ages->younger_hit, chance = ratio->low <= 1;
	char times[160];

	if (ages->left_out || !ages->ratio_known) {
		put_line(report->out, 4, "  not compared: %s",
			 ages->left_out ? "too many objects to remember all that were hit"
			 : ages->older
				 ? "none of those that were there before the run was hit"
				 : "no two of different, known ages were there before the run");
		return;
	}
	if (bounded)
		snprintf(times, sizeof(times), "%s times as often (95 %% interval %s to %s)",
			 times_cell(ratio->value).text, times_cell(ratio->low).text,
			 times_cell(ratio->high).text);
	else
		snprintf(times, sizeof(times), "at least %s times as often (95 %%)",
			 times_cell(ratio->low).text);
	put_line(report->out, 4,
		 "  there before the run, and of known age: %s of the %s oldest (%s and more) were "
		 "hit, "
		 "%s of the %s youngest: %s%s",
		 text_count(ages->older_hit).text, text_count(ages->older).text,
		 age_cell(true, false, ages->split_ns, 0).text, text_count(ages->younger_hit).text,
		 text_count(ages->younger).text, times,
		 chance && (!bounded || ratio->high >= 1) ? ", which may be chance" : "");
}

static void put_age_bands(const struct report *report)
{
	const struct object_ages *ages = &report->profile->objects->ages;
	uint64_t living = 0;

	for (unsigned int i = 0; i < NR_AGE_BANDS; i++)
		living += ages->living[i];
	if (!living)
		return;
	put_title(report,
		  "Were old ones hit more often? (a connection with its objects counts once)");
	fprintf(report->out, "  %-9s %9s %9s %6s\n", "age", "living", "hit", "% hit");
	for (unsigned int i = 0; i < NR_AGE_BANDS; i++)
		if (ages->living[i])
			fprintf(report->out, "  %-9s %9s %9s %6.1f\n", age_band_name(i),
				text_count(ages->living[i]).text, text_count(ages->hit[i]).text,
				percent_of(ages->hit[i], ages->living[i]));
	if (ages->gone)
		put_line(report->out, 4, "  %s more %s hit, and not seen living at the end",
			 text_count(ages->gone).text, ages->gone == 1 ? "was" : "were");
	put_ratio(report, ages);
}

void put_objects(const struct report *report)
{
	const struct objects *objects = report->profile->objects;

	if (objects->addressed) {
		put_by_object(report);
		put_symbol_objects(report);
		put_allocations(report);
	}
	put_census(report);
	put_age_bands(report);
}
