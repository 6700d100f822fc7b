/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * No offset is written down here, only what members were called from 1.5 on: the running program's
 * DWARF says where they are, and which of the names exist says the rest.
 */
#include "provider/haproxy.h"

#include <errno.h>
#include <string.h>

#define INSIDE_BYTES 256 /* what is inside another structure, and read with it */

static const char *const shape_types[NR_SHAPES][2] = {
	[SHAPE_FD] = { "struct fdtab" },
	[SHAPE_CONNECTION] = { "struct connection" },
	[SHAPE_SESSION] = { "struct session" },
	[SHAPE_STREAM] = { "struct stream", "struct session" },
	[SHAPE_CHANNEL] = { "struct channel" },
	[SHAPE_BUFFER] = { "struct buffer" },
	[SHAPE_SIDE] = { "struct stream_interface" },
	[SHAPE_CONN_STREAM] = { "struct conn_stream" },
	[SHAPE_STCONN] = { "struct stconn" },
	[SHAPE_SEDESC] = { "struct sedesc" },
	[SHAPE_H1C] = { "struct h1c" },
	[SHAPE_H1S] = { "struct h1s" },
	[SHAPE_H2C] = { "struct h2c" },
	[SHAPE_H2S] = { "struct h2s" },
	[SHAPE_PASS] = { "struct mux_pt_ctx" },
	[SHAPE_TLS] = { "struct ssl_sock_ctx" },
	[SHAPE_TASK] = { "struct task" },
};

static const struct {
	enum shape shape;
	const char *paths[2];
} members[NR_MEMBERS] = {
	[FD_OWNER] = { SHAPE_FD, { "owner" } },
	[FD_IOCB] = { SHAPE_FD, { "iocb" } },
	[CONNECTION_TYPE] = { SHAPE_CONNECTION, { "obj_type" } },
	[CONNECTION_MUX] = { SHAPE_CONNECTION, { "mux" } },
	[CONNECTION_CTX] = { SHAPE_CONNECTION, { "ctx", "mux_ctx" } },
	[CONNECTION_XPRT] = { SHAPE_CONNECTION, { "xprt" } },
	[CONNECTION_XPRT_CTX] = { SHAPE_CONNECTION, { "xprt_ctx" } },
	[CONNECTION_OWNER] = { SHAPE_CONNECTION, { "owner" } },
	[CONNECTION_FD] = { SHAPE_CONNECTION, { "handle.fd", "t.sock.fd" } },
	[CONNECTION_SRC] = { SHAPE_CONNECTION, { "src" } },
	[CONNECTION_DST] = { SHAPE_CONNECTION, { "dst" } },
	[CONNECTION_HASH] = { SHAPE_CONNECTION, { "hash_node" } },
	[CONNECTION_FROM] = { SHAPE_CONNECTION, { "addr.from" } },
	[SESSION_FE] = { SHAPE_SESSION, { "fe" } },
	[SESSION_ORIGIN] = { SHAPE_SESSION, { "origin" } },
	[SESSION_SEC] = { SHAPE_SESSION, { "accept_date.tv_sec" } },
	[SESSION_USEC] = { SHAPE_SESSION, { "accept_date.tv_usec" } },
	[STREAM_TYPE] = { SHAPE_STREAM, { "obj_type" } },
	[STREAM_SESSION] = { SHAPE_STREAM, { "sess" } },
	[STREAM_REQ] = { SHAPE_STREAM, { "req" } },
	[STREAM_RES] = { SHAPE_STREAM, { "res", "rep" } },
	[STREAM_BE] = { SHAPE_STREAM, { "be" } },
	[STREAM_TASK] = { SHAPE_STREAM, { "task" } },
	[STREAM_TXN] = { SHAPE_STREAM, { "txn.http", "txn" } },
	[STREAM_SIDES] = { SHAPE_STREAM, { "si" } },
	[STREAM_FRONT] = { SHAPE_STREAM, { "scf" } },
	[STREAM_BACK] = { SHAPE_STREAM, { "scb" } },
	[STREAM_SEC] = { SHAPE_STREAM, { "logs.accept_date.tv_sec" } },
	[STREAM_USEC] = { SHAPE_STREAM, { "logs.accept_date.tv_usec" } },
	[CHANNEL_BUFFER] = { SHAPE_CHANNEL, { "buf" } },
	[CHANNEL_READ_EXPIRE] = { SHAPE_CHANNEL, { "rex" } },
	[CHANNEL_READ_TIMEOUT] = { SHAPE_CHANNEL, { "rto" } },
	[BUFFER_SIZE] = { SHAPE_BUFFER, { "size" } },
	[BUFFER_AREA] = { SHAPE_BUFFER, { "area" } },
	[BUFFER_DATA] = { SHAPE_BUFFER, { "data" } },
	[BUFFER_IN] = { SHAPE_BUFFER, { "i" } },
	[BUFFER_OUT] = { SHAPE_BUFFER, { "o" } },
	[SIDE_END] = { SHAPE_SIDE, { "end" } },
	[CONN_STREAM_TYPE] = { SHAPE_CONN_STREAM, { "obj_type" } },
	[CONN_STREAM_CONNECTION] = { SHAPE_CONN_STREAM, { "conn" } },
	[CONN_STREAM_DATA] = { SHAPE_CONN_STREAM, { "data" } },
	[STCONN_TYPE] = { SHAPE_STCONN, { "obj_type" } },
	[STCONN_SEDESC] = { SHAPE_STCONN, { "sedesc" } },
	[STCONN_APP] = { SHAPE_STCONN, { "app" } },
	[STCONN_TASKLET] = { SHAPE_STCONN, { "wait_event.tasklet" } },
	[STCONN_SRC] = { SHAPE_STCONN, { "src" } },
	[STCONN_DST] = { SHAPE_STCONN, { "dst" } },
	[SEDESC_SE] = { SHAPE_SEDESC, { "se" } },
	[SEDESC_CONNECTION] = { SHAPE_SEDESC, { "conn" } },
	[SEDESC_SC] = { SHAPE_SEDESC, { "sc" } },
	[SEDESC_READ] = { SHAPE_SEDESC, { "lra" } },
	[H1C_CONNECTION] = { SHAPE_H1C, { "conn" } },
	[H1C_H1S] = { SHAPE_H1C, { "h1s" } },
	[H1C_TASK] = { SHAPE_H1C, { "task" } },
	[H1C_TASKLET] = { SHAPE_H1C, { "wait_event.tasklet" } },
	[H1C_IBUF] = { SHAPE_H1C, { "ibuf" } },
	[H1C_OBUF] = { SHAPE_H1C, { "obuf" } },
	[H1S_H1C] = { SHAPE_H1S, { "h1c" } },
	[H1S_UP] = { SHAPE_H1S, { "sd", "cs" } },
	[H1S_RXBUF] = { SHAPE_H1S, { "rxbuf" } },
	[H2C_CONNECTION] = { SHAPE_H2C, { "conn" } },
	[H2C_TASK] = { SHAPE_H2C, { "task" } },
	[H2C_TASKLET] = { SHAPE_H2C, { "wait_event.tasklet" } },
	[H2C_TABLE] = { SHAPE_H2C, { "ddht" } },
	[H2C_DBUF] = { SHAPE_H2C, { "dbuf" } },
	[H2C_MBUF] = { SHAPE_H2C, { "mbuf" } },
	[H2C_STREAMS] = { SHAPE_H2C, { "streams_by_id" } },
	[H2C_IDLE] = { SHAPE_H2C, { "idle_start" } },
	[H2S_H2C] = { SHAPE_H2S, { "h2c" } },
	[H2S_UP] = { SHAPE_H2S, { "sd", "cs" } },
	[H2S_NODE] = { SHAPE_H2S, { "by_id" } },
	[H2S_RXBUF] = { SHAPE_H2S, { "rxbuf" } },
	[H2S_SHUT] = { SHAPE_H2S, { "shut_tl" } },
	[PASS_CONNECTION] = { SHAPE_PASS, { "conn" } },
	[PASS_UP] = { SHAPE_PASS, { "sd", "cs" } },
	[PASS_TASKLET] = { SHAPE_PASS, { "wait_event.tasklet" } },
	[TLS_CONNECTION] = { SHAPE_TLS, { "conn" } },
	[TLS_TASKLET] = { SHAPE_TLS, { "wait_event.tasklet" } },
	[TLS_SSL] = { SHAPE_TLS, { "ssl" } },
	[TLS_EARLY] = { SHAPE_TLS, { "early_buf" } },
	[TASK_CONTEXT] = { SHAPE_TASK, { "context" } },
};

static const struct {
	const char *name, *type;
} things[NR_THINGS] = {
	[THING_CONNECTION] = { "connection", "struct connection" },
	[THING_SESSION] = { "session", "struct session" },
	[THING_STREAM] = { "stream", "struct stream" },
	[THING_CONN_STREAM] = { "conn_stream", "struct conn_stream" },
	[THING_STCONN] = { "stconn", "struct stconn" },
	[THING_SEDESC] = { "sedesc", "struct sedesc" },
	[THING_H1C] = { "h1c", "struct h1c" },
	[THING_H1S] = { "h1s", "struct h1s" },
	[THING_H2C] = { "h2c", "struct h2c" },
	[THING_H2S] = { "h2s", "struct h2s" },
	[THING_PASS] = { "mux_pt", "struct mux_pt_ctx" },
	[THING_TLS] = { "ssl_sock_ctx", "struct ssl_sock_ctx" },
	[THING_SSL] = { "SSL", "struct ssl_st" },
	[THING_TABLE] = { "hpack_tbl", "struct hpack_dht" },
	[THING_CHANNEL] = { "channel", "struct channel" },
	[THING_TASK] = { "task", "struct task" },
	[THING_TASKLET] = { "tasklet", "struct tasklet" },
	[THING_ADDRESS] = { "sockaddr", "struct sockaddr_storage" },
	[THING_HASH] = { "conn_hash_node", "struct conn_hash_node" },
	[THING_TXN] = { "http_txn", "struct http_txn" },
	[THING_APPCTX] = { "appctx", "struct appctx" },
	[THING_CHANNEL_BUFFER] = { "channel buffer", "struct buffer" },
	[THING_MUX_BUFFER] = { "mux buffer", "struct buffer" },
};

const char *thing_name(const struct types *types, enum thing thing)
{
	return things[thing == THING_STREAM && types->stream_is_session ? THING_SESSION : thing]
		.name;
}

static void load_member(const struct fp_host *host, struct types *types, enum member member)
{
	struct fp_member *found = &types->member[member];
	enum shape shape = members[member].shape;
	const char *type = shape_types[shape][0];
	const char *const *paths = members[member].paths;
	uint64_t size;
	uint32_t end;

	if (shape_types[shape][1] && host->size_of(host, type, &size))
		type = shape_types[shape][1];
	if (host->member(host, type, paths[0], found) &&
	    (!paths[1] || host->member(host, type, paths[1], found))) {
		memset(found, 0, sizeof(*found));
		return;
	}
	/* Of what is large, only the address counts. */
	end = found->offset + (found->size <= INSIDE_BYTES ? found->size : 8);
	if (found->offset < types->low[shape] || !types->high[shape])
		types->low[shape] = found->offset;
	if (end > types->high[shape])
		types->high[shape] = end;
}

static int64_t load_enumerator(const struct fp_host *host, const char *name)
{
	int64_t value;

	return host->enumerator(host, name, &value) ? -1 : value;
}

/* Without these there is nothing to go by. */
static bool sufficient(const struct types *types)
{
	static const enum member needed[] = { FD_OWNER,	     FD_IOCB,	  CONNECTION_TYPE,
					      CONNECTION_FD, SESSION_FE,  STREAM_REQ,
					      STREAM_SEC,    BUFFER_SIZE, CHANNEL_BUFFER };
	bool up = types->member[STREAM_SIDES].size || types->member[STREAM_FRONT].size;

	for (unsigned int i = 0; i < sizeof(needed) / sizeof(*needed); i++)
		up &= types->member[needed[i]].size != 0;
	return up && types->is_connection >= 0;
}

int types_load(const struct fp_host *host, struct types *ret)
{
	uint64_t size;
	int r = host->size_of(host, "struct connection", &size);

	if (r)
		return r;
	memset(ret, 0, sizeof(*ret));
	for (unsigned int i = 0; i < NR_MEMBERS; i++)
		load_member(host, ret, i);
	for (unsigned int i = 0; i < NR_THINGS; i++)
		if (host->size_of(host, things[i].type, &ret->size[i]))
			ret->size[i] = 0;
	ret->stream_is_session = !ret->size[THING_STREAM];
	if (ret->stream_is_session)
		ret->size[THING_STREAM] = ret->size[THING_SESSION];
	if (host->member(host, "struct global", "maxsock", &ret->maxsock) ||
	    host->member(host, "struct proxy", "id", &ret->proxy_id) ||
	    host->size_of(host, "struct fdtab", &ret->fd_bytes) || !ret->fd_bytes)
		return -ENOENT;
	ret->is_connection = load_enumerator(host, "OBJ_TYPE_CONN");
	ret->is_stream = load_enumerator(host, "OBJ_TYPE_STREAM");
	ret->is_appctx = load_enumerator(host, "OBJ_TYPE_APPCTX");
	ret->is_conn_stream = load_enumerator(host, "OBJ_TYPE_CS");
	ret->is_stconn = load_enumerator(host, "OBJ_TYPE_SC");
	return sufficient(ret) ? 0 : -ENOENT;
}

/* ---- views ---- */

bool view_open(struct view *view, struct visit *visit, const struct types *types, enum shape shape,
	       uint64_t base)
{
	uint32_t length = types->high[shape] - types->low[shape];
	int r = -ENODATA;

	view->visit = visit;
	view->types = types;
	view->shape = shape;
	view->base = 0;
	view->whole = false;
	if (base < 4096 || base % 4 || !length)
		return false;
	if (length <= VIEW_BYTES)
		r = visit_try(visit, base + types->low[shape], view->bytes, length);
	if (r && r != -ENODATA)
		return false;
	view->base = base;
	view->whole = !r;
	return true;
}

bool view_inside(struct view *view, const struct view *outer, enum shape shape, uint64_t base)
{
	const struct types *types = outer->types;
	uint64_t at = base + types->low[shape] - outer->base - types->low[outer->shape];
	uint32_t length = types->high[shape] - types->low[shape];

	if (!outer->base || !outer->whole || !length || at > VIEW_BYTES ||
	    at + length > types->high[outer->shape] - types->low[outer->shape])
		return view_open(view, outer->visit, types, shape, base);
	view->visit = outer->visit;
	view->types = types;
	view->shape = shape;
	view->base = base;
	view->whole = true;
	memcpy(view->bytes, outer->bytes + at, length);
	return true;
}

/* A number of @size bytes. Of constant sizes: for one that varies, a copy is a call. */
static uint64_t number(const uint8_t *from, uint64_t size)
{
	uint64_t value = 0;

	switch (size) {
	case 8:
		memcpy(&value, from, 8);
		break;
	case 4:
		memcpy(&value, from, 4);
		break;
	default:
		memcpy(&value, from, size);
	}
	return value;
}

bool view_read(const struct view *view, enum member member, uint64_t *ret)
{
	const struct fp_member *m = &view->types->member[member];
	uint64_t value = 0;

	if (!view->base || !m->size || m->size > sizeof(value))
		return false;
	if (view->whole)
		value = number(view->bytes + m->offset - view->types->low[view->shape], m->size);
	else if (visit_read(view->visit, view->base + m->offset, &value, m->size))
		return false;
	*ret = value;
	return true;
}

uint64_t view_get(const struct view *view, enum member member)
{
	uint64_t value;

	return view_read(view, member, &value) ? value : 0;
}

bool view_may_be(const struct view *view, enum member member, int64_t wanted)
{
	uint64_t value;

	if (!view->base)
		return false;
	return wanted < 0 || !view_read(view, member, &value) || value == (uint64_t)wanted;
}

uint64_t view_address(const struct view *view, enum member member)
{
	const struct fp_member *m = &view->types->member[member];

	return view->base && m->size ? view->base + m->offset : 0;
}
