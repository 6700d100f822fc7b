/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * From a file descriptor to all that hangs on it:
 *
 *   fdtab[fd] -> connection -> mux (h1c, h2c, mux_pt) -> mux stream (h1s, h2s) -> UP -> stream
 *
 * UP is what joins a mux to a stream: up to 1.7 there is no mux, and the connection's owner is one
 * of the two stream interfaces in the stream; up to 2.5 a conn_stream leads to that; from 2.6 on it
 * is a sedesc with a stconn. From the stream the way goes down again, to the connection on its
 * other side.
 *
 * The client's descriptor owns all of it. The server's one owns its own side only, and tells whose
 * that is: so each side is found when the other's pages are not present.
 *
 * A structure that points back where it should not is not what its owner says. One whose pages are
 * absent is believed to be there: when it matters, they have come in.
 */
#include "provider/haproxy.h"

#include <netinet/in.h>
#include <string.h>

#include "base/peer.h"

#define MAX_UPS 128	      /* streams of one connection */
#define MAX_STEPS 1024	      /* in one tree */
#define MAX_RING 64	      /* buffers of one h2c */
#define MAX_SSL 65536	      /* bytes of OpenSSL's structure: some 7,000 */
#define RESOLUTION_NS 1000000 /* HAProxy's clock stands still in each round of its event loop */

struct walk {
	struct haproxy *h;
	struct visit *visit;
	bool others;		      /* the kernel has the descriptor in a table of its threads */
	uint64_t connection;	      /* that of the descriptor */
	bool silent;		      /* what is met belongs to another descriptor */
	struct fp_connection *client; /* NULL: not known yet */
	uint64_t used_tick, waiting;
	bool has_tick, has_buffers;
	unsigned int nr_ups;
	uint64_t ups[MAX_UPS];
};

enum side { FRONT, BACK, NO_SIDE };

static bool open_view(struct walk *w, struct view *view, enum shape shape, uint64_t base)
{
	return view_open(view, w->visit, &w->h->types, shape, base);
}

static bool has(const struct walk *w, enum member member)
{
	return w->h->types.member[member].size != 0;
}

static void add_sized(struct walk *w, enum thing thing, uint64_t base, uint64_t size)
{
	if (!w->silent && base >= 4096 && base % 8 == 0)
		visit_object(w->visit, thing_name(&w->h->types, thing), w->h->pools.of[thing].name,
			     base, size);
}

static void add(struct walk *w, enum thing thing, uint64_t base)
{
	add_sized(w, thing, base, w->h->types.size[thing]);
}

/* Opens the structure that @base should be, and adds it. */
static bool enter(struct walk *w, struct view *view, enum shape shape, uint64_t base,
		  enum thing thing, enum member back, int64_t wanted)
{
	if (!open_view(w, view, shape, base) || !view_may_be(view, back, wanted))
		return false;
	add(w, thing, base);
	return true;
}

/* ---- buffers ---- */

/* No more than fits, and no less than makes sense, for a buffer of this proxy. */
static bool fits_pool(const struct walk *w, uint64_t size)
{
	const struct pools *pools = &w->h->pools;
	const struct pool *pool = &pools->of[THING_CHANNEL_BUFFER];

	if (!pool->name)
		return size <= 1 << 20;
	if (size <= pool->size && pool->size - size < 64)
		return true;
	/* From 3.2 on there are small ones, and large ones: of another pool. */
	for (unsigned int i = 0; i < pools->nr; i++)
		if (size <= pools->pool[i].size && pools->pool[i].size - size < 64 &&
		    pools->pool[i].name && strstr(pools->pool[i].name, "buf"))
			return true;
	return false;
}

static void add_buffer_at(struct walk *w, enum thing thing, const struct view *outer,
			  uint64_t address)
{
	uint64_t size, base, data;
	struct view buffer;

	if (!view_inside(&buffer, outer, SHAPE_BUFFER, address))
		return;
	size = view_get(&buffer, BUFFER_SIZE);
	if (has(w, BUFFER_AREA)) {
		base = view_get(&buffer, BUFFER_AREA);
		data = view_get(&buffer, BUFFER_DATA);
	} else {
		base = address;
		data = view_get(&buffer, BUFFER_IN) + view_get(&buffer, BUFFER_OUT);
	}
	if (!size || data > size)
		return;
	if (!has(w, BUFFER_AREA))
		size += w->h->types.size[thing];
	if (!fits_pool(w, size))
		return;
	w->waiting += data;
	add_sized(w, thing, base, size);
}

/* The buffers of a member: one, an array of them, or a pointer to one. */
static void add_buffers(struct walk *w, enum thing thing, const struct view *view,
			enum member member)
{
	const struct fp_member *m = &w->h->types.member[member];
	uint64_t count = m->stride ? m->count : 1;

	if (!view->base || !m->size)
		return;
	if (m->size == sizeof(uint64_t)) {
		add_buffer_at(w, thing, view, view_get(view, member));
		return;
	}
	for (uint64_t i = 0; i < count && i < MAX_RING; i++)
		add_buffer_at(w, thing, view, view->base + m->offset + i * m->stride);
}

static void used_at(struct walk *w, uint32_t tick)
{
	if (tick && (!w->has_tick || (int32_t)(tick - (uint32_t)w->used_tick) > 0))
		w->used_tick = tick;
	w->has_tick |= tick != 0;
}

static void walk_channel(struct walk *w, const struct view *stream, enum member member)
{
	uint64_t address = view_address(stream, member);
	uint32_t expire, timeout;
	struct view channel;

	if (w->h->types.member[member].size == sizeof(uint64_t)) {
		address = view_get(stream, member);
		add(w, THING_CHANNEL, address);
	}
	if (!view_inside(&channel, stream, SHAPE_CHANNEL, address))
		return;
	expire = view_get(&channel, CHANNEL_READ_EXPIRE);
	timeout = view_get(&channel, CHANNEL_READ_TIMEOUT);
	if (expire && timeout)
		used_at(w, expire - timeout);
	w->has_buffers = true;
	add_buffers(w, THING_CHANNEL_BUFFER, &channel, CHANNEL_BUFFER);
}

/* ---- connections and what is above them ---- */

static void note_up(struct walk *w, uint64_t up)
{
	if (up && w->nr_ups < MAX_UPS)
		w->ups[w->nr_ups++] = up;
}

static void walk_h1(struct walk *w, uint64_t connection, uint64_t ctx)
{
	struct view h1c, h1s;

	if (!enter(w, &h1c, SHAPE_H1C, ctx, THING_H1C, H1C_CONNECTION, connection))
		return;
	add(w, THING_TASK, view_get(&h1c, H1C_TASK));
	add(w, THING_TASKLET, view_get(&h1c, H1C_TASKLET));
	add_buffers(w, THING_MUX_BUFFER, &h1c, H1C_IBUF);
	add_buffers(w, THING_MUX_BUFFER, &h1c, H1C_OBUF);
	if (!enter(w, &h1s, SHAPE_H1S, view_get(&h1c, H1C_H1S), THING_H1S, H1S_H1C, ctx))
		return;
	add_buffers(w, THING_MUX_BUFFER, &h1s, H1S_RXBUF);
	note_up(w, view_get(&h1s, H1S_UP));
}

static void walk_h2s(struct walk *w, uint64_t h2c, uint64_t base)
{
	struct view h2s;

	if (!enter(w, &h2s, SHAPE_H2S, base, THING_H2S, H2S_H2C, h2c))
		return;
	add_buffers(w, THING_MUX_BUFFER, &h2s, H2S_RXBUF);
	add(w, THING_TASKLET, view_get(&h2s, H2S_SHUT));
	note_up(w, view_get(&h2s, H2S_UP));
}

/* Streams are the leaves of a tree; a pointer to what is not a leaf has its lowest bit set. */
static void walk_h2(struct walk *w, uint64_t connection, uint64_t ctx)
{
	uint64_t pending[64], node = w->h->types.member[H2S_NODE].offset;
	unsigned int nr = 0, steps = 0;
	struct view h2c;

	if (!enter(w, &h2c, SHAPE_H2C, ctx, THING_H2C, H2C_CONNECTION, connection))
		return;
	add(w, THING_TASK, view_get(&h2c, H2C_TASK));
	add(w, THING_TASKLET, view_get(&h2c, H2C_TASKLET));
	/* As large as the configuration says. */
	add_sized(w, THING_TABLE, view_get(&h2c, H2C_TABLE), w->h->pools.of[THING_TABLE].size);
	add_buffers(w, THING_MUX_BUFFER, &h2c, H2C_DBUF);
	add_buffers(w, THING_MUX_BUFFER, &h2c, H2C_MBUF);
	used_at(w, view_get(&h2c, H2C_IDLE));
	if (!has(w, H2S_NODE) || !view_address(&h2c, H2C_STREAMS))
		return;
	pending[nr++] = visit_pointer(w->visit, view_address(&h2c, H2C_STREAMS));
	while (nr && steps++ < MAX_STEPS) {
		uint64_t branches[2], at = pending[--nr];

		if (at & 1) {
			if (visit_read(w->visit, at & ~1ULL, branches, sizeof(branches)) ||
			    nr + 2 > sizeof(pending) / sizeof(*pending))
				continue;
			pending[nr++] = branches[1];
			pending[nr++] = branches[0];
		} else if (at > node) {
			walk_h2s(w, ctx, at - node);
		}
	}
}

static void walk_pass(struct walk *w, uint64_t connection, uint64_t ctx)
{
	struct view pass;

	if (!has(w, PASS_UP)) {
		note_up(w, ctx); /* 1.8 */
	} else if (enter(w, &pass, SHAPE_PASS, ctx, THING_PASS, PASS_CONNECTION, connection)) {
		add(w, THING_TASKLET, view_get(&pass, PASS_TASKLET));
		note_up(w, view_get(&pass, PASS_UP));
	}
}

static void walk_tls(struct walk *w, uint64_t connection, uint64_t ctx)
{
	uint64_t ssl, chunk;
	struct view tls;

	if (!enter(w, &tls, SHAPE_TLS, ctx, THING_TLS, TLS_CONNECTION, connection))
		return;
	add(w, THING_TASKLET, view_get(&tls, TLS_TASKLET));
	add_buffers(w, THING_MUX_BUFFER, &tls, TLS_EARLY);
	/* OpenSSL's; malloc knows how large it is. */
	ssl = view_get(&tls, TLS_SSL);
	if (ssl > 4096 && !visit_read(w->visit, ssl - 8, &chunk, sizeof(chunk)) && chunk <= MAX_SSL)
		add_sized(w, THING_SSL, ssl, (chunk & ~7ULL) - 8);
}

/* Adds the connection, its transport and its mux, and notes the ways up. False: it is no
 * connection. */
static bool walk_connection(struct walk *w, struct view *view, uint64_t base)
{
	static void (*const walks[NR_MUXES])(struct walk *, uint64_t, uint64_t) = {
		[MUX_H1] = walk_h1, [MUX_H2] = walk_h2, [MUX_PASS] = walk_pass
	};
	uint64_t mux;

	if (!enter(w, view, SHAPE_CONNECTION, base, THING_CONNECTION, CONNECTION_TYPE,
		   w->h->types.is_connection))
		return false;
	add(w, THING_ADDRESS, view_get(view, CONNECTION_SRC));
	add(w, THING_ADDRESS, view_get(view, CONNECTION_DST));
	if (w->h->types.member[CONNECTION_HASH].size == sizeof(uint64_t))
		add(w, THING_HASH, view_get(view, CONNECTION_HASH));
	if (w->h->tls && view_get(view, CONNECTION_XPRT) == w->h->tls)
		walk_tls(w, base, view_get(view, CONNECTION_XPRT_CTX));
	if (!has(w, CONNECTION_MUX)) {
		note_up(w, view_get(view, CONNECTION_OWNER));
		return true;
	}
	mux = view_get(view, CONNECTION_MUX);
	for (unsigned int i = 0; mux && i < NR_MUXES * MUX_TABLES; i++)
		if (w->h->mux[i / MUX_TABLES][i % MUX_TABLES] == mux)
			walks[i / MUX_TABLES](w, base, view_get(view, CONNECTION_CTX));
	return true;
}

/* ---- the client ---- */

/* As the proxy knows it, by the PROXY protocol perhaps; else as the kernel does. */
static void write_peer(struct walk *w, const struct view *connection, char text[PEER_TEXT])
{
	uint64_t address = has(w, CONNECTION_SRC) ? view_get(connection, CONNECTION_SRC)
						  : view_address(connection, CONNECTION_FROM);
	struct sockaddr_storage peer = { 0 };
	uint64_t fd;

	if (address && !visit_read(w->visit, address, &peer, sizeof(struct sockaddr_in6)))
		peer_text(&peer, text);
	if (!*text && !w->others && w->h->host->peer && view_read(connection, CONNECTION_FD, &fd))
		w->h->host->peer(w->h->host, (int)fd, text);
}

/* Sessions come and go at the same addresses, but not with the same peer. */
static uint64_t identity(uint64_t session, const char *peer)
{
	uint64_t hash = session;

	for (; *peer; peer++)
		hash = (hash ^ (unsigned char)*peer) * 0x100000001b3ULL;
	return hash;
}

static void know_client(struct walk *w, uint64_t session, const struct view *connection)
{
	struct view view;
	uint64_t origin;

	/* An applet's session has no connection. */
	if (!open_view(w, &view, SHAPE_SESSION, session) ||
	    (has(w, SESSION_ORIGIN) && view_read(&view, SESSION_ORIGIN, &origin) &&
	     connection->base && origin != connection->base))
		return;
	add(w, w->h->types.stream_is_session ? THING_STREAM : THING_SESSION, session);
	w->client = visit_connection(w->visit);
	w->client->waiting_bytes = UINT64_MAX;
	w->client->resolution_ns = RESOLUTION_NS;
	w->client->frontend = haproxy_proxy_name(w->h, view_get(&view, SESSION_FE));
	if (connection->base)
		write_peer(w, connection, w->client->peer);
	w->client->id = identity(session, w->client->peer);
}

/* A keep-alive connection between two requests: its session's date is the end of the last one, or
 * that of its accept when there was none. */
static void know_idle_client(struct walk *w, const struct view *connection)
{
	uint64_t session = view_get(connection, CONNECTION_OWNER), origin;
	struct view view;

	if (!has(w, SESSION_ORIGIN) || !open_view(w, &view, SHAPE_SESSION, session) ||
	    !view_read(&view, SESSION_ORIGIN, &origin) || origin != connection->base)
		return;
	know_client(w, session, connection);
	if (w->client)
		w->client->used_ns = haproxy_wall_ns(w->h, view_get(&view, SESSION_SEC),
						     view_get(&view, SESSION_USEC));
}

/* ---- streams ---- */

/* Address of the stream's end on a side: a stconn, or a stream interface. */
static uint64_t stream_end(const struct walk *w, const struct view *stream, enum side side)
{
	const struct fp_member *sides = &w->h->types.member[STREAM_SIDES];

	if (has(w, STREAM_FRONT))
		return view_get(stream, side == FRONT ? STREAM_FRONT : STREAM_BACK);
	return view_address(stream, STREAM_SIDES) + side * sides->stride;
}

static void add_stconn(struct walk *w, const struct view *stconn)
{
	add(w, THING_TASKLET, view_get(stconn, STCONN_TASKLET));
	add(w, THING_ADDRESS, view_get(stconn, STCONN_SRC));
	add(w, THING_ADDRESS, view_get(stconn, STCONN_DST));
}

/* Goes down from a stream's end to its connection, 0 if there is none, adding what is between. */
static uint64_t walk_down(struct walk *w, uint64_t end)
{
	struct view side, joint;
	uint64_t type, to;

	if (has(w, STREAM_FRONT)) {
		if (!enter(w, &side, SHAPE_STCONN, end, THING_STCONN, STCONN_TYPE,
			   w->h->types.is_stconn))
			return 0;
		add_stconn(w, &side);
		if (!enter(w, &joint, SHAPE_SEDESC, view_get(&side, STCONN_SEDESC), THING_SEDESC,
			   SEDESC_SC, end))
			return 0;
		used_at(w, view_get(&joint, SEDESC_READ));
		return view_get(&joint, SEDESC_CONNECTION);
	}
	if (!open_view(w, &side, SHAPE_SIDE, end))
		return 0;
	to = view_get(&side, SIDE_END);
	/* A connection, an applet, or a conn_stream? All have their type at the same place. */
	if (!open_view(w, &joint, SHAPE_CONNECTION, to))
		return 0;
	if (!view_read(&joint, CONNECTION_TYPE, &type)) {
		return 0;
	} else if (w->h->types.is_appctx == (int64_t)type) {
		add(w, THING_APPCTX, to);
	} else if (w->h->types.is_connection == (int64_t)type) {
		return to;
	} else if (w->h->types.is_conn_stream == (int64_t)type &&
		   enter(w, &joint, SHAPE_CONN_STREAM, to, THING_CONN_STREAM, CONN_STREAM_DATA,
			 end)) {
		return view_get(&joint, CONN_STREAM_CONNECTION);
	}
	return 0;
}

static void know_stream(struct walk *w, const struct view *stream)
{
	uint64_t born =
		haproxy_wall_ns(w->h, view_get(stream, STREAM_SEC), view_get(stream, STREAM_USEC));

	if (!w->client)
		return;
	if (born && (!w->client->born_ns || born < w->client->born_ns))
		w->client->born_ns = born;
	w->client->backend = haproxy_proxy_name(w->h, view_get(stream, STREAM_BE));
}

/* @side is where the descriptor's own connection is. */
static void walk_stream(struct walk *w, const struct view *stream, enum side side)
{
	uint64_t session = has(w, STREAM_SESSION) ? view_get(stream, STREAM_SESSION) : stream->base;
	unsigned int nr_ups = w->nr_ups;
	struct view connection = { .types = &w->h->types };
	uint64_t other;

	w->silent = side == BACK;
	add(w, THING_STREAM, stream->base);
	add(w, THING_TASK, view_get(stream, STREAM_TASK));
	if (w->h->types.member[STREAM_TXN].size == sizeof(uint64_t))
		add(w, THING_TXN, view_get(stream, STREAM_TXN));
	walk_channel(w, stream, STREAM_REQ);
	walk_channel(w, stream, STREAM_RES);
	other = walk_down(w, stream_end(w, stream, side == FRONT ? BACK : FRONT));
	if (side == FRONT) {
		open_view(w, &connection, SHAPE_CONNECTION, w->connection);
		know_client(w, session, &connection);
		know_stream(w, stream);
		walk_connection(w, &connection, other);
	} else {
		if (!other || !walk_connection(w, &connection, other))
			connection.base = 0;
		know_client(w, session, &connection);
		know_stream(w, stream);
	}
	w->silent = false;
	w->nr_ups = nr_ups; /* those of the other side lead here again */
}

/* Which of the stream's two interfaces is it? Only one is where the stream's own task says so. */
static enum side side_of(struct walk *w, struct view *stream, uint64_t end)
{
	const struct fp_member *sides = &w->h->types.member[STREAM_SIDES];
	struct view task;
	uint64_t context;

	for (enum side side = FRONT; side < NO_SIDE; side++) {
		uint64_t base = end - sides->offset - side * sides->stride;

		if (end > sides->offset + side * sides->stride &&
		    open_view(w, stream, SHAPE_STREAM, base) &&
		    view_may_be(stream, STREAM_TYPE, w->h->types.is_stream) &&
		    open_view(w, &task, SHAPE_TASK, view_get(stream, STREAM_TASK)) &&
		    view_read(&task, TASK_CONTEXT, &context) && context == base)
			return side;
	}
	return NO_SIDE;
}

/* Goes up to the stream, and walks it. Returns the side from which it was come to. */
static enum side walk_up(struct walk *w, uint64_t up)
{
	struct view joint, side_view, stream;
	enum side side = NO_SIDE;
	uint64_t end, base;

	if (has(w, STREAM_FRONT)) {
		if (!enter(w, &joint, SHAPE_SEDESC, up, THING_SEDESC, SEDESC_CONNECTION,
			   w->connection))
			return NO_SIDE;
		used_at(w, view_get(&joint, SEDESC_READ));
		end = view_get(&joint, SEDESC_SC);
		if (!enter(w, &side_view, SHAPE_STCONN, end, THING_STCONN, STCONN_SEDESC, up))
			return NO_SIDE;
		add_stconn(w, &side_view);
		base = view_get(&side_view, STCONN_APP);
		if (!open_view(w, &stream, SHAPE_STREAM, base) ||
		    !view_may_be(&stream, STREAM_TYPE, w->h->types.is_stream))
			return NO_SIDE; /* a health check */
		if (view_get(&stream, STREAM_FRONT) == end)
			side = FRONT;
		else if (view_get(&stream, STREAM_BACK) == end)
			side = BACK;
		else if (!stream.whole)
			add(w, THING_STREAM, base);
	} else {
		end = up;
		if (has(w, CONNECTION_MUX)) {
			if (!enter(w, &joint, SHAPE_CONN_STREAM, up, THING_CONN_STREAM,
				   CONN_STREAM_CONNECTION, w->connection))
				return NO_SIDE;
			end = view_get(&joint, CONN_STREAM_DATA);
		}
		if (open_view(w, &side_view, SHAPE_SIDE, end) &&
		    view_may_be(&side_view, SIDE_END, has(w, CONNECTION_MUX) ? up : w->connection))
			side = side_of(w, &stream, end);
	}
	if (side != NO_SIDE)
		walk_stream(w, &stream, side);
	return side;
}

/* What is not in memory now, and was when the descriptor was visited before. The client is the same
 * when its session and peer are or, where that cannot be read, when the kernel says so. */
static void remember(struct walk *w, unsigned int entry)
{
	const struct fp_host *host = w->h->host;
	struct descriptor *kept = &w->h->descriptors[entry];
	const struct fp_connection *was = &kept->client;
	bool same = was->id && kept->connection == w->connection;
	char peer[PEER_TEXT] = "";

	if (w->client && same && was->id == w->client->id) {
		if (!w->client->born_ns)
			w->client->born_ns = was->born_ns;
		if (!w->client->frontend)
			w->client->frontend = was->frontend;
		if (!w->client->backend)
			w->client->backend = was->backend;
	} else if (!w->client && same && *was->peer && !w->others && host->peer &&
		   !host->peer(host, (int)entry, peer) && !strcmp(peer, was->peer)) {
		w->client = visit_connection(w->visit);
		*w->client = *was;
		w->client->used_ns = 0;
		w->client->waiting_bytes = UINT64_MAX;
	}
	if (!w->client)
		return;
	kept->connection = w->connection;
	kept->client = *w->client;
}

void haproxy_visit(void *self, struct visit *visit, unsigned int entry)
{
	struct walk w = { .h = self, .visit = visit };
	enum side side = NO_SIDE;
	struct view view;

	w.others = entry >= w.h->maxsock;
	w.connection = haproxy_descriptor(w.h, entry);
	if (!open_view(&w, &view, SHAPE_CONNECTION, w.connection) ||
	    !view_may_be(&view, CONNECTION_FD, entry % w.h->maxsock) ||
	    !walk_connection(&w, &view, w.connection))
		return;
	for (unsigned int i = 0; i < w.nr_ups; i++) {
		side = walk_up(&w, w.ups[i]);
		/* Streams of several clients share a connection to the server. */
		if (side == BACK && w.nr_ups > 1) {
			if (w.client)
				*w.client = (struct fp_connection){ .id = entry };
			return;
		}
	}
	if (!w.client)
		know_idle_client(&w, &view);
	if (side != BACK)
		remember(&w, entry);
	if (!w.client)
		return;
	if (w.has_tick)
		w.client->used_ns = haproxy_tick_ns(w.h, w.used_tick);
	if (w.has_buffers)
		w.client->waiting_bytes = w.waiting;
}
