/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The table of all sinks: the only place that a new one has to be added to. */
#include <stddef.h>
#include <string.h>

#include "model/sink.h"

static const struct sink *const sinks[] = { &sink_text,	     &sink_json,  &sink_csv,
					    &sink_folded,    &sink_pprof, &sink_speedscope,
					    &sink_flamegraph };

const struct sink *sink_at(unsigned int i)
{
	return i < sizeof(sinks) / sizeof(*sinks) ? sinks[i] : NULL;
}

const struct sink *sink_find(const char *name)
{
	const struct sink *sink;

	for (unsigned int i = 0; (sink = sink_at(i)); i++) {
		if (!strcmp(sink->name, name))
			return sink;
	}
	return NULL;
}
