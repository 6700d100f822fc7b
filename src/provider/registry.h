/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The providers of a run, in the order in which they are asked. */
#ifndef PROVIDER_REGISTRY_H
#define PROVIDER_REGISTRY_H

#include "faultprof/provider.h"

extern const struct fp_provider provider_haproxy, provider_malloc, provider_mapping, provider_nginx;

#define MAX_PROVIDERS 16

struct providers {
	const struct fp_provider *at[MAX_PROVIDERS];
	unsigned int nr;
	void *library[MAX_PROVIDERS]; /* of at[i]; NULL: built in */
};

/* Fills @ret by @list, names and paths separated by commas (NULL: nothing but the default): those
 * named, external ones first, then what is in the provider directory, then those built in that cost
 * the target nothing. "none" alone: none. A path holds a slash. 0, or -errno after filling @why
 * with one line for the user. */
int providers_choose(struct providers *ret, const char *list, char *why, size_t size);
void providers_release(struct providers *providers);
/* Built-in ones, for help: NULL after the last. */
const struct fp_provider *provider_built_in(unsigned int i);

/* load.c: a shared object that nobody but root and the user can have written. The same result. */
int provider_load(const char *path, void **library, const struct fp_provider **ret, char *why,
		  size_t size);

#endif
