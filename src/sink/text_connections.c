/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The text report's tables of connections: the most expensive ones, and the oldest. */
#include <stdlib.h>
#include <string.h>

#include "sink/report.h"

#define NR_CONNECTIONS 10
#define MIN_PEER 16 /* "255.255.255.255:" */

static int older(const void *left, const void *right)
{
	const struct profile_connection *a = *(struct profile_connection *const *)left;
	const struct profile_connection *b = *(struct profile_connection *const *)right;

	if (a->age_known != b->age_known)
		return a->age_known ? -1 : 1;
	if (a->born_ns != b->born_ns)
		return a->born_ns < b->born_ns ? -1 : 1;
	if (a->stall_ns != b->stall_ns)
		return a->stall_ns < b->stall_ns ? 1 : -1;
	if (a->pid != b->pid)
		return a->pid < b->pid ? -1 : 1;
	return strcmp(a->peer, b->peer);
}

/* "www > app" */
static void put_ends(FILE *out, const struct profile_connection *connection, size_t columns)
{
	const char *front = connection->frontend, *back = connection->backend;
	char *text, buf[CELL];

	if (asprintf(&text, "%s%s%s", front ? front : "-", back ? " > " : "", back ? back : "") < 0)
		return;
	text_fit(buf, text, columns);
	fprintf(out, "%s\n", buf);
	free(text);
}

static void put_rows(const struct report *report, struct profile_connection *const *connections,
		     size_t rows)
{
	size_t columns = WIDTH - strlen("   faults  stall     age    idle waiting    "),
	       peer = MIN_PEER;
	FILE *out = report->out;

	for (size_t i = 0; i < rows; i++)
		if (text_columns(connections[i]->peer) > peer)
			peer = text_columns(connections[i]->peer);
	peer = peer < columns / 2 ? peer : columns / 2;
	fprintf(out, "  %7s %6s %7s %7s %7s  %-*s  %s\n", "faults", "stall", "age", "idle",
		"waiting", (int)peer, "peer", "frontend > backend");
	for (size_t i = 0; i < rows; i++) {
		const struct profile_connection *connection = connections[i];
		bool known = report->profile->stall_known && connection->timed;

		fprintf(out, "  %7s %6s %7s %7s %7s  ", text_count(connection->faults).text,
			stall_cell(known, connection->stall_ns).text,
			age_cell(connection->age_known, false, connection->age_ns,
				 connection->resolution_ns)
				.text,
			age_cell(connection->idle_known, false, connection->idle_ns,
				 connection->resolution_ns)
				.text,
			size_cell(connection->waiting_bytes != UINT64_MAX,
				  connection->waiting_bytes)
				.text);
		put_padded(out, connection->peer[0] ? connection->peer : "-", peer);
		fputs("  ", out);
		put_ends(out, connection, columns - peer);
	}
}

static void put_oldest(const struct report *report, size_t rows)
{
	const struct objects *objects = report->profile->objects;
	size_t bytes = objects->nr_connections * sizeof(struct profile_connection *);
	struct profile_connection **sorted = malloc(bytes);
	char *title;

	if (!sorted)
		return;
	memcpy(sorted, objects->connections, bytes);
	qsort(sorted, objects->nr_connections, sizeof(*sorted), older);
	if (asprintf(&title, "The oldest of the %s connections that faulted",
		     text_count(objects->nr_connections).text) >= 0) {
		put_title(report, title);
		free(title);
		put_rows(report, sorted, rows);
	}
	free(sorted);
}

void put_connections(const struct report *report)
{
	const struct objects *objects = report->profile->objects;
	size_t top = report->options->top, rows = objects->nr_connections;
	char *title;

	if (!rows)
		return;
	if (top && top < rows)
		rows = top;
	if (top && rows > NR_CONNECTIONS)
		rows = NR_CONNECTIONS;
	if (asprintf(&title,
		     "The %s connection%s that %s (age at the last fault, longest idle time)",
		     text_count(rows).text, rows == 1 ? "" : "s",
		     rows == objects->nr_connections ? "faulted"
		     : report->profile->stall_known  ? "stalled longest"
						     : "faulted most") < 0)
		return;
	put_title(report, title);
	free(title);
	put_rows(report, objects->connections, rows);
	if (objects->unlisted)
		put_line(report->out, 4,
			 "  (%s more faults were of connections beyond the first %s)",
			 text_count(objects->unlisted).text, text_count(CONNECTIONS_MAX).text);
	if (rows < objects->nr_connections)
		put_oldest(report, rows);
}
