/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Options that are right one by one, and not together. */
#ifndef OPTIONS_CHECK_H
#define OPTIONS_CHECK_H

#include "options.h"

/* A run: it needs targets, and providers for what is asked of them. @dashes: a "--" came before the
 * command. May complete @o. 0, or -EINVAL after it has told what is wrong. */
int options_check_run(struct options *o, bool dashes);
/* Only what is watched: one thing, or one and a command that is its load. */
int options_check_targets(const struct options *o, bool dashes);
/* A run, with the name of the recording. */
int options_check_record(struct options *o, bool dashes);
/* A report alone. */
int options_check_report(struct options *o, bool dashes);
/* Two recordings, in a format that can show both. */
int options_check_diff(struct options *o, bool dashes);

#endif
