/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* One record after the other, for recording_read.c. */
#ifndef COLLECT_RECORDING_PARSE_H
#define COLLECT_RECORDING_PARSE_H

#include "base/bytes.h"
#include "base/intern.h"
#include "collect/recording_read.h"

struct recorded_stack {
	size_t first; /* in ips */
	unsigned int nr;
};

struct recorded_site {
	struct fault fault; /* its coordinates */
	uint64_t ips[3];
};

/* What later records refer to, by their numbers less 1. */
struct recording_index {
	struct strings strings; /* owns all texts */
	const char **texts;
	size_t nr_texts;
	struct binary **binaries;
	size_t nr_binaries;
	uint64_t *ips;
	size_t nr_ips;
	struct recorded_stack *stacks;
	size_t nr_stacks;
	struct recorded_site *sites;
	size_t nr_sites;
	struct object_kind *kinds;
	size_t nr_kinds;
	struct fp_connection *connections;
	size_t nr_connections;
	size_t nr_images, nr_regions; /* of all images */
	size_t nr_targets, nr_warnings;
	uint64_t kept_bytes;		 /* what all of this takes, at most */
	uint64_t fault_ns, address;	 /* of the last fault */
	uint64_t now_ns, base;		 /* of the last living object */
	struct fp_connection connection; /* of the last one that had one */
	bool has_run, has_end;
};

struct parser {
	struct recording *recording;
	struct recording_index *index;
	const struct recording_visitor *visitor;
	struct cursor *body;
};

/* The next of the body. What cannot be makes it bad, and gives something that does no harm. */
uint64_t parser_number(struct parser *parser);
/* One at most @max that came into the format later: 0 where the body ends before it. */
uint64_t parser_later(struct parser *parser, uint64_t max);
uint64_t parser_time(struct parser *parser, uint64_t base_ns);
const char *parser_text(struct parser *parser); /* NULL: none */
const char *parser_some_text(struct parser *parser);
struct binary *parser_binary(struct parser *parser); /* NULL: none */
struct image *parser_image(struct parser *parser);   /* NULL: bad */
/* Returns how many, at most @max. */
unsigned int parser_ips(struct parser *parser, uint64_t *ips, unsigned int max);
void parser_coordinates(struct parser *parser, struct fault *fault);

/* recording_visit.c: what visitors hear of. As recording_parse(). */
int parse_counted(struct parser *parser);
int parse_fault(struct parser *parser);
int parse_live(struct parser *parser);
int parse_run(struct parser *parser);
int parse_target(struct parser *parser);
int parse_added(struct parser *parser);
int parse_provider(struct parser *parser);
int parse_warning(struct parser *parser);
int parse_tick(struct parser *parser);
int parse_end(struct parser *parser);

/* Takes one record. 0; -EBADMSG: it is not what a writer writes; -ENOMEM; what a visitor
 * returned. */
int recording_parse(struct recording *recording, const struct recording_visitor *visitor,
		    uint64_t type, struct cursor *body);
void recording_index_free(struct recording_index *index); /* NULL is fine */

#endif
