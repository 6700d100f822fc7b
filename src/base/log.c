/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* One message is one line and one write: a message that quotes a target (its comm, its path)
 * cannot start a second line, and does not mix with the output of others. */
#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "base/text.h"

static bool log_verbose;

void log_set_verbose(bool verbose)
{
	log_verbose = verbose;
}

static void emit(const char *level, const char *format, va_list args)
{
	char raw[1024], clean[sizeof(raw)];

	vsnprintf(raw, sizeof(raw), format, args);
	text_clean(clean, sizeof(clean), raw);
	fprintf(stderr, "faultprof: %s%s\n", level, clean);
}

void log_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	emit("", format, args);
	va_end(args);
}

void log_warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	emit("warning: ", format, args);
	va_end(args);
}

void log_info(const char *format, ...)
{
	va_list args;

	if (!log_verbose)
		return;
	va_start(args, format);
	emit("", format, args);
	va_end(args);
}
