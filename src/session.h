/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A run from targets to report: the only file that wires the stages. */
#ifndef SESSION_H
#define SESSION_H

#include "options.h"

/* All return 0; 1 when what was given is not whole, and was used as far as it is; or -errno. They
 * have told why. */

/* A run, with its report, its recording, or both. */
int session_run(const struct options *options);
/* The report of a recording. */
int session_report(const struct options *options);
/* A recording, and the files that name its faults elsewhere, in one. */
int session_archive(const struct options *options);
/* Two recordings side by side. */
int session_diff(const struct options *options);
/* Prints what this kernel and these privileges allow. */
int session_probe(const struct options *options);

#endif
