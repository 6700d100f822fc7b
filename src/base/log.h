/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What faultprof tells its user beside the report: one line to stderr each, made safe for a
 * terminal. Not for use from more than one thread. main, session and options tell
 * errors; a stage returns its own, and at most says by log_info() which way it went. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

__attribute__((format(printf, 1, 2))) void log_error(const char *format, ...);
__attribute__((format(printf, 1, 2))) void log_warn(const char *format, ...);
/* Nothing is printed before log_set_verbose(true). */
__attribute__((format(printf, 1, 2))) void log_info(const char *format, ...);

void log_set_verbose(bool verbose);

#endif
