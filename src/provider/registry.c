/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "provider/registry.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In the order in which they are asked; the last one always answers. */
static const struct {
	const struct fp_provider *provider;
	bool by_name; /* slows the target down, so only when asked for */
} built_in[] = {
	{ &provider_haproxy, false },
	{ &provider_nginx, false },
	{ &provider_malloc, true },
	{ &provider_mapping, false },
};
#define NR_BUILT_IN (sizeof(built_in) / sizeof(*built_in))

const struct fp_provider *provider_built_in(unsigned int i)
{
	return i < NR_BUILT_IN ? built_in[i].provider : NULL;
}

static int add(struct providers *p, const struct fp_provider *provider, void *library, char *why,
	       size_t size)
{
	if (p->nr == MAX_PROVIDERS) {
		snprintf(why, size, "more than %d providers", MAX_PROVIDERS);
		return -E2BIG;
	}
	p->library[p->nr] = library;
	p->at[p->nr++] = provider;
	return 0;
}

static int add_file(struct providers *p, const char *path, char *why, size_t size)
{
	const struct fp_provider *provider;
	void *library;
	int r = provider_load(path, &library, &provider, why, size);

	if (r)
		return r;
	r = add(p, provider, library, why, size);
	if (r)
		dlclose(library);
	return r;
}

static int is_library(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return entry->d_name[0] != '.' && length > 3 && !strcmp(entry->d_name + length - 3, ".so");
}

static int add_directory(struct providers *p, char *why, size_t size)
{
	struct dirent **entries;
	char path[4096];
	int r = 0, nr = scandir(FP_PROVIDER_DIR, &entries, is_library, alphasort);

	for (int i = 0; i < nr; i++) {
		snprintf(path, sizeof(path), "%s/%s", FP_PROVIDER_DIR, entries[i]->d_name);
		if (!r)
			r = add_file(p, path, why, size);
		free(entries[i]);
	}
	if (nr >= 0)
		free(entries);
	return r;
}

/* Is @name an element of the comma-separated @list? */
static bool named(const char *list, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = list; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (!strncmp(at, name, length) && (!at[length] || at[length] == ','))
			return true;
	}
	return false;
}

static bool known(const char *name)
{
	for (size_t i = 0; i < NR_BUILT_IN; i++)
		if (!strcmp(built_in[i].provider->name, name))
			return true;
	return false;
}

static int add_listed(struct providers *p, const char *list, char *why, size_t size)
{
	char *copy = strdup(list), *save, *name;
	int r = copy ? 0 : -ENOMEM;

	for (name = r ? NULL : strtok_r(copy, ",", &save); !r && name;
	     name = strtok_r(NULL, ",", &save)) {
		if (strchr(name, '/')) {
			r = add_file(p, name, why, size);
		} else if (!known(name)) {
			snprintf(why, size, "no provider '%s'; a shared object wants a path, ./%s",
				 name, name);
			r = -ENOENT;
		}
	}
	free(copy);
	return r;
}

int providers_choose(struct providers *ret, const char *list, char *why, size_t size)
{
	struct providers p = { .nr = 0 };
	int r = 0;

	*why = 0;
	if (list && !strcmp(list, "none")) {
		*ret = p;
		return 0;
	}
	if (list)
		r = add_listed(&p, list, why, size);
	if (!r)
		r = add_directory(&p, why, size);
	for (size_t i = 0; !r && i < NR_BUILT_IN; i++)
		if (!built_in[i].by_name || named(list, built_in[i].provider->name))
			r = add(&p, built_in[i].provider, NULL, why, size);
	if (r)
		providers_release(&p);
	else
		*ret = p;
	return r;
}

void providers_release(struct providers *p)
{
	for (unsigned int i = 0; i < p->nr; i++)
		if (p->library[i])
			dlclose(p->library[i]);
	p->nr = 0;
}
