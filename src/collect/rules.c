/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "collect/rules.h"

#include <bpf/bpf.h>

void rules_teach(int fd, uint32_t image, const uint64_t *ips, const struct fp_rule *rules,
		 unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		struct fp_rule_key key = { .image = image, .caller = i > 0, .ip = ips[i] };

		/* Not taught is only slow: the stack will be shipped again. */
		bpf_map_update_elem(fd, &key, &rules[i], BPF_ANY);
	}
}
