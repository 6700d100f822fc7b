/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What HAProxy's stats socket says, in words made up here, of objects made up here: who is whose is
 * known from making them. A live HAProxy is for tests/live.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "provider/haproxy_told.h"

#define SEC_US 1000000LL
#define NOW_US (1795583424LL * SEC_US) /* 25 Nov 2026 05:10:24 UTC */
#define PAGE 4096UL

static void say(struct shown *shown, const char *format, ...)
{
	char line[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	assert_int_equal(shown_line(shown, line), 0);
}

static const struct shown_object *object_of(const struct shown *shown, uint64_t base)
{
	for (uint32_t i = 0; i < shown->nr_objects; i++)
		if (shown->objects[i].base == base)
			return &shown->objects[i];
	return NULL;
}

static const struct shown_client *client_of(const struct shown *shown, uint64_t base)
{
	const struct shown_object *object = object_of(shown, base);

	assert_non_null(object);
	return object->client == NO_CLIENT ? NULL : &shown->clients[object->client];
}

static void say_command(struct shown *shown, const char *date)
{
	say(shown, "0x99000: [%s] id=UNIX proto=unix_stream source=unix:1", date);
	say(shown, "  task=0x99100 (state=0x00 nice=-64 age=0s)");
	say(shown, "      co0=0x99200 ctrl=unix_stream");
	say(shown, "      app1=0x99300 st0=9 applet=<CLI> tmask=0x1");
}

/* As 2.6 says it. */
static void test_records(void **state)
{
	struct shown shown = { 0 };
	const struct shown_client *client;

	(void)state;
	say(&shown, "Name: HAProxy");
	say(&shown, "Pid: 4711");
	say(&shown, "Uptime: 0d 0h00m00s");
	say(&shown, "");
	say(&shown,
	    "      4 : st=0x21(cl R:srA) owner=0x70000 iocb=0x71000(sock_accept_iocb) fe=f");
	say(&shown, "      8 : st=0x21(cl) owner=0x10000 iocb=0x72000(sock_conn_iocb) back=0 "
		    "cflg=0x300 fam=ipv4 fe=front mux=H1 ctx=0x10100 .ibuf=16384@0x10200+5/16384 "
		    ".obuf=0@(nil)+0/0 .task=0x10300 h1s=0x10400 .sc.app=0x20000 "
		    ".subs=0x20408(ev=1 tl=0x10500 tl.ctx=0x20400)");
	say(&shown, "      9 : st=0x21(cl) owner=0x11000 iocb=0x72000(sock_conn_iocb) back=1 "
		    "cflg=0x300 sv=behind/s mux=H2 ctx=0x11100 h1s=0x11400");
	say(&shown, "     10 : st=0x21(cl) owner=0x12000 iocb=0x72000(sock_conn_iocb) back=0 "
		    "cflg=0x300 fam=ipv6 fe=front mux=PASS ctx=0x12100");
	say(&shown, "");
	say(&shown, "0x20000: [25/Nov/2026:05:10:22.250000] id=0 proto=tcpv4 source=192.0.2.1:40");
	say(&shown, "  flags=0x400c40, srv_conn=0x73000, pend_pos=(nil) waiting=0");
	say(&shown, "  frontend=front (id=2 mode=http), listener=? (id=1) addr=127.0.0.1:47");
	say(&shown, "  backend=behind (id=3 mode=http) addr=127.0.0.1:59");
	say(&shown, "  task=0x20100 (state=0x00 nice=0 calls=3 exp=19s tmask=0x1 age=1s)");
	say(&shown, "  txn=0x20200 flags=0x8000 meth=1");
	say(&shown, "  scf=0x20400 flags=0x0 state=EST endp=CONN,0x10400,0x02842001 sub=1");
	say(&shown, "      co0=0x10000 ctrl=tcpv4 xprt=RAW mux=H1 target=LISTENER:0x70000");
	say(&shown, "      flags=0x300 fd=8 fd.state=21 updt=0");
	say(&shown, "  scb=0x20500 flags=0x0 state=EST endp=CONN,0x11400,0x02842001 sub=1");
	say(&shown, "      co1=0x11000 ctrl=tcpv4 xprt=RAW mux=H1 target=SERVER:0x73000");
	say(&shown, "      flags=0x300 fd=9 fd.state=10121 updt=0");
	say(&shown, "  req=0x20028 (f=0x8c48000 an=0x0 tofwd=-1 total=138)");
	say(&shown, "      buf=0x20038 data=0x20600 o=0 p=0 i=0 size=16384");
	say_command(&shown, "25/Nov/2026:05:10:24.000001");
	say(&shown, "");
	assert_int_equal(shown_finish(&shown, NOW_US), 0);
	assert_int_equal(shown.pid, 4711);
	assert_int_equal(shown.skipped, 0);
	client = client_of(&shown, 0x20000);
	for (unsigned int i = 0; i < 14; i++) {
		const uint64_t its[] = { 0x10000, 0x10100, 0x10200, 0x10300, 0x10400,
					 0x10500, 0x11000, 0x11100, 0x11400, 0x20100,
					 0x20200, 0x20400, 0x20500, 0x20600 };

		assert_ptr_equal(client_of(&shown, its[i]), client);
	}
	assert_string_equal(client->peer, "192.0.2.1:40");
	assert_string_equal(client->frontend, "front");
	assert_string_equal(client->backend, "behind");
	assert_int_equal(client->fd, 8);
	assert_int_equal(client->born_us, NOW_US - 1750000);
	assert_int_equal(object_of(&shown, 0x10000)->thing, THING_CONNECTION);
	assert_int_equal(object_of(&shown, 0x10100)->thing, THING_H1C);
	assert_int_equal(object_of(&shown, 0x11100)->thing, THING_H2C);
	assert_int_equal(object_of(&shown, 0x10200)->thing, THING_MUX_BUFFER);
	assert_int_equal(object_of(&shown, 0x10400)->thing, THING_H1S);
	assert_int_equal(object_of(&shown, 0x10500)->thing, THING_TASKLET);
	assert_int_equal(object_of(&shown, 0x20000)->thing, THING_STREAM);
	assert_int_equal(object_of(&shown, 0x20400)->thing, THING_STCONN);
	assert_int_equal(object_of(&shown, 0x20600)->thing, THING_CHANNEL_BUFFER);
	/* Idle, without a session; a listener; and who asked. */
	assert_int_equal(client_of(&shown, 0x12100)->fd, 10);
	assert_null(client_of(&shown, 0x12100)->peer);
	assert_int_equal(client_of(&shown, 0x12100)->born_us, 0);
	assert_int_equal(object_of(&shown, 0x12100)->thing, THING_PASS);
	assert_null(object_of(&shown, 0x99000));
	assert_null(object_of(&shown, 0x99300));
	shown_release(&shown);
}

/* Two clients' streams on one connection to the server: it is neither's. */
static void test_shared(void **state)
{
	struct shown shown = { 0 };

	(void)state;
	say(&shown, "Pid: 1");
	say(&shown, "  9 : st=0x21(cl) owner=0x70000 iocb=0x7(x) back=1 cflg=0x3 sv=b/s mux=H2 "
		    "ctx=0x70100");
	for (unsigned int i = 1; i < 4; i++) {
		say(&shown, "0x%x0000: [25/Nov/2026:05:10:2%u.000000] source=2001:db8::%u:40", i, i,
		    i < 3 ? i : 2);
		say(&shown, "  task=0x%x0100 (age=%us)", i, 4 - i);
		/* The second client has two streams. */
		say(&shown, "      co0=0x%x0200 mux=H2", i < 3 ? i : 2);
		say(&shown, "      flags=0x300 fd=1/%u", i < 3 ? i : 2); /* of 3.5 */
		say(&shown, "      co1=0x70000 mux=H2, both=0x71000");
		say(&shown, "      flags=0x300 fd=9");
	}
	assert_int_equal(shown_finish(&shown, NOW_US), 0);
	assert_null(client_of(&shown, 0x70000));
	assert_null(client_of(&shown, 0x70100));
	assert_null(client_of(&shown, 0x71000));
	assert_string_equal(client_of(&shown, 0x10100)->peer, "[2001:db8::1]:40");
	assert_string_equal(client_of(&shown, 0x20100)->peer, "[2001:db8::2]:40");
	assert_ptr_equal(client_of(&shown, 0x20100), client_of(&shown, 0x30100));
	assert_int_equal(client_of(&shown, 0x20000)->born_us, NOW_US - 2 * SEC_US);
	assert_int_equal(client_of(&shown, 0x20200)->fd, 2);
	shown_release(&shown);
}

/* Dates are those of the proxy's own zone; ages tell by how much, and whether it has changed. */
static void test_zones(void **state)
{
	static const struct {
		const char *date, *age, *now;
		int64_t born_ago_s; /* -1: cannot be known */
	} cases[] = {
		{ "25/Nov/2026:05:10:14", "10s", "25/Nov/2026:05:10:24", 10 },
		{ "25/Nov/2026:10:40:14", "10s", "25/Nov/2026:10:40:24", 10 }, /* UTC+5:30 */
		{ "24/Nov/2026:19:00:24", "2h10m", "24/Nov/2026:21:10:24", 7800 },
		{ "25/Oct/2026:05:10:24", "31d1h", "25/Nov/2026:05:10:24", 31 * 86400 + 3600 },
		{ "25/Nov/2026:05:10:14", "50s", "25/Nov/2026:05:10:24", -1 },
		{ "25/Nov/2026:05:10:14", "?", "25/Nov/2026:05:10:24", -1 },
		{ "25/Nov/2026:05:10:14", "10s", "25/Nov/2026:05:17:24", -1 }, /* no zone is so */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct shown shown = { 0 };
		char now[32];

		say(&shown, "Pid: 1");
		say(&shown, "0x10000: [%s.000000] id=0 source=192.0.2.1:40", cases[i].date);
		say(&shown, "  task=0x10100 (state=0x00 age=%s)", cases[i].age);
		say(&shown, "      co0=0x10200 ctrl=tcpv4");
		snprintf(now, sizeof(now), "%s.000000", cases[i].now);
		say_command(&shown, now);
		assert_int_equal(shown_finish(&shown, NOW_US), 0);
		assert_int_equal(client_of(&shown, 0x10000)->born_us,
				 cases[i].born_ago_s < 0 ? 0
							 : NOW_US - cases[i].born_ago_s * SEC_US);
		assert_true((shown.skipped > 0) == (cases[i].born_ago_s < 0));
		shown_release(&shown);
	}
}

static void test_other_answers(void **state)
{
	struct shown shown = { 0 };

	(void)state;
	say(&shown, "Permission denied");
	say(&shown, "Unknown command. Please enter one of the following commands only :");
	assert_true(shown.refused && shown.unknown);
	assert_int_equal(shown.pid, 0);
	say(&shown, "0x10000: [31/Foo/2026:05:10:22.1] source=");
	say(&shown, "  what is this");
	assert_int_equal(shown_finish(&shown, NOW_US), 0);
	assert_true(shown.skipped >= 2);
	shown_release(&shown);
}

/* Anything may be said: an end to it; the sanitizers look at the rest. */
static void test_wild(void **state)
{
	static const char *const parts[] = {
		"0x",
		"0x10000",
		": [",
		"25/Nov/2026:05:10:22.5] ",
		"source=",
		"co0=",
		"co1=",
		" ",
		"=",
		" fd=",
		"(",
		"age=",
		"9d3h",
		"  12 : st=",
		" cflg=0x3 owner=",
		" fe=x",
		"@",
		"\xff",
		"99999999999999999999",
		"applet=<CLI>",
		"  ",
		"mux=H2 ",
		"ctx=",
		":::::",
		"Pid: ",
	};

	(void)state;
	srandom(1);
	for (unsigned int round = 0; round < 2000; round++) {
		struct shown shown = { 0 };

		for (unsigned int i = 0; i < 20; i++) {
			char line[512] = "";

			for (unsigned int k = random() % 16; k; k--)
				strcat(line, parts[random() % (sizeof(parts) / sizeof(*parts))]);
			assert_int_equal(shown_line(&shown, line), 0);
		}
		assert_int_equal(shown_finish(&shown, NOW_US), 0);
		for (uint32_t i = 0; i < shown.nr_objects; i++)
			assert_true(shown.objects[i].client == NO_CLIENT ||
				    shown.objects[i].client < shown.nr_clients);
		shown_release(&shown);
	}
}

/* ---- checked against memory ---- */

#define CLIENTS 8
enum { CONNECTION, SESSION, STREAM, NR_POOLS };

static char arena[256 * PAGE] __attribute__((aligned(PAGE)));
static size_t used;
static const void *absent_at; /* its page is not present */
static char heads[NR_POOLS];
static struct pool pool[NR_POOLS] = { { 0, 48, "connection" },
				      { 0, 80, "session" },
				      { 0, 112, "stream" } };
static char peers[CLIENTS][PAGE / 64]; /* by descriptor; "": nobody */

static int fake_read(const struct fp_host *host, uint64_t address, void *buf, size_t size,
		     uint64_t *absent)
{
	uint64_t page = (uintptr_t)absent_at & -PAGE;

	(void)host;
	(void)absent;
	if (address < (uintptr_t)arena || size > sizeof(arena) ||
	    address - (uintptr_t)arena > sizeof(arena) - size)
		return -EFAULT;
	if (absent_at && address < page + PAGE && address + size > page)
		return -ENODATA;
	memcpy(buf, (void *)address, size);
	return 0;
}

static int fake_peer(const struct fp_host *host, int fd, char text[64])
{
	(void)host;
	if (fd >= CLIENTS || !*peers[fd])
		return -EBADF;
	strcpy(text, peers[fd]);
	return 0;
}

/* As malloc gives it, with the tag behind it; each on a page of its own. */
static uint64_t *make(unsigned int which)
{
	uint64_t *base = (uint64_t *)(arena + used + 16);

	used += PAGE;
	assert_true(used <= sizeof(arena));
	base[-1] = ((pool[which].size + 8 + 8 + 15) & ~15ULL) | 1;
	base[pool[which].size / 8] = (uintptr_t)&heads[which];
	return base;
}

static struct fp_host host = { .read = fake_read, .peer = fake_peer };
static struct haproxy haproxy = { .host = &host };
static uint64_t *connections[CLIENTS], *sessions[CLIENTS], *streams[CLIENTS], *common;

/* stream <-> connection -> session, which is not told of; and one that all streams lead to. */
static struct told *make_told(const char *prefix)
{
	struct told *told = calloc(1, sizeof(*told));

	memset(arena, 0, sizeof(arena));
	used = 0;
	absent_at = NULL;
	for (unsigned int i = 0; i < NR_POOLS; i++)
		pool[i].head = (uintptr_t)&heads[i];
	haproxy.pools = (struct pools){ .extra = 8, .largest = 112, .nr = NR_POOLS, .pool = pool };
	host.wall_ns = NOW_US * 1000 - 1000 * SEC_US * 1000;
	host.begin_ns = 999 * SEC_US * 1000;
	common = make(SESSION);
	for (unsigned int i = 0; i < CLIENTS; i++) {
		connections[i] = make(CONNECTION);
		sessions[i] = make(SESSION);
		streams[i] = make(STREAM);
		streams[i][3] = (uintptr_t)connections[i];
		streams[i][5] = (uintptr_t)common;
		connections[i][2] = (uintptr_t)sessions[i];
		connections[i][4] = (uintptr_t)streams[i];
		snprintf(peers[i], sizeof(peers[i]), "192.0.2.%u:40", i);
		say(&told->shown, "%p: [25/Nov/2026:05:10:1%u.000000] source=%s192.0.2.%u:40",
		    (void *)streams[i], i, prefix, i);
		say(&told->shown, "  task=%p (age=%us)", (void *)(arena + 128), 14 - i);
		say(&told->shown, "  co0=%p", (void *)connections[i]);
		say(&told->shown, "  flags=0x400c40 fd=%u", i);
	}
	say_command(&told->shown, "25/Nov/2026:05:10:24.000000");
	assert_int_equal(shown_finish(&told->shown, NOW_US), 0);
	assert_int_equal(told_check(told, &haproxy), 0);
	return told;
}

static int find(struct told *told, const uint64_t *at, struct fp_object *ret)
{
	return told_find(told, &haproxy, (uintptr_t)at + 1, ret);
}

static int count(void *arg, const struct fp_object *object)
{
	(void)object;
	++*(unsigned int *)arg;
	return 0;
}

static void test_told(void **state)
{
	struct told *told = make_told("");
	struct fp_object object;
	unsigned int objects = 0;

	(void)state;
	for (unsigned int i = 0; i < CLIENTS; i++) {
		uint64_t *its[] = { connections[i], streams[i], sessions[i] };

		for (unsigned int k = 0; k < 3; k++) {
			assert_int_equal(find(told, its[k], &object), 0);
			assert_int_equal(object.base, (uintptr_t)its[k]);
			assert_string_equal(object.connection->peer, peers[i]);
			assert_int_equal(object.age_source, FP_AGE_ACCEPTED);
			assert_int_equal(object.born_ns, (1000 - 14 + i) * SEC_US * 1000);
		}
		assert_string_equal(object.pool, "session");
		assert_int_equal(find(told, streams[i] + 112 / 8, &object), -ENOENT);
	}
	assert_int_equal(find(told, common, &object), -ENOENT); /* whose it is, is not known */
	assert_int_equal(told->nr_doubtful, 1);			/* that task */
	assert_int_equal(told_walk(told, &haproxy, count, &objects), 0);
	assert_int_equal(objects, 3 * CLIENTS);
	objects = 0;
	told->before = told;
	assert_int_equal(told_walk(told, &haproxy, count, &objects), 0);
	assert_int_equal(objects, 0);
	told_free(told);
}

/* What is not the same any more is nobody's; what cannot be seen is as it was. */
static void test_stale(void **state)
{
	struct told *told = make_told("");
	struct fp_object object;

	(void)state;
	strcpy(peers[0], "192.0.2.99:40");
	assert_int_equal(find(told, streams[0], &object), -ENOENT);
	*peers[1] = 0;
	assert_int_equal(find(told, streams[1], &object), -ENOENT);
	streams[2][112 / 8] = (uintptr_t)&heads[SESSION];
	assert_int_equal(find(told, streams[2], &object), -ENOENT);
	assert_int_equal(find(told, connections[2], &object), 0);
	streams[3][3] = (uintptr_t)connections[4];
	assert_int_equal(find(told, streams[3], &object), -ENOENT);
	absent_at = streams[3];
	assert_int_equal(find(told, streams[3], &object), 0);
	assert_string_equal(object.connection->peer, peers[3]);
	assert_int_equal(find(told, connections[5], &object), 0);
	told_free(told);
}

/* Behind a balancer, HAProxy knows its clients by the PROXY protocol, and the kernel does not. */
static void test_proxied(void **state)
{
	struct told *told = make_told("198.51.100.1:");
	struct fp_object object;

	(void)state;
	assert_true(told->proxied);
	assert_int_equal(find(told, streams[0], &object), 0);
	assert_int_equal(find(told, streams[1], &object), 0);
	assert_string_not_equal(object.connection->peer, peers[1]);
	strcpy(peers[1], "192.0.2.99:40");
	assert_int_equal(find(told, streams[1], &object), -ENOENT);
	told_free(told);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records), cmocka_unit_test(test_shared),
		cmocka_unit_test(test_zones),	cmocka_unit_test(test_other_answers),
		cmocka_unit_test(test_wild),	cmocka_unit_test(test_told),
		cmocka_unit_test(test_stale),	cmocka_unit_test(test_proxied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
