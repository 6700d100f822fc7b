/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "session_host.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/peer.h"
#include "collect/procfs.h"
#include "symbolize/types.h"

#define STACK_PAUSE_NS 1000000000ULL

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
			return symbolizer_bias(t->services->symbolizer, region->binary,
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
		r = symbolizer_variable(t->services->symbolizer, t->image->own, name, &at, size);
	if (!r)
		*address = at + bias;
	return r;
}

static int host_member(const struct fp_host *host, const char *type, const char *path,
		       struct fp_member *ret)
{
	const struct target_host *t = target_of(host);

	return t->image->own
		       ? symbolizer_member(t->services->symbolizer, t->image->own, type, path, ret)
		       : -ENODATA;
}

static int host_size_of(const struct fp_host *host, const char *type, uint64_t *ret)
{
	const struct target_host *t = target_of(host);

	return t->image->own ? symbolizer_size_of(t->services->symbolizer, t->image->own, type, ret)
			     : -ENODATA;
}

static int host_enumerator(const struct fp_host *host, const char *name, int64_t *ret)
{
	const struct target_host *t = target_of(host);

	return t->image->own
		       ? symbolizer_enumerator(t->services->symbolizer, t->image->own, name, ret)
		       : -ENODATA;
}

static struct watched_process watched_process(const struct target_host *t)
{
	const struct host_services *h = t->services;

	return (struct watched_process){ h->births, h->symbolizer, t->image, t->host.pid };
}

static int host_watch_result(const struct fp_host *host, const struct fp_allocator *allocator,
			     int result_arg)
{
	struct target_host *t = target_of(host);
	const struct watched_process process = watched_process(t);

	if (!process.births)
		return t->services->births_error ? t->services->births_error : -ENOTSUP;
	return watches_add(&t->watches, &process,
			   &(struct births_allocator){ allocator, result_arg });
}

static int host_watch(const struct fp_host *host, const struct fp_allocator *allocator)
{
	return host_watch_result(host, allocator, -1);
}

static int host_live(const struct fp_host *host, uint64_t address, struct fp_live *ret)
{
	const struct target_host *t = target_of(host);
	struct birth_register *births = t->services->births;
	uint64_t time_ns = t->fault_ns ? t->fault_ns : clock_now_ns();
	int r = births ? births_find(births, host->pid, address, time_ns, ret) : -ENOENT;

	return r == -EAGAIN ? -ENODATA : r;
}

static int host_walk_live(const struct fp_host *host, fp_live_fn fn, void *arg)
{
	const struct host_services *h = target_of(host)->services;
	uint64_t since_ns = h->end_ns ? h->end_ns : clock_now_ns();

	return h->births ? births_walk(h->births, host->pid, since_ns, fn, arg) : 0;
}

static void host_warn(const struct fp_host *host, const char *format, ...)
{
	const struct target_host *t = target_of(host);
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	profile_warn(t->services->profile, "%s, process %d: %s", t->asking, host->pid, text);
}

/* By a copy of the descriptor, which is gone again at once. */
static int host_peer(const struct fp_host *host, int fd, char text[64])
{
	struct sockaddr_storage address = { 0 };
	socklen_t size = sizeof(address);
	int copy = (int)syscall(SYS_pidfd_getfd, target_of(host)->pidfd, fd, 0), r;

	if (copy < 0)
		return errno == ENOSYS ? -ENOTSUP : -errno;
	r = getpeername(copy, (struct sockaddr *)&address, &size) ? -errno : 0;
	close(copy);
	if (!r)
		peer_text(&address, text);
	return r;
}

static const char *host_intern(const struct fp_host *host, const char *text)
{
	return strings_intern(&target_of(host)->strings, text);
}

/* ---- the process ---- */

static int64_t wall_minus_monotonic(void)
{
	struct timespec wall;

	clock_gettime(CLOCK_REALTIME, &wall);
	return (int64_t)(wall.tv_sec * 1000000000ULL + wall.tv_nsec) - (int64_t)clock_now_ns();
}

void host_begin_round(struct target_host *t)
{
	t->round_ns = clock_now_ns();
	t->host.wall_ns = wall_minus_monotonic();
	memory_round(t->memory);
}

static void close_target(struct target_host *t)
{
	while (t->nr--)
		t->opened[t->nr].provider->close(t->opened[t->nr].self);
	if (t->services->births)
		births_unwatch(t->services->births, t->host.pid);
	memset(&t->watches, 0, sizeof(t->watches));
	if (t->pidfd >= 0)
		close(t->pidfd);
	t->pidfd = -1;
	memory_close(t->memory);
	strings_release(&t->strings);
	t->memory = NULL;
	t->nr = t->nr_stacks = 0;
	memset(&t->strings, 0, sizeof(t->strings));
}

static void open_providers(struct target_host *t)
{
	const struct providers *all = t->services->providers;

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
	if (!t->nr)
		return;
	profile_set_provider(t->services->profile, t->host.pid, t->opened[0].provider->name);
	recorder_provider(t->services->recorder, t->host.pid, t->opened[0].provider->name);
}

int host_open(struct target_host *t, const struct image *image)
{
	int r;

	close_target(t);
	t->image = image;
	r = memory_open(t->host.pid, &t->memory);
	if (r)
		return r;
	t->pidfd = (int)syscall(SYS_pidfd_open, t->host.pid, 0);
	host_begin_round(t);
	open_providers(t);
	return 0;
}

struct target_host *host_new(struct host_services *services, pid_t pid)
{
	struct target_host *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->services = services;
	t->pidfd = -1;
	t->host = (struct fp_host){
		.abi = FAULTPROF_PROVIDER_ABI,
		.pid = pid,
		.begin_ns = services->begin_ns,
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
		.peer = host_peer,
		.watch_result = host_watch_result,
		.walk_live = host_walk_live,
	};
	return t;
}

void host_free(struct target_host *t)
{
	close_target(t);
	free(t);
}

void host_renew_watches(struct target_host *t)
{
	const struct watched_process process = watched_process(t);

	if (t->watches.nr)
		watches_renew(&t->watches, &process);
}

void host_tell_busy(struct target_host *t)
{
	const struct birth_register *births = t->services->births;

	if (t->watches.nr && !t->busy)
		t->busy = watch_is_busy(births_calls_per_s(births, t->host.pid), t->host.pid,
					t->services->profile);
}
