/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Whose allocations are watched, and what is lost of them. */
#ifndef BPF_BIRTHSTATE_H
#define BPF_BIRTHSTATE_H

#include "kernel.h"

#include "faultprof/births.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FP_BIRTH_PROCESSES);
	__type(key, fp_u32);
	__type(value, struct fp_birth_process);
} processes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, fp_u32);
	__type(value, struct fp_birth_counts);
} counts SEC(".maps");

static __always_inline void lose(enum fp_birth_loss what)
{
	fp_u32 cpu = bpf_get_smp_processor_id();
	struct fp_birth_counts *c = bpf_map_lookup_elem(&counts, &cpu);

	if (c)
		c->lost[what]++;
}

#endif
