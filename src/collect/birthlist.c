/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "collect/birthlist.h"

#include <errno.h>
#include <stdlib.h>

#include <bpf/bpf.h>

#include "base/clock.h"

#define BATCH 4096
#define SHARE 100 /* renewing takes at most one part of so many of our time */

int birth_list_init(struct birth_list *list, int map)
{
	*list = (struct birth_list){ .map = map };
	list->keys = calloc(BATCH, sizeof(*list->keys));
	list->births = calloc(BATCH, sizeof(*list->births));
	return list->keys && list->births ? 0 : -ENOMEM;
}

void birth_list_release(struct birth_list *list)
{
	free(list->objects);
	free(list->keys);
	free(list->births);
}

static int compare(const void *a, const void *b)
{
	const struct fp_birth_key *x = &((const struct listed_birth *)a)->key;
	const struct fp_birth_key *y = &((const struct listed_birth *)b)->key;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return x->base < y->base ? -1 : x->base > y->base;
}

static bool covers(const struct listed_birth *object, uint32_t pid, uint64_t address)
{
	return object->key.pid == pid && address - object->key.base < object->birth.size;
}

/* The object before, or one of those around it, is around this one, or none is. */
static void link_objects(struct birth_list *list)
{
	for (size_t i = 0; i < list->nr; i++) {
		struct listed_birth *object = &list->objects[i];
		size_t around = i;

		while (around &&
		       !covers(&list->objects[around - 1], object->key.pid, object->key.base))
			around = list->objects[around - 1].around;
		object->around = around;
	}
}

static int take(struct birth_list *list, const struct fp_birth_key *key,
		const struct fp_birth *birth)
{
	size_t room = list->room ? 2 * list->room : BATCH;
	struct listed_birth *objects;

	if (list->nr == list->room) {
		objects = reallocarray(list->objects, room, sizeof(*objects));
		if (!objects)
			return -ENOMEM;
		list->objects = objects;
		list->room = room;
	}
	list->objects[list->nr++] = (struct listed_birth){ .key = *key, .birth = *birth };
	return 0;
}

static int read_all(struct birth_list *list, birth_current_fn current, void *arg)
{
	uint64_t position;
	void *from = NULL;
	int last = 0, r = 0;

	list->nr = 0;
	while (!r && !last) {
		uint32_t nr = BATCH;

		last = bpf_map_lookup_batch(list->map, from, &position, list->keys, list->births,
					    &nr, NULL);
		if (last && last != -ENOENT)
			return last;
		for (uint32_t i = 0; !r && i < nr; i++) {
			if (current(arg, &list->keys[i], &list->births[i]))
				r = take(list, &list->keys[i], &list->births[i]);
			else
				bpf_map_delete_elem(list->map, &list->keys[i]);
		}
		from = &position;
	}
	return r;
}

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

int birth_list_renew(struct birth_list *list, birth_current_fn current, void *arg)
{
	uint64_t start_ns = cpu_ns();
	int r = read_all(list, current, arg);

	if (list->nr)
		qsort(list->objects, list->nr, sizeof(*list->objects), compare);
	link_objects(list);
	list->renew_ns = clock_now_ns() + SHARE * (cpu_ns() - start_ns);
	return r;
}

bool birth_list_may_renew(const struct birth_list *list)
{
	return clock_now_ns() >= list->renew_ns;
}

const struct listed_birth *birth_list_find(const struct birth_list *list, uint32_t pid,
					   uint64_t address)
{
	size_t low = 0, high = list->nr;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct fp_birth_key *key = &list->objects[middle].key;

		if (key->pid < pid || (key->pid == pid && key->base <= address))
			low = middle + 1;
		else
			high = middle;
	}
	while (low && !covers(&list->objects[low - 1], pid, address))
		low = list->objects[low - 1].around;
	return low ? &list->objects[low - 1] : NULL;
}

bool birth_list_lives(const struct birth_list *list, const struct listed_birth *object)
{
	struct fp_birth now;

	return !bpf_map_lookup_elem(list->map, &object->key, &now) &&
	       now.born_ns == object->birth.born_ns;
}
