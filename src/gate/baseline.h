/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A sample as a file, schema faultprof-baseline/1. */
#ifndef GATE_BASELINE_H
#define GATE_BASELINE_H

#include <stdio.h>

#include "gate/sample.h"

/* In a stable order, a row on a line: it may be kept under version control. 0 or -ENOMEM; a write
 * error stays in ferror(@out). */
int baseline_write(const struct sample *sample, FILE *out);
/* Fills @ret, all zeros before. 0; or -errno, after filling @why with one clause for the user, and
 * releasing @ret: -EINVAL: it is no baseline, or not a whole one, or of a newer schema. */
int baseline_read(FILE *in, struct sample *ret, char *why, size_t size);

#endif
