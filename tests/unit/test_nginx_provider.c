/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The provider of nginx on memory made up here: structures whose members stand elsewhere than in
 * any nginx, pages that are absent on demand, and what no nginx would leave behind.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>

#include <cmocka.h>

#include "provider/registry.h"

#define PAGE 4096UL
#define PAGES 64
#define SLOTS 8
#define NOW_NS 5000000000000ULL
#define BORN_NS 4000123000000ULL
#define WALL_NS 1700000000000000000LL

struct str {
	size_t len;
	const char *data;
};

struct buf {
	char *end, *start, *last, *pos;
};

struct large {
	void *alloc;
	struct large *next;
};

struct pool {
	struct large *large;
	size_t max;
	struct pool *next;
	char *end;
};

struct listening {
	int pad;
	struct str addr_text;
};

struct conn {
	uint64_t pad, number, start_time;
	void *data;
	struct pool *pool;
	void *sockaddr;
	struct listening *listening;
	struct buf *buffer;
	int fd;
};

struct event {
	char raw[48];
};

struct srv {
	uint64_t pad;
	struct str name;
};

struct upstream {
	struct buf buffer, from_client;
	struct srv *upstream;
};

struct request {
	uint32_t signature;
	struct pool *pool;
	struct conn *connection;
	struct upstream *upstream;
	struct srv **srv_conf;
	struct buf *header_in;
	uint64_t start_sec, start_msec;
};

struct cycle {
	struct event *write_events, *read_events;
	uint64_t connection_n;
	struct conn *connections;
};

struct module {
	uint64_t pad, ctx_index;
};

#define MEMBER(nginx, path, type, member)                                                      \
	{                                                                                      \
		nginx, path, offsetof(struct type, member), sizeof(((struct type *)0)->member) \
	}

static const struct {
	const char *type, *path;
	uint64_t offset, size;
} members[] = {
	MEMBER("struct ngx_cycle_s", "connections", cycle, connections),
	MEMBER("struct ngx_cycle_s", "connection_n", cycle, connection_n),
	MEMBER("struct ngx_cycle_s", "read_events", cycle, read_events),
	MEMBER("struct ngx_cycle_s", "write_events", cycle, write_events),
	MEMBER("struct ngx_connection_s", "data", conn, data),
	MEMBER("struct ngx_connection_s", "fd", conn, fd),
	MEMBER("struct ngx_connection_s", "listening", conn, listening),
	MEMBER("struct ngx_connection_s", "pool", conn, pool),
	MEMBER("struct ngx_connection_s", "sockaddr", conn, sockaddr),
	MEMBER("struct ngx_connection_s", "number", conn, number),
	MEMBER("struct ngx_connection_s", "start_time", conn, start_time),
	MEMBER("struct ngx_connection_s", "buffer", conn, buffer),
	MEMBER("struct ngx_pool_s", "d.end", pool, end),
	MEMBER("struct ngx_pool_s", "d.next", pool, next),
	MEMBER("struct ngx_pool_s", "max", pool, max),
	MEMBER("struct ngx_pool_s", "large", pool, large),
	MEMBER("struct ngx_pool_large_s", "next", large, next),
	MEMBER("struct ngx_pool_large_s", "alloc", large, alloc),
	MEMBER("struct ngx_buf_s", "pos", buf, pos),
	MEMBER("struct ngx_buf_s", "last", buf, last),
	MEMBER("struct ngx_buf_s", "start", buf, start),
	MEMBER("struct ngx_buf_s", "end", buf, end),
	{ "struct ngx_chain_s", "buf", 0, 8 },
	{ "struct ngx_chain_s", "next", 8, 8 },
	MEMBER("struct ngx_listening_s", "addr_text", listening, addr_text),
	MEMBER("struct ngx_http_request_s", "signature", request, signature),
	MEMBER("struct ngx_http_request_s", "connection", request, connection),
	MEMBER("struct ngx_http_request_s", "srv_conf", request, srv_conf),
	MEMBER("struct ngx_http_request_s", "upstream", request, upstream),
	MEMBER("struct ngx_http_request_s", "pool", request, pool),
	MEMBER("struct ngx_http_request_s", "header_in", request, header_in),
	MEMBER("struct ngx_http_request_s", "start_sec", request, start_sec),
	MEMBER("struct ngx_http_request_s", "start_msec", request, start_msec),
	MEMBER("struct ngx_http_upstream_s", "upstream", upstream, upstream),
	MEMBER("struct ngx_http_upstream_s", "from_client", upstream, from_client),
	MEMBER("struct ngx_http_upstream_s", "buffer", upstream, buffer),
	MEMBER("struct ngx_http_upstream_srv_conf_s", "host", srv, name),
	MEMBER("ngx_http_core_srv_conf_t", "server_name", srv, name),
	MEMBER("struct ngx_module_s", "ctx_index", module, ctx_index),
};

/* ---- the host ---- */

static _Alignas(4096) char memory[PAGES * PAGE];
static bool absent[PAGES];
static const char *without; /* a member that this version of nginx lacks */
static bool stripped;
static unsigned int warnings;

static int fake_read(const struct fp_host *host, uint64_t address, void *buf, size_t size,
		     uint64_t *ret)
{
	uint64_t base = (uintptr_t)memory;

	(void)host;
	if (address < base || size > sizeof(memory) || address - base > sizeof(memory) - size)
		return -EFAULT;
	for (uint64_t page = (address - base) / PAGE; page <= (address + size - 1 - base) / PAGE;
	     page++)
		if (absent[page]) {
			if (ret)
				*ret = base + page * PAGE;
			return -ENODATA;
		}
	memcpy(buf, (const void *)(uintptr_t)address, size);
	return 0;
}

/* What the tests build: a page for each thing, as far as it matters. */
static struct cycle *const cycle = (struct cycle *)(memory + PAGE);
static struct cycle **const cycle_variable = (struct cycle **)memory;
static struct module *const module = (struct module *)(memory + 64);
static struct conn *const conns = (struct conn *)(memory + 2 * PAGE);
static struct event *const reads = (struct event *)(memory + 3 * PAGE);
static struct event *const writes = (struct event *)(memory + 4 * PAGE);
static struct srv *const server = (struct srv *)(memory + 5 * PAGE);
static struct srv *const backend = (struct srv *)(memory + 5 * PAGE + 64);
static struct srv **const confs = (struct srv **)(memory + 5 * PAGE + 128);
static struct listening *const listener = (struct listening *)(memory + 5 * PAGE + 256);
static struct pool *const c_pool = (struct pool *)(memory + 6 * PAGE);
static char *const c_buffer = memory + 7 * PAGE;
static struct pool *const r_pool = (struct pool *)(memory + 8 * PAGE);
static struct request *const request = (struct request *)(memory + 8 * PAGE + 64);
static struct upstream *const upstream = (struct upstream *)(memory + 8 * PAGE + 512);
static char *const u_buffer = memory + 10 * PAGE;
static struct pool *const u_pool = (struct pool *)(memory + 12 * PAGE);
static char *const chunk = memory + 14 * PAGE; /* of malloc, with its head */

static int fake_symbol(const struct fp_host *host, const char *name, uint64_t *address,
		       uint64_t *size)
{
	(void)host, (void)size;
	if (!strcmp(name, "ngx_cycle"))
		*address = (uintptr_t)cycle_variable;
	else if (!strcmp(name, "ngx_http_core_module"))
		*address = (uintptr_t)module;
	else
		return -ENOENT;
	return 0;
}

static int fake_member(const struct fp_host *host, const char *type, const char *path,
		       struct fp_member *ret)
{
	(void)host;
	for (size_t i = 0; !stripped && i < sizeof(members) / sizeof(*members); i++)
		if (!strcmp(members[i].type, type) && !strcmp(members[i].path, path) &&
		    (!without || strcmp(path, without) != 0)) {
			*ret = (struct fp_member){ .offset = members[i].offset,
						   .size = members[i].size };
			return 0;
		}
	return stripped ? -ENODATA : -ENOENT;
}

static int fake_size_of(const struct fp_host *host, const char *type, uint64_t *ret)
{
	(void)host;
	if (!strcmp(type, "struct ngx_connection_s"))
		*ret = sizeof(struct conn);
	else if (!strcmp(type, "struct ngx_event_s"))
		*ret = sizeof(struct event);
	else
		return -ENOENT;
	return 0;
}

static int fake_mapping(const struct fp_host *host, uint64_t address, bool next,
			struct fp_mapping *ret)
{
	uint64_t base = (uintptr_t)memory;

	(void)host, (void)next;
	if (address < base || address >= base + sizeof(memory))
		return -ENOENT;
	*ret = (struct fp_mapping){ base, base + sizeof(memory), true, false, false, "[heap]" };
	return 0;
}

static void fake_warn(const struct fp_host *host, const char *format, ...)
{
	(void)host, (void)format;
	warnings++;
}

static const char *fake_intern(const struct fp_host *host, const char *text)
{
	static char kept[32][256];
	static unsigned int nr;

	(void)host;
	for (unsigned int i = 0; i < nr; i++)
		if (!strcmp(kept[i], text))
			return kept[i];
	assert_true(nr < 32);
	return strcpy(kept[nr++], text);
}

static const struct fp_host host = {
	.abi = FAULTPROF_PROVIDER_ABI,
	.wall_ns = WALL_NS,
	.read = fake_read,
	.symbol = fake_symbol,
	.member = fake_member,
	.size_of = fake_size_of,
	.mapping = fake_mapping,
	.warn = fake_warn,
	.intern = fake_intern,
};

/* ---- a worker with one client and its upstream ---- */

static struct str text(const char *at)
{
	static size_t used = 1024; /* of the page of the configuration */
	size_t length = strlen(at);
	char *copy = memory + 5 * PAGE + used;

	memcpy(copy, at, length);
	used = used + 64 < PAGE ? used + 64 : 1024;
	return (struct str){ length, copy };
}

static struct buf buffer(char *at, size_t size, size_t waiting)
{
	return (struct buf){ .start = at, .end = at + size, .pos = at, .last = at + waiting };
}

static int setup(void **state)
{
	static struct sockaddr_in *sin;

	(void)state;
	memset(memory, 0, sizeof(memory));
	memset(absent, 0, sizeof(absent));
	without = NULL;
	stripped = false;
	warnings = 0;
	*cycle_variable = cycle;
	*cycle = (struct cycle){ writes, reads, SLOTS, conns };
	module->ctx_index = 1;
	for (int i = 0; i < SLOTS; i++)
		conns[i].fd = -1;
	server->name = text("front");
	backend->name = text("back");
	listener->addr_text = text("0.0.0.0:80");
	confs[1] = server;
	*c_pool = (struct pool){ .max = 256, .end = (char *)c_pool + 512 };
	*r_pool = (struct pool){ .max = 1000, .end = (char *)r_pool + PAGE };
	*u_pool = (struct pool){ .max = 100, .end = (char *)u_pool + 128 };
	sin = (struct sockaddr_in *)(c_pool + 1);
	*sin = (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(4711),
				     .sin_addr.s_addr = htonl(0xc0000201) };
	conns[2] = (struct conn){ .number = 77,
				  .start_time = BORN_NS / 1000000,
				  .data = request,
				  .pool = c_pool,
				  .sockaddr = sin,
				  .listening = listener,
				  .fd = 5 };
	conns[3] = (struct conn){
		.number = 78, .start_time = 1, .data = request, .pool = u_pool, .fd = 6
	};
	*request = (struct request){ .signature = 0x50545448,
				     .connection = &conns[2],
				     .pool = r_pool,
				     .upstream = upstream,
				     .srv_conf = confs,
				     .header_in = (struct buf *)(r_pool + 8),
				     .start_sec = (BORN_NS + WALL_NS) / 1000000000,
				     .start_msec = (BORN_NS + WALL_NS) / 1000000 % 1000 };
	*request->header_in = buffer(c_buffer, 1024, 10);
	*upstream = (struct upstream){ .buffer = buffer(u_buffer, PAGE, 100),
				       .from_client = buffer(u_buffer + PAGE, PAGE, 5),
				       .upstream = backend };
	return 0;
}

static void *opened(void)
{
	void *self;

	assert_int_equal(provider_nginx.open(&host, &self), 0);
	return self;
}

static int find(void *self, const void *address, struct fp_object *ret)
{
	return provider_nginx.find(self, (uintptr_t)address, NOW_NS, ret);
}

static void is(void *self, const void *address, const char *type, const void *base, uint64_t size)
{
	struct fp_object object;

	assert_int_equal(find(self, address, &object), 0);
	assert_string_equal(object.type, type);
	assert_true(object.base == (uintptr_t)base);
	assert_int_equal(object.size, size);
	assert_non_null(object.connection);
	assert_int_equal(object.connection->id, 77);
	assert_string_equal(object.connection->peer, "192.0.2.1:4711");
	assert_int_equal(object.born_ns, BORN_NS);
	assert_int_equal(object.age_source, FP_AGE_ACCEPTED);
}

/* ---- the tests ---- */

static void test_request(void **state)
{
	struct fp_object object;
	void *self = opened();

	(void)state;
	is(self, &conns[2].fd, "connection", &conns[2], sizeof(struct conn));
	is(self, &reads[2], "event", &reads[2], sizeof(struct event));
	is(self, &writes[2].raw[40], "event", &writes[2], sizeof(struct event));
	is(self, c_pool, "pool block", c_pool, 512);
	is(self, request, "pool block", r_pool, PAGE);
	is(self, c_buffer + 1023, "header buffer", c_buffer, 1024);
	is(self, u_buffer + 1, "upstream buffer", u_buffer, PAGE);
	is(self, u_buffer + PAGE + 1, "client buffer", u_buffer + PAGE, PAGE);
	/* The connection to the upstream is its client's. */
	is(self, &conns[3], "upstream connection", &conns[3], sizeof(struct conn));
	is(self, u_pool, "pool block", u_pool, 128);
	assert_int_equal(find(self, u_buffer, &object), 0);
	assert_string_equal(object.connection->frontend, "front");
	assert_string_equal(object.connection->backend, "back");
	assert_int_equal(object.connection->waiting_bytes, 115);
	assert_int_equal(find(self, c_buffer + 1024, &object), -ENOENT);
	/* One that is closed has nothing. */
	conns[2].fd = conns[3].fd = -1;
	assert_int_equal(find(self, u_buffer, &object), -ENOENT);
	provider_nginx.close(self);
}

/* Before 1.19.10 there is the start of the request only, by the wall clock. */
static void test_old(void **state)
{
	void *self;

	(void)state;
	without = "start_time";
	self = opened();
	is(self, u_buffer, "upstream buffer", u_buffer, PAGE);
	provider_nginx.close(self);
}

static void test_absent(void **state)
{
	struct fp_object object;
	void *self;

	(void)state;
	memset(absent, 1, sizeof(absent));
	self = opened();
	assert_int_equal(find(self, u_buffer, &object), -ENODATA);
	for (int page = 0; page < 5; page++) {
		absent[page] = false;
		provider_nginx.present(self, (uintptr_t)memory + page * PAGE);
	}
	/* The connection is known, its address and its request are not. */
	assert_int_equal(find(self, &conns[2], &object), 0);
	assert_int_equal(object.born_ns, BORN_NS);
	assert_string_equal(object.connection->peer, "");
	assert_null(object.connection->frontend);
	assert_int_equal(find(self, u_buffer, &object), -ENODATA);
	absent[6] = absent[8] = false;
	provider_nginx.present(self, (uintptr_t)c_pool);
	provider_nginx.present(self, (uintptr_t)r_pool);
	is(self, u_buffer, "upstream buffer", u_buffer, PAGE);
	assert_int_equal(find(self, u_buffer, &object), 0);
	assert_null(object.connection->frontend);
	/* What was read stays known. */
	absent[5] = false;
	provider_nginx.present(self, (uintptr_t)server);
	absent[5] = absent[6] = true;
	assert_int_equal(find(self, u_buffer, &object), 0);
	assert_string_equal(object.connection->frontend, "front");
	assert_string_equal(object.connection->peer, "192.0.2.1:4711");
	/* But not of the next connection in its place. */
	conns[2].number = 80;
	assert_int_equal(find(self, &conns[2], &object), 0);
	assert_string_equal(object.connection->peer, "");
	provider_nginx.close(self);
}

static void test_peers(void **state)
{
	struct sockaddr_in6 *sin6 = conns[2].sockaddr;
	struct sockaddr *sa = conns[2].sockaddr;
	struct fp_object object;
	void *self;

	(void)state;
	*sin6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(443) };
	sin6->sin6_addr.s6_addr[15] = 1;
	self = opened();
	assert_int_equal(find(self, &conns[2], &object), 0);
	assert_string_equal(object.connection->peer, "[::1]:443");
	provider_nginx.close(self);
	sa->sa_family = AF_UNIX;
	server->name.len = 0; /* no name: where it listens */
	self = opened();
	assert_int_equal(find(self, &conns[2], &object), 0);
	assert_string_equal(object.connection->peer, "unix");
	assert_string_equal(object.connection->frontend, "0.0.0.0:80");
	provider_nginx.close(self);
}

/* Nobody notes the size of a large allocation but malloc. */
static void test_large(void **state)
{
	struct large *large = (struct large *)(r_pool + 12);
	uint64_t *head = (uint64_t *)(chunk + 8), *next = (uint64_t *)(chunk + 8 + 2 * PAGE);
	struct fp_object object;
	void *self;

	(void)state;
	*large = (struct large){ .alloc = chunk + 16 };
	r_pool->large = large;
	*head = 2 * PAGE | 1;
	*next = 33;
	self = opened();
	is(self, chunk + 17, "large allocation", chunk + 16, 2 * PAGE - 8);
	*next = 32; /* says that the one before it is free */
	assert_int_equal(find(self, chunk + 17, &object), -ENOENT);
	*next = 33;
	*head = 0x7f0000000001; /* not malloc's */
	assert_int_equal(find(self, chunk + 17, &object), -ENOENT);
	provider_nginx.close(self);
}

static void test_hostile(void **state)
{
	struct large *large = (struct large *)(r_pool + 12);
	struct fp_object object;
	void *self;

	(void)state;
	r_pool->next = r_pool;
	*large = (struct large){ .alloc = chunk + 16, .next = large };
	r_pool->large = large;
	c_pool->next = (struct pool *)8;
	c_pool->end = (char *)c_pool - 1;
	upstream->buffer.end = upstream->buffer.start - 1;
	upstream->from_client.pos = (char *)-1;
	server->name.len = -1UL;
	self = opened();
	is(self, request, "pool block", r_pool, PAGE);
	assert_int_equal(find(self, request, &object), 0);
	assert_int_equal(object.connection->waiting_bytes, UINT64_MAX);
	assert_null(object.connection->frontend);
	assert_int_equal(find(self, u_buffer, &object), -ENOENT);
	/* A request of another one, and one that is none. */
	request->connection = (struct conn *)((char *)&conns[2] + 1);
	assert_int_equal(find(self, request, &object), -ENOENT);
	request->connection = &conns[2];
	request->signature = 0;
	assert_int_equal(find(self, request, &object), -ENOENT);
	conns[2].data = (void *)-8UL;
	assert_int_equal(find(self, &conns[2], &object), 0);
	provider_nginx.close(self);
	cycle->connection_n = UINT64_MAX;
	self = opened();
	assert_int_equal(find(self, &conns[2], &object), -ENOENT);
	provider_nginx.close(self);
}

static int no_symbol(const struct fp_host *unused, const char *name, uint64_t *address,
		     uint64_t *size)
{
	(void)unused, (void)name, (void)address, (void)size;
	return -ENOENT;
}

static void test_open(void **state)
{
	struct fp_host other = host;
	struct fp_object object;
	void *self;

	(void)state;
	stripped = true;
	assert_int_equal(provider_nginx.open(&host, &self), -ENODATA);
	assert_int_equal(warnings, 1);
	stripped = false;
	cycle->connections = NULL; /* a master; its address is asked for, too */
	self = opened();
	assert_int_equal(find(self, request, &object), -ENOENT);
	cycle->connections = conns; /* a worker by now */
	provider_nginx.refresh(self);
	is(self, request, "pool block", r_pool, PAGE);
	provider_nginx.close(self);
	other.symbol = no_symbol;
	assert_int_equal(provider_nginx.open(&other, &self), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_request, setup),
		cmocka_unit_test_setup(test_old, setup),
		cmocka_unit_test_setup(test_absent, setup),
		cmocka_unit_test_setup(test_peers, setup),
		cmocka_unit_test_setup(test_large, setup),
		cmocka_unit_test_setup(test_hostile, setup),
		cmocka_unit_test_setup(test_open, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
