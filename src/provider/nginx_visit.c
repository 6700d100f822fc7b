/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What hangs on one slot of nginx' connections: its events, its pool, and by c->data the request or
 * the session of a client with pools and buffers of their own. The connection to an upstream is a
 * slot too, without an address, whose data leads to the request: all it has is its client's.
 *
 * A pool is blocks of one size, which hold small allocations, and a list of large ones, whose size
 * nobody notes. The buffers among them tell it; of others, the allocator's own head.
 */
#include "provider/nginx.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/peer.h"

#define SIGNATURE_HTTP 0x50545448
#define SIGNATURE_STREAM 0x4d525453
#define MAX_BLOCKS 512
#define MAX_BLOCK_BYTES (1U << 20)
#define MAX_BUFFER_BYTES (1U << 26)
#define MAX_CHAIN 64
#define MAX_KNOWN 32
#define MAX_NAME 255
#define C_POOL_NAME "connection pool"
#define R_POOL_NAME "request pool"
#define MS 1000000ULL
#define CLOCK_STEP_NS (10 * MS) /* nginx looks at the clock once a turn of its loop */

struct slot {
	struct nginx *nginx;
	struct visit *visit;
	char raw[NGINX_CONNECTION_MAX]; /* the ngx_connection_t */
	uint64_t address;
	bool complete;		   /* it is known what its data is: */
	uint32_t signature;	   /* of a request or a session; 0: neither */
	uint64_t data;		   /* that one */
	uint64_t owner;		   /* the connection that it belongs to, in its own words */
	uint64_t known[MAX_KNOWN]; /* large allocations that have a name */
	unsigned int nr_known;
	uint64_t waiting_bytes; /* in them; UINT64_MAX: one could not be read */
};

static uint64_t field(const struct slot *slot, enum nginx_member member)
{
	const struct fp_member *m = &slot->nginx->at[member];
	uint64_t value = 0;

	memcpy(&value, slot->raw + m->offset, m->size < 8 ? m->size : 8);
	return value;
}

/* A number of 4 or 8 bytes; 0 where there is none, or it cannot be read. */
static uint64_t get(const struct slot *slot, uint64_t base, enum nginx_member member)
{
	const struct fp_member *m = &slot->nginx->at[member];
	uint64_t value = 0;

	if (!base || !m->size || m->size > 8 ||
	    visit_read(slot->visit, base + m->offset, &value, m->size))
		return 0;
	return value;
}

/* ---- memory ---- */

/* Of an allocation by malloc, by what glibc keeps before it and before the next one. 0: not that.
 */
static uint64_t chunk_size(const struct slot *slot, uint64_t allocation)
{
	uint64_t head = visit_pointer(slot->visit, allocation - 8), size = head & ~7ULL;
	uint64_t next;

	if (size % 16 || size < 32 || size > MAX_BUFFER_BYTES || allocation % 16)
		return 0;
	if (head & 2) /* a mapping of its own: there is no next */
		return (allocation - 16) % 4096 || size % 4096 ? 0 : size - 16;
	next = visit_pointer(slot->visit, allocation - 8 + size);
	return next & 1 ? size - 8 : 0;
}

static bool is_known(const struct slot *slot, uint64_t allocation)
{
	for (unsigned int i = 0; i < slot->nr_known; i++)
		if (slot->known[i] == allocation)
			return true;
	return false;
}

static void add_pool(const struct slot *slot, uint64_t pool, const char *name)
{
	uint64_t block = pool, large = get(slot, pool, POOL_LARGE), allocation, size;

	for (int i = 0; block && i < MAX_BLOCKS; i++) {
		size = get(slot, block, POOL_END) - block;
		if (size > MAX_BLOCK_BYTES ||
		    visit_object(slot->visit, "pool block", name, block, size))
			break;
		block = get(slot, block, POOL_NEXT);
	}
	for (int i = 0; large && i < MAX_BLOCKS; i++) {
		allocation = get(slot, large, LARGE_ALLOC);
		size = allocation && !is_known(slot, allocation) ? chunk_size(slot, allocation) : 0;
		if (size)
			visit_object(slot->visit, "large allocation", name, allocation, size);
		large = get(slot, large, LARGE_NEXT);
	}
}

/* One of the large allocations of @pool that is known by what it is for; a small one is in a block.
 */
static void add_large(struct slot *slot, uint64_t base, uint64_t size, uint64_t pool,
		      const char *type, const char *pool_name)
{
	uint64_t max = get(slot, pool, POOL_MAX);

	if (!base || !max || size <= max || size > MAX_BUFFER_BYTES)
		return;
	visit_object(slot->visit, type, pool_name, base, size);
	if (slot->nr_known < MAX_KNOWN)
		slot->known[slot->nr_known++] = base;
}

/* The memory of an ngx_buf_t. */
static void add_buffer(struct slot *slot, uint64_t buf, uint64_t pool, const char *type,
		       const char *pool_name)
{
	uint64_t start = get(slot, buf, BUF_START), end = get(slot, buf, BUF_END);

	add_large(slot, start, end - start, pool, type, pool_name);
}

/* The same, and what waits in it: between @pos and @last. */
static void add_filled(struct slot *slot, uint64_t buf, uint64_t pool, const char *type,
		       const char *pool_name)
{
	uint64_t pos = get(slot, buf, BUF_POS), last = get(slot, buf, BUF_LAST);

	if (!buf)
		return;
	add_buffer(slot, buf, pool, type, pool_name);
	if (last < pos || last - pos > MAX_BUFFER_BYTES)
		slot->waiting_bytes = UINT64_MAX;
	else if (slot->waiting_bytes != UINT64_MAX)
		slot->waiting_bytes += last - pos;
}

static void add_chain(struct slot *slot, uint64_t link, uint64_t pool, const char *type,
		      const char *pool_name)
{
	for (int i = 0; link && i < MAX_CHAIN; i++) {
		add_buffer(slot, get(slot, link, CHAIN_BUF), pool, type, pool_name);
		link = get(slot, link, CHAIN_NEXT);
	}
}

static uint64_t inside(const struct slot *slot, uint64_t base, enum nginx_member member)
{
	return base && slot->nginx->at[member].size ? base + slot->nginx->at[member].offset : 0;
}

static void add_request(struct slot *slot)
{
	static const enum nginx_member chains[] = { PIPE_FREE_RAW, PIPE_IN, PIPE_OUT, PIPE_BUSY };
	uint64_t r = slot->data, pool = get(slot, r, R_POOL), c_pool = field(slot, C_POOL);
	uint64_t upstream = get(slot, r, R_UPSTREAM), pipe = get(slot, upstream, U_PIPE);
	uint64_t hc = get(slot, r, R_HTTP_CONNECTION);

	add_filled(slot, get(slot, r, R_HEADER_IN), c_pool, "header buffer", C_POOL_NAME);
	add_chain(slot, get(slot, hc, HC_BUSY), c_pool, "header buffer", C_POOL_NAME);
	add_chain(slot, get(slot, hc, HC_FREE), c_pool, "header buffer", C_POOL_NAME);
	add_filled(slot, get(slot, get(slot, r, R_REQUEST_BODY), BODY_BUF), pool, "body buffer",
		   R_POOL_NAME);
	add_filled(slot, inside(slot, upstream, U_FROM_CLIENT), pool, "client buffer", R_POOL_NAME);
	add_filled(slot, inside(slot, upstream, U_BUFFER), pool, "upstream buffer", R_POOL_NAME);
	for (unsigned int i = 0; i < sizeof(chains) / sizeof(*chains); i++)
		add_chain(slot, get(slot, pipe, chains[i]), pool, "upstream buffer", R_POOL_NAME);
	if (pool != c_pool)
		add_pool(slot, pool, R_POOL_NAME);
}

static void add_session(struct slot *slot)
{
	uint64_t upstream = get(slot, slot->data, S_UPSTREAM), pool = field(slot, C_POOL);

	add_large(slot, slot->data, slot->nginx->session_size, pool, "session", C_POOL_NAME);
	add_large(slot, upstream, slot->nginx->stream_upstream_size, pool, "upstream state",
		  C_POOL_NAME);
	add_filled(slot, inside(slot, upstream, SU_DOWNSTREAM_BUF), pool, "client buffer",
		   C_POOL_NAME);
	add_filled(slot, inside(slot, upstream, SU_UPSTREAM_BUF), pool, "upstream buffer",
		   C_POOL_NAME);
}

/* ---- who it is ---- */

/* The ngx_str_t @member of @owner, a structure of the configuration. */
static const char *name_of(const struct slot *slot, uint64_t owner, enum nginx_member member)
{
	struct nginx_name *name = &slot->nginx->names[owner / 8 % NGINX_NAMES];
	uint64_t str = inside(slot, owner, member), data;
	char text[MAX_NAME + 1] = "";
	uint64_t length;

	if (!str)
		return NULL;
	if (name->owner == str)
		return name->text;
	if (visit_read(slot->visit, str, &length, sizeof(length)) || length > MAX_NAME)
		return NULL;
	data = visit_pointer(slot->visit, str + sizeof(length));
	if (length && (!data || visit_read(slot->visit, data, text, length)))
		return NULL;
	*name = (struct nginx_name){ str, slot->nginx->host->intern(slot->nginx->host, text) };
	return name->text;
}

/* Of a request the name of its virtual server, if it has one; else where it listens. */
static const char *frontend_of(const struct slot *client)
{
	const struct nginx *nginx = client->nginx;
	uint64_t at = inside(client, nginx->http_module, MODULE_CTX_INDEX), confs, index;
	const char *name;

	if (client->signature == SIGNATURE_HTTP && at) {
		confs = get(client, client->data, R_SRV_CONF);
		if (!confs || visit_read(client->visit, at, &index, sizeof(index)))
			return NULL;
		name = name_of(client, visit_pointer(client->visit, confs + 8 * index),
			       SERVER_NAME);
		if (!name || *name)
			return name;
	}
	name = name_of(client, field(client, C_LISTENING), LISTENING_ADDR_TEXT);
	return name && *name ? name : NULL;
}

static const char *backend_of(const struct slot *slot)
{
	const char *name = NULL;

	if (slot->signature == SIGNATURE_HTTP)
		name = name_of(slot, get(slot, get(slot, slot->data, R_UPSTREAM), U_UPSTREAM),
			       U_SRV_CONF_HOST);
	else if (slot->signature == SIGNATURE_STREAM)
		name = name_of(slot, get(slot, get(slot, slot->data, S_UPSTREAM), SU_UPSTREAM),
			       SU_SRV_CONF_HOST);
	return name && *name ? name : NULL;
}

/* As the proxy knows it, by the PROXY protocol perhaps; else as the kernel does. */
static void write_peer(const struct slot *client, char peer[PEER_TEXT])
{
	const struct fp_host *host = client->nginx->host;
	struct sockaddr_storage address = { 0 };

	if (!visit_read(client->visit, field(client, C_SOCKADDR), &address, sizeof(sa_family_t)) &&
	    (address.ss_family == AF_UNIX ||
	     !visit_read(client->visit, field(client, C_SOCKADDR), &address,
			 address.ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
						       : sizeof(struct sockaddr_in))))
		peer_text(&address, peer);
	if (!*peer && host->peer)
		host->peer(host, (int)field(client, C_FD), peer);
}

/* CLOCK_MONOTONIC since the version that has start_time, else the wall clock at its request. */
static uint64_t born_ns(const struct slot *client)
{
	bool http = client->signature == SIGNATURE_HTTP;
	uint64_t seconds, ms;

	if (client->nginx->at[C_START_TIME].size)
		return field(client, C_START_TIME) * MS;
	if (!client->signature)
		return 0;
	seconds = get(client, client->data, http ? R_START_SEC : S_START_SEC);
	ms = get(client, client->data, http ? R_START_MSEC : S_START_MSEC);
	return seconds ? (seconds * 1000 + ms) * MS - client->nginx->host->wall_ns : 0;
}

static void describe(const struct slot *client, unsigned int index)
{
	struct fp_connection *connection = visit_connection(client->visit);
	struct nginx_memo *memo = &client->nginx->memos[index];
	uint64_t number = field(client, C_NUMBER);

	if (memo->number != number)
		*memo = (struct nginx_memo){ .number = number };
	if (client->complete) {
		const char *frontend = frontend_of(client), *backend = backend_of(client);

		memo->frontend = frontend ? frontend : memo->frontend;
		memo->backend = backend ? backend : memo->backend;
	}
	if (!memo->peer[0] && field(client, C_SOCKADDR))
		write_peer(client, memo->peer);
	connection->id = number;
	connection->born_ns = born_ns(client);
	connection->resolution_ns = CLOCK_STEP_NS;
	connection->frontend = memo->frontend;
	connection->backend = memo->backend;
	memcpy(connection->peer, memo->peer, sizeof(connection->peer));
}

/* ---- the slot ---- */

/* Number of the slot at @address; -1: that is none. */
static int64_t slot_at(const struct nginx *nginx, uint64_t address)
{
	uint64_t offset = address - nginx->connections;

	if (address < nginx->connections || offset % nginx->connection_size ||
	    offset / nginx->connection_size >= nginx->nr)
		return -1;
	return offset / nginx->connection_size;
}

/* Reads a slot that is in use, and what its data is. 0 or -errno. */
static int read_slot(struct slot *slot, struct nginx *nginx, struct visit *visit,
		     unsigned int index)
{
	uint64_t data;

	slot->nginx = nginx;
	slot->visit = visit;
	slot->address = nginx->connections + index * nginx->connection_size;
	slot->data = slot->owner = 0;
	slot->signature = 0;
	slot->nr_known = 0;
	slot->waiting_bytes = 0;
	if (visit_read(visit, slot->address, slot->raw, nginx->connection_size))
		return -ENODATA;
	if ((int32_t)field(slot, C_FD) == -1 || !field(slot, C_POOL))
		return -ENOENT;
	data = field(slot, C_DATA);
	slot->complete = !data || !visit_read(visit, data, &slot->signature, 4);
	if (slot->signature == SIGNATURE_HTTP)
		slot->owner = get(slot, data, R_CONNECTION);
	else if (slot->signature == SIGNATURE_STREAM)
		slot->owner = get(slot, data, S_CONNECTION);
	/* A client's request is its own; anything else only looks like one. */
	if (slot->owner && (!field(slot, C_SOCKADDR) || slot->owner == slot->address))
		slot->data = data;
	else
		slot->signature = 0;
	return 0;
}

static void add_slot(const struct slot *slot, unsigned int index, bool upstream)
{
	const struct nginx *nginx = slot->nginx;
	uint64_t event = index * nginx->event_size;

	visit_object(slot->visit, upstream ? "upstream connection" : "connection", NULL,
		     slot->address, nginx->connection_size);
	visit_object(slot->visit, "event", NULL, nginx->read_events + event, nginx->event_size);
	visit_object(slot->visit, "event", NULL, nginx->write_events + event, nginx->event_size);
}

static void visit_upstream(struct slot *slot, unsigned int index)
{
	int64_t at = slot->owner ? slot_at(slot->nginx, slot->owner) : -1;
	uint64_t pool = field(slot, C_POOL);
	struct slot client;

	if (at < 0 || read_slot(&client, slot->nginx, slot->visit, at) ||
	    !field(&client, C_SOCKADDR)) {
		describe(slot, index); /* one that waits for the next client */
	} else {
		describe(&client, at);
		if (pool == field(&client, C_POOL))
			pool = 0; /* stream: the client's */
	}
	visit_connection(slot->visit)->waiting_bytes = UINT64_MAX;
	add_slot(slot, index, true);
	add_pool(slot, pool, "upstream pool");
}

void nginx_visit(void *nginx, struct visit *visit, unsigned int index)
{
	struct slot slot;

	if (read_slot(&slot, nginx, visit, index))
		return;
	if (!field(&slot, C_SOCKADDR)) {
		visit_upstream(&slot, index);
		return;
	}
	describe(&slot, index);
	add_slot(&slot, index, false);
	if (slot.signature == SIGNATURE_HTTP)
		add_request(&slot);
	else if (slot.signature == SIGNATURE_STREAM)
		add_session(&slot);
	else
		add_filled(&slot, field(&slot, C_BUFFER), field(&slot, C_POOL), "header buffer",
			   C_POOL_NAME);
	add_pool(&slot, field(&slot, C_POOL), C_POOL_NAME);
	visit_connection(visit)->waiting_bytes = slot.complete ? slot.waiting_bytes : UINT64_MAX;
}
