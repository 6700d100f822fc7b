/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A run from targets to report: the only file that wires the stages. */
#ifndef SESSION_H
#define SESSION_H

#include "options.h"

/* Returns 0, or -errno after it has told why. */
int session_run(const struct options *options);
/* Prints what this kernel and these privileges allow. 0 or -errno. */
int session_probe(void);

#endif
