/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The provider that always answers: what kind of mapping the address is in. It knows no ages. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "provider/registry.h"

static int mapping_open(const struct fp_host *host, void **ret)
{
	*ret = (void *)host;
	return 0;
}

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

static const char *type_of(const struct fp_mapping *mapping)
{
	const char *name = mapping->name;

	if (begins(name, "[heap]"))
		return "heap";
	if (begins(name, "[stack"))
		return name[6] == ':' ? "thread stack" : "stack";
	if (mapping->shared && (!*name || begins(name, "/dev/zero") || begins(name, "/memfd:") ||
				begins(name, "/SYSV") || begins(name, "/dev/shm/")))
		return "shared memory";
	if (*name == '/')
		return mapping->exec ? "program text" : "file";
	return *name && *name != '[' ? name : "anonymous";
}

static int mapping_find(void *self, uint64_t address, uint64_t time_ns, struct fp_object *ret)
{
	const struct fp_host *host = self;
	struct fp_mapping mapping;
	const char *slash, *pool = NULL;
	int r = host->mapping(host, address, false, &mapping);

	(void)time_ns; /* what is mapped now has been there then, as a rule */
	if (r)
		return r;
	slash = strrchr(mapping.name, '/');
	if (slash || begins(mapping.name, "[stack:"))
		pool = host->intern(host, slash ? slash + 1 : mapping.name);
	*ret = (struct fp_object){
		.type = type_of(&mapping),
		.pool = pool,
		.base = mapping.start,
		.size = mapping.end - mapping.start,
	};
	return 0;
}

static void mapping_close(void *self)
{
	(void)self;
}

const struct fp_provider provider_mapping = {
	.abi = FAULTPROF_PROVIDER_ABI,
	.name = "mapping",
	.help = "any process: heap, stack, file, shared or anonymous memory, without ages",
	.open = mapping_open,
	.find = mapping_find,
	.close = mapping_close,
};
