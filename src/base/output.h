/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A file that is written whole, and then takes the place of the old one; or standard output. */
#ifndef BASE_OUTPUT_H
#define BASE_OUTPUT_H

#include <stdio.h>
#include <sys/types.h>

struct output {
	FILE *file;
	pid_t helper; /* gives the file its name; 0: written straight to @file */
	int socket;   /* to the helper */
};

/* To be called before privileges are given up. @path NULL: standard output. What is there and no
 * regular file (a device, a FIFO) is written to as it is, and so is the file that standard output
 * goes to; of a symbolic link, the file that it leads to is replaced. Fails at once when the file
 * could not be written at the end. 0 or -errno. */
int output_open(struct output *output, const char *path);
/* Writes out and renames. 0 or -errno; after a failure the old file is as it was. */
int output_commit(struct output *output);
/* The same, and once @output->helper there can be another file in its place: output_again() opens
 * it. In between, @output->file is NULL. A failure of either is none of the next one, but for
 * -ESRCH: the helper is gone. */
int output_replace(struct output *output);
int output_again(struct output *output);
/* Gives the file its name now, in the place of the old one: for what is to be read while it is
 * written. It stays open. 0 or -errno. */
int output_publish(struct output *output);
void output_abort(struct output *output); /* also after output_commit(): then nothing happens */

#endif
