/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The host of one process' providers: what they may use of it, by provider.h, and who they are. */
#ifndef SESSION_HOST_H
#define SESSION_HOST_H

#include "base/intern.h"
#include "collect/births.h"
#include "collect/memory.h"
#include "model/profile.h"
#include "provider/registry.h"
#include "session_record.h"
#include "session_watch.h"
#include "symbolize/symbolize.h"

/* What the hosts of a run share; borrowed. */
struct host_services {
	const struct providers *providers;
	struct symbolizer *symbolizer;
	struct birth_register *births; /* NULL: nobody asked for it, or there are no uprobes here */
	int births_error;	       /* then: why; 0: nobody asked */
	struct profile *profile;
	struct recorder *recorder;
	uint64_t begin_ns; /* of the run */
	uint64_t end_ns;   /* 0: it is not over */
};

struct opened {
	const struct fp_provider *provider;
	void *self;
};

#define MAX_STACKS 256

/* An anonymous mapping that may be a thread's stack. */
struct stack {
	uint64_t start, again_ns; /* again_ns: when it is looked at again */
	char name[24];		  /* "[stack:TID]"; "": no thread's, so far */
};

struct target_host {
	struct fp_host host; /* the providers' */
	struct host_services *services;
	const struct image *image; /* that the providers were opened for */
	struct memory *memory;	   /* NULL: it is gone, or may not be read */
	int pidfd;		   /* -1: none */
	struct opened opened[MAX_PROVIDERS];
	unsigned int nr;
	struct stack stacks[MAX_STACKS];
	unsigned int nr_stacks;
	const char *asking; /* the provider at work, for its warnings */
	uint64_t fault_ns;  /* of the fault that is asked about; 0: none */
	struct watches watches;
	bool busy; /* it was told that watched functions are called very often */
	struct strings strings;
	uint64_t round_ns;	      /* when this one began */
	uint64_t refresh_ns, scan_ns; /* when that is due again */
	uint64_t rescan_ns;	      /* when a scan is due, whether anything has moved or not */
	bool came_in;		      /* pages, since the last scan */
	struct pages_scan scan;	      /* the last one */
	bool missed;		      /* a fault whose object a walk over all may tell */
	struct target_host *next;     /* its owner's */
};

/* NULL: out of memory. */
struct target_host *host_new(struct host_services *services, pid_t pid);
void host_free(struct target_host *host);
/* Opens its memory and its providers, anew when it has executed another program since. 0 or
 * -errno: nothing can be told of it. */
int host_open(struct target_host *host, const struct image *image);
/* From here on, what is present now is seen so. */
void host_begin_round(struct target_host *host);
/* Libraries that were loaded since may have what a provider wants watched. */
void host_renew_watches(struct target_host *host);
/* Warns, once, when it calls watched functions very often. */
void host_tell_busy(struct target_host *host);

#endif
