/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * nginx: ngx_cycle leads to the array of connections, which a worker allocates once. A slot of it
 * is a root; see nginx_visit.c for what hangs on it. A master has no connections.
 */
#include "provider/nginx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "provider/registry.h"

#define MAX_CONNECTIONS (1U << 20)

static const struct {
	const char *type, *path;
} members[NGINX_MEMBERS] = {
	[CYCLE_CONNECTIONS] = { "struct ngx_cycle_s", "connections" },
	[CYCLE_CONNECTION_N] = { "struct ngx_cycle_s", "connection_n" },
	[CYCLE_READ_EVENTS] = { "struct ngx_cycle_s", "read_events" },
	[CYCLE_WRITE_EVENTS] = { "struct ngx_cycle_s", "write_events" },
	[C_DATA] = { "struct ngx_connection_s", "data" },
	[C_FD] = { "struct ngx_connection_s", "fd" },
	[C_LISTENING] = { "struct ngx_connection_s", "listening" },
	[C_POOL] = { "struct ngx_connection_s", "pool" },
	[C_SOCKADDR] = { "struct ngx_connection_s", "sockaddr" },
	[C_NUMBER] = { "struct ngx_connection_s", "number" },
	[POOL_END] = { "struct ngx_pool_s", "d.end" },
	[POOL_NEXT] = { "struct ngx_pool_s", "d.next" },
	[POOL_MAX] = { "struct ngx_pool_s", "max" },
	[POOL_LARGE] = { "struct ngx_pool_s", "large" },
	[LARGE_NEXT] = { "struct ngx_pool_large_s", "next" },
	[LARGE_ALLOC] = { "struct ngx_pool_large_s", "alloc" },
	[BUF_POS] = { "struct ngx_buf_s", "pos" },
	[BUF_LAST] = { "struct ngx_buf_s", "last" },
	[BUF_START] = { "struct ngx_buf_s", "start" },
	[BUF_END] = { "struct ngx_buf_s", "end" },
	[CHAIN_BUF] = { "struct ngx_chain_s", "buf" },
	[CHAIN_NEXT] = { "struct ngx_chain_s", "next" },
	[LISTENING_ADDR_TEXT] = { "struct ngx_listening_s", "addr_text" },
	[C_START_TIME] = { "struct ngx_connection_s", "start_time" },
	[C_BUFFER] = { "struct ngx_connection_s", "buffer" },
	[R_SIGNATURE] = { "struct ngx_http_request_s", "signature" },
	[R_CONNECTION] = { "struct ngx_http_request_s", "connection" },
	[R_SRV_CONF] = { "struct ngx_http_request_s", "srv_conf" },
	[R_UPSTREAM] = { "struct ngx_http_request_s", "upstream" },
	[R_POOL] = { "struct ngx_http_request_s", "pool" },
	[R_HEADER_IN] = { "struct ngx_http_request_s", "header_in" },
	[R_REQUEST_BODY] = { "struct ngx_http_request_s", "request_body" },
	[R_START_SEC] = { "struct ngx_http_request_s", "start_sec" },
	[R_START_MSEC] = { "struct ngx_http_request_s", "start_msec" },
	[R_HTTP_CONNECTION] = { "struct ngx_http_request_s", "http_connection" },
	[HC_BUSY] = { "ngx_http_connection_t", "busy" },
	[HC_FREE] = { "ngx_http_connection_t", "free" },
	[BODY_BUF] = { "ngx_http_request_body_t", "buf" },
	[U_PIPE] = { "struct ngx_http_upstream_s", "pipe" },
	[U_UPSTREAM] = { "struct ngx_http_upstream_s", "upstream" },
	[U_FROM_CLIENT] = { "struct ngx_http_upstream_s", "from_client" },
	[U_BUFFER] = { "struct ngx_http_upstream_s", "buffer" },
	[U_SRV_CONF_HOST] = { "struct ngx_http_upstream_srv_conf_s", "host" },
	[PIPE_FREE_RAW] = { "struct ngx_event_pipe_s", "free_raw_bufs" },
	[PIPE_IN] = { "struct ngx_event_pipe_s", "in" },
	[PIPE_OUT] = { "struct ngx_event_pipe_s", "out" },
	[PIPE_BUSY] = { "struct ngx_event_pipe_s", "busy" },
	[SERVER_NAME] = { "ngx_http_core_srv_conf_t", "server_name" },
	[MODULE_CTX_INDEX] = { "struct ngx_module_s", "ctx_index" },
	[S_SIGNATURE] = { "struct ngx_stream_session_s", "signature" },
	[S_CONNECTION] = { "struct ngx_stream_session_s", "connection" },
	[S_START_SEC] = { "struct ngx_stream_session_s", "start_sec" },
	[S_START_MSEC] = { "struct ngx_stream_session_s", "start_msec" },
	[S_UPSTREAM] = { "struct ngx_stream_session_s", "upstream" },
	[SU_DOWNSTREAM_BUF] = { "ngx_stream_upstream_t", "downstream_buf" },
	[SU_UPSTREAM_BUF] = { "ngx_stream_upstream_t", "upstream_buf" },
	[SU_UPSTREAM] = { "ngx_stream_upstream_t", "upstream" },
	[SU_SRV_CONF_HOST] = { "struct ngx_stream_upstream_srv_conf_s", "host" },
};

static int read_number(const struct nginx *nginx, uint64_t base, enum nginx_member member,
		       uint64_t *ret)
{
	return nginx->host->read(nginx->host, base + nginx->at[member].offset, ret, sizeof(*ret),
				 NULL);
}

/* Finds the array; a worker that was just forked has none yet. What was found stays, also while
 * the page that told of it is swapped out. */
static void find_connections(struct nginx *nginx)
{
	uint64_t cycle, connections, nr, read_events, write_events;
	struct nginx_memo *memos;

	if (nginx->host->read(nginx->host, nginx->cycle, &cycle, sizeof(cycle), NULL) || !cycle ||
	    read_number(nginx, cycle, CYCLE_CONNECTIONS, &connections) ||
	    read_number(nginx, cycle, CYCLE_CONNECTION_N, &nr) ||
	    read_number(nginx, cycle, CYCLE_READ_EVENTS, &read_events) ||
	    read_number(nginx, cycle, CYCLE_WRITE_EVENTS, &write_events))
		return;
	nginx->cycle_read = true;
	if (!connections || !nr || nr > MAX_CONNECTIONS ||
	    (connections == nginx->connections && nr == nginx->nr))
		return;
	memos = calloc(nr, sizeof(*memos));
	if (!memos || owners_resize(nginx->owners, 0) || owners_resize(nginx->owners, nr)) {
		free(memos);
		return;
	}
	free(nginx->memos);
	nginx->memos = memos;
	nginx->connections = connections;
	nginx->read_events = read_events;
	nginx->write_events = write_events;
	nginx->nr = nr;
}

static void nginx_refresh(void *self)
{
	struct nginx *nginx = self;

	find_connections(nginx);
	owners_visit_all(nginx->owners);
}

static void nginx_present(void *self, uint64_t page)
{
	struct nginx *nginx = self;

	if (nginx->nr)
		owners_present(nginx->owners, page);
	else
		nginx_refresh(nginx);
}

/* All that nginx allocates is there. */
static bool is_heap(const struct nginx *nginx, uint64_t address)
{
	struct fp_mapping mapping;

	return !nginx->host->mapping(nginx->host, address, false, &mapping) && mapping.write &&
	       !mapping.shared && (!mapping.name[0] || !strcmp(mapping.name, "[heap]"));
}

/* What an address in one of the arrays is, the place alone tells. */
static int find_place(const struct nginx *nginx, uint64_t address, struct fp_object *ret)
{
	const struct {
		uint64_t base, size;
		const char *type;
	} arrays[] = {
		{ nginx->connections, nginx->connection_size, "connection" },
		{ nginx->read_events, nginx->event_size, "event" },
		{ nginx->write_events, nginx->event_size, "event" },
	};

	for (unsigned int i = 0; i < sizeof(arrays) / sizeof(*arrays); i++) {
		uint64_t at = address - arrays[i].base;

		if (!arrays[i].base || at / arrays[i].size >= nginx->nr)
			continue;
		*ret = (struct fp_object){ .type = arrays[i].type,
					   .base = address - at % arrays[i].size,
					   .size = arrays[i].size };
		return 0;
	}
	return -ENOENT;
}

static int nginx_find(void *self, uint64_t address, uint64_t time_ns, struct fp_object *ret)
{
	struct nginx *nginx = self;
	int err = owners_find(nginx->owners, address, time_ns, ret);

	if (err && !find_place(nginx, address, ret))
		return 0;
	if (err == -ENOENT && !nginx->cycle_read)
		err = -ENODATA;
	return err == -ENODATA && !is_heap(nginx, address) ? -ENOENT : err;
}

static int nginx_walk(void *self, fp_object_fn fn, void *arg)
{
	struct nginx *nginx = self;

	return owners_walk(nginx->owners, fn, arg);
}

static void nginx_close(void *self)
{
	struct nginx *nginx = self;

	owners_free(nginx->owners);
	free(nginx->memos);
	free(nginx);
}

/* 0; -ENODATA: no debug info that tells. */
static int find_members(struct nginx *nginx)
{
	const struct fp_host *host = nginx->host;

	for (int i = 0; i < NGINX_MEMBERS; i++) {
		int err = host->member(host, members[i].type, members[i].path, &nginx->at[i]);

		if (err && i < NGINX_REQUIRED)
			return -ENODATA;
		if (err)
			nginx->at[i].size = 0;
	}
	if (host->size_of(host, "struct ngx_connection_s", &nginx->connection_size) ||
	    host->size_of(host, "struct ngx_event_s", &nginx->event_size) ||
	    nginx->connection_size > NGINX_CONNECTION_MAX)
		return -ENODATA;
	if (host->size_of(host, "struct ngx_stream_session_s", &nginx->session_size))
		nginx->session_size = 0;
	if (host->size_of(host, "ngx_stream_upstream_t", &nginx->stream_upstream_size))
		nginx->stream_upstream_size = 0;
	if (host->symbol(host, "ngx_http_core_module", &nginx->http_module, NULL))
		nginx->http_module = 0;
	return 0;
}

static int nginx_open(const struct fp_host *host, void **ret)
{
	struct nginx *nginx;
	uint64_t cycle;
	int err = host->symbol(host, "ngx_cycle", &cycle, NULL);

	if (err)
		return -ENOENT;
	nginx = calloc(1, sizeof(*nginx));
	if (!nginx)
		return -ENOMEM;
	nginx->host = host;
	nginx->cycle = cycle;
	err = find_members(nginx);
	if (err)
		host->warn(host,
			   "nginx has no debug information, so its connections are not known: "
			   "install it (Debian: nginx-dbgsym) or build nginx with -g");
	else
		err = owners_new(host, nginx_visit, nginx, &nginx->owners);
	if (err) {
		free(nginx);
		return err;
	}
	nginx_refresh(nginx);
	*ret = nginx;
	return 0;
}

const struct fp_provider provider_nginx = {
	.abi = FAULTPROF_PROVIDER_ABI,
	.name = "nginx",
	.help = "connections, requests, buffers and pools of nginx, by its debug info",
	.open = nginx_open,
	.present = nginx_present,
	.refresh = nginx_refresh,
	.find = nginx_find,
	.walk = nginx_walk,
	.close = nginx_close,
};
