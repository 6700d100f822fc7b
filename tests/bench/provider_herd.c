/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The provider of herd.c, on the index of owners as those in the tool are. */
#include <errno.h>
#include <stdlib.h>

#include "provider/owners.h"

enum member { OWNER, MUX, PORT, STREAM, TASK, ACCEPTED, MEMBERS };

static const char *const members[MEMBERS][2] = {
	[OWNER] = { "struct slot", "owner" }, [MUX] = { "struct conn", "mux" },
	[PORT] = { "struct conn", "port" },   [STREAM] = { "struct mux", "stream" },
	[TASK] = { "struct stream", "task" }, [ACCEPTED] = { "struct stream", "accepted_ns" },
};

struct herd {
	const struct fp_host *host;
	struct owners *owners;
	uint64_t offset[MEMBERS], conn, mux, stream, task, slot; /* sizes */
	uint64_t table, size;
};

static void visit(void *self, struct visit *v, unsigned int root)
{
	const struct herd *h = self;
	uint64_t table = visit_pointer(v, h->table), conn, mux, stream, task;
	struct fp_connection *c = visit_connection(v);

	conn = table ? visit_pointer(v, table + root * h->slot + h->offset[OWNER]) : 0;
	if (!conn)
		return;
	visit_object(v, "connection", NULL, conn, h->conn);
	mux = visit_pointer(v, conn + h->offset[MUX]);
	if (!mux)
		return;
	visit_object(v, "mux", NULL, mux, h->mux);
	stream = visit_pointer(v, mux + h->offset[STREAM]);
	if (!stream || visit_read(v, stream + h->offset[ACCEPTED], &c->born_ns, 8))
		return;
	visit_object(v, "stream", NULL, stream, h->stream);
	task = visit_pointer(v, stream + h->offset[TASK]);
	if (task)
		visit_object(v, "task", NULL, task, h->task);
}

static int herd_open(const struct fp_host *host, void **ret)
{
	struct herd *h = calloc(1, sizeof(*h));
	struct fp_member member;
	uint64_t nr = 0;
	int r = h ? 0 : -ENOMEM;

	for (int i = 0; !r && i < MEMBERS; i++) {
		r = host->member(host, members[i][0], members[i][1], &member);
		h->offset[i] = member.offset;
	}
	if (!r && (host->size_of(host, "struct conn", &h->conn) ||
		   host->size_of(host, "struct mux", &h->mux) ||
		   host->size_of(host, "struct stream", &h->stream) ||
		   host->size_of(host, "struct task", &h->task) ||
		   host->size_of(host, "struct slot", &h->slot) ||
		   host->symbol(host, "herd_table", &h->table, NULL) ||
		   host->symbol(host, "herd_size", &h->size, NULL) ||
		   host->read(host, h->size, &nr, sizeof(nr), NULL)))
		r = -ENOENT;
	if (!r)
		r = owners_new(host, visit, h, &h->owners);
	if (!r)
		r = owners_resize(h->owners, nr);
	if (r) {
		free(h);
		return r;
	}
	h->host = host;
	*ret = h;
	return 0;
}

static void herd_refresh(void *self)
{
	owners_visit_all(((struct herd *)self)->owners);
}

static void herd_present(void *self, uint64_t page)
{
	owners_present(((struct herd *)self)->owners, page);
}

static int herd_find(void *self, uint64_t address, uint64_t time_ns, struct fp_object *ret)
{
	return owners_find(((struct herd *)self)->owners, address, time_ns, ret);
}

static int herd_walk(void *self, fp_object_fn fn, void *arg)
{
	return owners_walk(((struct herd *)self)->owners, fn, arg);
}

static void herd_close(void *self)
{
	struct herd *h = self;

	owners_free(h->owners);
	free(h);
}

const struct fp_provider faultprof_provider = {
	.abi = FAULTPROF_PROVIDER_ABI,
	.name = "herd",
	.help = "the connections of tests/bench/herd.c",
	.open = herd_open,
	.present = herd_present,
	.refresh = herd_refresh,
	.find = herd_find,
	.walk = herd_walk,
	.close = herd_close,
};
