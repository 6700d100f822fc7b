/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A provider that answers as another does, and writes each question and answer to the file that
 * FAULTPROF_TEST_LOG names:
 *
 *	time_ns address answer type base size age_source born_ns connection peer
 *
 * where answer is 0 or -errno, and "-" stands for what is not there. For one target.
 */
#ifndef PROVIDER_LOG_H
#define PROVIDER_LOG_H

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "faultprof/provider.h"

struct logged {
	const struct fp_provider *provider;
	void *self;
	FILE *file;
};

static void logged_present(void *arg, uint64_t page)
{
	struct logged *logged = arg;

	if (logged->provider->present)
		logged->provider->present(logged->self, page);
}

static void logged_refresh(void *arg)
{
	struct logged *logged = arg;

	if (logged->provider->refresh)
		logged->provider->refresh(logged->self);
}

static int logged_find(void *arg, uint64_t address, uint64_t time_ns, struct fp_object *ret)
{
	struct logged *logged = arg;
	int err = logged->provider->find(logged->self, address, time_ns, ret);
	const struct fp_connection *connection = err ? NULL : ret->connection;

	fprintf(logged->file, "%" PRIu64 " %" PRIu64 " %d", time_ns, address, err);
	if (!err) {
		/* A type is one word here. */
		for (const char *c = ret->type; *c; c++)
			fprintf(logged->file, "%s%c", c == ret->type ? " " : "",
				*c == ' ' ? '_' : *c);
		fprintf(logged->file, " %" PRIu64 " %" PRIu64 " %d %" PRIu64, ret->base, ret->size,
			ret->age_source, ret->born_ns);
		if (connection)
			fprintf(logged->file, " %" PRIu64 " %s", connection->id,
				connection->peer[0] ? connection->peer : "-");
		else
			fputs(" - -", logged->file);
	}
	fputc('\n', logged->file);
	return err;
}

static int logged_walk(void *arg, fp_object_fn fn, void *fn_arg)
{
	struct logged *logged = arg;

	return logged->provider->walk ? logged->provider->walk(logged->self, fn, fn_arg) : 0;
}

static void logged_close(void *arg)
{
	struct logged *logged = arg;

	logged->provider->close(logged->self);
	fclose(logged->file);
	free(logged);
}

static int logged_open(const struct fp_provider *provider, const struct fp_host *host, void **ret)
{
	const char *path = getenv("FAULTPROF_TEST_LOG");
	struct logged *logged;
	void *self;
	int err = provider->open(host, &self);

	if (err)
		return err;
	logged = malloc(sizeof(*logged));
	if (logged)
		*logged = (struct logged){ provider, self, fopen(path ? path : "/dev/null", "ae") };
	if (!logged || !logged->file) {
		provider->close(self);
		free(logged);
		return -ENOMEM;
	}
	*ret = logged;
	return 0;
}

/* Exports it for @inner, under the same @label. */
#define PROVIDER_LOGGED(inner, label)                                          \
	static int logged_open_##inner(const struct fp_host *host, void **ret) \
	{                                                                      \
		return logged_open(&(inner), host, ret);                       \
	}                                                                      \
	const struct fp_provider faultprof_provider = {                        \
		.abi = FAULTPROF_PROVIDER_ABI,                                 \
		.name = label,                                                 \
		.help = "what " label " says, and a log of it",                \
		.open = logged_open_##inner,                                   \
		.present = logged_present,                                     \
		.refresh = logged_refresh,                                     \
		.find = logged_find,                                           \
		.walk = logged_walk,                                           \
		.close = logged_close,                                         \
	}

#endif
