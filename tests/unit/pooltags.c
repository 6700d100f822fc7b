/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Drives the HAProxy provider for tests/live/test_haproxy_objects.py on a process whose exported
 * symbols it is told, as a stripped binary has them, without DWARF:
 *
 *	pooltags PID NAME=ADDRESS…   "ready", or "error NUMBER"
 *	ADDRESS                      "BASE POOL", or the error
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/intern.h"
#include "collect/memory.h"
#include "provider/registry.h"

static struct memory *memory;
static struct strings strings;
static char **symbols;

static int read_memory(const struct fp_host *host, uint64_t address, void *buf, size_t size,
		       uint64_t *absent)
{
	(void)host;
	return memory_read(memory, address, buf, size, absent);
}

static int find_symbol(const struct fp_host *host, const char *name, uint64_t *address,
		       uint64_t *size)
{
	size_t length = strlen(name);

	(void)host, (void)size;
	for (char **symbol = symbols; *symbol; symbol++)
		if (!strncmp(*symbol, name, length) && (*symbol)[length] == '=') {
			*address = strtoull(*symbol + length + 1, NULL, 0);
			return 0;
		}
	return -ENOENT;
}

static int no_member(const struct fp_host *host, const char *type, const char *path,
		     struct fp_member *ret)
{
	(void)host, (void)type, (void)path, (void)ret;
	return -ENODATA;
}

static int no_size(const struct fp_host *host, const char *type, uint64_t *ret)
{
	(void)host, (void)type, (void)ret;
	return -ENODATA;
}

static int find_mapping(const struct fp_host *host, uint64_t address, bool next,
			struct fp_mapping *ret)
{
	(void)host;
	return memory_mapping(memory, address, next, ret);
}

static int no_watch(const struct fp_host *host, const struct fp_allocator *allocator)
{
	(void)host, (void)allocator;
	return -ENOTSUP;
}

static void ignore(const struct fp_host *host, const char *format, ...)
{
	(void)host, (void)format;
}

static const char *intern(const struct fp_host *host, const char *text)
{
	(void)host;
	return strings_intern(&strings, text);
}

int main(int argc, char **argv)
{
	struct fp_host host = { .abi = FAULTPROF_PROVIDER_ABI,
				.read = read_memory,
				.symbol = find_symbol,
				.member = no_member,
				.size_of = no_size,
				.mapping = find_mapping,
				.watch = no_watch,
				.warn = ignore,
				.intern = intern };
	char line[64];
	void *self;
	int r;

	if (argc < 2)
		return 64;
	host.pid = (pid_t)strtol(argv[1], NULL, 10);
	symbols = argv + 2;
	setlinebuf(stdout);
	r = memory_open(host.pid, &memory);
	if (!r)
		memory_round(memory);
	if (!r)
		r = provider_haproxy.open(&host, &self);
	if (r)
		printf("error %d\n", -r);
	else
		puts("ready");
	while (!r && fgets(line, sizeof(line), stdin)) {
		struct fp_object object;
		int found =
			provider_haproxy.find(self, strtoull(line, NULL, 0), UINT64_MAX, &object);

		if (found)
			printf("%d\n", found);
		else
			printf("%" PRIu64 " %s\n", object.base, object.pool ? object.pool : "-");
	}
	if (!r)
		provider_haproxy.close(self);
	memory_close(memory);
	strings_release(&strings);
	return r != 0;
}
