/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The HAProxy provider on structures made up here: their members have the names of 2.6, but an
 * order of their own, which the fake host tells as DWARF would. What belongs to whom is known from
 * making them. A live HAProxy is for tests/live.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "provider/registry.h"

#define PAGE 4096UL
#define PAGES 256
#define FDS 64
#define SEC 1000000000ULL

/* clang-format off */
struct date { int64_t tv_sec, tv_usec; };
struct buffer { char *area; uint64_t head, size, data; };
struct channel { uint64_t flags; struct buffer buf; };
struct proxy { uint64_t pad[3]; char *id; };
struct task { void *context; uint64_t pad; };
struct session { struct date accept_date; void *origin; struct proxy *fe; };
struct sockaddr_storage_ { struct sockaddr_in in; char pad[112]; };
struct connection { uint8_t obj_type; void *owner; void *ctx; const void *mux;
	struct sockaddr_storage_ *src; uint32_t fd; const void *xprt; void *xprt_ctx; };
struct ssl_sock_ctx { uint64_t pad; void *ssl; struct connection *conn; };
struct stconn { void *sedesc; uint8_t obj_type; void *app; };
struct sedesc { struct stconn *sc; struct connection *conn; };
struct h1s { struct sedesc *sd; void *h1c; };
struct h1c { struct h1s *h1s; struct task *task; struct connection *conn; };
struct stream { struct date accept_date; struct stconn *scb, *scf; struct proxy *be;
	struct channel res, req; struct task *task; struct session *sess; uint8_t obj_type; };
struct fdtab { void *owner; uint64_t pad[3]; const void *iocb; };
struct global { uint64_t pad; uint32_t maxsock, nbtgroups; };
struct tgroup_ctx { uint64_t pad[5]; struct fdtab *fdtab; };
struct pool_head { uint32_t limit, flags, size, users, alloc_sz, pad; struct { void *n, *p; } list;
	char name[12]; uint32_t used; char rest[252]; };

static const struct { const char *type, *path; struct fp_member is; } members[] = {
#define M(type, path, member) \
	{ "struct " #type, path, { offsetof(struct type, member), \
				   sizeof(((struct type *)0)->member), 0, 0 } }
	M(fdtab, "owner", owner), M(fdtab, "iocb", iocb),
	M(connection, "obj_type", obj_type), M(connection, "mux", mux), M(connection, "ctx", ctx),
	M(connection, "xprt", xprt), M(connection, "xprt_ctx", xprt_ctx),
	M(ssl_sock_ctx, "conn", conn), M(ssl_sock_ctx, "ssl", ssl), M(tgroup_ctx, "fdtab", fdtab),
	M(global, "nbtgroups", nbtgroups), M(pool_head, "used", used),
	M(connection, "owner", owner), M(connection, "handle.fd", fd), M(connection, "src", src),
	M(session, "fe", fe), M(session, "origin", origin),
	M(session, "accept_date.tv_sec", accept_date.tv_sec),
	M(session, "accept_date.tv_usec", accept_date.tv_usec),
	M(stream, "obj_type", obj_type), M(stream, "sess", sess), M(stream, "req", req),
	M(stream, "res", res), M(stream, "be", be), M(stream, "task", task), M(stream, "scf", scf),
	M(stream, "scb", scb), M(stream, "logs.accept_date.tv_sec", accept_date.tv_sec),
	M(stream, "logs.accept_date.tv_usec", accept_date.tv_usec),
	M(channel, "buf", buf), M(buffer, "size", size), M(buffer, "area", area),
	M(buffer, "data", data), M(stconn, "obj_type", obj_type), M(stconn, "sedesc", sedesc),
	M(stconn, "app", app), M(sedesc, "conn", conn), M(sedesc, "sc", sc), M(h1c, "conn", conn),
	M(h1c, "h1s", h1s), M(h1c, "task", task), M(h1s, "h1c", h1c), M(h1s, "sd", sd),
	M(task, "context", context), M(global, "maxsock", maxsock), M(proxy, "id", id),
};

static const struct { const char *type; uint64_t size; } sizes[] = {
#define S(type) { "struct " #type, sizeof(struct type) }
	S(fdtab), S(connection), S(session), S(stream), S(channel), S(buffer), S(stconn), S(sedesc),
	S(ssl_sock_ctx), S(tgroup_ctx), S(h1c), S(h1s), S(task), S(proxy), S(global),
	{ "struct sockaddr_storage", sizeof(struct sockaddr_storage_) },
};
/* clang-format on */

enum { IS_LISTENER = 1, IS_CONN = 3, IS_STREAM = 6, IS_SC = 7 };

static char arena[PAGES * PAGE] __attribute__((aligned(PAGE)));
static size_t used;
static bool absent_page[PAGES];
static bool has_dwarf;
static struct fdtab *table;
static struct global the_global;
static void *exported[6]; /* pools; buffers first */
static struct tgroup_ctx groups[3];
static struct pool_head *quic_pool;
static char kernel_peer[64], warning[256];
static const char iocb, other_iocb, mux_h1, ssl_sock;
static unsigned int reads;

static void *make(size_t size)
{
	void *at = arena + used;

	used += (size + 31) & ~15UL;
	assert_true(used <= sizeof(arena));
	return at;
}

/* The next object is on a page of its own. */
static void next_page(void)
{
	used = (used + PAGE - 1) & -PAGE;
}

static void set_absent(const void *at, bool absent)
{
	absent_page[((const char *)at - arena) / PAGE] = absent;
}

static bool within(uint64_t address, size_t size, const void *start, size_t length)
{
	return address >= (uintptr_t)start && address + size <= (uintptr_t)start + length &&
	       address + size >= address;
}

static int fake_read(const struct fp_host *host, uint64_t address, void *buf, size_t size,
		     uint64_t *absent)
{
	(void)host;
	reads++;
	if (within(address, size, &table, sizeof(table)) ||
	    within(address, size, groups, sizeof(groups)) ||
	    within(address, size, &quic_pool, sizeof(quic_pool)) ||
	    within(address, size, &the_global, sizeof(the_global)) ||
	    within(address, size, exported, sizeof(exported))) {
		memcpy(buf, (void *)address, size);
		return 0;
	}
	if (!within(address, size, arena, sizeof(arena)))
		return -EFAULT;
	for (uint64_t page = address & -PAGE; page < address + size; page += PAGE)
		if (absent_page[(page - (uintptr_t)arena) / PAGE]) {
			if (absent)
				*absent = page;
			return -ENODATA;
		}
	memcpy(buf, (void *)address, size);
	return 0;
}

static int fake_symbol(const struct fp_host *host, const char *name, uint64_t *address,
		       uint64_t *size)
{
	static const struct {
		const char *name;
		const void *at;
	} symbols[] = { { "fdtab", &table },
			{ "global", &the_global },
			{ "sock_conn_iocb", &iocb },
			{ "mux_h1_ops", &mux_h1 },
			{ "ssl_sock", &ssl_sock },
			{ "ha_tgroup_ctx", groups },
			{ "pool_head_quic_conn", &quic_pool },
			{ "pool_head_buffer", &exported[0] },
			{ "pool_head_stream", &exported[1] },
			{ "pool_head_session", &exported[2] },
			{ "pool_head_task", &exported[3] },
			{ "pool_head_tasklet", &exported[4] },
			{ "pool_head_sockaddr", &exported[5] } };

	(void)host;
	(void)size;
	for (size_t i = 0; i < sizeof(symbols) / sizeof(*symbols); i++)
		if (!strcmp(symbols[i].name, name)) {
			*address = (uintptr_t)symbols[i].at;
			return 0;
		}
	return -ENOENT;
}

static int fake_member(const struct fp_host *host, const char *type, const char *path,
		       struct fp_member *ret)
{
	(void)host;
	for (size_t i = 0; has_dwarf && i < sizeof(members) / sizeof(*members); i++)
		if (!strcmp(members[i].type, type) && !strcmp(members[i].path, path)) {
			*ret = members[i].is;
			return 0;
		}
	return has_dwarf ? -ENOENT : -ENODATA;
}

static int fake_size_of(const struct fp_host *host, const char *type, uint64_t *ret)
{
	(void)host;
	for (size_t i = 0; has_dwarf && i < sizeof(sizes) / sizeof(*sizes); i++)
		if (!strcmp(sizes[i].type, type)) {
			*ret = sizes[i].size;
			return 0;
		}
	return has_dwarf ? -ENOENT : -ENODATA;
}

static int fake_enumerator(const struct fp_host *host, const char *name, int64_t *ret)
{
	(void)host;
	*ret = !strcmp(name, "OBJ_TYPE_CONN")	  ? IS_CONN
	       : !strcmp(name, "OBJ_TYPE_STREAM") ? IS_STREAM
	       : !strcmp(name, "OBJ_TYPE_SC")	  ? IS_SC
						  : -1;
	return has_dwarf && *ret >= 0 ? 0 : -ENOENT;
}

static int fake_mapping(const struct fp_host *host, uint64_t address, bool next,
			struct fp_mapping *ret)
{
	(void)host;
	(void)next;
	if (!within(address, 1, arena, sizeof(arena)))
		return -ENOENT;
	*ret = (struct fp_mapping){
		(uintptr_t)arena, (uintptr_t)arena + sizeof(arena), true, false, false, "[heap]"
	};
	return 0;
}

static int fake_watch(const struct fp_host *host, const struct fp_allocator *allocator)
{
	(void)host;
	(void)allocator;
	return -ENOTSUP;
}

static void fake_warn(const struct fp_host *host, const char *format, ...)
{
	va_list args;

	(void)host;
	va_start(args, format);
	vsnprintf(warning, sizeof(warning), format, args);
	va_end(args);
}

static int fake_peer(const struct fp_host *host, int fd, char text[64])
{
	(void)host;
	if (fd != 5 || !*kernel_peer)
		return -ENOTCONN;
	strcpy(text, kernel_peer);
	return 0;
}

static const char *fake_intern(const struct fp_host *host, const char *text)
{
	static char kept[64][16];
	static unsigned int nr;

	(void)host;
	for (unsigned int i = 0; i < nr; i++)
		if (!strcmp(kept[i], text))
			return kept[i];
	assert_true(nr < 64 && strlen(text) < sizeof(kept[0]));
	return strcpy(kept[nr++], text);
}

static const struct fp_host host = {
	.abi = FAULTPROF_PROVIDER_ABI,
	.wall_ns = 1000 * SEC,
	.read = fake_read,
	.symbol = fake_symbol,
	.member = fake_member,
	.size_of = fake_size_of,
	.enumerator = fake_enumerator,
	.mapping = fake_mapping,
	.watch = fake_watch,
	.warn = fake_warn,
	.intern = fake_intern,
	.peer = fake_peer,
};

/* A tunnel: client, stream, server. Each structure is on a page of its own. */
struct tunnel {
	struct connection *conn[2];
	struct h1c *h1c[2];
	struct h1s *h1s[2];
	struct sedesc *sd[2];
	struct stconn *sc[2];
	struct stream *stream;
	struct session *session;
	char *buffer;
};

static struct proxy *front, *back;

#define MAKE(pointer) (next_page(), (pointer) = make(sizeof(*(pointer))))

static void make_tunnel(struct tunnel *t, unsigned int fd, unsigned int port, int64_t second)
{
	MAKE(t->stream);
	MAKE(t->session);
	for (unsigned int side = 0; side < 2; side++) {
		MAKE(t->conn[side]);
		MAKE(t->h1c[side]);
		MAKE(t->h1s[side]);
		MAKE(t->sd[side]);
		MAKE(t->sc[side]);
		*t->conn[side] = (struct connection){
			.obj_type = IS_CONN, .mux = &mux_h1, .ctx = t->h1c[side], .fd = fd + side
		};
		*t->h1c[side] = (struct h1c){ .conn = t->conn[side], .h1s = t->h1s[side] };
		*t->h1s[side] = (struct h1s){ .h1c = t->h1c[side], .sd = t->sd[side] };
		*t->sd[side] = (struct sedesc){ .sc = t->sc[side], .conn = t->conn[side] };
		*t->sc[side] = (struct stconn){ .obj_type = IS_SC,
						.sedesc = t->sd[side],
						.app = t->stream };
		table[fd + side] = (struct fdtab){ .owner = t->conn[side], .iocb = &iocb };
	}
	next_page();
	t->conn[0]->src = make(sizeof(*t->conn[0]->src));
	t->conn[0]->src->in = (struct sockaddr_in){ .sin_family = AF_INET,
						    .sin_port = htons(port),
						    .sin_addr.s_addr = htonl(0xc0000201) };
	t->conn[0]->owner = t->session;
	*t->session = (struct session){ .fe = front, .origin = t->conn[0] };
	*t->stream = (struct stream){ .obj_type = IS_STREAM,
				      .sess = t->session,
				      .be = back,
				      .scf = t->sc[0],
				      .scb = t->sc[1],
				      .accept_date = { second, 500000 } };
	next_page();
	t->buffer = make(16384);
	t->stream->req.buf = (struct buffer){ .area = t->buffer, .size = 16384, .data = 77 };
}

static struct proxy *make_proxy(const char *name)
{
	struct proxy *proxy = make(sizeof(*proxy));

	proxy->id = strcpy(make(16), name);
	return proxy;
}

static void *open_provider(bool dwarf)
{
	void *self;

	has_dwarf = dwarf;
	assert_int_equal(provider_haproxy.open(&host, &self), 0);
	return self;
}

static int setup(void **state)
{
	(void)state;
	memset(arena, 0, sizeof(arena));
	memset(absent_page, 0, sizeof(absent_page));
	used = PAGE;
	table = make(FDS * sizeof(*table));
	the_global.maxsock = FDS;
	the_global.nbtgroups = 1;
	memset(exported, 0, sizeof(exported));
	memset(groups, 0, sizeof(groups));
	quic_pool = NULL;
	*kernel_peer = *warning = 0;
	front = make_proxy("front");
	back = make_proxy("back");
	return 0;
}

static int find(void *self, const void *at, struct fp_object *ret)
{
	return provider_haproxy.find(self, (uintptr_t)at, 5000 * SEC, ret);
}

static void expect(void *self, const void *at, const char *type, const char *peer)
{
	struct fp_object object;

	assert_int_equal(find(self, (const char *)at + 1, &object), 0);
	assert_int_equal(object.base, (uintptr_t)at);
	assert_string_equal(object.type, type);
	assert_non_null(object.connection);
	assert_string_equal(object.connection->peer, peer);
}

static void test_tunnel(void **state)
{
	struct fp_object object;
	struct tunnel a, b;
	uint64_t id;
	void *self;

	(void)state;
	make_tunnel(&a, 5, 4711, 2000);
	make_tunnel(&b, 9, 4712, 3000);
	self = open_provider(true);
	for (unsigned int side = 0; side < 2; side++) {
		expect(self, a.conn[side], "connection", "192.0.2.1:4711");
		expect(self, a.h1c[side], "h1c", "192.0.2.1:4711");
		expect(self, a.h1s[side], "h1s", "192.0.2.1:4711");
		expect(self, a.sd[side], "sedesc", "192.0.2.1:4711");
		expect(self, a.sc[side], "stconn", "192.0.2.1:4711");
		expect(self, b.h1s[side], "h1s", "192.0.2.1:4712");
	}
	expect(self, a.conn[0]->src, "sockaddr", "192.0.2.1:4711");
	expect(self, b.buffer, "channel buffer", "192.0.2.1:4712");
	assert_int_equal(find(self, a.stream, &object), 0);
	assert_int_equal(object.age_source, FP_AGE_ACCEPTED);
	assert_int_equal(object.born_ns, 1000 * SEC + SEC / 2);
	assert_string_equal(object.connection->frontend, "front");
	assert_string_equal(object.connection->backend, "back");
	assert_int_equal(object.connection->waiting_bytes, 77);
	id = object.connection->id;
	assert_int_equal(find(self, b.stream, &object), 0);
	assert_int_not_equal(object.connection->id, id);
	assert_int_equal(find(self, a.h1c[1], &object), 0);
	assert_int_equal(object.connection->id, id);
	/* The server's descriptor says the same when the client's says nothing. */
	table[5].owner = NULL;
	assert_int_equal(find(self, a.h1c[1], &object), 0);
	assert_string_equal(object.connection->peer, "192.0.2.1:4711");
	assert_int_equal(object.connection->id, id);
	/* As it was before the connection: another object. */
	assert_int_equal(provider_haproxy.find(self, (uintptr_t)b.stream, 1500 * SEC, &object),
			 -ENOENT);
	assert_int_equal(find(self, &b.stream[1], &object), -ENOENT);
	provider_haproxy.close(self);
}

/* Each structure absent in turn: what is found is right, and all is found when it comes in. */
static void test_absent(void **state)
{
	struct tunnel t;
	void *self;

	(void)state;
	make_tunnel(&t, 5, 4711, 2000);
	for (unsigned int i = 0; i < 12; i++) {
		const void *all[] = {
			t.conn[0], t.conn[1], t.h1c[0], t.h1c[1], t.h1s[0], t.h1s[1],
			t.sd[0],   t.sd[1],   t.sc[0],	t.sc[1],  t.stream, t.session
		};
		struct fp_object object;

		set_absent(all[i], true);
		self = open_provider(true);
		for (unsigned int k = 0; k < 12; k++) {
			int r = find(self, all[k], &object);

			assert_true(!r || r == -ENODATA);
			if (!r)
				assert_int_equal(object.base, (uintptr_t)all[k]);
			if (!r && object.connection && object.connection->peer[0])
				assert_string_equal(object.connection->peer, "192.0.2.1:4711");
		}
		/* The other side leads there too. */
		if (i >= 4 && i != 10 && i != 8)
			assert_int_equal(find(self, t.conn[1], &object), 0);
		set_absent(all[i], false);
		provider_haproxy.present(self, (uintptr_t)all[i]);
		for (unsigned int k = 12;
		     k-- > 0;) { /* the deepest first: no other look helps it */
			assert_int_equal(find(self, all[k], &object), 0);
			assert_non_null(object.connection);
			assert_string_equal(object.connection->peer, "192.0.2.1:4711");
		}
		provider_haproxy.close(self);
	}
}

static int count(void *arg, const struct fp_object *object)
{
	(void)object;
	return ++*(unsigned int *)arg > 100000 ? -E2BIG : 0;
}

/* What contradicts itself belongs to nobody. */
static void test_contradictions(void **state)
{
	struct fp_object object;
	struct tunnel t, u;

	(void)state;
	for (unsigned int flaw = 0; flaw < 7; flaw++) {
		const void *lost;
		void *self;

		setup(NULL);
		make_tunnel(&t, 5, 4711, 2000);
		make_tunnel(&u, 9, 4712, 3000);
		lost = t.h1c[0];
		if (flaw == 0)
			t.h1c[0]->conn = u.conn[0];
		if (flaw == 1)
			t.conn[0]->fd = 30;
		if (flaw == 2)
			table[5].iocb = &other_iocb;
		if (flaw == 3)
			t.conn[0]->obj_type = IS_LISTENER;
		if (flaw == 4)
			lost = t.stream, t.stream->obj_type = IS_LISTENER;
		if (flaw == 5)
			lost = t.sc[0], t.sc[0]->sedesc = u.sd[0], t.stream->scf = u.sc[0];
		if (flaw == 6)
			lost = t.buffer, t.stream->req.buf.data = 16385;
		self = open_provider(true);
		assert_int_equal(find(self, lost, &object), -ENOENT);
		expect(self, u.stream, "stream", "192.0.2.1:4712");
		expect(self, u.h1c[0], "h1c", "192.0.2.1:4712");
		provider_haproxy.close(self);
	}
}

/* Anything may be anywhere: an end to it, within bounds; the sanitizers look at the rest. */
static void test_wild(void **state)
{
	struct tunnel t[3];

	(void)state;
	srandom(1);
	for (unsigned int round = 0; round < 300; round++) {
		struct fp_object object;
		unsigned int objects = 0;
		void *self;

		setup(NULL);
		for (unsigned int i = 0; i < 3; i++)
			make_tunnel(&t[i], 5 + 4 * i, 4711, 2000);
		for (unsigned int i = 0; i < 40; i++) {
			uint64_t *word = (uint64_t *)(arena + random() % used / 8 * 8);
			uint64_t *from = (uint64_t *)(arena + random() % used / 8 * 8);

			*word = random() % 3 ? *from : (uintptr_t)arena + (uint64_t)random() % used;
		}
		for (unsigned int i = 0; i < 200; i++) {
			void **links[] = { &t[i % 3].conn[i % 2]->ctx, &t[i % 3].sc[i % 2]->app,
					   &t[i % 3].sc[i % 2]->sedesc };

			if (random() % 40 == 0)
				*links[random() % 3] = arena + random() % used;
		}
		absent_page[random() % PAGES] = true;
		reads = 0;
		self = open_provider(true);
		for (unsigned int i = 0; i < 100; i++) {
			const char *at = arena + random() % used;

			if (!find(self, at, &object))
				assert_true((uintptr_t)at - object.base < object.size);
		}
		assert_int_equal(provider_haproxy.walk(self, count, &objects), 0);
		assert_true(reads < 200000);
		provider_haproxy.close(self);
	}
}

/* ---- without DWARF: a pool_head of no version that there was ---- */

#define POOLS 12
static struct pool_head *pools[POOLS];

/* In no order, as from 3.2 on, and then with the sum of the sizes that share one. */
static void make_pools(uint32_t tag)
{
	struct list {
		void *n, *p;
	} *ring = make(512), *last = ring;

	for (unsigned int i = 0; i < POOLS; i++) {
		pools[i] = make(sizeof(*pools[i]));
		pools[i]->size = 24 + 64 * (i * 5 % POOLS);
		pools[i]->pad = pools[i]->size;
		pools[i]->alloc_sz = pools[i]->size + tag;
		pools[i]->users = 1 + i % 3;
		snprintf(pools[i]->name, sizeof(pools[i]->name), "pool%u", i);
		pools[i]->list.p = last;
		last->n = &pools[i]->list;
		last = (void *)&pools[i]->list;
	}
	last->n = ring;
	ring->p = last;
	strcpy(pools[5]->name, "buffer");
	for (unsigned int i = 0; i < 6; i++)
		exported[i] = pools[5 - i];
}

/* As malloc gives it, with the tag behind it. */
static char *make_object(const struct pool_head *pool)
{
	uint64_t chunk = (pool->alloc_sz + 8 + 15) & ~15ULL;
	char *base;

	used = (used + 15) & ~15UL;
	base = arena + used + 16;
	used += 16 + chunk;
	*(uint64_t *)(base - 8) = chunk | 1;
	*(const void **)(base + pool->size) = pool;
	return base;
}

static void test_tags(void **state)
{
	struct fp_object object;
	char *objects[POOLS], *stray;
	void *self;

	(void)state;
	make_pools(8);
	for (unsigned int i = 0; i < POOLS; i++)
		objects[i] = make_object(pools[i]);
	/* A pool's address where it is no tag: no chunk of that size ends there. */
	stray = make(1024);
	*(void **)(stray + 160 + pools[7]->size) = pools[7];
	self = open_provider(false);
	for (unsigned int i = 0; i < POOLS; i++) {
		for (unsigned int at = 0; at < pools[i]->size; at++) {
			assert_int_equal(find(self, objects[i] + at, &object), 0);
			assert_string_equal(object.pool, pools[i]->name);
			assert_int_equal(object.base, (uintptr_t)objects[i]);
			assert_int_equal(object.size, pools[i]->size);
		}
		assert_int_equal(find(self, objects[i] + pools[i]->size, &object), -ENOENT);
		assert_int_equal(find(self, objects[i] - 1, &object), -ENOENT);
	}
	assert_int_equal(find(self, stray + 800, &object), -ENOENT);
	/* Freed: the tag is gone. */
	*(uint64_t *)(objects[7] + pools[7]->size) = (uintptr_t)&iocb;
	assert_int_equal(find(self, objects[7], &object), -ENOENT);
	provider_haproxy.close(self);
}

/* What cannot be proven is not used. */
static void test_unproven(void **state)
{
	struct fp_object object;
	char *at;
	void *self;

	for (unsigned int flaw = 0; flaw < 6; flaw++) {
		setup(state);
		make_pools(flaw == 0 ? 0 : 8);
		for (unsigned int i = 0; i < POOLS; i++)
			if (flaw == 5) /* what they have in common need not be their sizes */
				pools[i]->size = 64 + 64 * (i % 3),
				pools[i]->alloc_sz = pools[i]->size + 8;
		for (unsigned int i = 0; i < POOLS; i++)
			if (flaw == 1) /* another pair that could be it */
				pools[i]->limit = pools[i]->size - 8;
		if (flaw == 2) /* too small for its own list */
			pools[8]->size = 8, pools[8]->alloc_sz = 16;
		if (flaw == 3) /* a pool of another list */
			exported[3] = make(sizeof(struct pool_head));
		if (flaw == 4) /* no way round */
			pools[3]->list.n = &pools[2]->list;
		at = make_object(pools[9]);
		self = open_provider(false);
		assert_int_equal(find(self, at, &object), -ENOENT);
		provider_haproxy.close(self);
	}
}

/* ---- what an earlier look has found out ---- */

/* With the stream absent, and then the session too: the client is who it was, as old as it was. */
static void test_remembered(void **state)
{
	struct fp_object object;
	struct tunnel t;
	uint64_t id;
	void *self;

	(void)state;
	make_tunnel(&t, 5, 4711, 2000);
	self = open_provider(true);
	assert_int_equal(find(self, t.h1c[0], &object), 0);
	id = object.connection->id;
	set_absent(t.stream, true);
	assert_int_equal(find(self, t.h1c[0], &object), 0);
	assert_int_equal(object.born_ns, 1000 * SEC + SEC / 2);
	assert_string_equal(object.connection->backend, "back");
	set_absent(t.session, true);
	strcpy(kernel_peer, "192.0.2.1:4711");
	assert_int_equal(find(self, t.h1c[0], &object), 0);
	assert_non_null(object.connection);
	assert_int_equal(object.connection->id, id);
	assert_int_equal(object.connection->used_ns, 0);
	assert_int_equal(object.born_ns, 1000 * SEC + SEC / 2);
	/* Another one, with the same descriptor and at the same address. */
	strcpy(kernel_peer, "192.0.2.1:4712");
	assert_int_equal(find(self, t.h1c[0], &object), 0);
	assert_null(object.connection);
	set_absent(t.session, false);
	t.conn[0]->src->in.sin_port = htons(4712);
	assert_int_equal(find(self, t.h1c[0], &object), 0);
	assert_string_equal(object.connection->peer, "192.0.2.1:4712");
	assert_int_equal(object.born_ns, 0);
	provider_haproxy.close(self);
}

static void test_tls(void **state)
{
	struct ssl_sock_ctx *ctx;
	struct fp_object object;
	struct tunnel t, u;
	char *openssl;
	void *self;

	(void)state;
	make_tunnel(&t, 5, 4711, 2000);
	make_tunnel(&u, 9, 4712, 3000);
	MAKE(ctx);
	next_page();
	openssl = (char *)make(6016) + 16;
	*(uint64_t *)(openssl - 8) = 6000 | 1;
	*ctx = (struct ssl_sock_ctx){ .conn = t.conn[0], .ssl = openssl };
	t.conn[0]->xprt = &ssl_sock;
	t.conn[0]->xprt_ctx = ctx;
	self = open_provider(true);
	expect(self, ctx, "ssl_sock_ctx", "192.0.2.1:4711");
	expect(self, openssl, "SSL", "192.0.2.1:4711");
	assert_int_equal(find(self, openssl + 5991, &object), 0);
	assert_int_equal(find(self, openssl + 5992, &object), -ENOENT);
	/* It is another one's, or the connection has another transport. */
	ctx->conn = u.conn[0];
	assert_int_equal(find(self, ctx, &object), -ENOENT);
	ctx->conn = t.conn[0];
	assert_int_equal(find(self, ctx, &object), -ENOENT); /* nobody has looked since */
	provider_haproxy.refresh(self);
	t.conn[0]->xprt = &other_iocb;
	assert_int_equal(find(self, ctx, &object), -ENOENT);
	provider_haproxy.close(self);
}

/* Each group of threads has a table: they have the same descriptors for different connections. */
static void test_groups(void **state)
{
	struct fp_object object;
	struct tunnel t, u;
	void *self;

	(void)state;
	the_global.nbtgroups = 3;
	the_global.maxsock = FDS / 4;
	for (unsigned int i = 0; i < 3; i++)
		groups[i].fdtab = table + i * (FDS / 4);
	make_tunnel(&t, 5, 4711, 2000);
	make_tunnel(&u, 2 * (FDS / 4) + 5, 4712, 3000);
	u.conn[0]->fd = 5;
	u.conn[1]->fd = 6;
	self = open_provider(true);
	expect(self, t.h1s[1], "h1s", "192.0.2.1:4711");
	expect(self, u.h1s[1], "h1s", "192.0.2.1:4712");
	expect(self, u.h1c[0], "h1c", "192.0.2.1:4712");
	/* What the kernel says of descriptor 5 is of another connection. */
	strcpy(kernel_peer, "192.0.2.1:4711");
	u.conn[0]->src = NULL;
	assert_int_equal(find(self, u.h1c[0], &object), 0);
	assert_string_equal(object.connection->peer, "");
	provider_haproxy.close(self);
	/* One table for all. */
	groups[1].fdtab = groups[2].fdtab = table;
	self = open_provider(true);
	expect(self, t.h1s[1], "h1s", "192.0.2.1:4711");
	assert_int_equal(find(self, u.h1s[1], &object), -ENOENT);
	provider_haproxy.close(self);
}

static void test_quic(void **state)
{
	void *self;

	(void)state;
	quic_pool = make(sizeof(*quic_pool));
	self = open_provider(true);
	assert_null(strstr(warning, "QUIC"));
	quic_pool->used = 17;
	provider_haproxy.refresh(self);
	assert_memory_equal(warning, "17 QUIC", 7);
	*warning = 0;
	provider_haproxy.refresh(self);
	assert_string_equal(warning, "");
	provider_haproxy.close(self);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_tunnel, setup),
		cmocka_unit_test_setup(test_absent, setup),
		cmocka_unit_test_setup(test_contradictions, setup),
		cmocka_unit_test_setup(test_wild, setup),
		cmocka_unit_test_setup(test_tags, setup),
		cmocka_unit_test_setup(test_unproven, setup),
		cmocka_unit_test_setup(test_remembered, setup),
		cmocka_unit_test_setup(test_tls, setup),
		cmocka_unit_test_setup(test_groups, setup),
		cmocka_unit_test_setup(test_quic, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
