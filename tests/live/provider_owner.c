/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The provider of owner.c: made as those in the tool are, on the index of owners, and with a log.
 */
#include <string.h>

#include "provider/owners.h"
#include "provider_log.h"

#define MAX_TABLE 1000000
#define MAX_NOTES 8
#define MAX_CONN 1024

enum member {
	STATE,
	ID,
	PORT,
	BORN_NS,
	SECONDS,
	MICROSECONDS,
	STREAM,
	CONN,
	IN_AREA,
	IN_SIZE,
	OUT_AREA,
	OUT_SIZE,
	SPARE_AREA,
	SPARE_SIZE,
	NOTES,
	NEXT,
	NOTE_SIZE,
	MEMBERS
};

static const struct {
	const char *type, *path;
} members[MEMBERS] = {
	[STATE] = { "struct conn", "state" },
	[ID] = { "struct conn", "id" },
	[PORT] = { "struct conn", "port" },
	[BORN_NS] = { "struct conn", "born_ns" },
	[SECONDS] = { "struct conn", "born.tv_sec" },
	[MICROSECONDS] = { "struct conn", "born.tv_usec" },
	[STREAM] = { "struct conn", "stream" },
	[CONN] = { "struct stream", "conn" },
	[IN_AREA] = { "struct stream", "in.area" },
	[IN_SIZE] = { "struct stream", "in.size" },
	[OUT_AREA] = { "struct stream", "out.area" },
	[OUT_SIZE] = { "struct stream", "out.size" },
	[SPARE_AREA] = { "struct stream", "spare.area" },
	[SPARE_SIZE] = { "struct stream", "spare.size" },
	[NOTES] = { "struct stream", "notes" },
	[NEXT] = { "struct note", "next" },
	[NOTE_SIZE] = { "struct note", "size" },
};

struct owner {
	const struct fp_host *host;
	struct owners *owners;
	struct fp_member at[MEMBERS];
	uint64_t table, table_size; /* addresses of the variables */
	uint64_t conn_size, stream_size;
	uint64_t head_size; /* of a conn: as far as it is read */
	int64_t state_open;
	uint64_t slots; /* the table itself */
};

/* Of 2, 4 or 8 bytes; 0 when it cannot be read. */
static uint64_t get(struct owner *owner, struct visit *visit, uint64_t base, enum member member)
{
	const struct fp_member *m = &owner->at[member];
	uint64_t value = 0;

	return m->size > 8 || visit_read(visit, base + m->offset, &value, m->size) ? 0 : value;
}

static void add_buffer(struct owner *owner, struct visit *visit, uint64_t stream, enum member area,
		       const char *type)
{
	uint64_t base = get(owner, visit, stream, area);

	if (base)
		visit_object(visit, type, NULL, base, get(owner, visit, stream, area + 1));
}

static void visit_stream(struct owner *owner, struct visit *visit, uint64_t stream)
{
	uint64_t note = get(owner, visit, stream, NOTES), first = note, size;

	visit_object(visit, "stream", NULL, stream, owner->stream_size);
	add_buffer(owner, visit, stream, IN_AREA, "in");
	add_buffer(owner, visit, stream, OUT_AREA, "out");
	add_buffer(owner, visit, stream, SPARE_AREA, "spare");
	for (int i = 0; note && i < MAX_NOTES; i++) {
		size = get(owner, visit, note, NOTE_SIZE);
		if (size)
			visit_object(visit, "note", NULL, note, size);
		note = get(owner, visit, note, NEXT);
		if (note == first)
			break;
	}
}

/* Of the struct conn in @raw. */
static uint64_t field(const struct owner *owner, const char *raw, enum member member)
{
	const struct fp_member *m = &owner->at[member];
	uint64_t value = 0;

	memcpy(&value, raw + m->offset, m->size < 8 ? m->size : 8);
	return value;
}

/* Without the head of its struct conn nothing is said of a connection. One half of the births is by
 * the one clock, one half by the other. */
static void visit_slot(void *self, struct visit *visit, unsigned int root)
{
	struct owner *owner = self;
	uint64_t conn = visit_pointer(visit, owner->slots + 8UL * root), stream;
	struct fp_connection *connection = visit_connection(visit);
	char raw[MAX_CONN];

	if (!conn || visit_read(visit, conn, raw, owner->head_size) ||
	    field(owner, raw, STATE) != (uint64_t)owner->state_open)
		return;
	connection->id = field(owner, raw, ID);
	if (connection->id % 2) {
		connection->born_ns = field(owner, raw, BORN_NS);
		connection->resolution_ns = 1;
	} else {
		connection->born_ns = field(owner, raw, SECONDS) * 1000000000 +
				      field(owner, raw, MICROSECONDS) * 1000 - owner->host->wall_ns;
		connection->resolution_ns = 1000;
	}
	connection->waiting_bytes = UINT64_MAX;
	snprintf(connection->peer, sizeof(connection->peer), "192.0.2.1:%" PRIu64,
		 field(owner, raw, PORT));
	visit_object(visit, "conn", NULL, conn, owner->conn_size);
	stream = field(owner, raw, STREAM);
	if (stream && get(owner, visit, stream, CONN) == conn)
		visit_stream(owner, visit, stream);
}

static int owner_find(void *self, uint64_t address, uint64_t time_ns, struct fp_object *ret)
{
	struct owner *owner = self;

	return owners_find(owner->owners, address, time_ns, ret);
}

static int owner_walk(void *self, fp_object_fn fn, void *arg)
{
	struct owner *owner = self;

	return owners_walk(owner->owners, fn, arg);
}

static void owner_refresh(void *self)
{
	struct owner *owner = self;
	uint32_t nr;

	if (!owner->slots &&
	    (owner->host->read(owner->host, owner->table, &owner->slots, 8, NULL) ||
	     owner->host->read(owner->host, owner->table_size, &nr, 4, NULL) || nr > MAX_TABLE ||
	     owners_resize(owner->owners, nr)))
		owner->slots = 0;
	owners_visit_all(owner->owners);
}

static void owner_present(void *self, uint64_t page)
{
	struct owner *owner = self;

	if (owner->slots)
		owners_present(owner->owners, page);
	else
		owner_refresh(owner);
}

static void owner_close(void *self)
{
	struct owner *owner = self;

	owners_free(owner->owners);
	free(owner);
}

static int owner_open(const struct fp_host *host, void **ret)
{
	struct owner *owner = calloc(1, sizeof(*owner));
	int err = -ENOENT;

	if (!owner)
		return -ENOMEM;
	owner->host = host;
	if (host->symbol(host, "table", &owner->table, NULL) ||
	    host->symbol(host, "table_size", &owner->table_size, NULL) ||
	    host->size_of(host, "struct conn", &owner->conn_size) ||
	    host->size_of(host, "struct stream", &owner->stream_size) ||
	    owner->conn_size > MAX_CONN || host->enumerator(host, "STATE_OPEN", &owner->state_open))
		goto out;
	for (int i = 0; i < MEMBERS; i++)
		if (host->member(host, members[i].type, members[i].path, &owner->at[i]))
			goto out;
	owner->head_size = owner->at[STREAM].offset + 8; /* the last of them */
	err = owners_new(host, visit_slot, owner, &owner->owners);
	if (err)
		goto out;
	owner_refresh(owner);
	*ret = owner;
	return 0;
out:
	free(owner);
	return err;
}

static const struct fp_provider owner_provider = {
	.abi = FAULTPROF_PROVIDER_ABI,
	.name = "owner",
	.help = "the objects of owner.c",
	.open = owner_open,
	.present = owner_present,
	.refresh = owner_refresh,
	.find = owner_find,
	.walk = owner_walk,
	.close = owner_close,
};

PROVIDER_LOGGED(owner_provider, "owner");
