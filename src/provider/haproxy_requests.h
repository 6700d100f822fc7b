/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* How many requests a HAProxy had during a run, by its stats socket. "show info" walks no sessions:
 * to answer it, HAProxy touches nothing that was swapped out but its counters. */
#ifndef PROVIDER_HAPROXY_REQUESTS_H
#define PROVIDER_HAPROXY_REQUESTS_H

#include <stddef.h>

struct haproxy_requests { /* all zeros: none is asked */
	const char *path; /* borrowed */
	int fd;		  /* -1: closed */
	double before;
	char why[160]; /* of what failed, one clause for the user */
};

/* With the privilege to connect. 0, or -errno with why. */
int haproxy_requests_open(struct haproxy_requests *requests, const char *path);
/* When counting begins, and when it has ended. Likewise. */
int haproxy_requests_begin(struct haproxy_requests *requests);
int haproxy_requests_end(struct haproxy_requests *requests, double *ret);
void haproxy_requests_close(struct haproxy_requests *requests);

#endif
