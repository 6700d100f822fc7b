/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Gathers objects into kinds, connections. Strings are interned, so that the keys of the tables are
 * pointers and numbers.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/grow.h"
#include "base/intern.h"
#include "model/profile.h"

#define OTHER_KINDS "(other)"
#define RECENT_KINDS 64

struct kind_entry {
	struct profile_object object; /* first, and its kind the first of it: what is handed out */
	UT_hash_handle hh;	      /* key: object.kind */
};

struct connection_entry {
	struct profile_connection connection; /* first: what objects.connections points to */
	struct owner_key key;
	UT_hash_handle hh;
};

/* Providers are known before their targets are. */
struct provided {
	uint32_t pid;
	const char *name;
};

struct objects_index {
	struct provided *provided;
	size_t nr_provided;
	struct strings strings;
	struct kind_entry *kinds;
	struct profile_object *recent[RECENT_KINDS]; /* by the addresses that its names had */
	struct connection_entry *connections;
	uint64_t now_ns; /* of the census */
};

int objects_new(struct objects **ret)
{
	struct objects *objects = calloc(1, sizeof(*objects));

	if (!objects)
		return -ENOMEM;
	objects->index = calloc(1, sizeof(*objects->index));
	if (!objects->index) {
		free(objects);
		return -ENOMEM;
	}
	*ret = objects;
	return 0;
}

void objects_free(struct objects *objects)
{
	struct connection_entry *connection, *next_connection;
	struct kind_entry *kind, *next_kind;
	struct objects_index *index;

	if (!objects)
		return;
	index = objects->index;
	HASH_ITER (hh, index->kinds, kind, next_kind) {
		HASH_DEL(index->kinds, kind);
		free(kind);
	}
	HASH_ITER (hh, index->connections, connection, next_connection) {
		HASH_DEL(index->connections, connection);
		free(connection);
	}
	allocations_release(&objects->allocations);
	ages_release(&objects->ages);
	strings_release(&index->strings);
	free(index->provided);
	free(objects->objects);
	free(objects->connections);
	free(index);
	free(objects);
}

/* False: not known. A use after the fault, by what the fault was for, says nothing. */
static bool idle_of(uint64_t used_ns, uint64_t now_ns, uint64_t *ret)
{
	if (!used_ns || used_ns > now_ns)
		return false;
	*ret = now_ns - used_ns;
	return true;
}

static void coarsest(uint64_t *resolution_ns, uint64_t ns)
{
	if (ns > *resolution_ns)
		*resolution_ns = ns;
}

/* ---- kinds ---- */

/* NULL only when out of memory. */
static struct kind_entry *kind_new(struct objects *objects, const struct object_kind *kind)
{
	struct kind_entry *entry;

	if (grow(&objects->objects, objects->nr_objects, sizeof(*objects->objects)))
		return NULL;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->object.kind = *kind;
	HASH_ADD(hh, objects->index->kinds, object.kind, sizeof(*kind), entry);
	if (!entry->hh.tbl) {
		free(entry);
		return NULL;
	}
	objects->objects[objects->nr_objects++] = &entry->object;
	return entry;
}

static bool same(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool is_kind(const struct object_kind *kind, const char *provider, const char *type,
		    const char *pool)
{
	return same(kind->type, type) && same(kind->pool, pool) && same(kind->provider, provider);
}

/* With no room for more kinds, none for their names either. NULL: it is a new one. */
static struct profile_object *object_without_room(const struct objects *objects,
						  const char *provider, const char *type,
						  const char *pool)
{
	for (size_t i = 0; i < objects->nr_objects; i++)
		if (is_kind(&objects->objects[i]->kind, provider, type, pool))
			return objects->objects[i];
	return NULL;
}

/* NULL only when out of memory. */
static struct profile_object *object_named(struct objects *objects, const char *provider,
					   const char *type, const char *pool)
{
	struct strings *strings = &objects->index->strings;
	struct profile_object *object;
	struct kind_entry *entry;
	struct object_kind kind;

	if (objects->nr_objects >= OBJECT_KINDS_MAX) {
		object = object_without_room(objects, provider, type, pool);
		if (object)
			return object;
		type = OTHER_KINDS;
		pool = NULL;
	}
	kind.provider = strings_intern(strings, provider);
	kind.type = strings_intern(strings, type);
	kind.pool = strings_intern(strings, pool);
	if (!kind.provider || !kind.type || (pool && !kind.pool))
		return NULL;
	HASH_FIND(hh, objects->index->kinds, &kind, sizeof(kind), entry);
	if (!entry)
		entry = kind_new(objects, &kind);
	return entry ? &entry->object : NULL;
}

/* The same. Names are nearly always constants of their provider; to compare them with what they
 * were is cheaper than to intern them. */
static struct profile_object *object_of(struct objects *objects, const char *provider,
					const char *type, const char *pool)
{
	uint64_t hash = ((uintptr_t)type * 31 + (uintptr_t)pool) * 0x9e3779b97f4a7c15ULL;
	struct profile_object **recent = &objects->index->recent[(hash >> 32) % RECENT_KINDS];

	if (!*recent || !is_kind(&(*recent)->kind, provider, type, pool))
		*recent = object_named(objects, provider, type, pool);
	return *recent;
}

const struct object_kind *profile_object_kind(struct profile *profile, const char *provider,
					      const char *type, const char *pool)
{
	struct profile_object *object = object_of(profile->objects, provider, type, pool);

	return object ? &object->kind : NULL;
}

/* ---- providers ---- */

/* NULL: none that is remembered. */
static struct provided *provided_of(const struct objects_index *index, uint32_t pid)
{
	for (size_t i = 0; i < index->nr_provided; i++)
		if (index->provided[i].pid == pid)
			return &index->provided[i];
	return NULL;
}

const char *objects_provider(const struct objects *objects, uint32_t pid)
{
	const struct provided *known = provided_of(objects->index, pid);

	return known ? known->name : NULL;
}

int profile_set_provider(struct profile *profile, uint32_t pid, const char *provider)
{
	struct objects_index *index = profile->objects->index;
	struct provided *known = provided_of(index, pid);
	const char *name = strings_intern(&index->strings, provider);

	if (!name)
		return -ENOMEM;
	profile->objects->known = true;
	for (size_t i = 0; i < profile->nr_targets; i++)
		if (profile->targets[i].pid == pid)
			profile->targets[i].provider = name;
	if (known) {
		known->name = name;
		return 0;
	}
	if (index->nr_provided == PROVIDED_MAX)
		return 0;
	if (grow(&index->provided, index->nr_provided, sizeof(*known)))
		return -ENOMEM;
	index->provided[index->nr_provided++] = (struct provided){ .pid = pid, .name = name };
	return 0;
}

/* ---- connections ---- */

static struct owner_key key_of(const struct profile_object *row, uint32_t pid,
			       const struct fp_object *object)
{
	const struct fp_connection *connection = object->connection;

	return (struct owner_key){ .provider = row->kind.provider,
				   .id = connection ? connection->id : object->base,
				   .pid = pid,
				   .is_connection = connection != NULL };
}

/* *@ret NULL: there is no room. 0 or -ENOMEM. */
static int connection_of(struct objects *objects, const struct owner_key *key,
			 struct connection_entry **ret)
{
	struct connection_entry *entry;

	HASH_FIND(hh, objects->index->connections, key, sizeof(*key), entry);
	*ret = entry;
	if (entry || objects->nr_connections >= CONNECTIONS_MAX)
		return 0;
	if (grow(&objects->connections, objects->nr_connections, sizeof(*objects->connections)))
		return -ENOMEM;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	entry->key = *key;
	entry->connection.provider = key->provider;
	entry->connection.pid = key->pid;
	HASH_ADD(hh, objects->index->connections, key, sizeof(entry->key), entry);
	if (!entry->hh.tbl) {
		free(entry);
		return -ENOMEM;
	}
	objects->connections[objects->nr_connections++] = &entry->connection;
	*ret = entry;
	return 0;
}

/* What is known of it gets more as its pages come in, so nothing known is forgotten. */
static int describe_connection(struct objects *objects, struct profile_connection *connection,
			       const struct fp_connection *from)
{
	struct strings *strings = &objects->index->strings;
	const char *frontend = strings_intern(strings, from->frontend);
	const char *backend = strings_intern(strings, from->backend);

	if ((from->frontend && !frontend) || (from->backend && !backend))
		return -ENOMEM;
	connection->frontend = frontend ? frontend : connection->frontend;
	connection->backend = backend ? backend : connection->backend;
	if (from->peer[0])
		snprintf(connection->peer, sizeof(connection->peer), "%.*s",
			 (int)sizeof(from->peer), from->peer);
	coarsest(&connection->resolution_ns, from->resolution_ns);
	connection->waiting_bytes = from->waiting_bytes;
	return 0;
}

static void count_connection(struct profile_connection *connection, const struct fault *fault,
			     const struct fp_connection *from)
{
	struct fp_object as_object = { .connection = from };
	struct age age = age_of(&as_object, fault->time_ns);
	uint64_t idle_ns;

	connection->faults++;
	connection->timed += fault->stall_ns != 0;
	connection->stall_ns += fault->stall_ns;
	if (fault->stall_ns > connection->max_ns)
		connection->max_ns = fault->stall_ns;
	if (age.source != FP_AGE_UNKNOWN &&
	    (!connection->age_known || age.ns > connection->age_ns)) {
		connection->age_known = true;
		connection->born_ns = age.born_ns;
		connection->age_ns = age.ns;
	}
	if (idle_of(from->used_ns, fault->time_ns, &idle_ns)) {
		connection->idle_known = true;
		if (idle_ns > connection->idle_ns)
			connection->idle_ns = idle_ns;
	}
}

/* ---- faults and living objects ---- */

static void count_object(struct profile_object *row, const struct fault *fault,
			 const struct fp_object *object, const struct age *age)
{
	const struct fp_connection *connection = object->connection;
	uint64_t idle_ns;

	stall_add(&row->stall, fault->stall_ns);
	row->by_source[age->source]++;
	if (age->source != FP_AGE_UNKNOWN) {
		durations_add(age->source == FP_AGE_AT_LEAST ? &row->at_least : &row->age, age->ns);
		coarsest(&row->age_resolution_ns, age->resolution_ns);
	}
	if (idle_of(object->used_ns, fault->time_ns, &idle_ns)) {
		durations_add(&row->idle, idle_ns);
		coarsest(&row->idle_resolution_ns, object->resolution_ns);
	} else if (!object->used_ns && connection &&
		   idle_of(connection->used_ns, fault->time_ns, &idle_ns)) {
		durations_add(&row->idle, idle_ns);
		coarsest(&row->idle_resolution_ns, connection->resolution_ns);
	}
}

/* 0 or -ENOMEM, then nothing is counted but the owner's hit. */
static int add_found(struct objects *objects, struct profile_object *row, const struct fault *fault,
		     const struct fp_object *object)
{
	struct age age = age_of(object, fault->time_ns);
	struct owner_key key = key_of(row, fault->pid, object);
	struct connection_entry *connection = NULL;
	int r = ages_note(&objects->ages, &key, &age, false);

	if (!r && object->connection)
		r = connection_of(objects, &key, &connection);
	if (!r && connection)
		r = describe_connection(objects, &connection->connection, object->connection);
	if (r)
		return r;
	if (connection)
		count_connection(&connection->connection, fault, object->connection);
	else
		objects->unlisted += object->connection != NULL;
	count_object(row, fault, object, &age);
	return 0;
}

int profile_add_object(struct profile *profile, const struct fault *fault, const char *provider,
		       enum object_outcome outcome, const struct fp_object *object,
		       uint64_t swapped_ns, uint64_t swapped_resolution_ns)
{
	struct objects *objects = profile->objects;
	struct profile_object *row;
	int r;

	objects->known = true;
	if (outcome == OBJECT_FOUND) {
		row = object_of(objects, provider, object->type, object->pool);
		r = row ? add_found(objects, row, fault, object) : -ENOMEM;
		if (r)
			return r;
		if (swapped_ns) {
			durations_add(&row->swapped, swapped_ns);
			coarsest(&row->swapped_resolution_ns, swapped_resolution_ns);
		}
	} else {
		stall_add(outcome == OBJECT_ABSENT ? &objects->absent : &objects->none,
			  fault->stall_ns);
	}
	objects->addressed++;
	return 0;
}

int profile_add_live_object(struct profile *profile, uint32_t pid, const char *provider,
			    const struct fp_object *object, uint64_t now_ns, uint64_t present_bytes,
			    uint64_t swapped_bytes)
{
	struct objects *objects = profile->objects;
	struct profile_object *row = object_of(objects, provider, object->type, object->pool);
	struct age age = age_of(object, now_ns);
	struct owner_key key;

	if (!row)
		return -ENOMEM;
	key = key_of(row, pid, object);
	if (ages_note(&objects->ages, &key, &age, true))
		return -ENOMEM;
	objects->known = true;
	objects->index->now_ns = now_ns;
	row->census.objects++;
	row->census.bytes += object->size;
	row->census.present_bytes += present_bytes;
	row->census.swapped_bytes += swapped_bytes;
	row->census.aged[age_band(&age)]++;
	return 0;
}

/* ---- the end ---- */

int object_kind_compare(const struct object_kind *a, const struct object_kind *b)
{
	int order = strcmp(a->provider, b->provider);

	if (order || (order = strcmp(a->type, b->type)))
		return order;
	return strcmp(a->pool ? a->pool : "", b->pool ? b->pool : "");
}

static int object_compare(const void *left, const void *right)
{
	const struct profile_object *a = *(struct profile_object *const *)left;
	const struct profile_object *b = *(struct profile_object *const *)right;

	if (a->stall.faults != b->stall.faults)
		return a->stall.faults < b->stall.faults ? 1 : -1;
	if (a->census.bytes != b->census.bytes)
		return a->census.bytes < b->census.bytes ? 1 : -1;
	return object_kind_compare(&a->kind, &b->kind);
}

static int connection_compare(const void *left, const void *right)
{
	const struct profile_connection *a = *(struct profile_connection *const *)left;
	const struct profile_connection *b = *(struct profile_connection *const *)right;

	if (a->stall_ns != b->stall_ns)
		return a->stall_ns < b->stall_ns ? 1 : -1;
	if (a->faults != b->faults)
		return a->faults < b->faults ? 1 : -1;
	if (a->born_ns != b->born_ns)
		return a->born_ns < b->born_ns ? -1 : 1;
	if (a->pid != b->pid)
		return a->pid < b->pid ? -1 : 1;
	return strcmp(a->peer, b->peer);
}

void objects_finish(struct objects *objects, uint64_t begin_ns)
{
	if (objects->nr_objects)
		qsort(objects->objects, objects->nr_objects, sizeof(*objects->objects),
		      object_compare);
	if (objects->nr_connections)
		qsort(objects->connections, objects->nr_connections, sizeof(*objects->connections),
		      connection_compare);
	allocations_finish(&objects->allocations);
	ages_compare(&objects->ages, begin_ns, objects->index->now_ns);
}
