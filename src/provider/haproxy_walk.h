/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* One visit of a file descriptor: haproxy_mux.c has what hangs on a connection, haproxy_walk.c what
 * is above that. */
#ifndef PROVIDER_HAPROXY_WALK_H
#define PROVIDER_HAPROXY_WALK_H

#include "provider/haproxy.h"

#define MAX_UPS 128 /* streams of one connection */

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

bool walk_view(struct walk *walk, struct view *view, enum shape shape, uint64_t base);
/* Has this version such a member? */
bool walk_has(const struct walk *walk, enum member member);
void walk_add(struct walk *walk, enum thing thing, uint64_t base);
/* Opens the structure that @base should be, and adds it. False: its member @back is not @wanted. */
bool walk_enter(struct walk *walk, struct view *view, enum shape shape, uint64_t base,
		enum thing thing, enum member back, int64_t wanted);
/* The buffers of a member: one, an array of them, or a pointer to one. */
void walk_add_buffers(struct walk *walk, enum thing thing, const struct view *view,
		      enum member member);
/* Something was used at @tick; 0: never, or not known. */
void walk_used(struct walk *walk, uint32_t tick);
/* Adds the connection, its transport and its mux, and notes the ways up. False: it is no
 * connection. */
bool walk_connection(struct walk *walk, struct view *view, uint64_t base);

#endif
