/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the kernel side learns of unwinding (bpf/stack.h). */
#ifndef COLLECT_RULES_H
#define COLLECT_RULES_H

#include "faultprof/event.h"

/* Adds to the map @fd what a walk through @nr frames needs in a program: innermost first, as
 * symbolizer_unwind() gives them. */
void rules_teach(int fd, uint32_t image, const uint64_t *ips, const struct fp_rule *rules,
		 unsigned int nr);

#endif
