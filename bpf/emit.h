/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Two ways out of the kernel: a counter by site, for the frequent faults, and the ring, for the
 * rare ones. When the ring is full a fault falls back on its site, when the site map is full on
 * its kind: a fault that completed is always in the totals.
 */
#ifndef BPF_EMIT_H
#define BPF_EMIT_H

#include "state.h"

/* Two maps: one is filled while user space empties the other. */
struct site_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct fp_site_key);
	__type(value, struct fp_site_value);
};
struct site_map sites_even SEC(".maps"), sites_odd SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FP_NR_OVERFLOW);
	__type(key, fp_u32);
	__type(value, struct fp_site_value);
} overflow SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, fp_u32);
	__type(value, struct fp_site_value);
} empty_site SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} ring SEC(".maps");

/* The event under construction. The slack lets the verifier see that a whole page fits behind any
 * offset below FP_STACK_BYTES. */
struct scratch {
	struct fp_fault_event fault;
	struct fp_raw_stack raw;
	fp_u8 slack[PAGE_SIZE];
	fp_u64 plain; /* turns a pointer into a number: see per_cpu_offset() */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, fp_u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

volatile fp_u32 odd; /* which site map is filled; user space flips it */

static __always_inline fp_u32 bucket_of(fp_u64 ns)
{
	fp_u64 v = ns >> (FP_STALL_MIN_SHIFT - FP_STALL_SUB_BITS);
	fp_u32 log = 0, bucket;

	if (!(v >> FP_STALL_SUB_BITS))
		return 0;
	if (v >> 32) {
		v >>= 32;
		log += 32;
	}
	if (v >> 16) {
		v >>= 16;
		log += 16;
	}
	if (v >> 8) {
		v >>= 8;
		log += 8;
	}
	if (v >> 4) {
		v >>= 4;
		log += 4;
	}
	if (v >> 2) {
		v >>= 2;
		log += 2;
	}
	log += v >> 1;
	v = ns >> (FP_STALL_MIN_SHIFT - FP_STALL_SUB_BITS);
	bucket = ((log - FP_STALL_SUB_BITS) << FP_STALL_SUB_BITS) + 1 +
		 ((v >> (log - FP_STALL_SUB_BITS)) & ((1 << FP_STALL_SUB_BITS) - 1));
	return bucket < FP_STALL_BUCKETS ? bucket : FP_STALL_BUCKETS - 1;
}

static __always_inline void site_add(struct fp_site_value *site, fp_u64 stall_ns)
{
	if (!stall_ns) {
		__sync_fetch_and_add(&site->untimed, 1);
		return;
	}
	__sync_fetch_and_add(&site->total_ns, stall_ns);
	__sync_fetch_and_add(&site->bucket[bucket_of(stall_ns)], 1);
	for (int i = 0; i < 8; i++) {
		fp_u64 max = *(volatile fp_u64 *)&site->max_ns;

		if (stall_ns <= max ||
		    __sync_val_compare_and_swap(&site->max_ns, max, stall_ns) == max)
			break;
	}
}

static __always_inline struct fp_site_value *site_get(void *map, const struct fp_site_key *key)
{
	struct fp_site_value *site = bpf_map_lookup_elem(map, key), *fresh;
	struct fp_counts *c;
	fp_u32 zero = 0;

	if (site)
		return site;
	fresh = bpf_map_lookup_elem(&empty_site, &zero);
	if (fresh && !bpf_map_update_elem(map, key, fresh, BPF_NOEXIST)) {
		c = my_counts();
		if (c)
			c->sites++;
	}
	return bpf_map_lookup_elem(map, key);
}

static __always_inline void count_site(const struct fp_site_key *key, fp_u64 stall_ns)
{
	struct fp_site_value *site;

	site = odd ? site_get(&sites_odd, key) : site_get(&sites_even, key);
	if (!site) {
		fp_u32 at =
			((key->kind * FP_NR_ACCESSES + key->access) * FP_NR_MODES + key->mode) * 2 +
			key->major;

		lose(FP_LOSS_SITE);
		site = bpf_map_lookup_elem(&overflow, &at);
	}
	if (site)
		site_add(site, stall_ns);
}

static __always_inline void tell_task(enum fp_event_type type, fp_u32 pid, fp_u32 image,
				      fp_u32 other)
{
	struct fp_task_event *event = bpf_ringbuf_reserve(&ring, sizeof(*event), 0);

	if (!event) {
		lose(FP_LOSS_TASK);
		return;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->h.size = sizeof(*event);
	event->h.type = type;
	event->h.time_ns = bpf_ktime_get_ns();
	event->h.pid = event->h.tid = pid;
	event->h.image = image;
	event->other = other;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	bpf_ringbuf_submit(event, 0);
}

#endif
