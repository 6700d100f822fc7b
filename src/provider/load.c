/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * External providers. One runs with all that faultprof may, so nobody but root and the user who
 * started faultprof must have been able to put it there: to write the file or its directory, or to
 * exchange a directory on the way. Further up, the sticky bit is protection enough (/tmp).
 */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "provider/registry.h"

static int check_owner(const char *path, bool sticky, char *why, size_t size)
{
	struct stat status;
	bool open;

	if (stat(path, &status)) {
		snprintf(why, size, "%s: %s", path, strerror(errno));
		return -errno;
	}
	open = status.st_mode & 022 && !(sticky && status.st_mode & S_ISVTX);
	if ((!status.st_uid || status.st_uid == getuid()) && !open)
		return 0;
	snprintf(why, size,
		 "%s can be changed by other users; keep providers where only root writes", path);
	return -EPERM;
}

/* @path is absolute, without links; it is cut down to "/". */
static int check_way(char *path, char *why, size_t size)
{
	int r = check_owner(path, false, why, size);

	for (int up = 0; !r && strcmp(path, "/") != 0; up++) {
		char *slash = strrchr(path, '/');

		slash[slash == path] = 0;
		r = check_owner(path, up > 0, why, size);
	}
	return r;
}

int provider_load(const char *path, void **library, const struct fp_provider **ret, char *why,
		  size_t size)
{
	char real[PATH_MAX], way[PATH_MAX];
	const struct fp_provider *provider;
	void *handle;
	int r;

	if (!realpath(path, real)) {
		snprintf(why, size, "%s: %s", path, strerror(errno));
		return -errno;
	}
	r = check_way(strcpy(way, real), why, size);
	if (r)
		return r;
	handle = dlopen(real, RTLD_NOW | RTLD_LOCAL);
	provider = handle ? dlsym(handle, "faultprof_provider") : NULL;
	if (!provider) {
		snprintf(why, size, "%s is no provider: %s", path, dlerror());
		r = -ENOEXEC;
	} else if (provider->abi != FAULTPROF_PROVIDER_ABI) {
		snprintf(why, size, "%s is made for provider interface %u, this is %u: rebuild it",
			 path, provider->abi, FAULTPROF_PROVIDER_ABI);
		r = -ENOEXEC;
	} else if (!provider->name || !provider->open || !provider->find || !provider->close) {
		snprintf(why, size, "%s lacks a name, open, find or close", path);
		r = -ENOEXEC;
	}
	if (r) {
		if (handle)
			dlclose(handle);
		return r;
	}
	*library = handle;
	*ret = provider;
	return 0;
}
