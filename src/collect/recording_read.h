/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Reads a recording, which may come from anybody and may be anything: what is whole in it is told,
 * in the order in which it happened. */
#ifndef COLLECT_RECORDING_READ_H
#define COLLECT_RECORDING_READ_H

#include "collect/images.h"
#include "collect/procfs.h"
#include "collect/recording.h"

/* Who wants to hear of what. What it is given is valid during the call only, but for images, which
 * live as long as the recording. A nonzero return ends the reading, which returns it. NULL: nobody
 * wants to. */
struct recording_visitor {
	void *arg;
	int (*run)(void *arg, const struct recording_run *run); /* once, before all others */
	int (*fault)(void *arg, const struct fault *fault, const struct object_answer *answer);
	int (*live)(void *arg, uint32_t pid, const char *provider, const struct fp_object *object,
		    uint64_t now_ns, uint64_t present_bytes, uint64_t swapped_bytes);
	int (*target)(void *arg, uint32_t pid, const char *comm, const char *exe,
		      unsigned int threads);
	int (*provider)(void *arg, uint32_t pid, const char *provider);
	int (*warning)(void *arg, const char *text);
	/* All since the last one happened until @time_ns; also once at the end of the run. */
	int (*tick)(void *arg, uint64_t time_ns, const struct collect_counts *counts);
};

enum recording_state {
	RECORDING_WHOLE,
	RECORDING_GROWING, /* it is still being written */
	RECORDING_CUT,	   /* it was cut off: it has no end */
	RECORDING_DAMAGED, /* from some byte on it is not what was written */
};

struct recording_index;

/* What there is of it: with no other state than WHOLE, up to end_ns. */
struct recording {
	unsigned int version; /* of the format */
	enum recording_state state;
	uint64_t whole_bytes; /* of the file, up to which all is as it was written */
	struct recording_run run;
	uint64_t end_ns;	      /* of the run, or of the last interval that is whole */
	struct collect_counts counts; /* by then */
	struct images images;
	struct binary_table binaries; /* none is open */
	struct pid_list added;
	struct recording_index *index; /* private */
};

/* Fills @ret, which is to be released also after an error. 0; -EBADMSG: it is no recording, or not
 * even its head is whole; -ENOTSUP: of a version that is not known; -ENOEXEC: of another kind of
 * machine; -EFBIG: it would take more memory than any run has filled; -ENOMEM; what a visitor
 * returned; or why it cannot be read. */
int recording_read(const char *path, const struct recording_visitor *visitor,
		   struct recording *ret);
void recording_release(struct recording *recording);

#endif
