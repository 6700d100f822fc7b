/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "collect/sites.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>

#define BATCH 64
#define MANY (1u << 31) /* a bucket holds twice as many */

int sites_init(struct sites *s)
{
	s->keys = calloc(BATCH, sizeof(*s->keys));
	s->slots = calloc(BATCH, sizeof(*s->slots));
	return s->keys && s->slots ? 0 : -ENOMEM;
}

void sites_release(struct sites *s)
{
	free(s->keys);
	free(s->slots);
}

void sites_wait(void)
{
	/* The programs run without being scheduled away. */
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		usleep(20000);
}

static int drain_map(struct sites *s, int fd, site_fn fn, void *arg)
{
	uint32_t batch, *in = NULL, nr;
	struct fp_site_value value;
	int r = 0, last = 0;

	while (!r && !last) {
		nr = BATCH < s->room ? BATCH : s->room;
		if (bpf_map_lookup_and_delete_batch(fd, in, &batch, s->keys, s->slots, &nr, NULL)) {
			if (errno != ENOENT)
				return -errno;
			last = 1;
		}
		in = &batch;
		for (uint32_t i = 0; !r && i < nr; i++) {
			if (bpf_map_lookup_elem(s->array, &s->slots[i], &value))
				return -errno;
			/* A slot without a fault: its thread was between the two. */
			if (value.untimed || value.max_ns)
				r = fn(arg, &s->keys[i], &value, 3);
		}
	}
	return r;
}

static int drain_overflow(struct sites *s, uint32_t odd, site_fn fn, void *arg)
{
	static const struct fp_site_value none;
	int r = 0;

	for (uint32_t i = 0; !r && i < FP_NR_OVERFLOW; i++) {
		struct fp_site_value value;
		uint32_t at = i + odd * FP_NR_OVERFLOW;
		struct fp_site_key key = {
			.major = i % 2,
			.mode = i / 2 % FP_NR_MODES,
			.access = i / 2 / FP_NR_MODES % FP_NR_ACCESSES,
			.kind = i / 2 / FP_NR_MODES / FP_NR_ACCESSES,
		};

		if (bpf_map_lookup_elem(s->overflow, &at, &value))
			return -errno;
		if (!value.untimed && !value.max_ns)
			continue;
		if (bpf_map_update_elem(s->overflow, &at, &none, BPF_ANY))
			return -errno;
		r = fn(arg, &key, &value, 0);
	}
	return r;
}

void sites_switch(struct sites *s)
{
	/* Never 0, which is no turn. */
	__atomic_store_n(s->turn, *s->turn == UINT32_MAX ? 2 : *s->turn + 1, __ATOMIC_SEQ_CST);
	sites_wait();
}

int sites_take(struct sites *s, site_fn fn, void *arg)
{
	uint32_t odd = ~*s->turn & 1;
	int r = drain_map(s, s->map[odd], fn, arg);

	s->used[odd] = 0;
	return r ? r : drain_overflow(s, odd, fn, arg);
}

bool sites_due(struct sites *s, uint64_t added, uint64_t faults)
{
	if (added - s->added <= s->room / 2 && faults - s->faults <= MANY)
		return false;
	s->added = added;
	s->faults = faults;
	return true;
}
