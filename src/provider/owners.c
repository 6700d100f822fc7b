/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The records of a root stay in the order in which its visit adds them. A visit that finds what the
 * last one found changes nothing; that makes visiting everything, again and again, cheap.
 */
#include "provider/owners.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "provider/records.h"

#define MAX_OBJECTS 1024 /* of a root */
#define MAX_WAITS 16	 /* of a root: it is visited again when the first of them comes */
#define MAX_CHAIN 4096	 /* records of one block that are looked at */
#define MAX_TRIES 16	 /* roots that are asked about one address */
#define PAGE_MASK 4095ULL

struct root {
	uint32_t first;
	uint32_t visited; /* the greater, the later */
};

struct kind {
	const char *type, *pool;
};

struct owners {
	const struct fp_host *host;
	visit_fn fn;
	void *self;
	struct root *roots;
	unsigned int nr_roots;
	struct records records;
	struct kind *kinds;
	unsigned int nr_kinds;
	uint32_t clock; /* of visits */
	struct fp_connection found;
};

struct visit {
	struct owners *owners;
	unsigned int root;
	uint32_t last; /* the youngest record that this visit added or found again */
	unsigned int nr_objects, nr_waits;
	uint64_t seen; /* a bit for each base of these, so that most new ones are known as new */
	bool differs;  /* from the last visit, up to here */
	bool connected;
	struct fp_connection connection;
};

int owners_new(const struct fp_host *host, visit_fn fn, void *self, struct owners **ret)
{
	struct owners *owners = calloc(1, sizeof(*owners));
	int r;

	if (!owners)
		return -ENOMEM;
	owners->host = host;
	owners->fn = fn;
	owners->self = self;
	r = records_init(&owners->records);
	if (r)
		free(owners);
	else
		*ret = owners;
	return r;
}

void owners_free(struct owners *owners)
{
	if (!owners)
		return;
	free(owners->roots);
	records_release(&owners->records);
	free(owners->kinds);
	free(owners);
}

/* ---- what a root has ---- */

static uint32_t *link_after(struct owners *owners, unsigned int root, uint32_t last)
{
	return last ? &owners->records.at[last].sibling : &owners->roots[root].first;
}

/* Forgets what the root has beyond @last (0: all). */
static void cut(struct owners *owners, unsigned int root, uint32_t last)
{
	uint32_t next, index = *link_after(owners, root, last);

	if (!index)
		return;
	records_file(&owners->records);
	*link_after(owners, root, last) = 0;
	for (; index; index = next) {
		next = owners->records.at[index].sibling;
		records_drop(&owners->records, index);
	}
}

int owners_resize(struct owners *owners, unsigned int nr)
{
	struct root *fresh;

	for (unsigned int i = nr; i < owners->nr_roots; i++)
		cut(owners, i, 0);
	if (nr == owners->nr_roots)
		return 0;
	fresh = reallocarray(owners->roots, nr ? nr : 1, sizeof(*fresh));
	if (!fresh)
		return -ENOMEM;
	if (nr > owners->nr_roots)
		memset(fresh + owners->nr_roots, 0, (nr - owners->nr_roots) * sizeof(*fresh));
	owners->roots = fresh;
	owners->nr_roots = nr;
	return 0;
}

/* ---- visits ---- */

static uint64_t seen_bit(uint64_t base)
{
	return 1ULL << (base * 0x9e3779b97f4a7c15ULL >> 58);
}

/* Appends to what this visit has found, or finds that the last one had it at the same place. */
static int append(struct visit *visit, uint64_t base, uint32_t size, unsigned int kind,
		  unsigned int class)
{
	struct owners *owners = visit->owners;
	uint32_t index = *link_after(owners, visit->root, visit->last), fresh;
	const struct record *old = index ? &owners->records.at[index] : NULL;

	visit->seen |= seen_bit(base);
	if (old && old->base == base && old->size == size && old->kind == kind &&
	    old->class == class) {
		visit->last = index;
		return 0;
	}
	if (records_add(&owners->records,
			&(struct record){ .base = base,
					  .size = size,
					  .root = visit->root,
					  .sibling = index,
					  .kind = kind,
					  .class = class },
			&fresh))
		return -ENOMEM;
	*link_after(owners, visit->root, visit->last) = fresh;
	visit->last = fresh;
	visit->differs = true;
	return 0;
}

/* Is it what the last visit found here, after all the same? Nearly always, and soon known. */
static bool confirm(struct visit *visit, const char *type, const char *pool, uint64_t base,
		    uint64_t size)
{
	const struct owners *owners = visit->owners;
	uint32_t index = *link_after(visit->owners, visit->root, visit->last);
	const struct record *old = &owners->records.at[index];

	if (visit->differs || !index || old->base != base || old->size != size ||
	    old->class == WAIT_CLASS || owners->kinds[old->kind].type != type ||
	    owners->kinds[old->kind].pool != pool)
		return false;
	visit->seen |= seen_bit(base);
	visit->last = index;
	visit->nr_objects++;
	return true;
}

/* Has this visit come across the same already? */
static bool repeated(const struct visit *visit, uint64_t base, unsigned int class)
{
	const struct owners *owners = visit->owners;
	uint32_t index = visit->seen & seen_bit(base) ? owners->roots[visit->root].first : 0;

	for (; index; index = owners->records.at[index].sibling) {
		const struct record *record = &owners->records.at[index];

		if (record->base == base && (record->class == WAIT_CLASS) == (class == WAIT_CLASS))
			return true;
		if (index == visit->last)
			break;
	}
	return false;
}

static int kind_of(struct owners *owners, const char *type, const char *pool, unsigned int *ret)
{
	struct kind *fresh;

	for (unsigned int i = 0; i < owners->nr_kinds; i++)
		if (owners->kinds[i].type == type && owners->kinds[i].pool == pool) {
			*ret = i;
			return 0;
		}
	if (owners->nr_kinds > UINT16_MAX)
		return -ENOSPC;
	fresh = reallocarray(owners->kinds, owners->nr_kinds + 1, sizeof(*fresh));
	if (!fresh)
		return -ENOMEM;
	owners->kinds = fresh;
	fresh[owners->nr_kinds] = (struct kind){ type, pool };
	*ret = owners->nr_kinds++;
	return 0;
}

int visit_object(struct visit *visit, const char *type, const char *pool, uint64_t base,
		 uint64_t size)
{
	unsigned int kind;
	int r;

	if (!size || size > 1U << MAX_CLASS || base + size < base)
		return -EINVAL;
	if (confirm(visit, type, pool, base, size) || repeated(visit, base, records_class(size)))
		return 0;
	if (visit->nr_objects >= MAX_OBJECTS)
		return -ENOSPC;
	r = kind_of(visit->owners, type, pool, &kind);
	if (!r)
		r = append(visit, base, size, kind, records_class(size));
	visit->nr_objects += !r;
	return r;
}

int visit_read(struct visit *visit, uint64_t address, void *buf, size_t size)
{
	const struct fp_host *host = visit->owners->host;
	uint64_t absent = 0;
	int r = host->read(host, address, buf, size, &absent);

	if (r == -ENODATA && visit->nr_waits < MAX_WAITS) {
		absent &= ~PAGE_MASK;
		if (!repeated(visit, absent, WAIT_CLASS) &&
		    !append(visit, absent, PAGE_MASK + 1, 0, WAIT_CLASS))
			visit->nr_waits++;
	}
	return r;
}

int visit_try(struct visit *visit, uint64_t address, void *buf, size_t size)
{
	const struct fp_host *host = visit->owners->host;

	return host->read(host, address, buf, size, NULL);
}

uint64_t visit_pointer(struct visit *visit, uint64_t address)
{
	uint64_t pointer;

	return visit_read(visit, address, &pointer, sizeof(pointer)) ? 0 : pointer;
}

struct fp_connection *visit_connection(struct visit *visit)
{
	visit->connected = true;
	return &visit->connection;
}

static void visit_root(struct owners *owners, unsigned int root, struct visit *visit)
{
	*visit = (struct visit){ .owners = owners, .root = root, .connection.id = root };
	owners->fn(owners->self, visit, root);
	cut(owners, root, visit->last);
	owners->roots[root].visited = ++owners->clock;
}

void owners_visit(struct owners *owners, unsigned int root)
{
	struct visit visit;

	if (root < owners->nr_roots)
		visit_root(owners, root, &visit);
}

void owners_visit_all(struct owners *owners)
{
	for (unsigned int i = 0; i < owners->nr_roots; i++)
		owners_visit(owners, i);
	records_file(&owners->records);
}

void owners_present(struct owners *owners, uint64_t page)
{
	uint32_t *waiting, nr = 0, index, waits = owners->records.in_class[WAIT_CLASS];

	page &= ~PAGE_MASK;
	records_file(&owners->records);
	waiting = waits ? reallocarray(NULL, waits, sizeof(*waiting)) : NULL;
	if (!waiting)
		return; /* without memory, the next visit of all will do */
	for (index = records_in(&owners->records, records_block(page, WAIT_CLASS), WAIT_CLASS);
	     index; index = owners->records.at[index].next)
		if (owners->records.at[index].class == WAIT_CLASS &&
		    owners->records.at[index].base == page)
			waiting[nr++] = owners->records.at[index].root;
	for (uint32_t i = 0; i < nr; i++)
		owners_visit(owners, waiting[i]);
	free(waiting);
}

/* ---- answers ---- */

static void fill_object(const struct owners *owners, const struct record *record,
			const struct visit *visit, struct fp_connection *connection,
			struct fp_object *ret)
{
	const struct kind *kind = &owners->kinds[record->kind];

	*ret = (struct fp_object){
		.type = kind->type, .pool = kind->pool, .base = record->base, .size = record->size
	};
	if (!visit->connected)
		return;
	*connection = visit->connection;
	ret->connection = connection;
	ret->born_ns = connection->born_ns;
	ret->used_ns = connection->used_ns;
	ret->resolution_ns = connection->resolution_ns;
	ret->age_source = connection->born_ns ? FP_AGE_ACCEPTED : FP_AGE_UNKNOWN;
}

static bool covers(const struct record *record, uint64_t address)
{
	return record->class != WAIT_CLASS && address - record->base < record->size;
}

/* The claim of the root that was visited last, but before @since; 0: none. */
static uint32_t claim(const struct owners *owners, uint64_t address, uint32_t since)
{
	uint32_t best = 0, index;

	for (unsigned int class = MIN_CLASS; class <= MAX_CLASS; class ++) {
		if (!owners->records.in_class[class])
			continue;
		for (unsigned int back = 0; back < 2; back++) {
			uint64_t block = records_block(address, class) - back;
			unsigned int steps = 0;

			for (index = records_in(&owners->records, block, class);
			     index && steps < MAX_CHAIN;
			     index = owners->records.at[index].next, steps++) {
				const struct record *record = &owners->records.at[index];
				uint32_t when = owners->roots[record->root].visited;

				if (covers(record, address) && (int32_t)(when - since) <= 0 &&
				    (!best ||
				     (int32_t)(when - owners->roots[owners->records.at[best].root]
							      .visited) > 0))
					best = index;
			}
		}
	}
	return best;
}

int owners_find(struct owners *owners, uint64_t address, uint64_t time_ns, struct fp_object *ret)
{
	uint32_t since = owners->clock, index;
	bool found = false, aged = false, younger = false;
	struct visit visit;

	for (unsigned int i = 0; i < MAX_TRIES; i++) {
		records_file(&owners->records);
		index = claim(owners, address, since);
		if (!index)
			break;
		visit_root(owners, owners->records.at[index].root, &visit);
		index = owners->roots[visit.root].first;
		while (index && !covers(&owners->records.at[index], address))
			index = owners->records.at[index].sibling;
		if (!index)
			continue;
		if (visit.connection.born_ns > time_ns + visit.connection.resolution_ns) {
			younger = true;
			continue;
		}
		/* Two connections, and both have it: a pointer of one of them dangles. */
		if (aged && visit.connection.born_ns && visit.connection.id != owners->found.id)
			return -ENODATA;
		/* One that cannot say how old it is may share the object with one that can. */
		if (!found || (!aged && visit.connection.born_ns))
			fill_object(owners, &owners->records.at[index], &visit, &owners->found,
				    ret);
		found = true;
		aged |= visit.connection.born_ns != 0;
	}
	if (found)
		return younger ? -ENODATA : 0;
	return owners->records.in_class[WAIT_CLASS] && !younger ? -ENODATA : -ENOENT;
}

int owners_walk(struct owners *owners, fp_object_fn fn, void *arg)
{
	struct fp_object object;
	struct visit visit;
	int r = 0;

	for (unsigned int i = 0; !r && i < owners->nr_roots; i++) {
		visit_root(owners, i, &visit);
		records_choose(&owners->records);
		for (uint32_t index = owners->roots[i].first; !r && index;
		     index = owners->records.at[index].sibling) {
			const struct record *record = &owners->records.at[index];

			/* A root before this one, visited a moment ago, may have told of it. */
			if (!record->tells)
				continue;
			fill_object(owners, record, &visit, &owners->found, &object);
			r = fn(arg, &object);
		}
	}
	return r;
}
