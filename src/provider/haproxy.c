/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * HAProxy 1.5 and later. With DWARF, every file descriptor is a root of the index of owners. What
 * no owner claims, and everything in a stripped binary, has its pool by the tag behind it.
 */
#include "provider/haproxy.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "provider/haproxy_told.h"
#include "provider/registry.h"

#define PAGE_MASK 4095ULL
#define VISIT_ALL_NS 10000000000ULL
#define WAKING_NS 100000000 /* one round of its event loop, with its faults */
#define MAX_DESCRIPTORS (1U << 22)
#define MAX_GROUPS 64 /* of threads */

/* 2.6 and later: exact, and exported. How large an object is, its pool says. */
static const struct fp_allocator pool_allocator = {
	.name = "pool",
	.alloc = "__pool_alloc",
	.free = "__pool_free",
	.size_arg = -1,
	.count_arg = -1,
	.old_arg = -1,
	.free_arg = 1,
	.size = 131072,
	.tag_arg = 0,
};

uint64_t haproxy_descriptor(struct haproxy *h, unsigned int fd)
{
	const struct fp_member *owner = &h->types.member[FD_OWNER];
	const struct fp_member *iocb = &h->types.member[FD_IOCB];
	uint64_t entry = h->fdtab + (uint64_t)fd * h->types.fd_bytes;
	uint64_t values[2], absent, low = owner->offset, high = iocb->offset;
	int r;

	if (h->absent_page && ((entry + low) & ~PAGE_MASK) == h->absent_page)
		return h->descriptors[fd].seen;
	if (low + 8 == high || high + 8 == low) {
		r = h->host->read(h->host, entry + (low < high ? low : high), values,
				  sizeof(values), &absent);
		if (low > high) {
			uint64_t first = values[0];

			values[0] = values[1];
			values[1] = first;
		}
	} else {
		r = h->host->read(h->host, entry + low, &values[0], 8, &absent);
		if (!r)
			r = h->host->read(h->host, entry + high, &values[1], 8, &absent);
	}
	/* What it was before will have to prove that it has this descriptor still. */
	if (r == -ENODATA) {
		h->absent_page = absent & ~PAGE_MASK;
		return h->descriptors[fd].seen;
	}
	return !r && values[1] == h->connection_iocb ? values[0] : 0;
}

const char *haproxy_proxy_name(struct haproxy *h, uint64_t proxy)
{
	unsigned int slot = ((uint32_t)(proxy >> 4) * 0x9e3779b1U >> 16) % NAMES;
	char text[65] = "";
	uint64_t id, length = sizeof(text) - 1;

	if (!proxy)
		return NULL;
	if (h->names[slot].proxy == proxy)
		return h->names[slot].name;
	if (h->host->read(h->host, proxy + h->types.proxy_id.offset, &id, sizeof(id), NULL) ||
	    id < PAGE_MASK)
		return NULL;
	if (h->host->read(h->host, id, text, length, NULL)) {
		/* It may be the last thing before a page that is not there. */
		length = PAGE_MASK + 1 - (id & PAGE_MASK);
		memset(text, 0, sizeof(text));
		if (length >= sizeof(text) || h->host->read(h->host, id, text, length, NULL) ||
		    !memchr(text, 0, length))
			return NULL;
	}
	for (unsigned int i = 0; text[i]; i++)
		if (!isgraph((unsigned char)text[i]))
			return NULL;
	h->names[slot].proxy = proxy;
	h->names[slot].name = h->host->intern(h->host, text);
	return h->names[slot].name;
}

static int read_symbol(struct haproxy *h, const char *name, uint64_t offset, void *ret, size_t size)
{
	uint64_t address, absent;
	int r = h->host->symbol(h->host, name, &address, NULL);

	return r ? r : h->host->read(h->host, address + offset, ret, size, &absent);
}

static void visit_changed(struct haproxy *h, unsigned int fd)
{
	uint64_t connection = haproxy_descriptor(h, fd);

	if (connection != h->descriptors[fd].seen) {
		h->descriptors[fd].seen = connection;
		owners_visit(h->owners, fd);
	}
}

/* How many tables there are, one behind the other. */
static uint32_t count_tables(struct haproxy *h, uint64_t fdtab, uint32_t maxsock)
{
	uint64_t stride, own, bytes = (uint64_t)maxsock * h->types.fd_bytes;
	struct fp_member pointer, groups;
	uint32_t nr = 1, i;

	if (h->host->member(h->host, "struct tgroup_ctx", "fdtab", &pointer) ||
	    h->host->member(h->host, "struct global", "nbtgroups", &groups) ||
	    h->host->size_of(h->host, "struct tgroup_ctx", &stride) ||
	    read_symbol(h, "global", groups.offset, &nr, sizeof(nr)) || nr > MAX_GROUPS)
		return 1;
	for (i = 0; i < nr; i++)
		if (read_symbol(h, "ha_tgroup_ctx", i * stride + pointer.offset, &own,
				sizeof(own)) ||
		    own != fdtab + i * bytes)
			break;
	return i ? i : 1;
}

static int resize(struct haproxy *h, uint32_t nr)
{
	struct descriptor *fresh = calloc(nr + 1, sizeof(*fresh));
	int r = fresh ? owners_resize(h->owners, nr) : -ENOMEM;

	if (r) {
		free(fresh);
		return r;
	}
	free(h->descriptors);
	h->descriptors = fresh;
	h->nr = nr;
	return 0;
}

/* The table may be there only later: it is made when the configuration has been read. */
static bool find_table(struct haproxy *h)
{
	uint64_t fdtab = 0, nr;
	uint32_t maxsock = 0;

	/* From 3.5 on, fdtab is each thread's own copy of the pointer. */
	if (read_symbol(h, "_fdtab", 0, &fdtab, sizeof(fdtab)) &&
	    read_symbol(h, "fdtab", 0, &fdtab, sizeof(fdtab)))
		return h->nr;
	if (read_symbol(h, "global", h->types.maxsock.offset, &maxsock, sizeof(maxsock)) || !fdtab)
		return h->nr;
	nr = (uint64_t)maxsock * count_tables(h, fdtab, maxsock);
	if (nr > MAX_DESCRIPTORS || ((nr != h->nr || fdtab != h->fdtab) && resize(h, nr)))
		return h->nr;
	h->fdtab = fdtab;
	h->maxsock = maxsock;
	return true;
}

/* What the stats socket told is of use once the pools are known. */
static void check_told(struct haproxy *h)
{
	const struct told *told = h->told;
	unsigned int connections = 0;

	if (!told || h->told_checked || (!h->pools.nr && h->pools_error == -ENODATA))
		return;
	h->told_checked = true;
	if (!h->pools.extra)
		h->host->warn(
			h->host,
			"what %s says is of no use: before HAProxy 2.6, or built without tags "
			"in its pools, nothing proves it",
			told->path);
	if (!h->pools.extra || told_check(h->told, h)) {
		told_free(h->told);
		h->told = NULL;
		return;
	}
	for (uint32_t i = 0; i < told->shown.nr_clients; i++)
		connections += !told->shown.clients[i].command;
	h->host->warn(h->host,
		      "%s was asked %s, and told of %u connections: HAProxy walked through all of "
		      "them, and so swapped them in; these faults are not counted",
		      told->path, h->owners ? "before the run" : "before and after the run",
		      connections);
	if (told->shown.skipped || told->nr_doubtful)
		h->host->warn(
			h->host,
			"of what %s said, %llu parts were not understood, and %u objects were "
			"not there any more",
			told->path, (unsigned long long)told->shown.skipped, told->nr_doubtful);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/* They have no descriptors of their own to start from. */
static void tell_quic(struct haproxy *h)
{
	uint64_t nr;

	if (h->quic_told || pools_used(h->host, "pool_head_quic_conn", &nr) || !nr)
		return;
	h->quic_told = true;
	h->host->warn(
		h->host,
		"%llu QUIC connections, at least, are not walked: their objects have no owner",
		(unsigned long long)nr);
}

/* Descriptors that have another connection than before, and all of them now and then. Not each
 * time: to the kernel, a page that is read is in use, so what is idle would not be swapped out any
 * more. */
static void haproxy_refresh(void *self)
{
	struct haproxy *h = self;

	if (h->pools_error == -ENODATA)
		h->pools_error = pools_load(h->host, &h->pools);
	check_told(h);
	h->absent_page = 0;
	if (!h->owners || !find_table(h))
		return;
	haproxy_learn_ticks(h);
	tell_quic(h);
	for (unsigned int fd = 0; fd < h->nr; fd++)
		visit_changed(h, fd);
	if (now_ns() < h->visit_all_ns)
		return;
	if (h->visit_all_ns)
		owners_visit_all(h->owners);
	h->visit_all_ns = now_ns() + VISIT_ALL_NS;
}

static void haproxy_present(void *self, uint64_t page)
{
	struct haproxy *h = self;
	uint64_t table = (uint64_t)h->nr * h->types.fd_bytes, first;

	page &= ~PAGE_MASK;
	if (!h->owners)
		return;
	if (page == h->absent_page)
		h->absent_page = 0;
	if (page + PAGE_MASK >= h->fdtab && page < h->fdtab + table) {
		first = page > h->fdtab ? (page - h->fdtab) / h->types.fd_bytes : 0;
		for (uint64_t i = 0; i <= PAGE_MASK / h->types.fd_bytes + 1; i++)
			if (first + i < h->nr)
				visit_changed(h, first + i);
	}
	owners_present(h->owners, page);
}

static int find_by_tag(struct haproxy *h, uint64_t address, uint64_t time_ns, struct fp_object *ret)
{
	const struct pool *pool;
	struct fp_live live;
	uint64_t base;
	int r = pools_by_tag(h->host, &h->pools, address, &pool, &base);

	if (r)
		return h->pools_error == -ENODATA ? -ENODATA : r;
	*ret = (struct fp_object){
		.type = "pool object", .pool = pool->name, .base = base, .size = pool->size
	};
	if (!h->births)
		return 0;
	if (h->host->live(h->host, base, &live) || live.base != base || live.tag != pool->head) {
		ret->age_source = FP_AGE_AT_LEAST;
		ret->born_ns = h->host->begin_ns;
		return 0;
	}
	if (live.born_ns > time_ns)
		return -ENOENT;
	ret->age_source = FP_AGE_ALLOCATED;
	ret->born_ns = live.born_ns;
	return 0;
}

/* What woke a connection has overwritten when it was last used: what it says now is the fault's own
 * time, not the end of an idleness. */
static void forget_waking(struct haproxy *h, uint64_t time_ns, struct fp_object *object)
{
	if (!object->connection || object->used_ns + WAKING_NS < time_ns)
		return;
	h->woken = *object->connection;
	h->woken.used_ns = 0;
	object->connection = &h->woken;
	object->used_ns = 0;
}

static int haproxy_find(void *self, uint64_t address, uint64_t time_ns, struct fp_object *ret)
{
	struct haproxy *h = self;
	struct fp_mapping mapping;
	int r = -ENOENT, tagged;

	/* All that is looked for here is malloc's. */
	if (!h->host->mapping(h->host, address, false, &mapping) &&
	    (!mapping.write || mapping.exec || mapping.shared || mapping.name[0] == '/' ||
	     !strncmp(mapping.name, "[stack", 6)))
		return -ENOENT;
	/* What leads to it was not in memory when the run began. */
	if (h->owners && !h->nr)
		haproxy_refresh(h);
	if (h->owners) {
		uint64_t table = (uint64_t)h->nr * h->types.fd_bytes;

		if (address - h->fdtab < table) {
			*ret = (struct fp_object){ .type = "fdtab",
						   .base = h->fdtab,
						   .size = table };
			return 0;
		}
		r = owners_find(h->owners, address, time_ns, ret);
		if (!r) {
			forget_waking(h, time_ns, ret);
			return 0;
		}
		if (h->absent_page)
			r = -ENODATA;
	}
	if (h->told_checked && h->told && !told_find(h->told, h, address, ret))
		return 0;
	tagged = find_by_tag(h, address, time_ns, ret);
	return tagged == -ENOENT ? r : tagged;
}

static int haproxy_walk(void *self, fp_object_fn fn, void *arg)
{
	struct haproxy *h = self;
	struct told *later;
	char why[256];
	int r;

	if (h->owners)
		return owners_walk(h->owners, fn, arg);
	if (!h->told_checked || !h->told)
		return 0;
	r = told_walk(h->told, h, fn, arg);
	if (r)
		return r;
	/* Those that came since; last, for to answer brings all of them into memory. */
	if (told_again(h->told, &later, why, sizeof(why))) {
		h->host->warn(h->host, "connections that came during the run: %s: %s",
			      h->told->path, why);
		return 0;
	}
	if (!told_check(later, h))
		r = told_walk(later, h, fn, arg);
	if (later->nr_doubtful)
		h->host->warn(h->host,
			      "the living objects: %u of those that %s told of at the end were not "
			      "in memory, or not there any more",
			      later->nr_doubtful, later->path);
	told_free(later);
	return r;
}

static void haproxy_close(void *self)
{
	struct haproxy *h = self;

	owners_free(h->owners);
	told_free(h->told);
	free(h->descriptors);
	pools_release(&h->pools);
	free(h);
}

/* ---- open ---- */

static void find_layers(struct haproxy *h)
{
	static const char *const names[NR_MUXES][MUX_TABLES] = {
		[MUX_H1] = { "mux_http_ops", "mux_h1_ops" },
		[MUX_H2] = { "h2_ops", "h2_htx_ops" },
		[MUX_PASS] = { "mux_pt_ops", "mux_tcp_ops" },
	};

	for (unsigned int i = 0; i < NR_MUXES * MUX_TABLES; i++) {
		uint64_t *address = &h->mux[i / MUX_TABLES][i % MUX_TABLES];

		if (h->host->symbol(h->host, names[i / MUX_TABLES][i % MUX_TABLES], address, NULL))
			*address = 0;
	}
	if (h->host->symbol(h->host, "ssl_sock", &h->tls, NULL))
		h->tls = 0;
}

/* 0; an error when its structures cannot be walked, which is not the end of it. */
static int open_walk(struct haproxy *h)
{
	int r = types_load(h->host, &h->types);

	if (!r && h->host->symbol(h->host, "sock_conn_iocb", &h->connection_iocb, NULL))
		r = h->host->symbol(h->host, "conn_fd_handler", &h->connection_iocb, NULL);
	if (!r) {
		find_layers(h);
		r = owners_new(h->host, haproxy_visit, h, &h->owners);
	}
	return r;
}

/* Why its structures cannot be walked, and what it takes. */
static void tell_limits(const struct haproxy *h, int error)
{
	const char *why =
		error == -ENODATA ? "the binary is stripped" : "its structures are not understood";

	if (h->told)
		h->host->warn(
			h->host,
			"%s: connections, and their ages, are known by the stats socket alone",
			why);
	else
		h->host->warn(h->host,
			      "%s, so that objects have no connection and no age%s; install its "
			      "debug information (haproxy-dbgsym), or give --haproxy-socket",
			      why, h->births ? " but that of those born in this run" : "");
}

/* From 3.5 on, fdtab is no variable of the whole program. */
static bool is_haproxy(const struct fp_host *host)
{
	uint64_t address;

	return (!host->symbol(host, "fdtab", &address, NULL) ||
		!host->symbol(host, "ha_tgroup_ctx", &address, NULL)) &&
	       !host->symbol(host, "global", &address, NULL) &&
	       (!host->symbol(host, "pool_head_buffer", &address, NULL) ||
		!host->symbol(host, "pool2_buffer", &address, NULL));
}

static int haproxy_open(const struct fp_host *host, void **ret)
{
	struct haproxy *h;
	int r;

	if (!is_haproxy(host))
		return -ENOENT;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->host = host;
	h->told = told_take(host->pid);
	h->pools_error = pools_load(host, &h->pools);
	r = open_walk(h);
	if (r) {
		h->births = h->pools.extra && !host->watch(host, &pool_allocator);
		tell_limits(h, r);
		if (h->pools_error && h->pools_error != -ENODATA)
			host->warn(host, "its pools are not understood either: no objects");
	}
	haproxy_refresh(h);
	*ret = h;
	return 0;
}

const struct fp_provider provider_haproxy = {
	.abi = FAULTPROF_PROVIDER_ABI,
	.name = "haproxy",
	.help = "HAProxy 1.5 and later: connections, streams, muxes, buffers, by its DWARF or pool "
		"tags",
	.open = haproxy_open,
	.present = haproxy_present,
	.refresh = haproxy_refresh,
	.find = haproxy_find,
	.walk = haproxy_walk,
	.close = haproxy_close,
};
