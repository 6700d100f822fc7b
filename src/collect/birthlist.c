/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "collect/birthlist.h"

#include <errno.h>
#include <stdlib.h>

#include <bpf/bpf.h>

#include "base/clock.h"

#define BATCH 4096
#define SHARE 100 /* renewing takes at most one part of so many of our time */

int birth_list_init(struct birth_list *list)
{
	list->keys = calloc(BATCH, sizeof(*list->keys));
	list->births = calloc(BATCH, sizeof(*list->births));
	return list->keys && list->births ? 0 : -ENOMEM;
}

void birth_list_release(struct birth_list *list)
{
	free(list->all.at);
	free(list->young.at);
	free(list->keys);
	free(list->births);
}

/* ---- in order ---- */

static int compare(const void *a, const void *b)
{
	const struct listed_birth *x = a, *y = b;

	if (x->key.pid != y->key.pid)
		return x->key.pid < y->key.pid ? -1 : 1;
	if (x->key.base != y->key.base)
		return x->key.base < y->key.base ? -1 : 1;
	return x->birth.born_ns < y->birth.born_ns ? -1 : x->birth.born_ns > y->birth.born_ns;
}

static bool covers(const struct listed_birth *object, uint32_t pid, uint64_t address)
{
	return object->key.pid == pid && address - object->key.base < object->birth.size;
}

static int take(struct sorted_births *list, const struct fp_birth_key *key,
		const struct fp_birth *birth)
{
	size_t room = list->room ? 2 * list->room : BATCH;
	struct listed_birth *at;

	if (list->nr == list->room) {
		at = reallocarray(list->at, room, sizeof(*at));
		if (!at)
			return -ENOMEM;
		list->at = at;
		list->room = room;
	}
	list->at[list->nr++] = (struct listed_birth){ .key = *key, .birth = *birth };
	return 0;
}

/* Of several that had one address, only the last can live. */
static void drop_former(struct sorted_births *list)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->nr; i++) {
		if (i + 1 < list->nr && list->at[i].key.pid == list->at[i + 1].key.pid &&
		    list->at[i].key.base == list->at[i + 1].key.base)
			continue;
		list->at[kept++] = list->at[i];
	}
	list->nr = kept;
}

static void sort(struct sorted_births *list)
{
	if (list->nr)
		qsort(list->at, list->nr, sizeof(*list->at), compare);
	drop_former(list);
	/* The object before, or one of those around it, is around this one, or none is. */
	for (size_t i = 0; i < list->nr; i++) {
		struct listed_birth *object = &list->at[i];
		size_t around = i;

		while (around && !covers(&list->at[around - 1], object->key.pid, object->key.base))
			around = list->at[around - 1].around;
		object->around = around;
	}
}

/* The last object that begins at @address or before, plus 1; 0: none. */
static size_t last_before(const struct sorted_births *list, uint32_t pid, uint64_t address)
{
	size_t low = 0, high = list->nr;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct fp_birth_key *key = &list->at[middle].key;

		if (key->pid < pid || (key->pid == pid && key->base <= address))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* ---- from the kernel ---- */

static int read_all(struct birth_list *list, birth_current_fn current, void *arg)
{
	uint64_t position;
	void *from = NULL;
	int last = 0, r = 0;

	list->all.nr = list->young.nr = 0;
	list->noted = *list->born;
	while (!r && !last) {
		uint32_t nr = BATCH;

		last = bpf_map_lookup_batch(list->map, from, &position, list->keys, list->births,
					    &nr, NULL);
		if (last && last != -ENOENT)
			return last;
		for (uint32_t i = 0; !r && i < nr; i++) {
			if (current(arg, &list->keys[i], &list->births[i]))
				r = take(&list->all, &list->keys[i], &list->births[i]);
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
	uint64_t start_ns = cpu_ns(), seen_ns = clock_now_ns();
	int r = read_all(list, current, arg);

	sort(&list->all);
	list->whole = !r;
	list->seen_ns = list->read_ns = r ? 0 : seen_ns;
	list->renew_ns = clock_now_ns() + SHARE * (cpu_ns() - start_ns);
	return r;
}

bool birth_list_may_renew(const struct birth_list *list)
{
	return clock_now_ns() >= list->renew_ns;
}

/* One that is just being written is left for the next time. */
static bool read_note(const struct birth_list *list, uint64_t nr, struct fp_birth_note *ret)
{
	const volatile struct fp_birth_note *note = &list->notes[nr % FP_BIRTH_NOTES];

	ret->nr = __atomic_load_n(&note->nr, __ATOMIC_ACQUIRE);
	ret->key = *(const struct fp_birth_key *)&note->key;
	ret->birth = *(const struct fp_birth *)&note->birth;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return ret->nr == nr && note->nr == nr;
}

/* Takes up what was born since. */
static int read_notes(struct birth_list *list)
{
	uint64_t start_ns = cpu_ns(), seen_ns = clock_now_ns();
	uint64_t born = *list->born, before = list->noted;
	struct fp_birth_note note;
	int r = 0;

	if (born - list->noted >= FP_BIRTH_NOTES)
		list->whole = false;
	while (!r && list->whole && list->noted < born && read_note(list, list->noted + 1, &note)) {
		r = take(&list->young, &note.key, &note.birth);
		list->noted += !r;
	}
	/* The ring may have gone round meanwhile. */
	if (*list->born - list->noted >= FP_BIRTH_NOTES)
		list->whole = false;
	if (list->noted != before)
		sort(&list->young);
	if (list->whole && list->noted == born)
		list->seen_ns = seen_ns;
	list->note_ns = clock_now_ns() + SHARE * (cpu_ns() - start_ns);
	return r;
}

/* To have seen all that was born by @time_ns. */
static int catch_up(struct birth_list *list, uint64_t time_ns, birth_current_fn current, void *arg)
{
	uint64_t now_ns = clock_now_ns();
	int r = 0;

	if (list->whole && *list->born == list->noted)
		list->seen_ns = now_ns;
	else if (list->whole && now_ns >= list->note_ns)
		r = read_notes(list);
	if (!r && !list->whole && birth_list_may_renew(list))
		r = birth_list_renew(list, current, arg);
	return r ? r : time_ns > list->seen_ns ? -EAGAIN : 0;
}

/* ---- asking ---- */

/* The dead may be in the way of the living: what was born where they were. */
static const struct listed_birth *find(const struct birth_list *list,
				       const struct sorted_births *sorted, uint32_t pid,
				       uint64_t address, birth_current_fn current, void *arg)
{
	size_t at = last_before(sorted, pid, address);
	struct fp_birth now;

	while (at) {
		const struct listed_birth *object = &sorted->at[at - 1];

		if (covers(object, pid, address) && current(arg, &object->key, &object->birth) &&
		    !bpf_map_lookup_elem(list->map, &object->key, &now) &&
		    now.born_ns == object->birth.born_ns)
			return object;
		at = object->around;
	}
	return NULL;
}

static const struct listed_birth *find_in_both(const struct birth_list *list, uint32_t pid,
					       uint64_t address, birth_current_fn current,
					       void *arg)
{
	const struct listed_birth *old = find(list, &list->all, pid, address, current, arg);
	const struct listed_birth *young = find(list, &list->young, pid, address, current, arg);

	return young && (!old || young->key.base > old->key.base) ? young : old;
}

int birth_list_find(struct birth_list *list, uint32_t pid, uint64_t address, uint64_t time_ns,
		    birth_current_fn current, void *arg, const struct listed_birth **ret)
{
	const struct listed_birth *object = find_in_both(list, pid, address, current, arg);
	int r = 0;

	if (!object && time_ns > list->seen_ns) {
		r = catch_up(list, time_ns, current, arg);
		object = find_in_both(list, pid, address, current, arg);
	}
	if (!object)
		return r ? r : -ENOENT;
	*ret = object;
	return 0;
}
