/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Records, as recording_write.c and its like write them. What would lead out of a table is not
 * valid; what is merely absurd (a fault of a thousand years) is told as it stands. A few bytes of a
 * file can be unpacked to a thousand times as many, so what is kept of them is bounded as a whole.
 */
#include "collect/recording_parse.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"

#define MAX_TEXT 65535
#define MAX_BINARIES 16384
#define MAX_IMAGES 65536
#define MAX_REGIONS (1U << 20) /* of all images */
#define MAX_KEPT (1ULL << 30)

/* ---- what records refer to ---- */

uint64_t parser_number(struct parser *p)
{
	return cursor_number(p->body);
}

uint64_t parser_later(struct parser *p, uint64_t max)
{
	return p->body->at < p->body->end ? cursor_bounded(p->body, max) : 0;
}

uint64_t parser_time(struct parser *p, uint64_t base_ns)
{
	uint64_t folded = cursor_number(p->body) - 1;

	return folded == UINT64_MAX ? 0 : base_ns + (folded >> 1 ^ (folded & 1 ? UINT64_MAX : 0));
}

const char *parser_text(struct parser *p)
{
	uint64_t n = cursor_bounded(p->body, p->index->nr_texts);

	return n ? p->index->texts[n - 1] : NULL;
}

const char *parser_some_text(struct parser *p)
{
	const char *found = parser_text(p);

	p->body->bad |= !found;
	return found ? found : "";
}

struct binary *parser_binary(struct parser *p)
{
	uint64_t n = cursor_bounded(p->body, p->index->nr_binaries);

	return n ? p->index->binaries[n - 1] : NULL;
}

struct image *parser_image(struct parser *p)
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

	if (length > MAX_TEXT)
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
	uint64_t device = parser_number(p), inode = parser_number(p);
	const char *path = parser_some_text(p), *build_id = parser_text(p);
	uint64_t size = parser_number(p), changed_ns = parser_number(p);
	struct binary *found;

	if (p->body->bad || index->nr_binaries >= MAX_BINARIES)
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
	const char *comm = parser_some_text(p);
	struct binary *own = parser_binary(p);
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
	struct image *owner = parser_image(p);
	struct region region = { .start = parser_number(p) };
	uint64_t size = parser_number(p), flags;
	const char *name;

	region.end = region.start + size;
	region.offset = parser_number(p);
	region.born_ns = parser_time(p, p->recording->run.begin_ns);
	flags = parser_number(p);
	region.exec = flags & 1;
	region.write = flags & 2;
	region.shared = flags & 4;
	region.binary = parser_binary(p);
	name = parser_text(p);
	if (p->body->bad || p->index->nr_regions++ >= MAX_REGIONS)
		return -EBADMSG;
	snprintf(region.name, sizeof(region.name), "%s", name ? name : "");
	return image_add_region(owner, &region);
}

unsigned int parser_ips(struct parser *p, uint64_t *ips, unsigned int max)
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
	struct recorded_stack stack = { index->nr_ips, parser_ips(p, ips, FP_MAX_FRAMES) };

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

void parser_coordinates(struct parser *p, struct fault *fault)
{
	uint64_t kind, mode;

	fault->image = parser_image(p);
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

	parser_coordinates(p, &site.fault);
	site.fault.nr_ips = parser_ips(p, site.ips, 3);
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
	struct object_kind kind = { .provider = parser_some_text(p) };

	kind.type = parser_some_text(p);
	kind.pool = parser_text(p);
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
	struct fp_connection connection = { .id = parser_number(p) };
	const char *peer;

	connection.born_ns = parser_time(p, p->recording->run.begin_ns);
	connection.resolution_ns = parser_number(p);
	connection.frontend = parser_text(p);
	connection.backend = parser_text(p);
	peer = parser_some_text(p);
	if (p->body->bad)
		return -EBADMSG;
	memcpy(connection.peer, peer, strnlen(peer, sizeof(connection.peer)));
	if (grow(&index->connections, index->nr_connections, sizeof(connection)))
		return -ENOMEM;
	index->connections[index->nr_connections++] = connection;
	return 0;
}

/* What a record may leave behind: most with its entry in a table, a stack eight bytes for one. */
static uint64_t kept_of(uint64_t type, uint64_t body_bytes)
{
	if (type == RECORDING_STACK)
		return 8 * body_bytes + 16;
	return type >= RECORDING_TEXT && type <= RECORDING_CONNECTION ? 2 * body_bytes + 128 : 0;
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
	recording->index->kept_bytes += kept_of(type, (uint64_t)(body->end - body->at));
	return recording->index->kept_bytes > MAX_KEPT ? -EFBIG : parsers[type](&parser);
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
