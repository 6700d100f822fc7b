/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Two ways out of the kernel: a counter by site, for the frequent faults, and the ring, for the
 * rare ones. When the ring is full a fault falls back on its site, when the site map is full on
 * its kind: a fault that completed is always in the totals.
 */
#ifndef BPF_EMIT_H
#define BPF_EMIT_H

#include "state.h"

/* Two maps: one is filled while user space empties the other. They lead to a slot of site_values,
 * which a thread remembers while it faults at one site: an array is found without a call. */
#define NR_SITES 8192
struct site_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, NR_SITES);
	__type(key, struct fp_site_key);
	__type(value, fp_u32);
};
struct site_map sites_even SEC(".maps"), sites_odd SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * NR_SITES); /* the second half is sites_odd's */
	__type(key, fp_u32);
	__type(value, struct fp_site_value);
} site_values SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * FP_NR_OVERFLOW); /* the second half is sites_odd's */
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

/* Which site map is filled, in its last bit. User space counts it up, from 1. */
volatile fp_u32 site_turn = 1;
volatile fp_u32 sites_used[2]; /* slots of each half; user space empties it */
const volatile fp_u32 nr_sites = NR_SITES;

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

#define NO_SLOT (~0U)

/* The slot of @key, which begins with zeros; NO_SLOT: there is none left. Two CPUs may both take
 * one for a new site: one of them stays empty. */
static __noinline fp_u32 site_slot(fp_u32 turn, const struct fp_site_key *key)
{
	fp_u32 odd = turn & 1, *found, slot, zero = 0;
	struct fp_site_value *fresh;
	struct fp_counts *c;

	if (!key)
		return NO_SLOT;
	found = odd ? bpf_map_lookup_elem(&sites_odd, key) : bpf_map_lookup_elem(&sites_even, key);
	if (found)
		return *found;
	slot = __sync_fetch_and_add(&sites_used[odd], 1);
	fresh = bpf_map_lookup_elem(&empty_site, &zero);
	if (slot >= nr_sites || !fresh)
		return NO_SLOT;
	slot += odd * nr_sites;
	if (bpf_map_update_elem(&site_values, &slot, fresh, BPF_ANY))
		return NO_SLOT;
	if (odd ? !bpf_map_update_elem(&sites_odd, key, &slot, BPF_NOEXIST)
		: !bpf_map_update_elem(&sites_even, key, &slot, BPF_NOEXIST)) {
		c = my_counts();
		if (c)
			c->sites++;
		return slot;
	}
	found = odd ? bpf_map_lookup_elem(&sites_odd, key) : bpf_map_lookup_elem(&sites_even, key);
	return found ? *found : NO_SLOT;
}

static __always_inline void slot_add(fp_u32 turn, fp_u32 slot, const struct fp_site_key *key,
				     fp_u64 stall_ns)
{
	struct fp_site_value *site = 0;

	if (slot != NO_SLOT)
		site = bpf_map_lookup_elem(&site_values, &slot);
	if (!site) {
		slot = ((key->kind * FP_NR_ACCESSES + key->access) * FP_NR_MODES + key->mode) * 2 +
		       key->major + (turn & 1) * FP_NR_OVERFLOW;
		lose(FP_LOSS_SITE);
		site = bpf_map_lookup_elem(&overflow, &slot);
	}
	if (site)
		site_add(site, stall_ns);
}

static __always_inline void count_site(const struct fp_site_key *key, fp_u64 stall_ns)
{
	fp_u32 turn = site_turn;

	slot_add(turn, site_slot(turn, key), key, stall_ns);
}

/* The site of the fault that the thread is in. Most are where the last one was. */
static __always_inline void remember_site(struct task_state *state, const struct fp_site_key *key)
{
	struct fp_site_key *site = &state->site;

	if (site->ip[0] == key->ip[0] && site->ip[1] == key->ip[1] && site->ip[2] == key->ip[2] &&
	    site->image == key->image && site->kind == key->kind && site->access == key->access &&
	    site->mode == key->mode && site->major == key->major)
		return;
	*site = *key;
	state->site_turn = 0;
}

static __always_inline void count_remembered(struct task_state *state, fp_u64 stall_ns)
{
	fp_u32 turn = site_turn;

	if (state->site_turn != turn) {
		state->site_slot = site_slot(turn, &state->site);
		state->site_turn = state->site_slot == NO_SLOT ? 0 : turn;
	}
	slot_add(turn, state->site_slot, &state->site, stall_ns);
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
