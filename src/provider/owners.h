/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Objects by address, found from their owners. A program keeps its connections in a table
 * (HAProxy's fdtab, nginx' connections); each slot of it is a root. The provider's visit() reads
 * what hangs on one root, as far as the pages are present, and adds the objects that it meets. A
 * visit that comes to an absent page is made again when that page comes in. An answer is never
 * older than the question: the root that claimed the address is visited again before find()
 * believes it.
 *
 * Built on provider.h alone, so that an external provider could have done the same.
 */
#ifndef PROVIDER_OWNERS_H
#define PROVIDER_OWNERS_H

#include "faultprof/provider.h"

struct owners;
struct visit; /* of one root, now */

/* Reads what hangs on @root. What it returns does not matter: what it added is what it found. Must
 * bound every loop. */
typedef void (*visit_fn)(void *self, struct visit *visit, unsigned int root);

int owners_new(const struct fp_host *host, visit_fn fn, void *self, struct owners **ret);
void owners_free(struct owners *owners); /* NULL is fine */

/* Roots 0 … @nr - 1 exist from now on; what more there was is forgotten. 0 or -ENOMEM. */
int owners_resize(struct owners *owners, unsigned int nr);
/* Visits all roots. The providers' refresh(). */
void owners_visit_all(struct owners *owners);
/* Visits one root, if it exists: when the provider knows that it changed. */
void owners_visit(struct owners *owners, unsigned int root);
/* The providers' present(): visits again the roots that ended at @page. */
void owners_present(struct owners *owners, uint64_t page);
/* The providers' find(), the same contract; an object born after @time_ns is another one: -ENOENT.
 */
int owners_find(struct owners *owners, uint64_t address, uint64_t time_ns, struct fp_object *ret);
/* The providers' walk(). */
int owners_walk(struct owners *owners, fp_object_fn fn, void *arg);

/* ---- for visit() ---- */

/* host->read(); notes an absent page, so that the visit is repeated. */
int visit_read(struct visit *visit, uint64_t address, void *buf, size_t size);
/* The same, but an absent page is not noted: for what is read in another way then. */
int visit_try(struct visit *visit, uint64_t address, void *buf, size_t size);
/* An 8-byte pointer; 0 also when it cannot be read. */
uint64_t visit_pointer(struct visit *visit, uint64_t address);
/* Adds an object of this root; to add it again changes nothing. Strings stay with the caller. 0 or
 * -errno; -EINVAL: a size of 0, or of more than 1 GB; -ENOSPC: the root has 1,024 already. */
int visit_object(struct visit *visit, const char *type, const char *pool, uint64_t base,
		 uint64_t size);
/* The root's connection, all zeros at the start of each visit but for its id, the root's number; to
 * be filled in, the id too when the root serves one connection after the other. Its objects are as
 * old as it is (FP_AGE_ACCEPTED), and their owner. Of a root whose visit does not call this,
 * objects have no connection. */
struct fp_connection *visit_connection(struct visit *visit);

#endif
