/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Records of what happened, told to who wants to hear of it. */
#include <errno.h>
#include <limits.h>

#include "collect/recording_parse.h"

#define MAX_ADDED 65536
#define MAX_TARGETS 1024
#define MAX_WARNINGS 1024

/* ---- faults and what they hit ---- */

static void parse_buckets(struct parser *p, uint32_t *bucket)
{
	uint64_t nr = parser_number(p), at = 0;

	for (uint64_t i = 0; !p->body->bad && i < nr; i++) {
		uint64_t count = cursor_bounded(p->body, (uint64_t)UINT32_MAX << 1 | 1);

		if (count & 1)
			at += cursor_bounded(p->body, FP_STALL_BUCKETS);
		if (at < FP_STALL_BUCKETS)
			bucket[at++] = (uint32_t)(count >> 1);
		else
			p->body->bad = true;
	}
}

int parse_counted(struct parser *p)
{
	uint64_t site = cursor_bounded(p->body, p->index->nr_sites);
	struct fp_site_value value = { .untimed = parser_number(p) };
	struct fault fault;

	value.total_ns = parser_number(p);
	value.max_ns = parser_number(p);
	parse_buckets(p, value.bucket);
	if (p->body->bad || !site)
		return -EBADMSG;
	fault = p->index->sites[site - 1].fault;
	fault.ips = p->index->sites[site - 1].ips;
	fault.site = &value;
	return p->visitor->fault ? p->visitor->fault(p->visitor->arg, &fault, NULL) : 0;
}

static const struct object_kind *kind_at(struct parser *p)
{
	static const struct object_kind none = { "", "", NULL };
	uint64_t n = cursor_bounded(p->body, p->index->nr_kinds);

	p->body->bad |= !n;
	return n ? &p->index->kinds[n - 1] : &none;
}

static void parse_age(struct parser *p, struct fp_object *object, uint64_t now_ns)
{
	object->age_source = (enum fp_age_source)cursor_bounded(p->body, INT_MAX);
	object->born_ns = parser_time(p, now_ns);
	object->resolution_ns = parser_number(p);
}

static void parse_found(struct parser *p, const struct fault *fault, struct object_answer *answer,
			struct fp_object *object, struct fp_connection *connection)
{
	const struct object_kind *kind = kind_at(p);
	uint64_t n;

	*object = (struct fp_object){ .type = kind->type, .pool = kind->pool };
	answer->provider = kind->provider;
	answer->object = object;
	object->base = fault->address - (uint64_t)cursor_signed(p->body);
	object->size = parser_number(p);
	parse_age(p, object, fault->time_ns);
	object->used_ns = parser_time(p, fault->time_ns);
	n = cursor_bounded(p->body, p->index->nr_connections);
	if (!n)
		return;
	*connection = p->index->connections[n - 1];
	connection->used_ns = parser_time(p, fault->time_ns);
	connection->waiting_bytes = parser_number(p) - 1;
	object->connection = connection;
}

static void parse_answer(struct parser *p, const struct fault *fault, struct object_answer *answer,
			 struct fp_object *object, struct fp_connection *connection)
{
	uint64_t asked = cursor_bounded(p->body, 1 + OBJECT_NONE);

	*answer = (struct object_answer){ .asked = asked };
	if (!asked)
		return;
	answer->outcome = (enum object_outcome)(asked - 1);
	answer->swapped_ns = parser_number(p);
	if (answer->swapped_ns)
		answer->swapped_resolution_ns = parser_number(p);
	if (answer->outcome == OBJECT_FOUND)
		parse_found(p, fault, answer, object, connection);
}

static const uint64_t *stack_ips(const struct recording_index *index, uint64_t stack)
{
	const struct recorded_stack *recorded = &index->stacks[stack - 1];

	return recorded->nr ? index->ips + recorded->first : NULL;
}

static void parse_allocation(struct parser *p, struct object_answer *answer)
{
	uint64_t stack;

	answer->allocation = (enum allocation_answer)parser_later(p, ALLOCATION_WHOLE);
	if (answer->allocation < ALLOCATION_CUT)
		return;
	stack = cursor_bounded(p->body, p->index->nr_stacks);
	p->body->bad |= !stack;
	if (p->body->bad)
		return;
	answer->nr_callers = p->index->stacks[stack - 1].nr;
	answer->callers = stack_ips(p->index, stack);
}

int parse_fault(struct parser *p)
{
	struct recording_index *index = p->index;
	struct fp_connection connection;
	struct object_answer answer;
	struct fp_object object;
	struct fault fault = { 0 };
	uint64_t stack;

	parser_coordinates(p, &fault);
	fault.time_ns = index->fault_ns += (uint64_t)cursor_signed(p->body);
	fault.address = index->address += (uint64_t)cursor_signed(p->body);
	fault.stall_ns = parser_number(p);
	fault.pid = (uint32_t)cursor_bounded(p->body, UINT32_MAX);
	fault.tid = fault.pid + (uint32_t)cursor_signed(p->body);
	stack = cursor_bounded(p->body, index->nr_stacks);
	fault.stack_end = (enum fp_stack_end)cursor_bounded(p->body, FP_STACK_LOST);
	parse_answer(p, &fault, &answer, &object, &connection);
	parse_allocation(p, &answer);
	if (p->body->bad || !stack)
		return -EBADMSG;
	fault.nr_ips = index->stacks[stack - 1].nr;
	fault.ips = stack_ips(index, stack);
	return p->visitor->fault ? p->visitor->fault(p->visitor->arg, &fault, &answer) : 0;
}

/* 0: none; 1: the last one; 2: another. */
static void parse_owner(struct parser *p, struct fp_object *object)
{
	struct fp_connection *last = &p->index->connection;
	uint64_t which = cursor_bounded(p->body, 2);

	if (which == 2) {
		last->id += (uint64_t)cursor_signed(p->body);
		last->born_ns = parser_time(p, last->born_ns);
		last->resolution_ns = parser_number(p);
	}
	object->connection = which ? last : NULL;
}

int parse_live(struct parser *p)
{
	struct recording_index *index = p->index;
	uint32_t pid = (uint32_t)cursor_bounded(p->body, UINT32_MAX);
	const struct object_kind *kind = kind_at(p);
	struct fp_object object = { .type = kind->type, .pool = kind->pool };
	uint64_t present_bytes, swapped_bytes;

	index->now_ns += (uint64_t)cursor_signed(p->body);
	parse_owner(p, &object);
	object.base = index->base += (uint64_t)cursor_signed(p->body);
	object.size = parser_number(p);
	present_bytes = parser_number(p);
	swapped_bytes = parser_number(p);
	parse_age(p, &object, index->connection.born_ns);
	if (p->body->bad)
		return -EBADMSG;
	return p->visitor->live ? p->visitor->live(p->visitor->arg, pid, kind->provider, &object,
						   index->now_ns, present_bytes, swapped_bytes)
				: 0;
}

/* ---- the run ---- */

int parse_run(struct parser *p)
{
	struct recording_run *run = &p->recording->run;
	struct recording_index *index = p->index;

	run->version = parser_some_text(p);
	run->system = parser_some_text(p);
	run->release = parser_some_text(p);
	run->machine = parser_some_text(p);
	run->node = parser_some_text(p);
	run->description = parser_some_text(p);
	run->tier = (enum tier)cursor_bounded(p->body, NR_TIERS - 1);
	run->kinds = (uint32_t)cursor_bounded(p->body, UINT32_MAX);
	run->modes = (uint32_t)cursor_bounded(p->body, UINT32_MAX);
	run->stacks = parser_number(p);
	run->slow_ns = parser_number(p);
	run->begin_ns = parser_number(p);
	run->begin_date_ns = parser_number(p);
	run->command = (pid_t)cursor_bounded(p->body, INT_MAX);
	run->alloc_stacks = parser_later(p, 1);
	if (p->body->bad || index->has_run)
		return -EBADMSG;
	index->has_run = true;
	index->fault_ns = index->now_ns = index->connection.born_ns = p->recording->end_ns =
		run->begin_ns;
	return p->visitor->run ? p->visitor->run(p->visitor->arg, run) : 0;
}

int parse_target(struct parser *p)
{
	uint32_t pid = (uint32_t)cursor_bounded(p->body, UINT32_MAX);
	const char *comm = parser_some_text(p), *exe = parser_text(p);
	unsigned int threads = (unsigned int)cursor_bounded(p->body, UINT_MAX);

	if (p->body->bad || p->index->nr_targets++ >= MAX_TARGETS)
		return -EBADMSG;
	return p->visitor->target ? p->visitor->target(p->visitor->arg, pid, comm, exe, threads)
				  : 0;
}

int parse_added(struct parser *p)
{
	pid_t pid = (pid_t)cursor_bounded(p->body, INT_MAX);

	if (p->body->bad || p->recording->added.nr >= MAX_ADDED)
		return -EBADMSG;
	return pid_list_add(&p->recording->added, pid);
}

int parse_provider(struct parser *p)
{
	uint32_t pid = (uint32_t)cursor_bounded(p->body, UINT32_MAX);
	const char *name = parser_some_text(p);

	if (p->body->bad)
		return -EBADMSG;
	return p->visitor->provider ? p->visitor->provider(p->visitor->arg, pid, name) : 0;
}

int parse_warning(struct parser *p)
{
	const char *warning = parser_some_text(p);

	if (p->body->bad || p->index->nr_warnings++ >= MAX_WARNINGS)
		return -EBADMSG;
	return p->visitor->warning ? p->visitor->warning(p->visitor->arg, warning) : 0;
}

int parse_tick(struct parser *p)
{
	uint64_t time_ns = p->recording->run.begin_ns + (uint64_t)cursor_signed(p->body), flags, nr;
	struct collect_counts counts = { .faults = parser_number(p) };

	counts.major = parser_number(p);
	counts.failed = parser_number(p);
	flags = parser_number(p);
	counts.kernel_seen = flags & 1;
	counts.access_known = flags & 2;
	counts.stall_known = flags & 4;
	counts.kinds_inferred = flags & 8;
	nr = parser_number(p);
	for (uint64_t i = 0; !p->body->bad && i < nr; i++) {
		uint64_t lost = parser_number(p);

		if (i < FP_NR_LOSSES)
			counts.lost[i] = lost;
	}
	if (p->body->bad)
		return -EBADMSG;
	p->recording->counts = counts;
	p->recording->end_ns = time_ns;
	return p->visitor->tick ? p->visitor->tick(p->visitor->arg, time_ns, &counts) : 0;
}

int parse_end(struct parser *p)
{
	int r = parse_tick(p);

	p->index->has_end = !r;
	return r;
}
