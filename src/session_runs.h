/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Several runs, one after the other. Each is a process of its own: a run gives up its privileges
 * for good as soon as it counts. */
#ifndef SESSION_RUNS_H
#define SESSION_RUNS_H

#include "gate/sample.h"
#include "options.h"

/* To be called once, before the first run: signals end a run, and with it all of them. */
void runs_catch_signals(void);
/* Adds the runs that @options want, or the recordings that they name. 0; -EINTR: interrupted, and
 * nobody was told; or -errno after it has told why. */
int runs_measure(const struct options *options, struct sample *ret);

#endif
