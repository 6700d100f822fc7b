/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "gate/rules.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 3, 4))) static int refuse(char *why, size_t size, const char *format,
							...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, size, format, args);
	va_end(args);
	return -EINVAL;
}

int series_spec_parse(const char *text, size_t length, struct series_spec *ret, char *why,
		      size_t size)
{
	const char *colon = memchr(text, ':', length);
	size_t first = colon ? (size_t)(colon - text) : length;
	struct series_spec spec = { .text = text, .length = length, .symbol = first + 1 };
	char name[32];

	snprintf(name, sizeof(name), "%.*s", first < sizeof(name) ? (int)first : 0, text);
	if (colon && spec.symbol == length)
		return refuse(why, size, "no function after the colon");
	if (!strcmp(name, "total")) {
		spec.level = colon ? SERIES_SYMBOL : SERIES_TOTAL;
		spec.any_kind = true;
	} else if (!strcmp(name, "major")) {
		if (colon)
			return refuse(why, size,
				      "major faults are not counted by function: give the kind "
				      "(swap-in, file-read) instead");
		spec.level = SERIES_MAJOR;
	} else if (!kind_parse(name, &spec.kind)) {
		spec.level = colon ? SERIES_SYMBOL : SERIES_KIND;
	} else {
		return refuse(why, size,
			      "no faults are called '%.*s'; there are total, major and the kinds "
			      "that --kind takes",
			      (int)first, text);
	}
	*ret = spec;
	return 0;
}

bool series_spec_matches(const struct series_spec *spec, const struct sample_series *series)
{
	if (spec->level != series->level)
		return false;
	if (spec->level == SERIES_KIND)
		return spec->kind == series->kind;
	if (spec->level != SERIES_SYMBOL)
		return true;
	return (spec->any_kind || spec->kind == series->kind) &&
	       strlen(series->symbol) == spec->length - spec->symbol &&
	       !strncmp(spec->text + spec->symbol, series->symbol, spec->length - spec->symbol);
}

bool series_spec_is_known(const struct series_spec *spec, const struct sample *sample)
{
	for (size_t i = 0; i < sample->nr_series; i++)
		if (series_spec_matches(spec, sample->series[i]))
			return true;
	return spec->level != SERIES_SYMBOL;
}

const char *rate_unit_name(enum rate_unit unit)
{
	static const char *const names[] = { "a run", "a second", "a unit of work" };

	return names[unit];
}

double rate_unit_of(enum rate_unit unit, const struct sample_run *run)
{
	if (unit == PER_SECOND)
		return run->seconds;
	return unit == PER_WORK ? run->work : 1;
}

int budget_parse(const char *text, struct budget *ret, char *why, size_t size)
{
	static const struct {
		const char *text;
		enum rate_unit unit;
	} units[] = {
		{ "", PER_RUN }, { "/run", PER_RUN }, { "/s", PER_SECOND }, { "/work", PER_WORK }
	};
	const char *equals = strrchr(text, '='); /* a function may be operator= */
	struct budget budget = { .text = text };
	char *end;
	int r;

	if (!equals)
		return refuse(why, size, "it wants SERIES=NUMBER, such as major=0 or swap-in=5/s");
	r = series_spec_parse(text, (size_t)(equals - text), &budget.spec, why, size);
	if (r)
		return r;
	/* strtod() would take signs, blanks, infinity and what is not a number. */
	budget.limit = strtod(equals + 1, &end);
	if (!isdigit((unsigned char)equals[1]) || !(budget.limit <= 1e15))
		return refuse(why, size, "'%s' is no number of faults, 0 or more", equals + 1);
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (strcmp(end, units[i].text) != 0)
			continue;
		budget.unit = units[i].unit;
		*ret = budget;
		return 0;
	}
	return refuse(why, size, "after the number comes /s, /work, /run or nothing, not '%s'",
		      end);
}
