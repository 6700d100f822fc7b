/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A provider, to start from: it tells faultprof whose memory a fault of coldproxy.c hit, and since
 * when. An address in a pool names its element; from a buffer to its connection leads an index,
 * filled with what can be read. faultprof --provider build/provider_coldproxy.so uses it. */
#include <errno.h>
#include <stdlib.h>

#include "faultprof/provider.h"

#define MAX_CONNS 25000 /* of coldproxy --connections */

enum member { CONNS, BUFFERS, BASE, SIZE, COUNT, FD, HAVE, BUFFER, ACCEPTED, PEER, MEMBERS };

static const struct {
	const char *type, *path;
} members[MEMBERS] = { { "struct proxy", "conns" },	 { "struct proxy", "buffers" },
		       { "struct pool", "base" },	 { "struct pool", "size" },
		       { "struct pool", "count" },	 { "struct conn", "fd" },
		       { "struct conn", "have" },	 { "struct conn", "buffer" },
		       { "struct conn", "accepted_ns" }, { "struct conn", "peer" } };

struct pool {
	uint64_t base, size, count;
};

struct self {
	const struct fp_host *host;
	struct fp_member at[MEMBERS];
	uint64_t proxy; /* address of the target's struct proxy */
	struct pool conns, buffers;
	uint32_t owner[MAX_CONNS]; /* of each buffer: number of the connection last seen with it */
	struct fp_connection connection;
};

/* A number of 4 or 8 bytes. */
static int get(const struct self *self, uint64_t base, enum member member, uint64_t *ret)
{
	const struct fp_member *m = &self->at[member];

	*ret = 0;
	return self->host->read(self->host, base + m->offset, ret, m->size == 4 ? 4 : 8, NULL);
}

/* Empty until the program has made it: it may just have been started. */
static void read_pool(const struct self *self, enum member member, struct pool *pool)
{
	uint64_t at = self->proxy + self->at[member].offset;

	if (get(self, at, BASE, &pool->base) || get(self, at, SIZE, &pool->size) ||
	    get(self, at, COUNT, &pool->count) || !pool->base || !pool->size ||
	    pool->count > MAX_CONNS)
		pool->count = 0;
}

static bool element(const struct pool *pool, uint64_t address, uint64_t *ret)
{
	*ret = pool->count ? (address - pool->base) / pool->size : 0;
	return address >= pool->base && *ret < pool->count;
}

/* Reads a connection into self->connection. Is it whole, and which buffer has it? */
static bool read_conn(struct self *self, uint64_t nr, uint64_t *ret)
{
	uint64_t at = self->conns.base + nr * self->conns.size, fd, buffer;
	uint64_t peer = at + self->at[PEER].offset;
	struct fp_connection *c = &self->connection;

	*c = (struct fp_connection){ 0 };
	if (get(self, at, FD, &fd) || get(self, at, HAVE, &c->waiting_bytes) ||
	    get(self, at, BUFFER, &buffer) || get(self, at, ACCEPTED, &c->born_ns) ||
	    self->host->read(self->host, peer, c->peer, sizeof(c->peer) - 1, NULL) ||
	    (int32_t)fd <= 0 || !element(&self->buffers, buffer, ret))
		return false;
	c->id = c->born_ns; /* no two are accepted at once */
	self->owner[*ret] = nr;
	return true;
}

static void coldproxy_refresh(void *arg)
{
	struct self *self = arg;
	uint64_t buffer;

	if (!self->buffers.count) {
		read_pool(self, CONNS, &self->conns);
		read_pool(self, BUFFERS, &self->buffers);
	}
	for (uint64_t nr = 0; nr < self->conns.count; nr++)
		read_conn(self, nr, &buffer);
}

/* The connections of a page that could not be read before. */
static void coldproxy_present(void *arg, uint64_t page)
{
	struct self *self = arg;
	uint64_t step = self->conns.size, nr, buffer;

	if (!self->buffers.count)
		coldproxy_refresh(self);
	for (uint64_t at = page; step && at < page + 4096 + step; at += step)
		if (element(&self->conns, at, &nr))
			read_conn(self, nr, &buffer);
}

static int coldproxy_find(void *arg, uint64_t address, uint64_t time_ns, struct fp_object *ret)
{
	struct self *self = arg;
	uint64_t nr, buffer = 0, now;
	bool is_conn = element(&self->conns, address, &nr);
	const struct pool *pool = is_conn ? &self->conns : &self->buffers;

	if (!is_conn && !element(pool, address, &buffer))
		return -ENOENT;
	if (!read_conn(self, is_conn ? nr : self->owner[buffer], &now) ||
	    (!is_conn && now != buffer) || self->connection.born_ns > time_ns)
		return -ENODATA;
	*ret = (struct fp_object){ .type = is_conn ? "connection" : "buffer",
				   .base = address - (address - pool->base) % pool->size,
				   .size = pool->size,
				   .age_source = FP_AGE_ACCEPTED,
				   .born_ns = self->connection.born_ns,
				   .connection = &self->connection };
	return 0;
}

static int coldproxy_open(const struct fp_host *host, void **ret)
{
	struct self *self = calloc(1, sizeof(*self));
	int err = self ? host->symbol(host, "coldproxy", &self->proxy, NULL) : -ENOMEM;

	for (int i = 0; !err && i < MEMBERS; i++)
		err = host->member(host, members[i].type, members[i].path, &self->at[i]);
	if (err)
		return free(self), -ENOENT;
	self->host = host;
	*ret = self;
	return 0;
}

const struct fp_provider faultprof_provider = {
	.abi = FAULTPROF_PROVIDER_ABI,
	.name = "coldproxy",
	.help = "connections and buffers of the demonstration proxy",
	.open = coldproxy_open,
	.present = coldproxy_present,
	.refresh = coldproxy_refresh,
	.find = coldproxy_find,
	.close = free,
};
