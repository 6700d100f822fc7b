/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "collect/collector.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "base/log.h"

/* Events are many, on each CPU or even for each thread: take what the hard limit gives. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int open_tier(enum tier tier, const struct collector_options *options,
		     struct binary_table *binaries, struct collector **ret)
{
	bool perf = tier == TIER_PERF;
	struct mappings_options wanted = { .data = perf,
					   .self_numbered = perf,
					   .scope = MAPPINGS_SYSTEM };
	struct mappings *mappings;
	int r = mappings_new(binaries, &wanted, &mappings);

	if (r)
		return r;
	r = perf ? perf_collector_new(options, mappings, ret)
		 : live_collector_new(options, tier, mappings, ret);
	if (r) {
		mappings_free(mappings);
		return r;
	}
	(*ret)->tier = tier;
	return 0;
}

int collector_open(enum tier tier, const struct collector_options *options,
		   const struct probe *probe, struct binary_table *binaries, struct collector **ret)
{
	enum tier last = tier == TIER_AUTO ? TIER_PERF : tier;
	int r = -ENOTSUP;

	raise_file_limit();
	for (tier = tier == TIER_AUTO ? TIER_FENTRY : tier; r && tier <= last; tier++) {
		if (!probe_tier(probe, tier))
			continue;
		r = open_tier(tier, options, binaries, ret);
		if (r)
			log_info("not by %s: %s", tier_name(tier), strerror(-r));
	}
	return r;
}

void collector_free(struct collector *c)
{
	struct mappings *mappings = c ? c->mappings : NULL;

	if (c)
		c->ops->free(c);
	mappings_free(mappings);
}

int collector_add(struct collector *c, pid_t pid, bool on_exec)
{
	return c->ops->add(c, pid, on_exec);
}

int collector_start(struct collector *c)
{
	return c->ops->start(c);
}

int collector_drop_privileges(struct collector *c)
{
	return c->ops->drop_privileges(c);
}

int collector_poll(struct collector *c, int timeout_ms, collect_fault_fn fn, void *arg)
{
	return c->ops->poll(c, timeout_ms, fn, arg);
}

void collector_teach(struct collector *c, const struct image *image, const uint64_t *ips,
		     const struct fp_rule *rules, unsigned int nr)
{
	if (c->ops->teach)
		c->ops->teach(c, image, ips, rules, nr);
}

int collector_drain(struct collector *c, collect_fault_fn fn, void *arg)
{
	return c->ops->drain ? c->ops->drain(c, fn, arg) : 0;
}

int collector_stop(struct collector *c, collect_fault_fn fn, void *arg)
{
	return c->ops->stop(c, fn, arg);
}

void collector_counts(const struct collector *c, struct collect_counts *ret)
{
	c->ops->counts(c, ret);
	ret->lost[FP_LOSS_MAPPING] += mappings_lost(c->mappings);
}

bool collector_alive(const struct collector *c)
{
	return c->ops->alive(c);
}
