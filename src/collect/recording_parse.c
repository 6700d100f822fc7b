/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Records, as recording_write.c and its like write them. What would lead out of a table is not
 * valid; what is merely absurd (a fault of a thousand years) is told as it stands. Tables are
 * bounded, or grow by what a record holds.
 */
#include "collect/recording_parse.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"

#define MAX_TEXT 65535
#define MAX_IMAGES 65536
#define MAX_REGIONS (1U << 20) /* of all images */
#define MAX_ADDED 65536

struct parser {
	struct recording *recording;
	struct recording_index *index;
	const struct recording_visitor *visitor;
	struct cursor *body;
};

/* ---- what records refer to ---- */

static uint64_t number(struct parser *p)
{
	return cursor_number(p->body);
}

static uint64_t time_of(struct parser *p, uint64_t base_ns)
{
	uint64_t time_ns = base_ns + (uint64_t)cursor_signed(p->body);

	return time_ns == base_ns ? 0 : time_ns ? time_ns : base_ns;
}

/* NULL: none. */
static const char *text(struct parser *p)
{
	uint64_t n = cursor_bounded(p->body, p->index->nr_texts);

	return n ? p->index->texts[n - 1] : NULL;
}

static const char *some_text(struct parser *p)
{
	const char *found = text(p);

	p->body->bad |= !found;
	return found ? found : "";
}

static struct binary *binary(struct parser *p)
{
	uint64_t n = cursor_bounded(p->body, p->index->nr_binaries);

	return n ? p->index->binaries[n - 1] : NULL;
}

/* NULL: bad. */
static struct image *image(struct parser *p)
{
	struct image *found =
		images_find(&p->recording->images, (uint32_t)cursor_bounded(p->body, UINT32_MAX));

	p->body->bad |= !found;
	return found;
}

/* ---- what is told once ---- */

static int parse_text(struct parser *p)
{
	struct recording_index *index = p->index;
	size_t length = (size_t)(p->body->end - p->body->at);
	const char *kept;
	char *copy;

	if (length > MAX_TEXT || memchr(p->body->at, 0, length))
		return -EBADMSG;
	if (grow(&index->texts, index->nr_texts, sizeof(*index->texts)))
		return -ENOMEM;
	copy = strndup((const char *)p->body->at, length);
	kept = strings_intern(&index->strings, copy);
	free(copy);
	if (!kept)
		return -ENOMEM;
	index->texts[index->nr_texts++] = kept;
	return 0;
}

/* One file may be told again, when more is known of it. */
static int parse_binary(struct parser *p)
{
	struct recording_index *index = p->index;
	uint64_t device = number(p), inode = number(p);
	const char *path = some_text(p), *build_id = text(p);
	uint64_t size = number(p), changed_ns = number(p);
	struct binary *found;

	if (p->body->bad)
		return -EBADMSG;
	found = binary_get(&p->recording->binaries, device, inode, path);
	if (!found || grow(&index->binaries, index->nr_binaries, sizeof(*index->binaries)))
		return -ENOMEM;
	index->binaries[index->nr_binaries++] = found;
	if (build_id && !found->build_id) {
		found->build_id = strdup(build_id);
		if (!found->build_id)
			return -ENOMEM;
	}
	found->size = size;
	found->changed_ns = changed_ns;
	return 0;
}

static int parse_image(struct parser *p)
{
	struct images *images = &p->recording->images;
	uint32_t id = (uint32_t)cursor_bounded(p->body, UINT32_MAX);
	uint32_t pid = (uint32_t)cursor_bounded(p->body, UINT32_MAX);
	const char *comm = some_text(p);
	struct binary *own = binary(p);
	struct image *found = images_find(images, id);
	int r = 0;

	if (p->body->bad || (!found && p->index->nr_images++ >= MAX_IMAGES))
		return -EBADMSG;
	if (!found)
		r = images_add(images, id, (pid_t)pid, comm, &found);
	if (r)
		return r;
	found->pid = pid;
	snprintf(found->comm, sizeof(found->comm), "%s", comm);
	found->own = own;
	return 0;
}

static int parse_region(struct parser *p)
{
	struct image *owner = image(p);
	struct region region = { .start = number(p) };
	uint64_t size = number(p), flags;
	const char *name;

	region.end = region.start + size;
	region.offset = number(p);
	region.born_ns = time_of(p, p->recording->run.begin_ns);
	flags = number(p);
	region.exec = flags & 1;
	region.write = flags & 2;
	region.shared = flags & 4;
	region.binary = binary(p);
	name = text(p);
	if (p->body->bad || region.end <= region.start || p->index->nr_regions++ >= MAX_REGIONS)
		return -EBADMSG;
	snprintf(region.name, sizeof(region.name), "%s", name ? name : "");
	return image_add_region(owner, &region);
}

/* Appends to @ips, which has room for @max. */
static unsigned int parse_ips(struct parser *p, uint64_t *ips, unsigned int max)
{
	unsigned int nr = (unsigned int)cursor_bounded(p->body, max);
	uint64_t last = 0;

	for (unsigned int i = 0; i < nr; i++)
		ips[i] = last += (uint64_t)cursor_signed(p->body);
	return nr;
}

static int parse_stack(struct parser *p)
{
	struct recording_index *index = p->index;
	uint64_t ips[FP_MAX_FRAMES];
	struct recorded_stack stack = { index->nr_ips, parse_ips(p, ips, FP_MAX_FRAMES) };

	if (p->body->bad)
		return -EBADMSG;
	if (grow(&index->stacks, index->nr_stacks, sizeof(stack)))
		return -ENOMEM;
	for (unsigned int i = 0; i < stack.nr; i++) {
		if (grow(&index->ips, index->nr_ips, sizeof(*ips)))
			return -ENOMEM;
		index->ips[index->nr_ips++] = ips[i];
	}
	index->stacks[index->nr_stacks++] = stack;
	return 0;
}

static void parse_coordinates(struct parser *p, struct fault *fault)
{
	uint64_t kind, mode;

	fault->image = image(p);
	kind = cursor_bounded(p->body, (FP_NR_ACCESSES - 1) << 4 | 15);
	mode = cursor_bounded(p->body, 3);
	fault->kind = kind & 15;
	fault->access = kind >> 4;
	fault->mode = mode & 1;
	fault->major = mode >> 1;
	p->body->bad |= fault->kind >= FP_NR_KINDS;
}

static int parse_site(struct parser *p)
{
	struct recording_index *index = p->index;
	struct recorded_site site = { 0 };

	parse_coordinates(p, &site.fault);
	site.fault.nr_ips = parse_ips(p, site.ips, 3);
	if (p->body->bad)
		return -EBADMSG;
	if (grow(&index->sites, index->nr_sites, sizeof(site)))
		return -ENOMEM;
	index->sites[index->nr_sites++] = site;
	return 0;
}

static int parse_kind(struct parser *p)
{
	struct recording_index *index = p->index;
	struct object_kind kind = { .provider = some_text(p) };

	kind.type = some_text(p);
	kind.pool = text(p);
	if (p->body->bad)
		return -EBADMSG;
	if (grow(&index->kinds, index->nr_kinds, sizeof(kind)))
		return -ENOMEM;
	index->kinds[index->nr_kinds++] = kind;
	return 0;
}

static int parse_connection(struct parser *p)
{
	struct recording_index *index = p->index;
	struct fp_connection connection = { .id = number(p) };
	const char *peer;

	connection.born_ns = time_of(p, p->recording->run.begin_ns);
	connection.resolution_ns = number(p);
	connection.frontend = text(p);
	connection.backend = text(p);
	peer = some_text(p);
	if (p->body->bad)
		return -EBADMSG;
	memcpy(connection.peer, peer, strnlen(peer, sizeof(connection.peer)));
	if (grow(&index->connections, index->nr_connections, sizeof(connection)))
		return -ENOMEM;
	index->connections[index->nr_connections++] = connection;
	return 0;
}

/* ---- faults and what they hit ---- */

static int parse_counted(struct parser *p)
{
	uint64_t site = cursor_bounded(p->body, p->index->nr_sites), nr, at = 0;
	struct fp_site_value value = { .untimed = number(p) };
	struct fault fault;

	value.total_ns = number(p);
	value.max_ns = number(p);
	nr = number(p);
	for (uint64_t i = 0; !p->body->bad && i < nr; i++) {
		at += cursor_bounded(p->body, FP_STALL_BUCKETS);
		if (at >= FP_STALL_BUCKETS)
			return -EBADMSG;
		value.bucket[at] = (uint32_t)cursor_bounded(p->body, UINT32_MAX);
	}
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
	object->born_ns = time_of(p, now_ns);
	object->resolution_ns = number(p);
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
	object->size = number(p);
	parse_age(p, object, fault->time_ns);
	object->used_ns = time_of(p, fault->time_ns);
	n = cursor_bounded(p->body, p->index->nr_connections);
	if (!n)
		return;
	*connection = p->index->connections[n - 1];
	connection->used_ns = time_of(p, fault->time_ns);
	connection->waiting_bytes = number(p) - 1;
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
	answer->swapped_ns = number(p);
	if (answer->swapped_ns)
		answer->swapped_resolution_ns = number(p);
	if (answer->outcome == OBJECT_FOUND)
		parse_found(p, fault, answer, object, connection);
}

static int parse_fault(struct parser *p)
{
	struct recording_index *index = p->index;
	struct fp_connection connection;
	struct object_answer answer;
	struct fp_object object;
	struct fault fault = { 0 };
	uint64_t stack;

	parse_coordinates(p, &fault);
	fault.time_ns = index->fault_ns += (uint64_t)cursor_signed(p->body);
	fault.address = index->address += (uint64_t)cursor_signed(p->body);
	fault.stall_ns = number(p);
	fault.pid = (uint32_t)cursor_bounded(p->body, UINT32_MAX);
	fault.tid = fault.pid + (uint32_t)cursor_signed(p->body);
	stack = cursor_bounded(p->body, index->nr_stacks);
	fault.stack_end = (enum fp_stack_end)cursor_bounded(p->body, FP_STACK_LOST);
	parse_answer(p, &fault, &answer, &object, &connection);
	if (p->body->bad || !stack)
		return -EBADMSG;
	fault.nr_ips = index->stacks[stack - 1].nr;
	fault.ips = fault.nr_ips ? index->ips + index->stacks[stack - 1].first : NULL;
	return p->visitor->fault ? p->visitor->fault(p->visitor->arg, &fault, &answer) : 0;
}

static int parse_live(struct parser *p)
{
	struct recording_index *index = p->index;
	uint32_t pid = (uint32_t)cursor_bounded(p->body, UINT32_MAX);
	const struct object_kind *kind = kind_at(p);
	struct fp_object object = { .type = kind->type, .pool = kind->pool };
	struct fp_connection connection = { 0 };
	uint64_t present_bytes, swapped_bytes;

	index->now_ns += (uint64_t)cursor_signed(p->body);
	object.base = index->base += (uint64_t)cursor_signed(p->body);
	object.size = number(p);
	present_bytes = number(p);
	swapped_bytes = number(p);
	parse_age(p, &object, index->now_ns);
	if (number(p)) {
		connection.id = index->connection += (uint64_t)cursor_signed(p->body);
		connection.born_ns = time_of(p, index->now_ns);
		connection.resolution_ns = number(p);
		object.connection = &connection;
	}
	if (p->body->bad)
		return -EBADMSG;
	return p->visitor->live ? p->visitor->live(p->visitor->arg, pid, kind->provider, &object,
						   index->now_ns, present_bytes, swapped_bytes)
				: 0;
}

/* ---- the run ---- */

static int parse_run(struct parser *p)
{
	struct recording_run *run = &p->recording->run;
	struct recording_index *index = p->index;

	run->version = some_text(p);
	run->system = some_text(p);
	run->release = some_text(p);
	run->machine = some_text(p);
	run->node = some_text(p);
	run->description = some_text(p);
	run->tier = (enum tier)cursor_bounded(p->body, NR_TIERS - 1);
	run->kinds = (uint32_t)cursor_bounded(p->body, UINT32_MAX);
	run->modes = (uint32_t)cursor_bounded(p->body, UINT32_MAX);
	run->stacks = number(p);
	run->slow_ns = number(p);
	run->begin_ns = number(p);
	run->wall_ns = number(p);
	run->command = (pid_t)cursor_bounded(p->body, INT_MAX);
	if (p->body->bad || index->has_run)
		return -EBADMSG;
	index->has_run = true;
	index->fault_ns = index->now_ns = p->recording->end_ns = run->begin_ns;
	return p->visitor->run ? p->visitor->run(p->visitor->arg, run) : 0;
}

static int parse_target(struct parser *p)
{
	uint32_t pid = (uint32_t)cursor_bounded(p->body, UINT32_MAX);
	const char *comm = some_text(p), *exe = text(p);
	unsigned int threads = (unsigned int)cursor_bounded(p->body, UINT_MAX);

	if (p->body->bad)
		return -EBADMSG;
	return p->visitor->target ? p->visitor->target(p->visitor->arg, pid, comm, exe, threads)
				  : 0;
}

static int parse_added(struct parser *p)
{
	pid_t pid = (pid_t)cursor_bounded(p->body, INT_MAX);

	if (p->body->bad || p->recording->added.nr >= MAX_ADDED)
		return -EBADMSG;
	return pid_list_add(&p->recording->added, pid);
}

static int parse_provider(struct parser *p)
{
	uint32_t pid = (uint32_t)cursor_bounded(p->body, UINT32_MAX);
	const char *name = some_text(p);

	if (p->body->bad)
		return -EBADMSG;
	return p->visitor->provider ? p->visitor->provider(p->visitor->arg, pid, name) : 0;
}

static int parse_warning(struct parser *p)
{
	const char *warning = some_text(p);

	if (p->body->bad)
		return -EBADMSG;
	return p->visitor->warning ? p->visitor->warning(p->visitor->arg, warning) : 0;
}

static int parse_tick(struct parser *p)
{
	uint64_t time_ns = p->recording->run.begin_ns + (uint64_t)cursor_signed(p->body), flags, nr;
	struct collect_counts counts = { .faults = number(p) };

	counts.major = number(p);
	counts.failed = number(p);
	flags = number(p);
	counts.kernel_seen = flags & 1;
	counts.access_known = flags & 2;
	counts.stall_known = flags & 4;
	counts.kinds_inferred = flags & 8;
	nr = number(p);
	for (uint64_t i = 0; !p->body->bad && i < nr; i++) {
		uint64_t lost = number(p);

		if (i < FP_NR_LOSSES)
			counts.lost[i] = lost;
	}
	if (p->body->bad)
		return -EBADMSG;
	p->recording->counts = counts;
	p->recording->end_ns = time_ns;
	return p->visitor->tick ? p->visitor->tick(p->visitor->arg, time_ns, &counts) : 0;
}

static int parse_end(struct parser *p)
{
	int r = parse_tick(p);

	p->index->has_end = !r;
	return r;
}

int recording_parse(struct recording *recording, const struct recording_visitor *visitor,
		    uint64_t type, struct cursor *body)
{
	static int (*const parsers[])(struct parser *) = {
		[RECORDING_RUN] = parse_run,
		[RECORDING_TEXT] = parse_text,
		[RECORDING_BINARY] = parse_binary,
		[RECORDING_IMAGE] = parse_image,
		[RECORDING_REGION] = parse_region,
		[RECORDING_STACK] = parse_stack,
		[RECORDING_SITE] = parse_site,
		[RECORDING_KIND] = parse_kind,
		[RECORDING_CONNECTION] = parse_connection,
		[RECORDING_FAULT] = parse_fault,
		[RECORDING_COUNTED] = parse_counted,
		[RECORDING_LIVE] = parse_live,
		[RECORDING_TARGET] = parse_target,
		[RECORDING_ADDED] = parse_added,
		[RECORDING_PROVIDER] = parse_provider,
		[RECORDING_WARNING] = parse_warning,
		[RECORDING_TICK] = parse_tick,
		[RECORDING_END] = parse_end,
	};
	struct parser parser = { recording, recording->index, visitor, body };

	if (type >= sizeof(parsers) / sizeof(*parsers) || !parsers[type])
		return 0;
	/* How it was measured is told before everything but texts. */
	if (type != RECORDING_RUN && type != RECORDING_TEXT && !recording->index->has_run)
		return -EBADMSG;
	return parsers[type](&parser);
}

void recording_index_free(struct recording_index *index)
{
	if (!index)
		return;
	strings_release(&index->strings);
	free(index->texts);
	free(index->binaries);
	free(index->ips);
	free(index->stacks);
	free(index->sites);
	free(index->kinds);
	free(index->connections);
	free(index);
}
