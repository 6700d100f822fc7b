/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * faultprof archive: a recording with all that names its faults elsewhere, the files of the
 * binaries that its addresses lie in, and their debug information, by build ID as below
 * /usr/lib/debug.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/grow.h"
#include "base/log.h"
#include "base/output.h"
#include "collect/packer.h"
#include "session.h"
#include "session_replay.h"

struct archiving {
	const struct options *options;
	struct packer *packer;
	char **packed; /* build IDs of debug information; owned, as the texts are */
	size_t nr_packed;
	int missing; /* 1: something was left out */
};

static int add(struct archiving *a, int fd, const char *build_id, const char *tail)
{
	char name[256];

	if (strlen(build_id) < 4 || strspn(build_id, "0123456789abcdef") != strlen(build_id) ||
	    snprintf(name, sizeof(name), ".build-id/%.2s/%s%s", build_id, build_id + 2, tail) >=
		    (int)sizeof(name))
		return 0;
	log_info("packing %s", name);
	return packer_add(a->packer, name, fd);
}

/* Several binaries may have some of it in common. */
static int add_debug(void *arg, int fd, const char *build_id)
{
	struct archiving *a = arg;
	char *copy;

	for (size_t i = 0; i < a->nr_packed; i++)
		if (!strcmp(a->packed[i], build_id))
			return 0;
	copy = strdup(build_id);
	if (!copy || grow(&a->packed, a->nr_packed, sizeof(copy))) {
		free(copy);
		return -ENOMEM;
	}
	a->packed[a->nr_packed++] = copy;
	return add(a, fd, build_id, ".debug");
}

static int add_binary(struct archiving *a, const struct binary *binary)
{
	int r;

	if (!binary->build_id || binary->fd < 0) {
		log_warn("%s is left out: %s", binary->path,
			 binary->build_id ? "no file with its build ID is here"
					  : "it has no build ID");
		a->missing = 1;
		return 0;
	}
	r = add(a, binary->fd, binary->build_id, "");
	return r ? r : symbolizer_debug_files(binary, a->options->debug_dir, add_debug, a);
}

static int pack(struct archiving *a, const struct replay *replay)
{
	const char *slash = strrchr(replay->path, '/');
	int fd = open(replay->path, O_RDONLY | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = packer_add(a->packer, slash ? slash + 1 : replay->path, fd);
	close(fd);
	for (size_t i = 0; !r && i < replay->nr_used; i++)
		r = add_binary(a, replay->used[i]);
	return r;
}

static int write_archive(const struct options *options, const struct replay *replay,
			 const char *path)
{
	struct archiving a = { .options = options };
	struct output output;
	int r = output_open(&output, path), ended;

	if (!r) {
		r = packer_new(fileno(output.file), path, &a.packer);
		if (!r) {
			r = pack(&a, replay);
			ended = packer_finish(a.packer);
			r = r ? r : ended;
		}
		if (!r)
			r = output_commit(&output);
		output_abort(&output);
	}
	if (r == -EINVAL)
		log_error("what %s is to be its name does not say: .tar, .tar.gz, .tar.xz, .zip",
			  path);
	else if (r)
		log_error("cannot write %s: %s", path, strerror(-r));
	for (size_t i = 0; i < a.nr_packed; i++)
		free(a.packed[i]);
	free(a.packed);
	return r ? r : a.missing;
}

int session_archive(const struct options *options)
{
	const char *path = options->nr_files ? options->files[0] : RECORDING_DEFAULT;
	char name[PATH_MAX];
	struct replay replay;
	int state = replay_open(&replay, path, options, NULL, NULL), r = state;

	snprintf(name, sizeof(name), "%s.tar.gz", path);
	if (state >= 0) {
		r = replay_find_files(&replay);
		if (r)
			log_error("out of memory");
	}
	if (r >= 0)
		r = write_archive(options, &replay, options->output ? options->output : name);
	replay_release(&replay);
	return r ? r : state;
}
