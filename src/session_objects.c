/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * A provider is asked about a fault while its batch is read, some 100 ms after it completed: the
 * page that it hit is present by then, and so are those that led to it. What costs more than a
 * look, walks over all objects and scans of page tables, is done so seldom that it stays below a
 * hundredth of a core.
 */
#include "session_objects.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "session_census.h"

#define MAX_TARGETS 256
#define PAUSE 100 /* times what the work took, until it is done again */
#define SCAN_PAUSE_NS 100000000ULL
#define IDLE_SCAN_PAUSE_NS 1000000000ULL /* when nothing seems to have moved */
#define IDLE_PAUSE 2000			 /* as PAUSE, then */
#define WALK_PAUSE_NS 1000000000ULL

typedef bool (*host_test)(const struct hosts *hosts, const struct target_host *t);

static void forget(struct hosts *h, host_test is_gone)
{
	struct target_host **link = &h->first;

	while (*link) {
		struct target_host *t = *link;

		if (!is_gone(h, t)) {
			link = &t->next;
			continue;
		}
		*link = t->next;
		host_free(t);
		h->nr--;
	}
}

static bool has_ended(const struct hosts *h, const struct target_host *t)
{
	(void)h;
	return !t->memory || (kill(t->host.pid, 0) && errno == ESRCH);
}

static struct target_host *add_target(struct hosts *h, pid_t pid)
{
	struct target_host *t = host_new(&h->services, pid);

	if (t) {
		t->next = h->first;
		h->first = t;
		h->nr++;
	}
	return t;
}

/* NULL: there is no room for it. */
static struct target_host *get_target(struct hosts *h, pid_t pid, const struct image *image)
{
	struct target_host *t = h->first;
	int r;

	while (t && t->host.pid != pid)
		t = t->next;
	if (t && t->image == image)
		return t;
	if (!t && h->nr == MAX_TARGETS)
		forget(h, has_ended);
	if (!t && h->nr < MAX_TARGETS)
		t = add_target(h, pid);
	if (!t)
		h->refused++;
	else if ((r = host_open(t, image)))
		h->refused += r != -ESRCH;
	return t;
}

/* births_unwind_fn */
static unsigned int unwind_birth(void *arg, const struct fp_birth_raw *raw, uint64_t *ips,
				 struct fp_rule *rules, unsigned int max, enum fp_stack_end *end)
{
	const struct hosts *h = arg;
	const struct target_host *t = h->first;

	while (t && t->host.pid != (pid_t)raw->pid)
		t = t->next;
	if (!t || !t->image || t->image->id != raw->image)
		return 0;
	return symbolizer_unwind(h->services.symbolizer, t->image, raw->time_ns, &raw->stack, ips,
				 rules, max, end);
}

void hosts_start(struct hosts *h, const struct pid_list *pids)
{
	if (h->services.births)
		births_set_unwinder(h->services.births, unwind_birth, h);
	h->services.begin_ns = clock_now_ns();
	for (size_t i = 0; h->services.providers->nr && i < pids->nr; i++) {
		const struct image *image =
			mappings_image_of(h->mappings, pids->pids[i], UINT64_MAX);

		if (image)
			get_target(h, pids->pids[i], image);
	}
}

/* ---- the faults ---- */

/* Asks one after the other; -ENODATA of one that may own it ends the search, too. */
static int ask(struct target_host *t, const struct fault *fault, const char **provider,
	       struct fp_object *ret)
{
	int r = -ENOENT;

	t->fault_ns = fault->time_ns;
	for (unsigned int i = 0; r == -ENOENT && i < t->nr; i++) {
		const struct fp_provider *p = t->opened[i].provider;

		t->asking = *provider = p->name;
		r = p->find(t->opened[i].self, fault->address, fault->time_ns, ret);
		/* An object that is younger than the fault took the place of the one it hit. */
		if (!r && ret->born_ns > fault->time_ns + ret->resolution_ns)
			r = -ENODATA;
		t->missed |= r && p->refresh;
	}
	t->fault_ns = 0;
	return r;
}

/* For how long @page had been swapped out; 0: not known, for it was when the run began. */
static uint64_t swapped_ns(struct target_host *t, const struct fault *fault, uint64_t page,
			   uint64_t *resolution_ns)
{
	uint64_t after_ns, before_ns;

	*resolution_ns = 0;
	if (memory_swapped_out(t->memory, page, &after_ns, &before_ns) || !after_ns ||
	    before_ns >= fault->time_ns)
		return 0;
	*resolution_ns = before_ns - after_ns;
	return fault->time_ns - before_ns;
}

/* When work that took from @since_ns until now may be done again: after @times of that, and not
 * before @pause_ns. */
static uint64_t next_time(uint64_t since_ns, unsigned int times, uint64_t pause_ns)
{
	uint64_t now = clock_now_ns(), took = now - since_ns;

	return now + (took * times > pause_ns ? took * times : pause_ns);
}

/* Lets the providers look at all objects, when it is time for it. Not more often than it takes:
 * what is read counts for the kernel as used by the target, and is swapped out later than the rest.
 */
static bool walk_all(struct target_host *t)
{
	uint64_t now = clock_now_ns();
	clock_t cpu = clock();
	bool any = false;

	if (now < t->refresh_ns)
		return false;
	host_begin_round(t);
	for (unsigned int i = 0; i < t->nr; i++) {
		t->asking = t->opened[i].provider->name;
		if (!t->opened[i].provider->refresh)
			continue;
		t->opened[i].provider->refresh(t->opened[i].self);
		any = true;
	}
	t->refresh_ns = next_time(now, PAUSE, WALK_PAUSE_NS);
	t->missed = false;
	if (any)
		log_info("looked at all objects of process %d: %.1f ms of CPU", t->host.pid,
			 (double)(clock() - cpu) * 1e3 / CLOCKS_PER_SEC);
	return true;
}

void hosts_fault(struct hosts *h, const struct fault *fault, struct object_answer *ret)
{
	struct target_host *t;
	uint64_t page = fault->address & ~4095ULL;
	int r;

	*ret = (struct object_answer){ .asked = h->services.providers->nr,
				       .outcome = OBJECT_ABSENT };
	t = ret->asked ? get_target(h, (pid_t)fault->pid, fault->image) : NULL;
	if (!t || !t->memory)
		return;
	if (fault->time_ns >= t->round_ns)
		host_begin_round(t);
	for (unsigned int i = 0; i < t->nr; i++) {
		t->asking = t->opened[i].provider->name;
		if (t->opened[i].provider->present)
			t->opened[i].provider->present(t->opened[i].self, page);
	}
	ret->swapped_ns = swapped_ns(t, fault, page, &ret->swapped_resolution_ns);
	memory_came_in(t->memory, page, fault->time_ns);
	t->came_in = true;
	r = ask(t, fault, &ret->provider, &h->object);
	if (t->missed && walk_all(t))
		r = ask(t, fault, &ret->provider, &h->object);
	if (r) {
		ret->outcome = r == -ENOENT ? OBJECT_NONE : OBJECT_ABSENT;
		return;
	}
	ret->outcome = OBJECT_FOUND;
	ret->object = &h->object;
	if (h->alloc_stacks)
		allocation_find(h->services.births, fault, ret);
}

/* A scan goes through all of the page tables, for nothing as long as nothing is swapped out. */
static void scan(struct target_host *t)
{
	uint64_t now = clock_now_ns();

	if (now < t->scan_ns)
		return;
	if (now >= t->rescan_ns || t->came_in || memory_swap_moved(t->memory)) {
		memory_scan(t->memory, &t->scan);
		t->came_in = false;
		t->rescan_ns = next_time(now, IDLE_PAUSE, IDLE_SCAN_PAUSE_NS);
	}
	t->scan_ns = next_time(now, PAUSE, SCAN_PAUSE_NS);
}

void hosts_round(struct hosts *h)
{
	if (h->services.births)
		births_poll(h->services.births, false);
	for (struct target_host *t = h->first; t; t = t->next) {
		if (!t->memory)
			continue;
		host_renew_watches(t);
		host_tell_busy(t);
		host_begin_round(t);
		if (!t->refresh_ns || t->missed)
			walk_all(t);
		scan(t);
	}
}

static bool runs_another(const struct hosts *h, const struct target_host *t)
{
	return mappings_image_of(h->mappings, t->host.pid, UINT64_MAX) != t->image;
}

void hosts_forget(struct hosts *h)
{
	forget(h, runs_another);
}

/* ---- the end ---- */

int hosts_finish(struct hosts *h)
{
	struct census census = { .pages_left = CENSUS_PAGES };
	uint64_t uncovered = 0;
	int r = 0;

	h->services.end_ns = clock_now_ns();
	if (h->services.births)
		births_poll(h->services.births, true);
	for (struct target_host *t = h->first; t; t = t->next) {
		if (!t->memory)
			continue;
		uncovered += t->scan.uncovered_bytes;
		host_tell_busy(t);
		host_begin_round(t);
		if (!r)
			r = census_take(&census, t);
	}
	census_tell(&census, h->services.profile);
	if (h->services.births)
		watch_tell_lost(h->services.births, h->services.profile);
	if (uncovered)
		profile_warn(
			h->services.profile,
			"since when %llu MB of swapped-out memory have been so: too much to note",
			(unsigned long long)uncovered >> 20);
	if (h->refused)
		profile_warn(h->services.profile,
			     "what the faults of %llu processes hit: they are too many, or may not "
			     "be read",
			     (unsigned long long)h->refused);
	return r;
}

void hosts_release(struct hosts *h)
{
	while (h->first) {
		struct target_host *next = h->first->next;

		host_free(h->first);
		h->first = next;
	}
}
