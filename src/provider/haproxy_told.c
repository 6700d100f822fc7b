/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "provider/haproxy_told.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/peer.h"

#define NO_LINK UINT16_MAX
#define SCANNED_BYTES 4096 /* what is larger is a buffer */
#define SCANNED_WORDS (SCANNED_BYTES / 8)
#define LEARNED 64 /* objects of a kind that are looked at, all of their words */
#define ENOUGH 4   /* a place where one in so many has a pointer is worth a look in all */
#define RESOLUTION_NS 1000000
#define SAMPLE 32 /* clients */

static bool read_word(const struct haproxy *h, uint64_t address, uint64_t *ret)
{
	return !h->host->read(h->host, address, ret, sizeof(*ret), NULL);
}

/* Does an object of this pool live at @base? */
static bool has_tag(const struct haproxy *h, uint64_t base, unsigned int pool)
{
	uint64_t tag;

	return read_word(h, base + h->pools.pool[pool].size, &tag) &&
	       tag == h->pools.pool[pool].head &&
	       !pools_check(h->host, &h->pools, &h->pools.pool[pool], base);
}

/* Looks at @pool, a guess, first. False: it is none's. */
static bool find_pool(const struct haproxy *h, uint64_t base, uint16_t *pool)
{
	if (*pool < h->pools.nr && has_tag(h, base, *pool))
		return true;
	for (unsigned int i = 0; i < h->pools.nr; i++)
		if (i != *pool && has_tag(h, base, i)) {
			*pool = i;
			return true;
		}
	return false;
}

/* The object at, or (@within) around, @address; NULL: none. */
static struct told_object *object_at(const struct told *told, const struct haproxy *h,
				     uint64_t address, bool within)
{
	uint32_t low = 0, high = told->nr_objects;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (told->objects[middle].base <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return NULL;
	low--;
	if (within ? address - told->objects[low].base >=
			     h->pools.pool[told->objects[low].pool].size
		   : told->objects[low].base != address)
		return NULL;
	return &told->objects[low];
}

static bool known_before(const struct told *told, const struct haproxy *h, uint64_t base)
{
	return told->before && object_at(told->before, h, base, false);
}

/* ---- what there is ---- */

static int take_told(struct told *told, const struct haproxy *h)
{
	uint16_t guess[NR_THINGS + 1] = { 0 };

	told->objects = calloc(told->shown.nr_objects + 1, sizeof(*told->objects));
	if (!told->objects)
		return -ENOMEM;
	for (uint32_t i = 0; i < told->shown.nr_objects; i++) {
		const struct shown_object *shown = &told->shown.objects[i];
		uint16_t pool = guess[shown->thing];

		if (!find_pool(h, shown->base, &pool)) {
			/* Flags, and structures of the configuration, are no pools' either. */
			told->nr_doubtful +=
				shown->thing != NR_THINGS && !known_before(told, h, shown->base);
			continue;
		}
		guess[shown->thing] = pool;
		told->objects[told->nr_objects++] = (struct told_object){ .base = shown->base,
									  .client = shown->client,
									  .pool = pool,
									  .link = NO_LINK,
									  .thing = shown->thing };
	}
	free(told->shown.objects);
	told->shown.objects = NULL;
	told->shown.nr_objects = 0;
	return 0;
}

/* By kind of object, at which places there are pointers to objects that were not told of, and of
 * which pool. */
struct learned {
	uint32_t seen;
	uint16_t pool[SCANNED_WORDS];
	uint16_t hits[SCANNED_WORDS];
};

/* Its words, as far as it has them and they are present: how many. */
static unsigned int read_words(const struct haproxy *h, const struct told_object *object,
			       uint64_t *words)
{
	uint32_t size = h->pools.pool[object->pool].size & ~7U;

	if (size > SCANNED_BYTES || h->host->read(h->host, object->base, words, size, NULL))
		return 0;
	return size / 8;
}

static bool may_point(uint64_t word)
{
	return word >= 65536 && word < 1ULL << 56 && word % 16 == 0;
}

static void learn(const struct told *told, const struct haproxy *h, struct learned *learned)
{
	uint64_t words[SCANNED_WORDS];

	for (uint32_t i = 0; i < told->nr_objects; i++) {
		const struct told_object *object = &told->objects[i];
		struct learned *its = &learned[object->thing];
		unsigned int nr;

		if (object->client == NO_CLIENT || object->thing == NR_THINGS ||
		    its->seen == LEARNED)
			continue;
		nr = read_words(h, object, words);
		its->seen += nr > 0;
		for (unsigned int k = 0; k < nr; k++)
			if (may_point(words[k]) && !object_at(told, h, words[k], false) &&
			    find_pool(h, words[k], &its->pool[k]))
				its->hits[k]++;
	}
}

/* What @object points to: another one of its client's, or one to be adopted, appended to *@adopted.
 */
static int follow(const struct told *told, const struct haproxy *h, struct told_object *object,
		  const struct learned *its, struct told_object **adopted, uint32_t *nr)
{
	uint64_t words[SCANNED_WORDS];
	unsigned int nr_words = read_words(h, object, words);

	for (unsigned int k = 0; k < nr_words; k++) {
		const struct told_object *other;
		bool known = its && its->hits[k] && its->hits[k] >= its->seen / ENOUGH;

		if (!may_point(words[k]) || words[k] == object->base)
			continue;
		other = object_at(told, h, words[k], false);
		if (other && other->client == object->client && object->link == NO_LINK) {
			object->link = k;
			object->link_to = words[k];
		}
		if (other || !known || !has_tag(h, words[k], its->pool[k]))
			continue;
		if (grow(adopted, *nr, sizeof(**adopted)))
			return -ENOMEM;
		(*adopted)[(*nr)++] = (struct told_object){ .base = words[k],
							    .client = object->client,
							    .pool = its->pool[k],
							    .link = NO_LINK,
							    .thing = NR_THINGS };
	}
	return 0;
}

static int by_base(const void *left, const void *right)
{
	const struct told_object *a = left, *b = right;

	return (a->base > b->base) - (a->base < b->base);
}

/* What two clients' objects point to is dropped: one of the pointers may dangle. */
static int adopt(struct told *told, struct told_object *adopted, uint32_t nr)
{
	struct told_object *all =
		reallocarray(told->objects, told->nr_objects + nr + 1, sizeof(*all));
	uint32_t next;

	if (!all)
		return -ENOMEM;
	told->objects = all;
	if (nr)
		qsort(adopted, nr, sizeof(*adopted), by_base);
	for (uint32_t first = 0; first < nr; first = next) {
		bool one = true;

		for (next = first; next < nr && adopted[next].base == adopted[first].base; next++)
			one &= adopted[next].client == adopted[first].client;
		if (one)
			all[told->nr_objects++] = adopted[first];
	}
	qsort(all, told->nr_objects, sizeof(*all), by_base);
	return 0;
}

static int follow_all(struct told *told, const struct haproxy *h)
{
	struct learned *learned = calloc(NR_THINGS, sizeof(*learned));
	struct told_object *adopted = NULL;
	uint32_t nr = 0;
	int r = learned ? 0 : -ENOMEM;

	if (!r)
		learn(told, h, learned);
	for (uint32_t i = 0; !r && i < told->nr_objects; i++)
		if (told->objects[i].client != NO_CLIENT)
			r = follow(told, h, &told->objects[i],
				   told->objects[i].thing == NR_THINGS
					   ? NULL
					   : &learned[told->objects[i].thing],
				   &adopted, &nr);
	if (!r)
		r = adopt(told, adopted, nr);
	/* They point back. */
	for (uint32_t i = 0; !r && i < told->nr_objects; i++)
		if (told->objects[i].client != NO_CLIENT && told->objects[i].link == NO_LINK)
			r = follow(told, h, &told->objects[i], NULL, &adopted, &nr);
	free(adopted);
	free(learned);
	return r;
}

/* ---- clients ---- */

/* Who is there now, by the kernel; "": nobody. False: the kernel does not say. */
static bool ask_kernel(const struct haproxy *h, const struct shown_client *client,
		       char text[PEER_TEXT])
{
	int r = -ENOTSUP;

	*text = 0;
	if (client->fd >= 0 && h->host->peer)
		r = h->host->peer(h->host, client->fd, text);
	if (r == -EBADF || r == -ENOTSOCK || r == -ENOTCONN)
		*text = 0;
	return !r || r == -EBADF || r == -ENOTSOCK || r == -ENOTCONN;
}

/* Where HAProxy's own word for its clients is not the kernel's, what the kernel says now is kept to
 * be compared with. */
static int know_clients(struct told *told, const struct haproxy *h)
{
	struct shown *shown = &told->shown;
	unsigned int asked = 0, other = 0;
	char text[PEER_TEXT];

	for (uint32_t i = 0; i < shown->nr_clients && asked < SAMPLE; i++) {
		const struct shown_client *client = &shown->clients[i];

		if (!client->peer || !ask_kernel(h, client, text) || !*text)
			continue;
		asked++;
		other += strcmp(client->peer, text) != 0;
	}
	told->proxied = other > asked / 2;
	told->kernel_peers = calloc(shown->nr_clients + 1, sizeof(*told->kernel_peers));
	if (!told->kernel_peers)
		return -ENOMEM;
	for (uint32_t i = 0; i < shown->nr_clients; i++) {
		struct shown_client *client = &shown->clients[i];

		if (client->peer && !told->proxied)
			told->kernel_peers[i] = client->peer;
		else if (ask_kernel(h, client, text) && *text)
			told->kernel_peers[i] = strings_intern(&shown->strings, text);
		client->peer = client->peer ? client->peer : told->kernel_peers[i];
	}
	return 0;
}

static bool client_is_there(const struct told *told, const struct haproxy *h, uint32_t client)
{
	const char *peer = told->kernel_peers[client];
	char text[PEER_TEXT];

	return !peer || !ask_kernel(h, &told->shown.clients[client], text) || !strcmp(text, peer);
}

int told_check(struct told *told, const struct haproxy *h)
{
	int r = take_told(told, h);

	if (!r)
		r = follow_all(told, h);
	return r ? r : know_clients(told, h);
}

/* ---- answers ---- */

static bool is_the_same(const struct told *told, const struct haproxy *h,
			const struct told_object *object)
{
	const struct pool *pool = &h->pools.pool[object->pool];
	uint64_t word;

	if (read_word(h, object->base + pool->size, &word) && word != pool->head)
		return false;
	if (object->link != NO_LINK && read_word(h, object->base + object->link * 8, &word) &&
	    word != object->link_to)
		return false;
	return object->client == NO_CLIENT || client_is_there(told, h, object->client);
}

static void fill(struct told *told, const struct haproxy *h, const struct told_object *object,
		 struct fp_object *ret)
{
	const struct shown_client *client;
	struct fp_connection *found = &told->found;

	*ret = (struct fp_object){ .type = object->thing == NR_THINGS
						   ? "pool object"
						   : thing_name(&h->types, object->thing),
				   .pool = h->pools.pool[object->pool].name,
				   .base = object->base,
				   .size = h->pools.pool[object->pool].size,
				   .age_source = FP_AGE_AT_LEAST,
				   .born_ns = h->host->begin_ns };
	if (object->client == NO_CLIENT)
		return;
	client = &told->shown.clients[object->client];
	*found = (struct fp_connection){ .id = client->connection,
					 .resolution_ns = RESOLUTION_NS,
					 .waiting_bytes = UINT64_MAX,
					 .frontend = client->frontend,
					 .backend = client->backend };
	if (client->peer)
		strncpy(found->peer, client->peer, sizeof(found->peer) - 1);
	ret->connection = found;
	if (client->born_us * 1000 <= h->host->wall_ns)
		return;
	found->born_ns = client->born_us * 1000 - h->host->wall_ns;
	ret->born_ns = found->born_ns;
	ret->resolution_ns = found->resolution_ns;
	ret->age_source = FP_AGE_ACCEPTED;
}

int told_find(struct told *told, const struct haproxy *h, uint64_t address, struct fp_object *ret)
{
	const struct told_object *object = object_at(told, h, address, true);

	if (!object || !is_the_same(told, h, object))
		return -ENOENT;
	fill(told, h, object, ret);
	return 0;
}

int told_walk(struct told *told, const struct haproxy *h, fp_object_fn fn, void *arg)
{
	struct fp_object object;
	int r = 0;

	for (uint32_t i = 0; !r && i < told->nr_objects; i++) {
		const struct told_object *its = &told->objects[i];

		if (known_before(told, h, its->base) || !is_the_same(told, h, its))
			continue;
		fill(told, h, its, &object);
		r = fn(arg, &object);
	}
	return r;
}

void told_free(struct told *told)
{
	if (!told)
		return;
	shown_release(&told->shown);
	free(told->kernel_peers);
	free(told->objects);
	free(told);
}
