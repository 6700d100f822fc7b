/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The objects that HAProxy told of through its stats socket, checked against its memory: an object
 * is believed in when the tag behind it says which pool it is of, and it is believed to be the same
 * one later as long as
 *
 *   - the kernel says that its client is still at the other end of the client's descriptor,
 *   - the tag, if it is present, is still there, and
 *   - a pointer to another object of the same client, if it is present, still leads there.
 *
 * What the answer leaves out is found by such pointers: where a kind of object has, at one place,
 * pointers to objects of a pool, what is pointed to is the same client's, unless another one's
 * objects point to it too.
 */
#ifndef PROVIDER_HAPROXY_TOLD_H
#define PROVIDER_HAPROXY_TOLD_H

#include "provider/haproxy_show.h"

struct told_object {
	uint64_t base, link_to;
	uint32_t client; /* NO_CLIENT: several's */
	uint16_t pool;	 /* number of it in struct pools */
	uint16_t link;	 /* where link_to is, in words; NO_LINK: nowhere */
	uint8_t thing;	 /* enum thing; NR_THINGS: not known */
};

struct told {
	const char *path; /* borrowed */
	pid_t pid;
	const struct told *before; /* what is known from it already is left out; NULL: nothing */
	struct shown shown;
	bool proxied; /* peers are told by the PROXY protocol: the kernel knows other ones */
	const char **kernel_peers; /* then: by client, as the kernel knows them; NULL: not known */
	struct told_object *objects;
	uint32_t nr_objects, nr_doubtful; /* doubtful: told of, and not there */
	struct fp_connection found;
};

/* What was asked for process @pid, NULL if nothing was. Now the caller's. */
struct told *told_take(pid_t pid);
/* Asks again; @before has to outlive it. 0, or -errno after filling @why with one line. */
int told_again(const struct told *before, struct told **ret, char *why, size_t size);
void told_free(struct told *told); /* NULL is fine */

/* Looks whether all is as it was told; objects are known only then. 0 or -ENOMEM. */
int told_check(struct told *told, const struct haproxy *h);
/* The provider's find(): -ENOENT: none, or not the same any more. */
int told_find(struct told *told, const struct haproxy *h, uint64_t address, struct fp_object *ret);
/* The provider's walk(). */
int told_walk(struct told *told, const struct haproxy *h, fp_object_fn fn, void *arg);

#endif
