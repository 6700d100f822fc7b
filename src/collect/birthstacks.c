/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#define HASH_NONFATAL_OOM 1
#include "collect/birthstacks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <uthash.h>

#include "births.skel.h"
#include "collect/rules.h"

#define WALKED_BYTES (FP_BIRTH_STACKS * sizeof(struct fp_birth_stack))
#define RAWS_MAX (1U << 20) /* whose stack is remembered: 8 MB */

struct kept_stack {
	struct fp_birth_stack stack; /* all of it is the key */
	UT_hash_handle hh;
};

int birth_stacks_prepare(struct births *s, bool wanted)
{
	struct bpf_map *const maps[] = { s->maps.stacks, s->maps.stack_numbers, s->maps.rules };
	int r = wanted ? 0 : bpf_map__set_max_entries(s->maps.raws, 4096);

	s->rodata->with_stacks = wanted;
	for (size_t i = 0; !wanted && !r && i < sizeof(maps) / sizeof(*maps); i++)
		r = bpf_map__set_max_entries(maps[i], 1);
	return r;
}

/* ---- what was shipped ---- */

/* NULL: there is no room, or no memory. */
static struct kept_stack *keep(struct birth_stacks *b, const struct fp_birth_stack *stack)
{
	struct kept_stack *kept;

	HASH_FIND(hh, b->kept, stack, sizeof(*stack), kept);
	if (kept || HASH_COUNT(b->kept) >= FP_BIRTH_STACKS)
		return kept;
	kept = calloc(1, sizeof(*kept));
	if (!kept)
		return NULL;
	kept->stack = *stack;
	HASH_ADD(hh, b->kept, stack, sizeof(kept->stack), kept);
	if (kept->hh.tbl)
		return kept;
	free(kept);
	return NULL;
}

static int make_room(struct birth_stacks *b, uint32_t number)
{
	size_t room = b->raws_room ? b->raws_room : 64;
	struct kept_stack **raws;

	while (room <= number)
		room *= 2;
	if (number >= RAWS_MAX)
		return -E2BIG;
	if (room == b->raws_room)
		return 0;
	raws = reallocarray(b->raws, room, sizeof(struct kept_stack *));
	if (!raws)
		return -ENOMEM;
	memset(raws + b->raws_room, 0, (room - b->raws_room) * sizeof(struct kept_stack *));
	b->raws = raws;
	b->raws_room = room;
	return 0;
}

/* The first frame is the allocator itself. Without unwind data for it there is its return address
 * all the same. */
static void take(const struct fp_birth_raw *raw, const uint64_t *ips, unsigned int nr,
		 enum fp_stack_end end, struct fp_birth_stack *ret)
{
	*ret = (struct fp_birth_stack){ .image = raw->image, .end = end };
	if (nr < 2 && raw->stack.bytes >= sizeof(*ips)) {
		memcpy(ret->ip, raw->stack.data, sizeof(*ips));
		ret->nr_frames = 1;
		return;
	}
	if (nr > 1 + FP_BIRTH_FRAMES) {
		nr = 1 + FP_BIRTH_FRAMES;
		ret->end = FP_STACK_DEEP;
	}
	ret->nr_frames = nr - 1;
	memcpy(ret->ip, ips + 1, ret->nr_frames * sizeof(*ips));
}

static int on_raw(void *arg, void *data, size_t size)
{
	static struct fp_rule rules[FP_MAX_FRAMES];
	static uint64_t ips[FP_MAX_FRAMES];
	enum fp_stack_end end = FP_STACK_NO_RULE;
	const struct fp_birth_raw *raw = data;
	struct birth_stacks *b = arg;
	struct fp_birth_stack stack;
	unsigned int nr;

	if (size < sizeof(*raw))
		return 0;
	nr = b->unwind ? b->unwind(b->arg, raw, ips, rules, FP_MAX_FRAMES, &end) : 0;
	rules_teach(b->rules, raw->image, ips, rules, nr);
	take(raw, ips, nr, end, &stack);
	if (stack.nr_frames && !make_room(b, raw->number))
		b->raws[raw->number] = keep(b, &stack);
	b->lost += raw->number >= b->raws_room || !b->raws[raw->number];
	return 0;
}

void birth_stacks_poll(struct birth_stacks *b)
{
	if (b->ring)
		ring_buffer__consume(b->ring);
}

/* ---- asking ---- */

const struct fp_birth_stack *birth_stacks_find(struct birth_stacks *b, uint32_t stack)
{
	uint32_t number = stack % FP_BIRTH_RAW;
	const struct kept_stack *kept;

	if (!b->walked || !stack)
		return NULL;
	if (!(stack & FP_BIRTH_RAW))
		return number < FP_BIRTH_STACKS ? &b->walked[number] : NULL;
	if (number >= b->raws_room || !b->raws[number])
		birth_stacks_poll(b);
	kept = number < b->raws_room ? b->raws[number] : NULL;
	return kept ? &kept->stack : NULL;
}

int birth_stacks_init(struct birth_stacks *b, const struct births *s)
{
	void *at = mmap(NULL, WALKED_BYTES, PROT_READ, MAP_SHARED, bpf_map__fd(s->maps.stacks), 0);

	if (at == MAP_FAILED)
		return -errno;
	b->walked = at;
	b->rules = bpf_map__fd(s->maps.rules);
	b->ring = ring_buffer__new(bpf_map__fd(s->maps.raws), on_raw, b, NULL);
	return b->ring ? 0 : -errno;
}

void birth_stacks_release(struct birth_stacks *b)
{
	struct kept_stack *kept, *next;

	HASH_ITER (hh, b->kept, kept, next) {
		HASH_DEL(b->kept, kept);
		free(kept);
	}
	ring_buffer__free(b->ring);
	free(b->raws);
	if (b->walked)
		munmap((void *)b->walked, WALKED_BYTES);
	memset(b, 0, sizeof(*b));
}
