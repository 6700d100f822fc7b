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
#include "provider/haproxy_walk.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

#include "base/peer.h"

#define RESOLUTION_NS 1000000 /* HAProxy's clock stands still in each round of its event loop */

enum side { FRONT, BACK, NO_SIDE };

/* ---- the client ---- */

/* As the proxy knows it, by the PROXY protocol perhaps; else as the kernel does. */
static void write_peer(struct walk *w, const struct view *connection, char text[PEER_TEXT])
{
	uint64_t address = walk_has(w, CONNECTION_SRC) ? view_get(connection, CONNECTION_SRC)
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
	if (!walk_view(w, &view, SHAPE_SESSION, session) ||
	    (walk_has(w, SESSION_ORIGIN) && view_read(&view, SESSION_ORIGIN, &origin) &&
	     connection->base && origin != connection->base))
		return;
	walk_add(w, w->h->types.stream_is_session ? THING_STREAM : THING_SESSION, session);
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

	if (!walk_has(w, SESSION_ORIGIN) || !walk_view(w, &view, SHAPE_SESSION, session) ||
	    !view_read(&view, SESSION_ORIGIN, &origin) || origin != connection->base)
		return;
	know_client(w, session, connection);
	if (w->client)
		w->client->used_ns = haproxy_wall_ns(w->h, view_get(&view, SESSION_SEC),
						     view_get(&view, SESSION_USEC));
}

/* ---- streams ---- */

static void walk_channel(struct walk *w, const struct view *stream, enum member member)
{
	uint64_t address = view_address(stream, member);
	uint32_t expire, timeout;
	struct view channel;

	if (w->h->types.member[member].size == sizeof(uint64_t)) {
		address = view_get(stream, member);
		walk_add(w, THING_CHANNEL, address);
	}
	if (!view_inside(&channel, stream, SHAPE_CHANNEL, address))
		return;
	expire = view_get(&channel, CHANNEL_READ_EXPIRE);
	timeout = view_get(&channel, CHANNEL_READ_TIMEOUT);
	if (expire && timeout)
		walk_used(w, expire - timeout);
	w->has_buffers = true;
	walk_add_buffers(w, THING_CHANNEL_BUFFER, &channel, CHANNEL_BUFFER);
}

/* Address of the stream's end on a side: a stconn, or a stream interface. */
static uint64_t stream_end(const struct walk *w, const struct view *stream, enum side side)
{
	const struct fp_member *sides = &w->h->types.member[STREAM_SIDES];

	if (walk_has(w, STREAM_FRONT))
		return view_get(stream, side == FRONT ? STREAM_FRONT : STREAM_BACK);
	return view_address(stream, STREAM_SIDES) + side * sides->stride;
}

static void add_stconn(struct walk *w, const struct view *stconn)
{
	walk_add(w, THING_TASKLET, view_get(stconn, STCONN_TASKLET));
	walk_add(w, THING_ADDRESS, view_get(stconn, STCONN_SRC));
	walk_add(w, THING_ADDRESS, view_get(stconn, STCONN_DST));
}

/* Goes down from a stream's end to its connection, 0 if there is none, adding what is between. */
static uint64_t walk_down(struct walk *w, uint64_t end)
{
	struct view side, joint;
	uint64_t type, to;

	if (walk_has(w, STREAM_FRONT)) {
		if (!walk_enter(w, &side, SHAPE_STCONN, end, THING_STCONN, STCONN_TYPE,
				w->h->types.is_stconn))
			return 0;
		add_stconn(w, &side);
		if (!walk_enter(w, &joint, SHAPE_SEDESC, view_get(&side, STCONN_SEDESC),
				THING_SEDESC, SEDESC_SC, end))
			return 0;
		walk_used(w, view_get(&joint, SEDESC_READ));
		return view_get(&joint, SEDESC_CONNECTION);
	}
	if (!walk_view(w, &side, SHAPE_SIDE, end))
		return 0;
	to = view_get(&side, SIDE_END);
	/* A connection, an applet, or a conn_stream? All have their type at the same place. */
	if (!walk_view(w, &joint, SHAPE_CONNECTION, to))
		return 0;
	if (!view_read(&joint, CONNECTION_TYPE, &type)) {
		return 0;
	} else if (w->h->types.is_appctx == (int64_t)type) {
		walk_add(w, THING_APPCTX, to);
	} else if (w->h->types.is_connection == (int64_t)type) {
		return to;
	} else if (w->h->types.is_conn_stream == (int64_t)type &&
		   walk_enter(w, &joint, SHAPE_CONN_STREAM, to, THING_CONN_STREAM, CONN_STREAM_DATA,
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
	uint64_t session =
		walk_has(w, STREAM_SESSION) ? view_get(stream, STREAM_SESSION) : stream->base;
	unsigned int nr_ups = w->nr_ups;
	struct view connection;
	uint64_t other;

	w->silent = side == BACK;
	walk_add(w, THING_STREAM, stream->base);
	walk_add(w, THING_TASK, view_get(stream, STREAM_TASK));
	if (w->h->types.member[STREAM_TXN].size == sizeof(uint64_t))
		walk_add(w, THING_TXN, view_get(stream, STREAM_TXN));
	walk_channel(w, stream, STREAM_REQ);
	walk_channel(w, stream, STREAM_RES);
	other = walk_down(w, stream_end(w, stream, side == FRONT ? BACK : FRONT));
	if (side == FRONT) {
		walk_view(w, &connection, SHAPE_CONNECTION, w->connection);
		know_client(w, session, &connection);
		know_stream(w, stream);
		walk_connection(w, &connection, other);
	} else {
		if (!walk_connection(w, &connection, other))
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
		    walk_view(w, stream, SHAPE_STREAM, base) &&
		    view_may_be(stream, STREAM_TYPE, w->h->types.is_stream) &&
		    walk_view(w, &task, SHAPE_TASK, view_get(stream, STREAM_TASK)) &&
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

	if (walk_has(w, STREAM_FRONT)) {
		if (!walk_enter(w, &joint, SHAPE_SEDESC, up, THING_SEDESC, SEDESC_CONNECTION,
				w->connection))
			return NO_SIDE;
		walk_used(w, view_get(&joint, SEDESC_READ));
		end = view_get(&joint, SEDESC_SC);
		if (!walk_enter(w, &side_view, SHAPE_STCONN, end, THING_STCONN, STCONN_SEDESC, up))
			return NO_SIDE;
		add_stconn(w, &side_view);
		base = view_get(&side_view, STCONN_APP);
		if (!walk_view(w, &stream, SHAPE_STREAM, base) ||
		    !view_may_be(&stream, STREAM_TYPE, w->h->types.is_stream))
			return NO_SIDE; /* a health check */
		if (view_get(&stream, STREAM_FRONT) == end)
			side = FRONT;
		else if (view_get(&stream, STREAM_BACK) == end)
			side = BACK;
		else if (!stream.whole)
			walk_add(w, THING_STREAM, base);
	} else {
		end = up;
		if (walk_has(w, CONNECTION_MUX)) {
			if (!walk_enter(w, &joint, SHAPE_CONN_STREAM, up, THING_CONN_STREAM,
					CONN_STREAM_CONNECTION, w->connection))
				return NO_SIDE;
			end = view_get(&joint, CONN_STREAM_DATA);
		}
		if (walk_view(w, &side_view, SHAPE_SIDE, end) &&
		    view_may_be(&side_view, SIDE_END,
				walk_has(w, CONNECTION_MUX) ? up : w->connection))
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
	enum side side = NO_SIDE;
	struct view view;
	struct walk w;

	memset(&w, 0, offsetof(struct walk, ups)); /* of those, there are nr_ups */
	w.h = self;
	w.visit = visit;
	w.others = entry >= w.h->maxsock;
	w.connection = haproxy_descriptor(w.h, entry);
	if (!walk_view(&w, &view, SHAPE_CONNECTION, w.connection) ||
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
