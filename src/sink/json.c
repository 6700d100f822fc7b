/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The contract that other tools rely on, schema faultprof/1: keys are only ever added, and what is
 * not known is null. Written row by row, each row on a line of its own: a tree of the whole profile
 * would take more memory than the profile.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "sink/json.h"

/* Escaped to ASCII, so that no byte of a target's names reaches a terminal as it is. */
#define DUMP_FLAGS (JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15))

/* What is not UTF-8 would make jansson refuse the string. */
json_t *text_json(const char *text)
{
	size_t size, bytes;
	json_t *json;
	uint32_t code;
	char *buf;
	FILE *out;

	if (!text)
		return json_null();
	json = json_string(text);
	if (json)
		return json;
	out = open_memstream(&buf, &size);
	if (!out)
		return NULL;
	while (*text) {
		bytes = text_utf8(text, &code);
		fwrite(bytes ? text : "\xef\xbf\xbd", 1, bytes ? bytes : 3, out);
		text += bytes ? bytes : 1;
	}
	if (!fclose(out))
		json = json_string(buf);
	free(buf);
	return json;
}

json_t *count_json(uint64_t n)
{
	return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

json_t *count_if(bool known, uint64_t n)
{
	return known ? count_json(n) : json_null();
}

json_t *stall_json(const struct stall *stall, bool known)
{
	/* No fault at all has a total of zero; faults that were not timed have an unknown one. */
	bool total = known && (stall->timed || !stall->faults);
	bool some = known && stall->timed;

	/* clang-format off */
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}",
			 "total", count_if(total, stall->total_ns),
			 "p50", count_if(some, stall_quantile(stall, .5)),
			 "p90", count_if(some, stall_quantile(stall, .9)),
			 "p99", count_if(some, stall_quantile(stall, .99)),
			 "max", count_if(some, stall->max_ns),
			 "timed", count_json(stall->timed));
	/* clang-format on */
}

/* Takes the reference. */
static int dump(FILE *out, json_t *json)
{
	int ret;

	if (!json)
		return -ENOMEM;
	/* A write error stays in ferror(out), where the contract wants it. */
	ret = json_dumpf(json, out, DUMP_FLAGS | JSON_ENCODE_ANY) && !ferror(out) ? -ENOMEM : 0;
	json_decref(json);
	return ret;
}

int put_key(FILE *out, const char *key, json_t *json)
{
	fprintf(out, ",\n \"%s\":", key);
	return dump(out, json);
}

struct array begin_array(FILE *out, const char *key)
{
	fprintf(out, ",\n \"%s\":[", key);
	return (struct array){ .out = out };
}

int put_row(struct array *array, json_t *json)
{
	fputs(array->rows++ ? ",\n  " : "\n  ", array->out);
	return dump(array->out, json);
}

void end_array(const struct array *array)
{
	fputs(array->rows ? "\n ]" : "]", array->out);
}

double percent(uint64_t part, uint64_t whole)
{
	return whole ? (double)(uint64_t)(1e4 * (double)part / (double)whole + .5) / 100 : 0;
}

size_t rows_of(const struct sink_options *options, size_t all)
{
	return options->top && options->top < all ? options->top : all;
}

static json_t *target_json(const struct profile_target *target)
{
	/* clang-format off */
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}",
			 "pid", count_json(target->pid),
			 "comm", text_json(target->comm),
			 "exe", text_json(target->exe),
			 "build_id", text_json(target->build_id),
			 "provider", text_json(target->provider),
			 "threads", count_if(target->threads, target->threads));
	/* clang-format on */
}

static json_t *totals_json(const struct profile *profile)
{
	uint64_t timed = 0, faults = profile_faults(profile);
	const struct objects *objects = profile->objects;

	for (unsigned int i = 0; i < FP_NR_KINDS; i++)
		timed += profile->kinds[i].timed;
	/* clang-format off */
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
			 "s:{s:o, s:o, s:o}}",
			 "faults", count_json(faults),
			 "major", count_json(profile->major),
			 "minor", count_json(profile->minor),
			 "user", count_if(profile_has_mode(profile, FP_USER), profile->user),
			 "kernel", count_if(profile_has_mode(profile, FP_KERNEL), profile->kernel),
			 "failed", count_if(!profile->failed_unseen, profile->failed),
			 "lost", count_json(profile_lost(profile)),
			 "stall_ns", count_if(profile->stall_known && (timed || !faults),
					       profile_stall_ns(profile)),
			 "timed", count_json(timed),
			 "addressed", count_if(objects->known, objects->addressed),
			 "unknown", count_if(objects->known, objects->absent.faults),
			 "unowned", count_if(objects->known, objects->none.faults),
			 "access",
			 "read", count_if(!profile->access_unknown, profile->access[FP_READ]),
			 "write", count_if(!profile->access_unknown, profile->access[FP_WRITE]),
			 "exec", count_if(!profile->access_unknown, profile->access[FP_EXEC]));
	/* clang-format on */
}

/* Null is no filter, in whole or of that sort. */
static json_t *filter_json(const struct profile *profile)
{
	json_t *kinds = profile->only_kinds ? json_array() : json_null();
	const char *mode = NULL;

	if (!profile->only_kinds && !profile->only_modes)
		return kinds;
	for (unsigned int i = 0; kinds && i < FP_NR_KINDS; i++) {
		if (profile->only_kinds >> i & 1 &&
		    json_array_append_new(kinds, json_string(kind_name(i)))) {
			json_decref(kinds);
			return NULL;
		}
	}
	if (profile->only_modes)
		mode = mode_name(profile_has_mode(profile, FP_USER) ? FP_USER : FP_KERNEL);
	return json_pack("{s:o, s:o}", "kinds", kinds, "mode", text_json(mode));
}

static json_t *losses_json(const struct profile *profile)
{
	json_t *json = json_object();

	for (unsigned int i = 0; json && i < FP_NR_LOSSES; i++) {
		if (json_object_set_new(json, loss_name(i), count_json(profile->lost[i]))) {
			json_decref(json);
			return NULL;
		}
	}
	return json;
}

static json_t *kind_json(const struct profile *profile, enum fp_kind kind)
{
	const struct stall *stall = &profile->kinds[kind];
	double seconds = profile_seconds(profile);

	/* clang-format off */
	return json_pack("{s:s, s:o, s:o, s:o}",
			 "kind", kind_name(kind),
			 "faults", count_json(stall->faults),
			 "rate", seconds > 0 ? json_real((double)stall->faults / seconds) :
					       json_null(),
			 "stall_ns", stall_json(stall, profile->stall_known));
	/* clang-format on */
}

static json_t *symbol_json(const struct profile *profile, const struct profile_symbol *symbol)
{
	bool place = symbol->has_name || strcmp(symbol->symbol, "[unknown]") != 0;

	/* clang-format off */
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:s, s:o, s:f, s:o, "
			 "s:o, s:o}",
			 "symbol", text_json(symbol->symbol),
			 "comm", text_json(symbol->comm),
			 "module", text_json(symbol->module),
			 "file", text_json(symbol->file),
			 "line", count_if(symbol->line, symbol->line),
			 "offset", count_if(place, symbol->offset),
			 "inlined", text_json(symbol->inlined),
			 "mode", mode_name(symbol->mode),
			 "via", text_json(symbol->via),
			 "kind", kind_name(symbol->kind),
			 "faults", count_json(symbol->stall.faults),
			 "percent", percent(symbol->stall.faults, profile_faults(profile)),
			 "stall_ns", stall_json(&symbol->stall, profile->stall_known),
			 "addressed", count_if(profile->objects->known, symbol->addressed),
			 "objects", shares_json(symbol));
	/* clang-format on */
}

static json_t *stack_json(const struct profile *profile, const struct profile_stack *stack)
{
	json_t *frames = json_array();

	for (unsigned int i = 0; frames && i < stack->nr_frames; i++) {
		if (json_array_append_new(frames, text_json(stack->frames[i]))) {
			json_decref(frames);
			return NULL;
		}
	}
	/* clang-format off */
	return json_pack("{s:o, s:o, s:s, s:s, s:o, s:o}",
			 "comm", text_json(stack->comm),
			 "frames", frames,
			 "kind", kind_name(stack->kind),
			 "mode", mode_name(stack->mode),
			 "faults", count_json(stack->faults),
			 "stall_ns", count_if(profile->stall_known && stack->timed,
					       stack->stall_ns));
	/* clang-format on */
}

static int put_head(const struct profile *profile, FILE *out)
{
	double seconds = profile_seconds(profile);
	struct array targets;
	int ret;

	fputs("{\"schema\":\"faultprof/1\"", out);
	ret = put_key(out, "duration_s", json_real(seconds));
	ret = ret ? ret : put_key(out, "tier", text_json(profile->tier));
	ret = ret ? ret : put_key(out, "stall_known", json_boolean(profile->stall_known));
	ret = ret ? ret : put_key(out, "kinds_inferred", json_boolean(profile->kinds_inferred));
	ret = ret ? ret : put_key(out, "filter", filter_json(profile));
	targets = begin_array(out, "targets");
	for (size_t i = 0; !ret && i < profile->nr_targets; i++)
		ret = put_row(&targets, target_json(&profile->targets[i]));
	end_array(&targets);
	ret = ret ? ret : put_key(out, "totals", totals_json(profile));
	return ret ? ret : put_key(out, "losses", losses_json(profile));
}

static int put_tables(const struct profile *profile, const struct sink_options *options, FILE *out)
{
	size_t symbols = rows_of(options, profile->nr_symbols);
	size_t stacks = options->stacks ? rows_of(options, profile->nr_stacks) : 0;
	struct array array = begin_array(out, "kinds");
	int ret = 0;

	for (unsigned int i = 0; !ret && i < FP_NR_KINDS; i++)
		ret = put_row(&array, kind_json(profile, i));
	end_array(&array);
	array = begin_array(out, "symbols");
	for (size_t i = 0; !ret && i < symbols; i++)
		ret = put_row(&array, symbol_json(profile, profile->symbols[i]));
	end_array(&array);
	array = begin_array(out, "stacks");
	for (size_t i = 0; !ret && i < stacks; i++)
		ret = put_row(&array, stack_json(profile, profile->stacks[i]));
	end_array(&array);
	return ret;
}

static int write_json(const struct profile *profile, const struct sink_options *options, FILE *out)
{
	/* Nothing observes these yet; their readers may count on the keys. */
	static const char *const later[] = { "evictors", "page_cache", "advice" };
	struct array array;
	int ret = put_head(profile, out);

	ret = ret ? ret : put_tables(profile, options, out);
	ret = ret ? ret : put_objects_json(profile, options, out);
	for (size_t i = 0; i < sizeof(later) / sizeof(*later); i++) {
		array = begin_array(out, later[i]);
		end_array(&array);
	}
	array = begin_array(out, "warnings");
	for (size_t i = 0; !ret && i < profile->nr_warnings; i++)
		ret = put_row(&array, text_json(profile->warnings[i]));
	end_array(&array);
	fputs("\n}\n", out);
	return ret;
}

const struct sink sink_json = {
	.name = "json",
	.help = "everything, for other programs (schema faultprof/1)",
	.write = write_json,
	.compare = diff_json,
};
