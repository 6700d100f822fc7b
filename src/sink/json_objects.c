/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Objects and connections in the JSON report. */
#include "sink/json.h"

json_t *shares_json(const struct profile_symbol *symbol)
{
	json_t *json = json_array();

	for (size_t i = 0; json && i < symbol->nr_objects; i++) {
		const struct object_share *share = &symbol->objects[i];
		/* clang-format off */
		json_t *row = json_pack("{s:o, s:o, s:o, s:o, s:f}",
					"provider", text_json(share->kind->provider),
					"type", text_json(share->kind->type),
					"pool", text_json(share->kind->pool),
					"faults", count_json(share->faults),
					"percent", percent(share->faults, symbol->addressed));
		/* clang-format on */

		if (json_array_append_new(json, row)) {
			json_decref(json);
			return NULL;
		}
	}
	return json;
}

static json_t *seconds_if(bool known, uint64_t ns)
{
	return known ? json_real((double)ns / 1e9) : json_null();
}

static json_t *durations_json(const struct durations *durations, uint64_t resolution_ns)
{
	bool some = durations->nr;

	/* clang-format off */
	return json_pack("{s:o, s:o, s:o, s:o, s:o}",
			 "p50", seconds_if(some, durations_quantile(durations, .5)),
			 "p90", seconds_if(some, durations_quantile(durations, .9)),
			 "max", seconds_if(some, durations->max_ns),
			 "faults", count_json(durations->nr),
			 "resolution", seconds_if(some, resolution_ns));
	/* clang-format on */
}

/* The source of most of its ages. */
static json_t *source_json(const uint64_t by[FP_AGE_AT_LEAST + 1])
{
	enum fp_age_source most = FP_AGE_UNKNOWN;

	for (enum fp_age_source i = FP_AGE_ALLOCATED; i <= FP_AGE_AT_LEAST; i++)
		if (by[i] && (most == FP_AGE_UNKNOWN || by[i] > by[most]))
			most = i;
	return text_json(age_source_name(most));
}

static json_t *object_json(const struct profile *profile, const struct profile_object *object)
{
	const uint64_t *by = object->by_source;

	/* clang-format off */
	return json_pack("{s:o, s:o, s:o, s:o, s:f, s:o, s:o, s:o, s:{s:o, s:o, s:o, s:o}, s:o, "
			 "s:o, s:o}",
			 "provider", text_json(object->kind.provider),
			 "type", text_json(object->kind.type),
			 "pool", text_json(object->kind.pool),
			 "faults", count_json(object->stall.faults),
			 "percent", percent(object->stall.faults, profile->objects->addressed),
			 "stall_ns", stall_json(&object->stall, profile->stall_known),
			 "age_s", durations_json(&object->age, object->age_resolution_ns),
			 "age_source", source_json(by),
			 "age_sources",
			 "accept", count_json(by[FP_AGE_ACCEPTED]),
			 "alloc", count_json(by[FP_AGE_ALLOCATED]),
			 "at_least", count_json(by[FP_AGE_AT_LEAST]),
			 "unknown", count_json(by[FP_AGE_UNKNOWN]),
			 "at_least_s", durations_json(&object->at_least, object->age_resolution_ns),
			 "idle_s", durations_json(&object->idle, object->idle_resolution_ns),
			 "swapped_s", durations_json(&object->swapped,
						     object->swapped_resolution_ns));
	/* clang-format on */
}

static json_t *connection_json(const struct profile *profile,
			       const struct profile_connection *connection)
{
	bool timed = profile->stall_known && connection->timed;

	/* clang-format off */
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "peer", text_json(connection->peer[0] ? connection->peer : NULL),
			 "frontend", text_json(connection->frontend),
			 "backend", text_json(connection->backend),
			 "provider", text_json(connection->provider),
			 "pid", count_json(connection->pid),
			 "age_s", seconds_if(connection->age_known, connection->age_ns),
			 "idle_s", seconds_if(connection->idle_known, connection->idle_ns),
			 "resolution_s", seconds_if(connection->age_known || connection->idle_known,
						    connection->resolution_ns),
			 "faults", count_json(connection->faults),
			 "stall_ns", count_if(timed, connection->stall_ns),
			 "waiting_bytes", count_if(connection->waiting_bytes != UINT64_MAX,
						    connection->waiting_bytes));
	/* clang-format on */
}

/* @hit may be NULL. */
static json_t *bands_json(const uint64_t all[NR_AGE_BANDS], const uint64_t hit[NR_AGE_BANDS])
{
	json_t *json = json_array();

	for (unsigned int i = 0; json && i < NR_AGE_BANDS; i++) {
		json_t *row = json_pack("{s:s, s:o, s:o}", "age", age_band_name(i), "below_s",
					count_if(i < AGE_OLDER, age_band_ns(i) / 1000000000),
					"objects", count_json(all[i]));

		if (row && hit && json_object_set_new(row, "hit", count_json(hit[i]))) {
			json_decref(row);
			row = NULL;
		}
		if (json_array_append_new(json, row)) {
			json_decref(json);
			return NULL;
		}
	}
	return json;
}

static json_t *census_json(const struct profile_object *object)
{
	const struct object_census *census = &object->census;

	/* clang-format off */
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "provider", text_json(object->kind.provider),
			 "type", text_json(object->kind.type),
			 "pool", text_json(object->kind.pool),
			 "objects", count_json(census->objects),
			 "bytes", count_json(census->bytes),
			 "present_bytes", count_json(census->present_bytes),
			 "swapped_bytes", count_json(census->swapped_bytes),
			 "ages", bands_json(census->aged, NULL));
	/* clang-format on */
}

/* Null when no living object was seen; without a ratio, that is null. */
static json_t *ages_json(const struct object_ages *ages)
{
	const struct ratio *ratio = &ages->ratio;
	bool known = ages->ratio_known, finite = known && ages->younger_hit;
	uint64_t living = ages->left_out;

	for (unsigned int i = 0; i < NR_AGE_BANDS; i++)
		living += ages->living[i];
	if (!living)
		return json_null();
	/* clang-format off */
	return json_pack("{s:o, s:o, s:o, s:o, s:{s:o, s:o}, s:{s:o, s:o}, s:o, s:o}",
			 "ages", bands_json(ages->living, ages->hit),
			 "gone", count_json(ages->gone),
			 "left_out", count_json(ages->left_out),
			 "split_s", seconds_if(ages->older, ages->split_ns),
			 "older", "objects", count_json(ages->older), "hit", count_json(ages->older_hit),
			 "younger", "objects", count_json(ages->younger),
				    "hit", count_json(ages->younger_hit),
			 "ratio", finite ? json_real(ratio->value) : json_null(),
			 "interval", !known ? json_null() :
				     json_pack("[f, o]", ratio->low,
					       finite ? json_real(ratio->high) : json_null()));
	/* clang-format on */
}

static json_t *allocation_json(const struct profile *profile, const struct profile_allocation *site)
{
	json_t *frames = json_array();

	for (unsigned int i = 0; frames && i < site->nr_frames; i++)
		if (json_array_append_new(frames, text_json(site->frames[i]))) {
			json_decref(frames);
			frames = NULL;
		}
	/* clang-format off */
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:f, s:o}",
			 "provider", text_json(site->kind->provider),
			 "type", text_json(site->kind->type),
			 "pool", text_json(site->kind->pool),
			 "frames", frames,
			 "faults", count_json(site->faults),
			 "percent", percent(site->faults, profile->objects->addressed),
			 "stall_ns", count_if(profile->stall_known && site->timed, site->stall_ns));
	/* clang-format on */
}

/* Null when nobody asked. */
static json_t *allocation_faults_json(const struct allocations *a)
{
	if (!a->known)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o}", "faults", count_json(a->faults), "cut",
			 count_json(a->cut), "unknown", count_json(a->unknown), "unlisted",
			 count_json(a->unlisted));
}

static int put_allocations_json(const struct profile *profile, const struct sink_options *options,
				FILE *out)
{
	const struct allocations *a = &profile->objects->allocations;
	size_t nr = rows_of(options, a->nr_sites);
	struct array array = begin_array(out, "allocations");
	int ret = 0;

	for (size_t i = 0; !ret && i < nr; i++)
		ret = put_row(&array, allocation_json(profile, a->sites[i]));
	end_array(&array);
	return ret ? ret : put_key(out, "allocation_faults", allocation_faults_json(a));
}

int put_objects_json(const struct profile *profile, const struct sink_options *options, FILE *out)
{
	const struct objects *objects = profile->objects;
	size_t connections = rows_of(options, objects->nr_connections);
	size_t nr = rows_of(options, objects->nr_objects);
	struct array array = begin_array(out, "objects");
	int ret = 0;

	for (size_t i = 0; !ret && i < nr; i++)
		if (objects->objects[i]->stall.faults)
			ret = put_row(&array, object_json(profile, objects->objects[i]));
	end_array(&array);
	array = begin_array(out, "connections");
	for (size_t i = 0; !ret && i < connections; i++)
		ret = put_row(&array, connection_json(profile, objects->connections[i]));
	end_array(&array);
	ret = ret ? ret
		  : put_key(out, "connections_unlisted",
			    count_if(objects->known, objects->unlisted));
	array = begin_array(out, "census");
	for (size_t i = 0; !ret && i < nr; i++)
		if (objects->objects[i]->census.objects)
			ret = put_row(&array, census_json(objects->objects[i]));
	end_array(&array);
	ret = ret ? ret : put_key(out, "object_ages", ages_json(&objects->ages));
	return ret ? ret : put_allocations_json(profile, options, out);
}
