/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * HAProxy counts time in ticks, milliseconds of a clock of its own that wrap at 2^32, and keeps
 * what this clock is ahead of the wall clock. That difference changes when the wall clock jumps
 * only, so it holds for any tick, however long the process has been asleep.
 */
#include "provider/haproxy.h"

#include <time.h>

#define ASLEEP_MS 120000 /* it wakes up once a minute at least */

static bool read_symbol(const struct haproxy *h, const char *name, uint64_t *address, void *ret,
			size_t size)
{
	return !h->host->symbol(h->host, name, address, NULL) &&
	       !h->host->read(h->host, *address, ret, size, NULL);
}

static uint64_t wall_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000ULL + now.tv_nsec / 1000000;
}

/* A tick of a moment ago, as HAProxy noted it. */
static bool recent_tick(const struct haproxy *h, uint32_t *ret)
{
	uint64_t address;

	return read_symbol(h, "_global_now_ms", &address, ret, sizeof(*ret)) ||
	       read_symbol(h, "global_now_ms", &address, ret, sizeof(*ret)) ||
	       read_symbol(h, "now_ms", &address, ret, sizeof(*ret));
}

void haproxy_learn_ticks(struct haproxy *h)
{
	uint64_t address, now = wall_ms();
	uint32_t recent, offset;
	int64_t ahead;
	bool nanoseconds = !h->host->symbol(h->host, "global_now_ns", &address, NULL);

	h->ticks = false;
	if (!recent_tick(h, &recent))
		return;
	if (!read_symbol(h, "now_offset", &address, &ahead, sizeof(ahead)))
		offset = 0; /* up to 1.7, ticks are the wall clock's unless that jumped */
	else if (nanoseconds)
		offset = ahead / 1000000;
	else
		offset = (uint32_t)(ahead >> 32) * 1000 + (uint32_t)ahead / 1000;
	/* Wrong by more than it can sleep: not what was taken for it. */
	if ((uint32_t)now + offset - recent + 1000 > ASLEEP_MS)
		return;
	h->tick_offset = offset;
	h->ticks = true;
}

uint64_t haproxy_tick_ns(const struct haproxy *h, uint32_t tick)
{
	uint64_t now = wall_ms();
	uint32_t ago = (uint32_t)now + h->tick_offset - tick;

	if (!h->ticks || ago > INT32_MAX)
		return 0;
	return haproxy_wall_ns(h, 0, (now - ago) * 1000);
}

uint64_t haproxy_wall_ns(const struct haproxy *h, uint64_t sec, uint64_t usec)
{
	uint64_t wall = sec * 1000000000 + usec * 1000;

	if (sec > 1ULL << 33 || (!sec && usec < 1000000) || (sec && usec >= 1000000))
		return 0; /* not a date */
	return (int64_t)wall > h->host->wall_ns ? wall - h->host->wall_ns : 0;
}
