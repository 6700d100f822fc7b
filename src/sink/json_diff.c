/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Two runs side by side, schema faultprof-diff/1: keys are only ever added, and what is not known,
 * or infinite, is null. */
#include <stdlib.h>

#include "sink/json.h"

/* To six digits: the others are nobody's, and not the same on every machine. */
static json_t *number(bool known, double value)
{
	char digits[32];

	snprintf(digits, sizeof(digits), "%.6g", value);
	return known ? json_real(strtod(digits, NULL)) : json_null();
}

static json_t *side_json(const struct comparison_side *side)
{
	/* clang-format off */
	return json_pack("{s:o, s:o, s:o, s:o}",
			 "recording", text_json(side->name),
			 "duration_s", json_real(side->seconds),
			 "faults", count_json(side->faults),
			 "lost", count_json(side->lost));
	/* clang-format on */
}

static json_t *rate_json(const struct compared *row, unsigned int side)
{
	return json_pack("{s:o, s:o}", "faults", count_json(row->faults[side]), "rate",
			 json_real(row->rate[side]));
}

static json_t *row_json(const struct compared *row)
{
	bool known = row->verdict != VERDICT_UNKNOWN, bounded = known && row->faults[0];
	/* clang-format off */
	json_t *json = json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
				 "kind", kind_name(row->kind),
				 "a", rate_json(row, 0),
				 "b", rate_json(row, 1),
				 "ratio", number(bounded, row->ratio.value),
				 "low", number(known, row->ratio.low),
				 "high", number(bounded, row->ratio.high),
				 "dispersion", number(known, row->dispersion),
				 "verdict", text_json(verdict_name(row->verdict)));
	/* clang-format on */

	if (json && row->symbol &&
	    (json_object_set_new(json, "symbol", text_json(row->symbol)) ||
	     json_object_set_new(json, "module", text_json(row->module)))) {
		json_decref(json);
		return NULL;
	}
	return json;
}

int diff_json(const struct comparison *comparison, const struct sink_options *options, FILE *out)
{
	size_t symbols = rows_of(options, comparison->nr_symbols);
	struct array array;
	int ret;

	fputs("{\"schema\":\"faultprof-diff/1\"", out);
	ret = put_key(out, "a", side_json(&comparison->side[0]));
	ret = ret ? ret : put_key(out, "b", side_json(&comparison->side[1]));
	array = begin_array(out, "kinds");
	for (unsigned int i = 0; !ret && i < FP_NR_KINDS; i++)
		ret = put_row(&array, row_json(&comparison->kinds[i]));
	end_array(&array);
	array = begin_array(out, "symbols");
	for (size_t i = 0; !ret && i < symbols; i++)
		ret = put_row(&array, row_json(comparison->symbols[i]));
	end_array(&array);
	fputs("\n}\n", out);
	return ret;
}
