/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The rows of the option table: each takes the value of one option (NULL: it has none) into the
 * options. 0, -EINVAL after it has told what it wants, or -ENOMEM. */
#ifndef OPTIONS_SET_H
#define OPTIONS_SET_H

#include "options.h"

int set_pid(struct options *o, const char *text);
int set_comm(struct options *o, const char *text);
int set_cgroup(struct options *o, const char *text);
int set_duration(struct options *o, const char *text);
int set_output(struct options *o, const char *text);
int set_recording(struct options *o, const char *text);
int set_report(struct options *o, const char *text);
int set_debug_dir(struct options *o, const char *text);
int set_format(struct options *o, const char *text);
int set_textfile(struct options *o, const char *text);
int set_interval(struct options *o, const char *text);
int set_top(struct options *o, const char *text);
int set_kinds(struct options *o, const char *text);
int set_mode(struct options *o, const char *text);
int set_no_stacks(struct options *o, const char *text);
int set_no_inherit(struct options *o, const char *text);
int set_slow(struct options *o, const char *text);
int set_tier(struct options *o, const char *text);
int set_provider(struct options *o, const char *text);
int set_alloc_min(struct options *o, const char *text);
int set_alloc_fn(struct options *o, const char *text);
int set_alloc_stacks(struct options *o, const char *text);
int set_haproxy_socket(struct options *o, const char *text);
int set_sites(struct options *o, const char *text);
int set_ring(struct options *o, const char *text);
int set_verbose(struct options *o, const char *text);
int set_probe(struct options *o, const char *text);
int set_version(struct options *o, const char *text);
int set_help(struct options *o, const char *text);

void options_release_allocator(struct fp_allocator *allocator);

#endif
