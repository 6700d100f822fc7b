/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A run that goes on for ever (--textfile): every interval, what was collected becomes a profile of
 * each instance, is added to the metrics, and forgotten; the file is written anew. A file that
 * cannot be written costs nothing but the file.
 */
#ifndef SESSION_EXPORT_H
#define SESSION_EXPORT_H

#include "base/output.h"
#include "session_keep.h"
#include "session_objects.h"
#include "session_targets.h"

struct exporter;

/* What a run has, and an interval takes its share of; all borrowed. */
struct exported {
	const struct collector *collector;
	struct symbolizer *symbolizer;
	struct hosts *hosts;
	struct targets *targets;
	struct keeper *keeper;
	struct profile *profile; /* of all of the run: has the warnings that belong to no fault */
	struct output *output;
};

/* From here on, SIGHUP means that a file is due. 0 or -ENOMEM. */
int exporter_new(const struct options *options, struct exporter **ret);
void exporter_free(struct exporter *exporter); /* NULL is fine */

/* Has @keeper keep the next fault, of @image, where it belongs until the next file. 0 or -ENOMEM.
 */
int exporter_gather(struct exporter *exporter, struct symbolizer *symbolizer,
		    const struct image *image, struct keeper *keeper);
/* To be called some ten times a second: is a file due at @now_ns? */
bool exporter_due(struct exporter *exporter, uint64_t now_ns);
/* After collector_drain(). A file that cannot be written is told once, and no error. 0 or -ENOMEM;
 * -ECANCELED: no file can be written any more, and it has told why. */
int exporter_write(struct exporter *exporter, const struct exported *run);
/* The last file, after collector_stop(). Also the error that kept it from being written. */
int exporter_finish(struct exporter *exporter, const struct exported *run);

#endif
