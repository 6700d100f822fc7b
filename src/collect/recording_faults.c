/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Faults, and what they hit. */
#include <string.h>

#include "collect/recording_put.h"

static void put_ips(struct bytes *body, const uint64_t *ips, unsigned int nr)
{
	uint64_t last = 0;

	bytes_number(body, nr);
	for (unsigned int i = 0; i < nr; i++) {
		bytes_signed(body, (int64_t)(ips[i] - last));
		last = ips[i];
	}
}

static void put_coordinates(struct bytes *body, const struct fault *fault)
{
	bytes_number(body, fault->image->id);
	bytes_number(body, (unsigned int)fault->kind | (unsigned int)fault->access << 4);
	bytes_number(body, (unsigned int)fault->mode | (unsigned int)fault->major << 1);
}

/* Times lie close together: what is told of a bucket is its count, and how far it is from the last
 * one only when it is not the next. */
static void put_buckets(struct bytes *body, const uint32_t *bucket)
{
	unsigned int nr = 0, next = 0;

	for (unsigned int i = 0; i < FP_STALL_BUCKETS; i++)
		nr += bucket[i] != 0;
	bytes_number(body, nr);
	for (unsigned int i = 0; i < FP_STALL_BUCKETS; i++) {
		if (!bucket[i])
			continue;
		bytes_number(body, (uint64_t)bucket[i] << 1 | (i != next));
		if (i != next)
			bytes_number(body, i - next);
		next = i + 1;
	}
}

static int put_counted(struct recording_writer *w, const struct fault *fault)
{
	const struct fp_site_value *value = fault->site;
	struct bytes *body = recording_body(w);
	uint64_t site;

	put_coordinates(body, fault);
	put_ips(body, fault->ips, fault->nr_ips);
	site = recording_body_number(w, RECORDING_SITE);
	body = recording_body(w);
	bytes_number(body, site);
	bytes_number(body, value->untimed);
	bytes_number(body, value->total_ns);
	bytes_number(body, value->max_ns);
	put_buckets(body, value->bucket);
	return recording_emit_body(w, RECORDING_COUNTED);
}

static uint64_t kind_of(struct recording_writer *w, const char *provider, const char *type,
			const char *pool)
{
	uint64_t a = recording_text(w, provider), b = recording_text(w, type),
		 c = recording_text(w, pool);
	struct bytes *body = recording_body(w);

	bytes_number(body, a);
	bytes_number(body, b);
	bytes_number(body, c);
	return recording_body_number(w, RECORDING_KIND);
}

static uint64_t connection_of(struct recording_writer *w, const struct fp_connection *connection)
{
	uint64_t frontend, backend, peer;
	char text[sizeof(connection->peer) + 1] = "";
	struct bytes *body;

	if (!connection)
		return 0;
	memcpy(text, connection->peer, sizeof(connection->peer));
	frontend = recording_text(w, connection->frontend);
	backend = recording_text(w, connection->backend);
	peer = recording_text(w, text);
	body = recording_body(w);
	bytes_number(body, connection->id);
	recording_put_time(body, connection->born_ns, w->begin_ns);
	bytes_number(body, connection->resolution_ns);
	bytes_number(body, frontend);
	bytes_number(body, backend);
	bytes_number(body, peer);
	return recording_body_number(w, RECORDING_CONNECTION);
}

static void put_age(struct bytes *body, const struct fp_object *object, uint64_t now_ns)
{
	bytes_number(body, object->age_source);
	recording_put_time(body, object->born_ns, now_ns);
	bytes_number(body, object->resolution_ns);
}

/* All that a profile asks of the object that a fault hit; what is not found has none. */
static void put_answer(struct bytes *body, const struct fault *fault,
		       const struct object_answer *answer, uint64_t kind, uint64_t connection)
{
	const struct fp_object *object = answer->object;

	bytes_number(body, answer->asked ? 1 + (uint64_t)answer->outcome : 0);
	if (!answer->asked)
		return;
	bytes_number(body, answer->swapped_ns);
	if (answer->swapped_ns)
		bytes_number(body, answer->swapped_resolution_ns);
	if (answer->outcome != OBJECT_FOUND)
		return;
	bytes_number(body, kind);
	bytes_signed(body, (int64_t)(fault->address - object->base));
	bytes_number(body, object->size);
	put_age(body, object, fault->time_ns);
	recording_put_time(body, object->used_ns, fault->time_ns);
	bytes_number(body, connection);
	if (!connection)
		return;
	recording_put_time(body, object->connection->used_ns, fault->time_ns);
	bytes_number(body, object->connection->waiting_bytes + 1); /* not known: 0 */
}

static uint64_t stack_of(struct recording_writer *w, const uint64_t *ips, unsigned int nr)
{
	put_ips(recording_body(w), ips, nr);
	return recording_body_number(w, RECORDING_STACK);
}

static int put_single(struct recording_writer *w, const struct fault *fault,
		      const struct object_answer *answer)
{
	bool found = answer->asked && answer->outcome == OBJECT_FOUND;
	const struct fp_object *object = found ? answer->object : NULL;
	uint64_t kind = found ? kind_of(w, answer->provider, object->type, object->pool) : 0;
	uint64_t connection = found ? connection_of(w, object->connection) : 0, stack;
	uint64_t callers = 0;
	struct bytes *body;

	stack = stack_of(w, fault->ips, fault->nr_ips);
	if (answer->allocation >= ALLOCATION_CUT)
		callers = stack_of(w, answer->callers, answer->nr_callers);
	body = recording_body(w);
	put_coordinates(body, fault);
	bytes_signed(body, (int64_t)(fault->time_ns - w->fault_ns));
	bytes_signed(body, (int64_t)(fault->address - w->address));
	bytes_number(body, fault->stall_ns);
	bytes_number(body, fault->pid);
	bytes_signed(body, (int64_t)fault->tid - (int64_t)fault->pid);
	bytes_number(body, stack);
	bytes_number(body, fault->stack_end);
	put_answer(body, fault, answer, kind, connection);
	bytes_number(body, answer->allocation);
	if (callers)
		bytes_number(body, callers);
	w->fault_ns = fault->time_ns;
	w->address = fault->address;
	return recording_emit_body(w, RECORDING_FAULT);
}

int recording_fault(struct recording_writer *w, const struct fault *fault,
		    const struct object_answer *answer)
{
	if (recording_put_image(w, fault->image))
		return w->error;
	return fault->site ? put_counted(w, fault) : put_single(w, fault, answer);
}

/* Those of one connection often follow each other. */
static void put_owner(struct recording_writer *w, struct bytes *body,
		      const struct fp_connection *connection)
{
	struct fp_connection *last = &w->connection;
	bool same = connection && connection->id == last->id &&
		    connection->born_ns == last->born_ns &&
		    connection->resolution_ns == last->resolution_ns;

	bytes_number(body, !connection ? 0 : same ? 1 : 2);
	if (!connection || same)
		return;
	bytes_signed(body, (int64_t)(connection->id - last->id));
	recording_put_time(body, connection->born_ns, last->born_ns);
	bytes_number(body, connection->resolution_ns);
	*last = *connection;
}

int recording_live(struct recording_writer *w, uint32_t pid, const char *provider,
		   const struct fp_object *object, uint64_t now_ns, uint64_t present_bytes,
		   uint64_t swapped_bytes)
{
	uint64_t kind = kind_of(w, provider, object->type, object->pool);
	struct bytes *body = recording_body(w);

	bytes_number(body, pid);
	bytes_number(body, kind);
	bytes_signed(body, (int64_t)(now_ns - w->now_ns));
	put_owner(w, body, object->connection);
	bytes_signed(body, (int64_t)(object->base - w->base));
	bytes_number(body, object->size);
	bytes_number(body, present_bytes);
	bytes_number(body, swapped_bytes);
	put_age(body, object, w->connection.born_ns);
	w->now_ns = now_ns;
	w->base = object->base;
	return recording_emit_body(w, RECORDING_LIVE);
}
