/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A run that goes on for ever (--textfile): every interval, what was collected becomes a profile of
 * each instance, is added to the metrics, and forgotten; the file is written anew. A file that
 * cannot be written costs nothing but the file.
 */
#ifndef SESSION_EXPORT_H
#define SESSION_EXPORT_H

#include "base/output.h"
#include "session_objects.h"
#include "session_profile.h"

struct exporter;

/* What one instance did since the last file. */
struct gathering {
	struct tally tally;
	struct profile profile;
};

/* From here on, SIGHUP means that a file is due. 0 or -ENOMEM. */
int exporter_new(const struct options *options, struct exporter **ret);
void exporter_free(struct exporter *exporter); /* NULL is fine */

/* Where the faults of @image go until the next file. 0 or -ENOMEM. */
int exporter_gathering(struct exporter *exporter, struct symbolizer *symbolizer,
		       const struct image *image, struct gathering **ret);
/* To be called some ten times a second: is a file due at @now_ns? */
bool exporter_due(struct exporter *exporter, uint64_t now_ns);
/* After collector_drain(). @run->profile, of all of the run, is made anew: it has the warnings that
 * belong to no fault. A file that cannot be written is told once, and no error. 0 or -ENOMEM;
 * -ESRCH: no file can be written any more. */
int exporter_write(struct exporter *exporter, const struct finished *run, struct hosts *hosts,
		   struct output *output);
/* The last file, after collector_stop(). Also the error that kept it from being written. */
int exporter_finish(struct exporter *exporter, const struct finished *run, struct hosts *hosts,
		    struct output *output);

#endif
