/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The HAProxy provider's parts, which see no more of faultprof than provider.h. */
#ifndef PROVIDER_HAPROXY_H
#define PROVIDER_HAPROXY_H

#include "provider/owners.h"

/* ---- haproxy_types.c: what the program's DWARF says, whatever its version ---- */

/* Structures that are read. A version lacks some of them. */
enum shape {
	SHAPE_FD,
	SHAPE_CONNECTION,
	SHAPE_SESSION,
	SHAPE_STREAM, /* called struct session in 1.5, and both at once */
	SHAPE_CHANNEL,
	SHAPE_BUFFER,
	SHAPE_SIDE, /* struct stream_interface, up to 2.5 */
	SHAPE_CONN_STREAM,
	SHAPE_STCONN,
	SHAPE_SEDESC,
	SHAPE_H1C,
	SHAPE_H1S,
	SHAPE_H2C,
	SHAPE_H2S,
	SHAPE_PASS,
	SHAPE_TLS,
	SHAPE_TASK,
	NR_SHAPES
};

enum member {
	FD_OWNER,
	FD_IOCB,
	CONNECTION_TYPE,
	CONNECTION_MUX,
	CONNECTION_CTX,
	CONNECTION_XPRT,
	CONNECTION_XPRT_CTX,
	CONNECTION_OWNER,
	CONNECTION_FD,
	CONNECTION_SRC, /* a pointer, from 2.1 on */
	CONNECTION_DST,
	CONNECTION_FROM, /* the address itself, before */
	CONNECTION_HASH, /* a pointer, from 2.4 to 3.1 */
	SESSION_FE,
	SESSION_ORIGIN,
	SESSION_SEC,
	SESSION_USEC,
	STREAM_TYPE,
	STREAM_SESSION,
	STREAM_REQ,
	STREAM_RES,
	STREAM_BE,
	STREAM_TASK,
	STREAM_TXN,
	STREAM_SIDES,
	STREAM_FRONT,
	STREAM_BACK,
	STREAM_SEC,
	STREAM_USEC,
	CHANNEL_BUFFER,
	CHANNEL_READ_EXPIRE,
	CHANNEL_READ_TIMEOUT,
	BUFFER_SIZE,
	BUFFER_AREA, /* from 1.9 on; before, the text follows */
	BUFFER_DATA, /* bytes in it, with it */
	BUFFER_IN,   /* the same, before */
	BUFFER_OUT,
	SIDE_END,
	CONN_STREAM_TYPE,
	CONN_STREAM_CONNECTION,
	CONN_STREAM_DATA,
	STCONN_TYPE,
	STCONN_SEDESC,
	STCONN_APP,
	STCONN_TASKLET,
	STCONN_SRC,
	STCONN_DST,
	SEDESC_SE,
	SEDESC_CONNECTION,
	SEDESC_SC,
	SEDESC_READ,
	H1C_CONNECTION,
	H1C_H1S,
	H1C_TASK,
	H1C_TASKLET,
	H1C_IBUF,
	H1C_OBUF,
	H1S_H1C,
	H1S_UP, /* the sedesc, or the conn_stream */
	H1S_RXBUF,
	H2C_CONNECTION,
	H2C_TASK,
	H2C_TASKLET,
	H2C_TABLE, /* of headers */
	H2C_DBUF,
	H2C_MBUF,
	H2C_STREAMS,
	H2C_IDLE,
	H2S_H2C,
	H2S_UP,
	H2S_NODE,
	H2S_RXBUF,
	H2S_SHUT,
	PASS_CONNECTION,
	PASS_UP,
	PASS_TASKLET,
	TLS_CONNECTION,
	TLS_TASKLET,
	TLS_SSL,
	TLS_EARLY,
	TASK_CONTEXT,
	NR_MEMBERS
};

/* Objects that are found. */
enum thing {
	THING_CONNECTION,
	THING_SESSION,
	THING_STREAM,
	THING_CONN_STREAM,
	THING_STCONN,
	THING_SEDESC,
	THING_H1C,
	THING_H1S,
	THING_H2C,
	THING_H2S,
	THING_PASS,
	THING_TLS,
	THING_SSL,
	THING_TABLE,
	THING_CHANNEL,
	THING_TASK,
	THING_TASKLET,
	THING_ADDRESS,
	THING_HASH,
	THING_TXN,
	THING_APPCTX,
	THING_CHANNEL_BUFFER,
	THING_MUX_BUFFER,
	NR_THINGS
};

struct types {
	struct fp_member member[NR_MEMBERS];	  /* size 0: this version has none */
	uint32_t low[NR_SHAPES], high[NR_SHAPES]; /* the part of it that holds the members */
	uint64_t size[NR_THINGS];
	uint64_t fd_bytes;		    /* from one entry of fdtab to the next */
	struct fp_member maxsock, proxy_id; /* of struct global and struct proxy */
	/* Of obj_type; -1: none. */
	int64_t is_connection, is_stream, is_appctx, is_conn_stream, is_stconn;
	bool stream_is_session;
};

/* 0; -ENODATA: no DWARF; -ENOENT: it is not that of an HAProxy that can be read. */
int types_load(const struct fp_host *host, struct types *ret);
const char *thing_name(const struct types *types, enum thing thing);

/* A structure of the target. Members are read at once when all are present, else one by one. */
#define VIEW_BYTES 2048

struct view {
	struct visit *visit;
	const struct types *types;
	uint64_t base; /* 0: nowhere, all its members are unknown */
	enum shape shape;
	bool whole;
	uint8_t bytes[VIEW_BYTES];
};

/* False: @base is not an address of anything. */
bool view_open(struct view *view, struct visit *visit, const struct types *types, enum shape shape,
	       uint64_t base);
/* The same, without another read when @outer, which is open, contains it. */
bool view_inside(struct view *view, const struct view *outer, enum shape shape, uint64_t base);
/* False: the version has no such member, or it is not present. */
bool view_read(const struct view *view, enum member member, uint64_t *ret);
/* The same, 0 when it is not known. */
uint64_t view_get(const struct view *view, enum member member);
/* True unless the member is known, and something else. A negative @wanted is no condition. */
bool view_may_be(const struct view *view, enum member member, int64_t wanted);
/* Address of the member; 0: the version has none. */
uint64_t view_address(const struct view *view, enum member member);

/* ---- haproxy_pools.c: pools, and which one an address belongs to ---- */

struct pool {
	uint64_t head; /* of the target's struct pool_head */
	uint32_t size;
	const char *name;
};

struct pools {
	uint32_t extra; /* bytes behind an object: the tag is the first word of them; 0: no tags */
	uint32_t largest;
	unsigned int nr;
	struct pool *pool;	   /* all of them, by head; NULL: not known */
	struct pool of[NR_THINGS]; /* name NULL: not known */
};

/* 0; -ENODATA: pages of the list are not present, another time perhaps; -ENOENT: what is there is
 * not understood. */
int pools_load(const struct fp_host *host, struct pools *pools);
void pools_release(struct pools *pools);
/* By DWARF, how many objects of the pool that the variable @name points to are in use. 0 or -errno.
 */
int pools_used(const struct fp_host *host, const char *name, uint64_t *ret);
const struct pool *pools_find(const struct pools *pools, uint64_t head);
/* Is @base, behind which @pool's tag is, where malloc gave an object of it? 0; -ENOENT; -ENODATA.
 */
int pools_check(const struct fp_host *host, const struct pools *pools, const struct pool *pool,
		uint64_t base);
/* The pool of the living object at @address, by the tag behind it, and where it starts. -ENOENT:
 * none; -ENODATA: a page that would tell is not present. */
int pools_by_tag(const struct fp_host *host, const struct pools *pools, uint64_t address,
		 const struct pool **ret, uint64_t *base);

/* ---- haproxy.c ---- */

enum mux { MUX_H1, MUX_H2, MUX_PASS, NR_MUXES };

#define MUX_TABLES 2 /* of each, one for each kind of proxy it serves */
#define NAMES 256    /* of proxies, kept by address */

struct descriptor {
	uint64_t seen; /* its connection, when it was visited */
	/* What a visit found out about its client: more than the next one may. */
	uint64_t connection;
	struct fp_connection client; /* id 0: nothing */
};

struct haproxy {
	const struct fp_host *host;
	struct owners *owners; /* NULL: without DWARF, only pools by tag */
	struct types types;
	struct pools pools;
	int pools_error; /* of the last pools_load() */
	bool births;
	struct told *told; /* by the stats socket; NULL: it was not asked */
	bool told_checked, quic_told;
	uint64_t fdtab, connection_iocb;
	uint32_t maxsock; /* descriptors of a table */
	uint32_t nr;	  /* of all tables: from 3.5 on, each group of threads may have its own */
	struct descriptor *descriptors;
	uint64_t absent_page;  /* of fdtab, not to be tried again in this round; 0: none */
	uint64_t visit_all_ns; /* when that is due again */
	uint64_t mux[NR_MUXES][MUX_TABLES];
	uint64_t tls;		    /* its struct xprt_ops; 0: none */
	uint32_t tick_offset;	    /* ticks minus wall clock, ms */
	bool ticks;		    /* is it known? */
	struct fp_connection woken; /* of the last answer, without what is not known */
	struct {
		uint64_t proxy;
		const char *name;
	} names[NAMES];
};

/* @entry is one of all tables. The connection that has it, or had it when that could be read last;
 * 0: none. */
uint64_t haproxy_descriptor(struct haproxy *h, unsigned int entry);
/* NULL: not known. */
const char *haproxy_proxy_name(struct haproxy *h, uint64_t proxy);

/* ---- haproxy_walk.c: what hangs on one file descriptor ---- */

/* A visit_fn; @self is a struct haproxy. */
void haproxy_visit(void *self, struct visit *visit, unsigned int entry);

/* ---- haproxy_clock.c ---- */

/* Learns how HAProxy's ticks, milliseconds that wrap, relate to wall clock time. */
void haproxy_learn_ticks(struct haproxy *h);
/* CLOCK_MONOTONIC; 0: not known. */
uint64_t haproxy_tick_ns(const struct haproxy *h, uint32_t tick);
uint64_t haproxy_wall_ns(const struct haproxy *h, uint64_t sec, uint64_t usec);

#endif
