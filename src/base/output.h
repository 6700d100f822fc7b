/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A file that is written whole, and then takes the place of the old one; or standard output. */
#ifndef BASE_OUTPUT_H
#define BASE_OUTPUT_H

#include <stdio.h>

struct output {
	FILE *file;
	const char *path; /* NULL: standard output; borrowed */
	char *temporary;
};

/* Fails at once when the file could not be written at the end. 0 or -errno. */
int output_open(struct output *output, const char *path);
/* Still writable after privileges were given up? 0 or -errno. */
int output_check(const struct output *output);
/* Writes out and renames. 0 or -errno; after a failure the old file is as it was. */
int output_commit(struct output *output);
void output_abort(struct output *output); /* also after output_commit(): then nothing happens */

#endif
