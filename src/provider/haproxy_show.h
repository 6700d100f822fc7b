/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What HAProxy answers to "show info", "show fd" and "show sess all". Their formats change between
 * releases, so nothing goes by place: every hexadecimal number is a candidate for an object of the
 * record that it stands in, a descriptor or a session, and the key before it, where it is known,
 * says what it is. Whether it is one is for who can look at the tag behind it.
 */
#ifndef PROVIDER_HAPROXY_SHOW_H
#define PROVIDER_HAPROXY_SHOW_H

#include "base/intern.h"
#include "provider/haproxy.h"

#define NO_CLIENT UINT32_MAX
#define SHOWN_MAX 4194304 /* objects, and records: what is more is counted */

/* One connection to a frontend. */
struct shown_client {
	uint64_t connection;		       /* its struct connection */
	int64_t born_us;		       /* CLOCK_REALTIME; 0: not known */
	const char *peer, *frontend, *backend; /* NULL: not known */
	int32_t fd;			       /* -1: not known */
	bool command; /* it is of a socket like this one, and its objects are not listed */
};

struct shown_object {
	uint64_t base;
	uint32_t client; /* NO_CLIENT: none, or several share it */
	uint16_t thing;	 /* enum thing; NR_THINGS: not known */
};

struct shown {
	pid_t pid;	  /* as HAProxy sees itself; 0: it did not say */
	bool refused;	  /* "Permission denied" */
	bool unknown;	  /* "Unknown command" */
	uint64_t skipped; /* lines and dates that were not understood, or found no room */
	struct shown_client *clients;
	uint32_t nr_clients;
	struct shown_object *objects; /* by base, each once */
	uint32_t nr_objects;
	/* private */
	struct shown_record *records;
	uint32_t nr_records;
	struct strings strings; /* of the clients */
};

/* One line of the answer, without its end. 0 or -ENOMEM. */
int shown_line(struct shown *shown, const char *line);
/* After the last one: fills in clients and objects. @now_us: CLOCK_REALTIME when it was asked. 0 or
 * -ENOMEM. */
int shown_finish(struct shown *shown, int64_t now_us);
void shown_release(struct shown *shown);

#endif
