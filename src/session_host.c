/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The host of the providers. A provider is asked about a fault while its batch is read, some 100 ms
 * after it completed: the page that it hit is present by then, and so are those that led to it.
 * What costs more than a look, walks over all objects and scans of page tables, is done between
 * batches, and so seldom that it stays below a hundredth of a core.
 */
#include "session_host.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/intern.h"
#include "base/log.h"
#include "collect/memory.h"
#include "model/profile.h"
#include "session_watch.h"
#include "symbolize/types.h"

#define MAX_TARGETS 256
#define PAUSE 100 /* times what the work took, until it is done again */
#define SCAN_PAUSE_NS 100000000ULL
#define WALK_PAUSE_NS 1000000000ULL

struct opened {
	const struct fp_provider *provider;
	void *self;
};

#define MAX_STACKS 256
#define STACK_PAUSE_NS 1000000000ULL

/* An anonymous mapping that may be a thread's stack. */
struct stack {
	uint64_t start, again_ns; /* again_ns: when it is looked at again */
	char name[24];		  /* "[stack:TID]"; "": no thread's, so far */
};

struct target_host {
	struct fp_host host; /* the providers' */
	struct hosts *session;
	const struct image *image; /* that the providers were opened for */
	struct memory *memory;	   /* NULL: it is gone, or may not be read */
	struct opened opened[MAX_PROVIDERS];
	unsigned int nr;
	struct stack stacks[MAX_STACKS];
	unsigned int nr_stacks;
	const char *asking; /* the provider at work, for its warnings */
	uint64_t fault_ns;  /* of the fault that is asked about; 0: none */
	struct watches watches;
	bool busy; /* it was told that watched functions are called very often */
	struct strings strings;
	uint64_t round_ns;	      /* when this one began */
	uint64_t refresh_ns, scan_ns; /* when that is due again */
	struct pages_scan scan;	      /* the last one */
	bool missed;		      /* a fault whose object a walk over all may tell */
	struct target_host *next;
};

/* ---- what the providers may use ---- */

static struct target_host *target_of(const struct fp_host *host)
{
	return (struct target_host *)host; /* its first member */
}

static int host_read(const struct fp_host *host, uint64_t address, void *buf, size_t size,
		     uint64_t *absent)
{
	return memory_read(target_of(host)->memory, address, buf, size, absent);
}

/* Whose stack the anonymous mapping at @start is; "": nobody's, or not known. */
static const char *stack_name(struct target_host *t, uint64_t start, uint64_t end)
{
	uint64_t now = clock_now_ns();
	struct stack *stack = NULL;
	pid_t tid;

	for (unsigned int i = 0; !stack && i < t->nr_stacks; i++)
		if (t->stacks[i].start == start)
			stack = &t->stacks[i];
	if (!stack && t->nr_stacks == MAX_STACKS)
		return "";
	if (!stack) {
		stack = &t->stacks[t->nr_stacks++];
		*stack = (struct stack){ .start = start, .name = "" };
	}
	if (!*stack->name && now >= stack->again_ns) {
		stack->again_ns = now + STACK_PAUSE_NS;
		if (!procfs_thread_at(t->host.pid, start, end, &tid))
			snprintf(stack->name, sizeof(stack->name), "[stack:%d]", tid);
	}
	return stack->name;
}

static int host_mapping(const struct fp_host *host, uint64_t address, bool next,
			struct fp_mapping *ret)
{
	struct target_host *t = target_of(host);
	int r = memory_mapping(t->memory, address, next, ret);

	if (!r && !*ret->name && !ret->shared && ret->write)
		ret->name = stack_name(t, ret->start, ret->end);
	return r;
}

/* What to add to the addresses in the target's own binary. */
static int bias_of(const struct target_host *t, uint64_t *ret)
{
	for (size_t i = 0; i < t->image->nr_regions; i++) {
		const struct region *region = &t->image->regions[i];

		if (region->binary == t->image->own)
			return symbolizer_bias(t->session->symbolizer, region->binary,
					       region->start, region->offset, region->exec, ret);
	}
	return -ENOENT;
}

static int host_symbol(const struct fp_host *host, const char *name, uint64_t *address,
		       uint64_t *size)
{
	const struct target_host *t = target_of(host);
	uint64_t bias, at;
	int r = t->image->own ? bias_of(t, &bias) : -ENOENT;

	if (!r)
		r = symbolizer_variable(t->session->symbolizer, t->image->own, name, &at, size);
	if (!r)
		*address = at + bias;
	return r;
}

static int host_member(const struct fp_host *host, const char *type, const char *path,
		       struct fp_member *ret)
{
	const struct target_host *t = target_of(host);

	return t->image->own
		       ? symbolizer_member(t->session->symbolizer, t->image->own, type, path, ret)
		       : -ENODATA;
}

static int host_size_of(const struct fp_host *host, const char *type, uint64_t *ret)
{
	const struct target_host *t = target_of(host);

	return t->image->own ? symbolizer_size_of(t->session->symbolizer, t->image->own, type, ret)
			     : -ENODATA;
}

static int host_enumerator(const struct fp_host *host, const char *name, int64_t *ret)
{
	const struct target_host *t = target_of(host);

	return t->image->own
		       ? symbolizer_enumerator(t->session->symbolizer, t->image->own, name, ret)
		       : -ENODATA;
}

static struct watched_process watched_process(const struct target_host *t)
{
	const struct hosts *h = t->session;

	return (struct watched_process){ h->births, h->symbolizer, t->image, t->host.pid };
}

static int host_watch(const struct fp_host *host, const struct fp_allocator *allocator)
{
	struct target_host *t = target_of(host);
	const struct watched_process process = watched_process(t);

	if (!process.births)
		return t->session->births_error ? t->session->births_error : -ENOTSUP;
	return watches_add(&t->watches, &process, allocator);
}

static int host_live(const struct fp_host *host, uint64_t address, struct fp_live *ret)
{
	const struct target_host *t = target_of(host);
	struct birth_register *births = t->session->births;
	uint64_t time_ns = t->fault_ns ? t->fault_ns : clock_now_ns();
	int r = births ? births_find(births, host->pid, address, time_ns, ret) : -ENOENT;

	return r == -EAGAIN ? -ENODATA : r;
}

static void host_warn(const struct fp_host *host, const char *format, ...)
{
	const struct target_host *t = target_of(host);
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	profile_warn(t->session->profile, "%s, process %d: %s", t->asking, host->pid, text);
}

static const char *host_intern(const struct fp_host *host, const char *text)
{
	return strings_intern(&target_of(host)->strings, text);
}

/* ---- the targets ---- */

static int64_t wall_minus_monotonic(void)
{
	struct timespec wall;

	clock_gettime(CLOCK_REALTIME, &wall);
	return (int64_t)(wall.tv_sec * 1000000000ULL + wall.tv_nsec) - (int64_t)clock_now_ns();
}

/* From here on, what is present now is seen so. */
static void begin_round(struct target_host *t)
{
	t->round_ns = clock_now_ns();
	t->host.wall_ns = wall_minus_monotonic();
	memory_round(t->memory);
}

static void close_target(struct target_host *t)
{
	while (t->nr--)
		t->opened[t->nr].provider->close(t->opened[t->nr].self);
	if (t->session->births)
		births_unwatch(t->session->births, t->host.pid);
	memset(&t->watches, 0, sizeof(t->watches));
	memory_close(t->memory);
	strings_release(&t->strings);
	t->memory = NULL;
	t->nr = t->nr_stacks = 0;
	memset(&t->strings, 0, sizeof(t->strings));
}

static void open_providers(struct target_host *t)
{
	const struct providers *all = t->session->providers;

	for (unsigned int i = 0; i < all->nr; i++) {
		struct opened *opened = &t->opened[t->nr];
		unsigned int watches = t->watches.nr;

		t->asking = all->at[i]->name;
		opened->provider = all->at[i];
		if (!opened->provider->open(&t->host, &opened->self))
			t->nr++;
		else
			t->watches.nr = watches;
	}
	if (t->nr)
		profile_set_provider(t->session->profile, t->host.pid, t->opened[0].provider->name);
}

/* For another program, too, that the process has executed since. */
static void open_target(struct target_host *t, const struct image *image)
{
	int r;

	close_target(t);
	t->image = image;
	r = memory_open(t->host.pid, &t->memory);
	if (r) {
		t->session->refused += r != -ESRCH;
		return;
	}
	begin_round(t);
	open_providers(t);
}

static struct target_host *new_target(struct hosts *h, pid_t pid)
{
	struct target_host *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->session = h;
	t->host = (struct fp_host){
		.abi = FAULTPROF_PROVIDER_ABI,
		.pid = pid,
		.begin_ns = h->begin_ns,
		.read = host_read,
		.symbol = host_symbol,
		.member = host_member,
		.size_of = host_size_of,
		.enumerator = host_enumerator,
		.mapping = host_mapping,
		.watch = host_watch,
		.live = host_live,
		.warn = host_warn,
		.intern = host_intern,
	};
	t->next = h->first;
	h->first = t;
	h->nr++;
	return t;
}

/* Forgets those that have ended. */
static void sweep(struct hosts *h)
{
	struct target_host **link = &h->first;

	while (*link) {
		struct target_host *t = *link;

		if (t->memory && (!kill(t->host.pid, 0) || errno != ESRCH)) {
			link = &t->next;
			continue;
		}
		*link = t->next;
		close_target(t);
		free(t);
		h->nr--;
	}
}

/* NULL: there is no room for it. */
static struct target_host *get_target(struct hosts *h, pid_t pid, const struct image *image)
{
	struct target_host *t = h->first;

	while (t && t->host.pid != pid)
		t = t->next;
	if (t && t->image == image)
		return t;
	if (!t && h->nr == MAX_TARGETS)
		sweep(h);
	if (!t && h->nr < MAX_TARGETS)
		t = new_target(h, pid);
	if (t)
		open_target(t, image);
	else
		h->refused++;
	return t;
}

void hosts_start(struct hosts *h, const struct pid_list *pids)
{
	h->begin_ns = clock_now_ns();
	for (size_t i = 0; h->providers->nr && i < pids->nr; i++) {
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
	if (!t || !t->memory || memory_swapped_out(t->memory, page, &after_ns, &before_ns) ||
	    !after_ns || before_ns >= fault->time_ns)
		return 0;
	*resolution_ns = before_ns - after_ns;
	return fault->time_ns - before_ns;
}

/* When work that took from @since_ns until now may be done again. */
static uint64_t next_time(uint64_t since_ns, uint64_t pause_ns)
{
	uint64_t now = clock_now_ns(), took = now - since_ns;

	return now + (took * PAUSE > pause_ns ? took * PAUSE : pause_ns);
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
	begin_round(t);
	for (unsigned int i = 0; i < t->nr; i++) {
		t->asking = t->opened[i].provider->name;
		if (!t->opened[i].provider->refresh)
			continue;
		t->opened[i].provider->refresh(t->opened[i].self);
		any = true;
	}
	t->refresh_ns = next_time(now, WALK_PAUSE_NS);
	t->missed = false;
	if (any)
		log_info("looked at all objects of process %d: %.1f ms of CPU", t->host.pid,
			 (double)(clock() - cpu) * 1e3 / CLOCKS_PER_SEC);
	return true;
}

int hosts_fault(struct hosts *h, const struct fault *fault, const struct object_kind **ret)
{
	struct target_host *t;
	uint64_t page = fault->address & ~4095ULL;
	const char *provider = NULL;
	struct fp_object object;
	uint64_t out_ns, resolution_ns;
	int r = -ENOENT;

	*ret = NULL;
	if (!h->providers->nr)
		return 0;
	t = get_target(h, (pid_t)fault->pid, fault->image);
	if (t && t->memory && fault->time_ns >= t->round_ns)
		begin_round(t);
	for (unsigned int i = 0; t && i < t->nr; i++) {
		t->asking = t->opened[i].provider->name;
		if (t->opened[i].provider->present)
			t->opened[i].provider->present(t->opened[i].self, page);
	}
	out_ns = swapped_ns(t, fault, page, &resolution_ns);
	if (t && t->memory)
		memory_came_in(t->memory, page, fault->time_ns);
	if (!t || !t->memory)
		r = -ENODATA;
	else
		r = ask(t, fault, &provider, &object);
	if (t && t->memory && t->missed && walk_all(t))
		r = ask(t, fault, &provider, &object);
	if (!r) {
		*ret = profile_object_kind(h->profile, provider, object.type, object.pool);
		if (!*ret)
			return -ENOMEM;
	}
	return profile_add_object(h->profile, fault, provider,
				  !r		 ? OBJECT_FOUND
				  : r == -ENOENT ? OBJECT_NONE
						 : OBJECT_ABSENT,
				  r ? NULL : &object, out_ns, resolution_ns);
}

static void scan(struct target_host *t)
{
	uint64_t now = clock_now_ns();

	if (now < t->scan_ns)
		return;
	memory_scan(t->memory, &t->scan);
	t->scan_ns = next_time(now, SCAN_PAUSE_NS);
}

static void look_after_watches(struct target_host *t)
{
	const struct watched_process process = watched_process(t);

	watches_renew(&t->watches, &process);
	if (!t->busy)
		t->busy = watch_is_busy(process.births, process.pid, t->session->profile);
}

void hosts_round(struct hosts *h)
{
	if (h->births)
		births_poll(h->births);
	for (struct target_host *t = h->first; t; t = t->next) {
		if (!t->memory)
			continue;
		if (t->watches.nr)
			look_after_watches(t);
		begin_round(t);
		if (!t->refresh_ns || t->missed)
			walk_all(t);
		scan(t);
	}
}

/* ---- the census ---- */

struct census {
	struct target_host *target;
	uint64_t now_ns;
};

static int count_object(void *arg, const struct fp_object *object)
{
	const struct census *census = arg;
	struct target_host *t = census->target;
	uint64_t present = 0, swapped = 0;

	memory_presence(t->memory, object->base, object->size, &present, &swapped);
	return profile_add_live_object(t->session->profile, (uint32_t)t->host.pid, t->asking,
				       object, census->now_ns, present, swapped);
}

int hosts_finish(struct hosts *h)
{
	uint64_t uncovered = 0;
	int r = 0;

	for (struct target_host *t = h->first; t; t = t->next) {
		struct census census = { .target = t, .now_ns = clock_now_ns() };

		if (!t->memory)
			continue;
		uncovered += t->scan.uncovered_bytes;
		begin_round(t);
		for (unsigned int i = 0; !r && i < t->nr; i++) {
			const struct fp_provider *p = t->opened[i].provider;

			t->asking = p->name;
			if (p->refresh)
				p->refresh(t->opened[i].self);
			if (!p->walk)
				continue;
			r = p->walk(t->opened[i].self, count_object, &census);
			r = r == -ENOMEM ? r : 0;
			break; /* another one's objects may be the same */
		}
	}
	if (h->births)
		watch_tell_lost(h->births, h->profile);
	if (uncovered)
		profile_warn(
			h->profile,
			"since when %llu MB of swapped-out memory have been so: too much to note",
			(unsigned long long)uncovered >> 20);
	if (h->refused)
		profile_warn(h->profile,
			     "what the faults of %llu processes hit: they are too many, or may not "
			     "be read",
			     (unsigned long long)h->refused);
	return r;
}

void hosts_release(struct hosts *h)
{
	while (h->first) {
		struct target_host *next = h->first->next;

		close_target(h->first);
		free(h->first);
		h->first = next;
	}
}
