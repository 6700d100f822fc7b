/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "collect/procmem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *open_of(pid_t pid, const char *file)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	return fopen(path, "re");
}

/* Is @name an element of the comma-separated @list of @length bytes? */
static int has_controller(const char *list, size_t length, const char *name)
{
	size_t part;

	for (const char *end = list + length; list < end; list += part + 1) {
		part = strcspn(list, ",:");
		if (part == strlen(name) && !memcmp(list, name, part))
			return 1;
	}
	return 0;
}

/*
 * Lines are "ID:controllers:path"; of the unified hierarchy, "0::path". With the memory controller
 * in a hierarchy of its own (version 1), its path is the one; else that of the unified one.
 */
int procmem_cgroup(pid_t pid, char **ret)
{
	FILE *in = open_of(pid, "cgroup");
	char *line = NULL, *found = NULL;
	size_t size = 0;
	ssize_t n;

	if (!in)
		return -errno;
	while ((n = getline(&line, &size, in)) > 0) {
		char *controllers = strchr(line, ':');
		char *path = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!path)
			continue;
		if (line[n - 1] == '\n')
			line[n - 1] = '\0';
		controllers++;
		if (has_controller(controllers, path - controllers, "memory") ||
		    (!found && path == controllers)) {
			free(found);
			found = strdup(path + 1);
		}
	}
	free(line);
	fclose(in);
	if (!found)
		return -ENOENT;
	*ret = found;
	return 0;
}

int procmem_swapped(pid_t pid, uint64_t *ret)
{
	FILE *in = open_of(pid, "status");
	char line[256];
	uint64_t kb;
	int r = -ENOENT;

	if (!in)
		return -errno;
	while (r && fgets(line, sizeof(line), in)) {
		if (sscanf(line, "VmSwap: %" SCNu64, &kb) == 1) {
			*ret = kb << 10;
			r = 0;
		}
	}
	fclose(in);
	return r;
}
