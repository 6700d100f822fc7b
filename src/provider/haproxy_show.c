/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "provider/haproxy_show.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/grow.h"
#include "base/peer.h"

#define SEC_US 1000000LL
#define ZONE_US (900 * SEC_US) /* zones differ by quarters of an hour */
#define SLACK_US (2 * SEC_US)  /* both ages are cut to seconds */
#define SUMMER_US (3600 * SEC_US)

struct shown_record {
	uint64_t connection[2];	     /* to the client, and to the server; 0: not known */
	int64_t local_us;	     /* a date, as if its zone were UTC; 0: none */
	int64_t age_us, age_unit_us; /* unit 0: not known */
	const char *peer, *frontend, *backend;
	int32_t fd; /* of the first connection; -1: not known */
	uint32_t client;
	uint16_t mux; /* enum thing of what ctx is; NR_THINGS: not known */
	uint8_t side; /* which connection comes next, or came last */
	bool session, command;
};

/* ---- a line ---- */

/* The value of @key, up to a space or comma; NULL: it is not in the line. */
static const char *value_of(const char *line, const char *key, char *buf, size_t size)
{
	size_t length = strlen(key), used;

	for (const char *at = line; (at = strstr(at, key)); at += length) {
		if (at[length] != '=' || (at > line && !strchr(" ,([", at[-1])))
			continue;
		at += length + 1;
		used = strcspn(at, " ,)");
		if (!used || used >= size || *at == '<')
			return NULL;
		memcpy(buf, at, used);
		buf[used] = 0;
		return buf;
	}
	return NULL;
}

static const char *intern_value(struct shown *shown, const char *line, const char *key)
{
	char buf[128];

	return strings_intern(&shown->strings, value_of(line, key, buf, sizeof(buf)));
}

/* HAProxy writes IPv6 without brackets. */
static const char *intern_peer(struct shown *shown, const char *line)
{
	char buf[128], text[PEER_TEXT], *port;

	if (!value_of(line, "source", buf, sizeof(buf)))
		return NULL;
	port = strrchr(buf, ':');
	if (!strncmp(buf, "unix", 4))
		return strings_intern(&shown->strings, "unix");
	if (!port || !isdigit((unsigned char)port[1]) || strlen(buf) + 3 > sizeof(text))
		return NULL;
	*port++ = 0;
	snprintf(text, sizeof(text), strchr(buf, ':') && *buf != '[' ? "[%s]:%s" : "%s:%s", buf,
		 port);
	return strings_intern(&shown->strings, text);
}

/* "[25/Nov/2026:05:10:23.951889]" */
static int64_t parse_date(const char *text)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm tm = { 0 };
	const char *month;
	char name[4];
	int us, end = 0;

	if (sscanf(text, "[%2d/%3[A-Za-z]/%4d:%2d:%2d:%2d.%6d]%n", &tm.tm_mday, name, &tm.tm_year,
		   &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &us, &end) != 7 ||
	    !end)
		return 0;
	month = strstr(months, name);
	if (!month || (month - months) % 3)
		return 0;
	tm.tm_mon = (int)(month - months) / 3;
	tm.tm_year -= 1900;
	return timegm(&tm) * SEC_US + us;
}

/* "9s", "2m3s", "4d5h": the last unit is how exact it is. */
static void parse_age(struct shown_record *record, const char *text)
{
	static const char units[] = "smhd";
	static const int seconds[] = { 1, 60, 3600, 86400 };
	int64_t sum = 0, unit = 0;

	while (isdigit((unsigned char)*text)) {
		char *end;
		int64_t n = strtol(text, &end, 10);
		const char *name = *end ? strchr(units, *end) : NULL;

		if (!name || n > 1 << 24)
			return;
		unit = seconds[name - units];
		sum += n * unit;
		text = end + 1;
	}
	if (*text)
		return;
	record->age_us = sum * SEC_US;
	record->age_unit_us = unit * SEC_US;
}

static const struct {
	const char *key;
	enum thing thing;
} keys[] = {
	{ "owner", THING_CONNECTION },	  { "co0", THING_CONNECTION }, { "co1", THING_CONNECTION },
	{ "task", THING_TASK },		  { "txn", THING_TXN },	       { "scf", THING_STCONN },
	{ "scb", THING_STCONN },	  { "h1s", THING_H1S },	       { "h2s", THING_H2S },
	{ "tl", THING_TASKLET },	  { "app0", THING_APPCTX },    { "app1", THING_APPCTX },
	{ "sc.app", THING_STREAM },	  { "h1c", THING_H1C },	       { "h2c", THING_H2C },
	{ "data", THING_CHANNEL_BUFFER },
};

static enum thing thing_of(const struct shown_record *record, const char *key, size_t length)
{
	if (length && *key == '.')
		key++, length--;
	if (length == 3 && !memcmp(key, "ctx", 3))
		return record->mux;
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (strlen(keys[i].key) == length && !memcmp(keys[i].key, key, length))
			return keys[i].thing;
	return NR_THINGS;
}

static int add_object(struct shown *shown, uint64_t base, enum thing thing)
{
	if (shown->nr_objects == SHOWN_MAX) {
		shown->skipped++;
		return 0;
	}
	if (grow(&shown->objects, shown->nr_objects, sizeof(*shown->objects)))
		return -ENOMEM;
	shown->objects[shown->nr_objects++] = (struct shown_object){
		.base = base, .client = shown->nr_records - 1, .thing = thing
	};
	return 0;
}

/* All that may be an address in @line is one of the last record's. */
static int add_objects(struct shown *shown, const char *line)
{
	struct shown_record *record = &shown->records[shown->nr_records - 1];
	int r = 0;

	for (const char *at = strstr(line, "0x"); !r && at; at = strstr(at, "0x")) {
		const char *key = at > line ? at - 1 : line;
		enum thing thing = NR_THINGS;
		char *end;
		uint64_t base = strtoull(at, &end, 16);

		if (*key == '=') {
			while (key > line && !strchr(" ,([", key[-1]))
				key--;
			thing = thing_of(record, key, (size_t)(at - 1 - key));
			if (at - key == 4 && !memcmp(key, "co", 2) && (key[2] | 1) == '1') {
				record->side = key[2] - '0';
				record->connection[record->side] = base;
			}
		} else if (*key == '@') {
			thing = THING_MUX_BUFFER;
		}
		at = end;
		/* As malloc gives them. */
		if (base >= 65536 && base < 1ULL << 56 && base % 16 == 0)
			r = add_object(shown, base, thing);
	}
	return r;
}

static int new_record(struct shown *shown, struct shown_record **ret)
{
	if (shown->nr_records == SHOWN_MAX) {
		shown->skipped++;
		*ret = NULL;
		return 0;
	}
	if (grow(&shown->records, shown->nr_records, sizeof(*shown->records)))
		return -ENOMEM;
	*ret = &shown->records[shown->nr_records++];
	**ret = (struct shown_record){ .fd = -1, .client = NO_CLIENT, .mux = NR_THINGS };
	return 0;
}

/* "  12 : st=0x… owner=0x… iocb=… cflg=… fe=…": only those of connections have connection flags. */
static int descriptor_line(struct shown *shown, const char *line, int fd)
{
	static const struct {
		const char *name;
		enum thing thing;
	} muxes[] = { { "H1", THING_H1C }, { "H2", THING_H2C }, { "PASS", THING_PASS } };
	struct shown_record *record;
	char buf[64];
	int r;

	if (!value_of(line, "cflg", buf, sizeof(buf)))
		return 0;
	r = new_record(shown, &record);
	if (r || !record)
		return r;
	if (value_of(line, "mux", buf, sizeof(buf)))
		for (size_t i = 0; i < sizeof(muxes) / sizeof(*muxes); i++)
			if (!strcmp(muxes[i].name, buf))
				record->mux = muxes[i].thing;
	record->frontend = intern_value(shown, line, "fe");
	record->side = !record->frontend;
	if (value_of(line, "owner", buf, sizeof(buf)))
		record->connection[record->side] = strtoull(buf, NULL, 16);
	if (record->frontend)
		record->fd = fd;
	return add_objects(shown, line);
}

/* "0x…: [25/Nov/2026:05:10:23.951889] id=0 proto=tcpv4 source=127.0.0.1:40960" */
static int session_line(struct shown *shown, const char *line, const char *date)
{
	struct shown_record *record;
	int r = new_record(shown, &record);

	if (r || !record)
		return r;
	record->session = true;
	record->local_us = parse_date(date);
	shown->skipped += !record->local_us;
	record->peer = intern_peer(shown, line);
	return add_object(shown, strtoull(line, NULL, 16), THING_STREAM);
}

/* A further line of a session. */
static int detail_line(struct shown *shown, const char *line)
{
	struct shown_record *record = &shown->records[shown->nr_records - 1];
	const char *name, *table;
	char buf[32];
	int r;

	name = intern_value(shown, line, "frontend");
	record->frontend = name ? name : record->frontend;
	name = intern_value(shown, line, "backend");
	record->backend = name ? name : record->backend;
	record->command |= strstr(line, "applet=<CLI>") != NULL;
	if (!record->age_unit_us && value_of(line, "age", buf, sizeof(buf)))
		parse_age(record, buf);
	r = add_objects(shown, line);
	if (!record->side && record->connection[0] && record->fd < 0 &&
	    value_of(line, "fd", buf, sizeof(buf))) {
		table = strchr(buf, '/'); /* from 3.5 on, "1/8" */
		record->fd = (int32_t)strtol(table ? table + 1 : buf, NULL, 10);
	}
	return r;
}

int shown_line(struct shown *shown, const char *line)
{
	const char *text = line + strspn(line, " ");
	uint64_t number;
	int fd, end = 0;

	if (!*text)
		return 0;
	if (sscanf(line, "Pid: %d", &shown->pid) == 1)
		return 0;
	shown->refused |= !strncmp(line, "Permission denied", 17);
	shown->unknown |= !strncmp(line, "Unknown command", 15);
	if (text > line && sscanf(text, "%d : st=%n", &fd, &end) == 1 && end)
		return descriptor_line(shown, line, fd);
	if (sscanf(line, "0x%lx: %n", &number, &end) == 1 && end && line[end] == '[')
		return session_line(shown, line, line + end);
	if (text > line && shown->nr_records && shown->records[shown->nr_records - 1].session)
		return detail_line(shown, line);
	/* "show info" is all "Name: value". */
	if (text > line || !strchr(line, ':'))
		shown->skipped++;
	return 0;
}

/* ---- the end: who is whose ---- */

/* How far the dates' zone is ahead of UTC. The youngest session is the one that asked. */
static bool find_zone(const struct shown *shown, int64_t now_us, int64_t *ret)
{
	int64_t last = 0, zone;

	for (uint32_t i = 0; i < shown->nr_records; i++)
		if (shown->records[i].local_us > last)
			last = shown->records[i].local_us;
	zone = last - now_us + ZONE_US / 2;
	zone -= ((zone % ZONE_US) + ZONE_US) % ZONE_US;
	*ret = zone;
	return last && llabs(last - zone - now_us) < 60 * SEC_US;
}

/* 0: not known. The date is that of a wall clock, which may have been put forward or back by an
 * hour since; the age is not. */
static int64_t born_us(const struct shown_record *record, int64_t zone_us, int64_t now_us)
{
	static const int64_t shifts[] = { 0, SUMMER_US, -SUMMER_US };

	if (!record->local_us || !record->age_unit_us)
		return 0;
	for (unsigned int i = 0; i < 3; i++) {
		int64_t born = record->local_us - zone_us + shifts[i];
		int64_t age = now_us - born - record->age_us;

		if (age >= -SLACK_US && age < record->age_unit_us + SLACK_US)
			return born;
	}
	return 0;
}

struct link {
	uint64_t connection;
	uint32_t record;
};

static int by_connection(const void *left, const void *right)
{
	const struct link *a = left, *b = right;

	if (a->connection != b->connection)
		return a->connection < b->connection ? -1 : 1;
	return (a->record > b->record) - (a->record < b->record);
}

/* The records that have a connection on @side, sorted by it. */
static uint32_t sort_links(const struct shown *shown, unsigned int side, struct link *links)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < shown->nr_records; i++)
		if (shown->records[i].connection[side])
			links[nr++] = (struct link){ shown->records[i].connection[side], i };
	if (nr)
		qsort(links, nr, sizeof(*links), by_connection);
	return nr;
}

static int add_client(struct shown *shown, uint64_t connection)
{
	if (grow(&shown->clients, shown->nr_clients, sizeof(*shown->clients)))
		return -ENOMEM;
	shown->clients[shown->nr_clients++] =
		(struct shown_client){ .connection = connection, .fd = -1 };
	return 0;
}

static void learn_client(struct shown_client *client, const struct shown_record *record,
			 int64_t born)
{
	client->peer = client->peer ? client->peer : record->peer;
	client->frontend = client->frontend ? client->frontend : record->frontend;
	client->backend = client->backend ? client->backend : record->backend;
	client->command |= record->command;
	client->fd = record->fd >= 0 ? record->fd : client->fd;
	if (born && (!client->born_us || born < client->born_us))
		client->born_us = born;
}

static int find_clients(struct shown *shown, struct link *links, int64_t now_us)
{
	uint32_t nr = sort_links(shown, 0, links);
	int64_t zone = 0;
	bool dated = find_zone(shown, now_us, &zone);

	for (uint32_t i = 0; i < nr; i++) {
		struct shown_record *record = &shown->records[links[i].record];
		int64_t born = dated ? born_us(record, zone, now_us) : 0;

		if (!i || links[i].connection != links[i - 1].connection)
			if (add_client(shown, links[i].connection))
				return -ENOMEM;
		shown->skipped += record->session && !born;
		record->client = shown->nr_clients - 1;
		learn_client(&shown->clients[record->client], record, born);
	}
	return 0;
}

/* A descriptor on the server's side belongs to the client of the session that uses its connection,
 * unless those of several do. */
static void find_servers(struct shown *shown, struct link *links)
{
	uint32_t nr = sort_links(shown, 1, links);

	for (uint32_t first = 0, next; first < nr; first = next) {
		uint32_t client = NO_CLIENT;
		bool several = false;

		for (next = first; next < nr && links[next].connection == links[first].connection;
		     next++) {
			uint32_t its = shown->records[links[next].record].client;

			several |= its != NO_CLIENT && client != NO_CLIENT && its != client;
			client = its != NO_CLIENT ? its : client;
		}
		for (uint32_t i = first; i < next; i++) {
			struct shown_record *record = &shown->records[links[i].record];

			if (!record->session)
				record->client = several ? NO_CLIENT : client;
		}
	}
}

static int by_base(const void *left, const void *right)
{
	const struct shown_object *a = left, *b = right;

	return (a->base > b->base) - (a->base < b->base);
}

/* What is told of twice is one, and of two clients nobody's. */
static void merge_objects(struct shown *shown)
{
	struct shown_object *objects = shown->objects;
	uint32_t kept = 0;

	if (shown->nr_objects)
		qsort(objects, shown->nr_objects, sizeof(*objects), by_base);
	for (uint32_t i = 0; i < shown->nr_objects; i++) {
		if (!kept || objects[kept - 1].base != objects[i].base) {
			objects[kept++] = objects[i];
			continue;
		}
		if (objects[kept - 1].client != objects[i].client)
			objects[kept - 1].client = NO_CLIENT;
		if (objects[kept - 1].thing == NR_THINGS)
			objects[kept - 1].thing = objects[i].thing;
	}
	shown->nr_objects = kept;
}

static void drop_commands(struct shown *shown)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < shown->nr_objects; i++) {
		uint32_t client = shown->objects[i].client;

		if (client == NO_CLIENT || !shown->clients[client].command)
			shown->objects[kept++] = shown->objects[i];
	}
	shown->nr_objects = kept;
}

int shown_finish(struct shown *shown, int64_t now_us)
{
	struct link *links = calloc(shown->nr_records + 1, sizeof(*links));
	int r;

	if (!links)
		return -ENOMEM;
	r = find_clients(shown, links, now_us);
	if (!r)
		find_servers(shown, links);
	free(links);
	for (uint32_t i = 0; i < shown->nr_objects; i++)
		shown->objects[i].client = shown->records[shown->objects[i].client].client;
	merge_objects(shown);
	drop_commands(shown);
	free(shown->records);
	shown->records = NULL;
	shown->nr_records = 0;
	return r;
}

void shown_release(struct shown *shown)
{
	free(shown->records);
	free(shown->objects);
	free(shown->clients);
	strings_release(&shown->strings);
	memset(shown, 0, sizeof(*shown));
}
