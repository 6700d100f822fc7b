/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "provider/haproxy_walk.h"

#include <string.h>

#define MAX_STEPS 1024 /* in one tree */
#define MAX_RING 64    /* buffers of one h2c */
#define MAX_SSL 65536  /* bytes of OpenSSL's structure: some 7,000 */

bool walk_view(struct walk *w, struct view *view, enum shape shape, uint64_t base)
{
	return view_open(view, w->visit, &w->h->types, shape, base);
}

bool walk_has(const struct walk *w, enum member member)
{
	return w->h->types.member[member].size != 0;
}

static void walk_add_sized(struct walk *w, enum thing thing, uint64_t base, uint64_t size)
{
	if (!w->silent && base >= 4096 && base % 8 == 0)
		visit_object(w->visit, thing_name(&w->h->types, thing), w->h->pools.of[thing].name,
			     base, size);
}

void walk_add(struct walk *w, enum thing thing, uint64_t base)
{
	walk_add_sized(w, thing, base, w->h->types.size[thing]);
}

bool walk_enter(struct walk *w, struct view *view, enum shape shape, uint64_t base,
		enum thing thing, enum member back, int64_t wanted)
{
	if (!walk_view(w, view, shape, base) || !view_may_be(view, back, wanted))
		return false;
	walk_add(w, thing, base);
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
	if (walk_has(w, BUFFER_AREA)) {
		base = view_get(&buffer, BUFFER_AREA);
		data = view_get(&buffer, BUFFER_DATA);
	} else {
		base = address;
		data = view_get(&buffer, BUFFER_IN) + view_get(&buffer, BUFFER_OUT);
	}
	if (!size || data > size)
		return;
	if (!walk_has(w, BUFFER_AREA))
		size += w->h->types.size[thing];
	if (!fits_pool(w, size))
		return;
	w->waiting += data;
	walk_add_sized(w, thing, base, size);
}

void walk_add_buffers(struct walk *w, enum thing thing, const struct view *view, enum member member)
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

void walk_used(struct walk *w, uint32_t tick)
{
	if (tick && (!w->has_tick || (int32_t)(tick - (uint32_t)w->used_tick) > 0))
		w->used_tick = tick;
	w->has_tick |= tick != 0;
}

/* ---- connections ---- */

static void note_up(struct walk *w, uint64_t up)
{
	if (up && w->nr_ups < MAX_UPS)
		w->ups[w->nr_ups++] = up;
}

static void walk_h1(struct walk *w, uint64_t connection, uint64_t ctx)
{
	struct view h1c, h1s;

	if (!walk_enter(w, &h1c, SHAPE_H1C, ctx, THING_H1C, H1C_CONNECTION, connection))
		return;
	walk_add(w, THING_TASK, view_get(&h1c, H1C_TASK));
	walk_add(w, THING_TASKLET, view_get(&h1c, H1C_TASKLET));
	walk_add_buffers(w, THING_MUX_BUFFER, &h1c, H1C_IBUF);
	walk_add_buffers(w, THING_MUX_BUFFER, &h1c, H1C_OBUF);
	if (!walk_enter(w, &h1s, SHAPE_H1S, view_get(&h1c, H1C_H1S), THING_H1S, H1S_H1C, ctx))
		return;
	walk_add_buffers(w, THING_MUX_BUFFER, &h1s, H1S_RXBUF);
	note_up(w, view_get(&h1s, H1S_UP));
}

static void walk_h2s(struct walk *w, uint64_t h2c, uint64_t base)
{
	struct view h2s;

	if (!walk_enter(w, &h2s, SHAPE_H2S, base, THING_H2S, H2S_H2C, h2c))
		return;
	walk_add_buffers(w, THING_MUX_BUFFER, &h2s, H2S_RXBUF);
	walk_add(w, THING_TASKLET, view_get(&h2s, H2S_SHUT));
	note_up(w, view_get(&h2s, H2S_UP));
}

/* Streams are the leaves of a tree; a pointer to what is not a leaf has its lowest bit set. */
static void walk_h2(struct walk *w, uint64_t connection, uint64_t ctx)
{
	uint64_t pending[64], node = w->h->types.member[H2S_NODE].offset;
	unsigned int nr = 0, steps = 0;
	struct view h2c;

	if (!walk_enter(w, &h2c, SHAPE_H2C, ctx, THING_H2C, H2C_CONNECTION, connection))
		return;
	walk_add(w, THING_TASK, view_get(&h2c, H2C_TASK));
	walk_add(w, THING_TASKLET, view_get(&h2c, H2C_TASKLET));
	/* As large as the configuration says. */
	walk_add_sized(w, THING_TABLE, view_get(&h2c, H2C_TABLE), w->h->pools.of[THING_TABLE].size);
	walk_add_buffers(w, THING_MUX_BUFFER, &h2c, H2C_DBUF);
	walk_add_buffers(w, THING_MUX_BUFFER, &h2c, H2C_MBUF);
	walk_used(w, view_get(&h2c, H2C_IDLE));
	if (!walk_has(w, H2S_NODE) || !view_address(&h2c, H2C_STREAMS))
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

	if (!walk_has(w, PASS_UP)) {
		note_up(w, ctx); /* 1.8 */
	} else if (walk_enter(w, &pass, SHAPE_PASS, ctx, THING_PASS, PASS_CONNECTION, connection)) {
		walk_add(w, THING_TASKLET, view_get(&pass, PASS_TASKLET));
		note_up(w, view_get(&pass, PASS_UP));
	}
}

static void walk_tls(struct walk *w, uint64_t connection, uint64_t ctx)
{
	uint64_t ssl, chunk;
	struct view tls;

	if (!walk_enter(w, &tls, SHAPE_TLS, ctx, THING_TLS, TLS_CONNECTION, connection))
		return;
	walk_add(w, THING_TASKLET, view_get(&tls, TLS_TASKLET));
	walk_add_buffers(w, THING_MUX_BUFFER, &tls, TLS_EARLY);
	/* OpenSSL's; malloc knows how large it is. */
	ssl = view_get(&tls, TLS_SSL);
	if (ssl > 4096 && !visit_read(w->visit, ssl - 8, &chunk, sizeof(chunk)) && chunk <= MAX_SSL)
		walk_add_sized(w, THING_SSL, ssl, (chunk & ~7ULL) - 8);
}

bool walk_connection(struct walk *w, struct view *view, uint64_t base)
{
	static void (*const walks[NR_MUXES])(struct walk *, uint64_t, uint64_t) = {
		[MUX_H1] = walk_h1, [MUX_H2] = walk_h2, [MUX_PASS] = walk_pass
	};
	uint64_t mux;

	if (!walk_enter(w, view, SHAPE_CONNECTION, base, THING_CONNECTION, CONNECTION_TYPE,
			w->h->types.is_connection))
		return false;
	walk_add(w, THING_ADDRESS, view_get(view, CONNECTION_SRC));
	walk_add(w, THING_ADDRESS, view_get(view, CONNECTION_DST));
	if (w->h->types.member[CONNECTION_HASH].size == sizeof(uint64_t))
		walk_add(w, THING_HASH, view_get(view, CONNECTION_HASH));
	if (w->h->tls && view_get(view, CONNECTION_XPRT) == w->h->tls)
		walk_tls(w, base, view_get(view, CONNECTION_XPRT_CTX));
	if (!walk_has(w, CONNECTION_MUX)) {
		note_up(w, view_get(view, CONNECTION_OWNER));
		return true;
	}
	mux = view_get(view, CONNECTION_MUX);
	for (unsigned int i = 0; mux && i < NR_MUXES * MUX_TABLES; i++)
		if (w->h->mux[i / MUX_TABLES][i % MUX_TABLES] == mux)
			walks[i / MUX_TABLES](w, base, view_get(view, CONNECTION_CTX));
	return true;
}
