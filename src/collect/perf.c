/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The fallback where BPF programs may not be loaded: perf's page-fault software events with period
 * 1, one sample for every completed fault, also of threads and children to come. Good for own
 * processes without any privilege.
 *
 * What it cannot know: the stall time, failed faults, whether memory was read or written
 * (fault.access is always FP_READ), and the kernel's own idea of the kind: that is inferred from
 * the mapping at the address. Unprivileged users (perf_event_paranoid 2) see user-mode faults only.
 * struct collect_counts says so.
 *
 * Three events a thread and CPU: major faults carry registers and a copy of the stack; minor ones
 * from user mode, the frequent ones, only the address and the instruction; minor ones from kernel
 * mode need the stack again, or nobody could say who made the call. The kernel copies only stack
 * pages that are present.
 *
 * Events are inherited. A process that descends from a followed one needs no events of its own,
 * unless it was forked about when those of its parent were opened: then it may have inherited all,
 * some or none of them, and so may a thread. It gets its own, and a fault that two events told is
 * counted once. Both samples lie one after the other in the ring of their CPU. Up to Linux 6.2 they
 * differ by their identifier; since then the kernel fills in time and identifier once for all
 * events, those of other recorders too, which may thus give our samples theirs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <asm/perf_regs.h>

#include "base/clock.h"
#include "base/privilege.h"
#include "collect/collector.h"
#include "collect/followed.h"
#include "collect/perfring.h"
#include "collect/procfs.h"

#define PAGES 512
#define SLICE_MS 100 /* mappings' rings want to be drained that often */
#define SWEEP_NS 250000000ULL
#define ON_EXEC 0x100
#define BASE_TYPE                                                                       \
	(PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_TIME | \
	 PERF_SAMPLE_ADDR | PERF_SAMPLE_REGS_USER)

enum { MAJOR, MINOR_USER, MINOR_KERNEL, NR_SPECS };

static const struct spec {
	uint64_t config;
	unsigned int stack_bytes; /* 0: no stack, and of the registers only the ip */
	bool user, kernel;
} specs[NR_SPECS] = {
	[MAJOR] = { PERF_COUNT_SW_PAGE_FAULTS_MAJ, FP_STACK_BYTES, true, true },
	[MINOR_USER] = { PERF_COUNT_SW_PAGE_FAULTS_MIN, 0, true, false },
	[MINOR_KERNEL] = { PERF_COUNT_SW_PAGE_FAULTS_MIN, 4096, false, true },
};

/* The kernel's numbers of the registers, in DWARF's order. */
static const uint8_t perf_reg[FP_NR_REGS] = {
	PERF_REG_X86_AX,  PERF_REG_X86_DX,  PERF_REG_X86_CX,  PERF_REG_X86_BX,	PERF_REG_X86_SI,
	PERF_REG_X86_DI,  PERF_REG_X86_BP,  PERF_REG_X86_SP,  PERF_REG_X86_R8,	PERF_REG_X86_R9,
	PERF_REG_X86_R10, PERF_REG_X86_R11, PERF_REG_X86_R12, PERF_REG_X86_R13, PERF_REG_X86_R14,
	PERF_REG_X86_R15, PERF_REG_X86_IP,
};

/* What tells a sample from the one before it. */
struct last {
	uint64_t id, time_ns, address;
	pid_t tid;
	unsigned int spec;
};

struct perf {
	struct collector base;
	struct perf_rings *rings;
	struct last *last;     /* by CPU */
	struct image *unknown; /* of processes that no record told of */
	struct followed_set followed;
	bool inherit, open_ended, user_only, started, alive;
	uint64_t samples; /* with those seen twice */
	uint64_t now_ns;  /* all marked samples are older */
	uint64_t swept_ns;
	struct collect_counts counts;
	struct fp_raw_stack raw;
	collect_fault_fn fn; /* during a poll */
	void *arg;
};

static struct perf *perf_of(const struct collector *collector)
{
	return (struct perf *)collector; /* its first member */
}

static uint64_t all_regs(void)
{
	uint64_t mask = 0;

	for (int i = 0; i < FP_NR_REGS; i++)
		mask |= 1ULL << perf_reg[i];
	return mask;
}

static void fault_attr(const struct perf *c, unsigned int spec, struct perf_event_attr *attr)
{
	const struct spec *s = &specs[spec];

	*attr = (struct perf_event_attr){
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(*attr),
		.config = s->config,
		.sample_period = 1,
		.sample_type = BASE_TYPE | (s->stack_bytes ? PERF_SAMPLE_STACK_USER : 0),
		.sample_regs_user = s->stack_bytes ? all_regs() : 1ULL << PERF_REG_X86_IP,
		.sample_stack_user = s->stack_bytes,
		.disabled = 1,
		.inherit = 1,
		.inherit_thread = !c->inherit,
		.task = spec == MAJOR, /* for followed_record() */
		.exclude_user = !s->user,
		.exclude_kernel = c->user_only || !s->kernel,
		.exclude_hv = 1,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC,
		.watermark = 1,
		.wakeup_watermark = 16384,
	};
}

static bool refused(int r)
{
	return r == -EACCES || r == -EPERM;
}

/* Opens the first event on ourselves: what is allowed there is allowed on our own processes. */
static int probe(struct perf *c)
{
	struct perf_event_attr attr;
	struct perf_ring *ring;
	int r;

	fault_attr(c, MAJOR, &attr);
	attr.inherit = attr.inherit_thread = 0;
	r = perf_ring_open(&attr, 0, -1, 1, &ring);
	if (refused(r)) {
		c->user_only = true;
		attr.exclude_kernel = 1;
		r = perf_ring_open(&attr, 0, -1, 1, &ring);
	}
	if (!r)
		perf_ring_close(ring);
	return r;
}

static void perf_free(struct collector *collector)
{
	struct perf *c = perf_of(collector);

	followed_release(&c->followed);
	free(c->last);
	perf_rings_free(c->rings);
	image_free(c->unknown);
	free(c);
}

static int add_thread(struct perf *c, pid_t tid, bool on_exec)
{
	int r = 0;

	for (unsigned int spec = 0; !r && spec < NR_SPECS; spec++) {
		struct perf_event_attr attr;

		if (c->user_only && !specs[spec].user)
			continue;
		fault_attr(c, spec, &attr);
		attr.enable_on_exec = on_exec;
		attr.disabled = on_exec || !c->started;
		r = perf_rings_add(c->rings, &attr, tid, spec | (on_exec ? ON_EXEC : 0));
	}
	return r;
}

/* Gives events to all threads. Those of one that starts meanwhile may be inherited and its own. */
static int add_threads(struct perf *c, pid_t pid, bool on_exec)
{
	struct pid_list tids = { 0 };
	size_t at = 0, before, alive = 0;
	int r;

	do {
		before = at;
		r = procfs_tids(pid, &tids);
		for (; !r && at < tids.nr; at++) {
			r = add_thread(c, tids.pids[at], on_exec);
			alive += !r;
			if (r == -ESRCH)
				r = 0;
		}
	} while (!r && at > before);
	pid_list_release(&tids);
	/* It may have gone while its last thread was looked for: what it did until then counts. */
	if (alive && (r == -ENOENT || r == -ESRCH))
		r = 0;
	return r == -ENOENT || (!r && !alive) ? -ESRCH : r;
}

static int perf_add(struct collector *collector, pid_t pid, bool on_exec)
{
	struct perf *c = perf_of(collector);
	struct followed *followed = followed_living(&c->followed, pid);
	struct image *image;
	int r = followed && followed->added ? -EEXIST
					    : mappings_attach(c->base.mappings, pid, &image);

	if (!r && (!followed || followed->whole_ns || followed->taken))
		r = add_threads(c, pid, on_exec);
	if (!r)
		r = followed_get(&c->followed, pid, &followed);
	if (r)
		return r;
	followed->added = true;
	followed->taken = false;
	if (followed->whole_ns)
		followed_whole(followed);
	c->alive = true;
	return 0;
}

static int enable(struct perf *c, unsigned long request)
{
	struct perf_event *event, *next;

	HASH_ITER (hh, c->rings->events, event, next) {
		if (request == PERF_EVENT_IOC_ENABLE && event->tag & ON_EXEC)
			continue;
		if (ioctl(event->fd, request, 0))
			return -errno;
	}
	return 0;
}

static int perf_start(struct collector *collector)
{
	struct perf *c = perf_of(collector);

	c->started = true;
	return enable(c, PERF_EVENT_IOC_ENABLE);
}

struct sample {
	struct perf_event_header header;
	uint64_t id, ip;
	uint32_t pid, tid;
	uint64_t time_ns, address;
	uint64_t abi; /* of the registers; 0: none follow */
	uint64_t more[];
};

static bool has_prefix(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

/* Where no region is known there is anonymous memory: grown heap or stack. */
static enum fp_kind infer(const struct region *region, bool major)
{
	const char *path = region && region->binary ? region->binary->path : "";

	if (has_prefix(path, "/anon_hugepage"))
		return FP_HUGE;
	if (has_prefix(path, "/memfd:") || has_prefix(path, "/dev/shm/") ||
	    has_prefix(path, "/dev/zero") || has_prefix(path, "/SYSV"))
		return FP_SHMEM;
	if (path[0] == '/')
		return major ? FP_FILE_READ : FP_FILE_MAP;
	if (region && region->shared && !region->name[0])
		return FP_SHMEM;
	return major ? FP_SWAP_IN : FP_ZERO;
}

/* Fills c->raw from what follows the abi. False: it is not all there. */
static bool take_stack(struct perf *c, const struct sample *sample)
{
	size_t room = (sample->header.size - sizeof(*sample)) / 8;
	uint64_t mask = all_regs(), bytes, valid;
	const uint64_t *stack;

	if (room < FP_NR_REGS + 1)
		return false;
	for (int i = 0; i < FP_NR_REGS; i++)
		c->raw.reg[i] =
			sample->more[__builtin_popcountll(mask & ((1ULL << perf_reg[i]) - 1))];
	stack = sample->more + FP_NR_REGS;
	bytes = *stack++;
	c->raw.bytes = 0;
	if (!bytes)
		return true;
	if (bytes > FP_STACK_BYTES || bytes % 8 || room < FP_NR_REGS + 2 + bytes / 8)
		return false;
	valid = stack[bytes / 8];
	c->raw.bytes = valid < bytes ? valid : bytes;
	memcpy(c->raw.data, stack, c->raw.bytes);
	return true;
}

static int sample_image(struct perf *c, const struct sample *sample, const struct image **ret)
{
	struct image *image = mappings_image_of(c->base.mappings, sample->pid, sample->time_ns);
	int r = image ? 0 : mappings_attach(c->base.mappings, sample->pid, &image);

	if (r == -ENOMEM)
		return r;
	if (r) {
		image = c->unknown;
		c->counts.lost[FP_LOSS_MAPPING]++;
	}
	*ret = image;
	return 0;
}

static int hand_on(struct perf *c, const struct sample *sample, unsigned int spec)
{
	bool kernel =
		(sample->header.misc & PERF_RECORD_MISC_CPUMODE_MASK) == PERF_RECORD_MISC_KERNEL;
	bool regs = sample->abi == PERF_SAMPLE_REGS_ABI_64;
	bool stack = specs[spec].stack_bytes && regs && take_stack(c, sample);
	uint64_t ip = kernel ? 0 : sample->ip;
	struct fault fault = {
		/* Another recorder's clock may be ahead. */
		.time_ns = sample->time_ns < c->now_ns ? sample->time_ns : c->now_ns,
		.address = sample->address,
		.pid = sample->pid,
		.tid = sample->tid,
		.access = FP_READ,
		.mode = kernel ? FP_KERNEL : FP_USER,
		.major = spec == MAJOR,
		.ips = &ip,
		.stack_end = FP_STACK_WHOLE,
	};
	int r = sample_image(c, sample, &fault.image);

	if (r)
		return r;
	if (stack) {
		ip = c->raw.reg[16];
		fault.raw = &c->raw;
	} else if (regs && !specs[spec].stack_bytes && sample->header.size >= sizeof(*sample) + 8) {
		ip = sample->more[0];
	}
	/* A user-mode minor fault is owned by its ip: one frame is all that is kept of it. */
	if (!stack && (kernel || specs[spec].stack_bytes))
		fault.stack_end = FP_STACK_LOST;
	fault.nr_ips = ip != 0;
	fault.kind = infer(image_find(fault.image, fault.address, fault.time_ns), fault.major);
	c->counts.faults++;
	c->counts.major += fault.major;
	return c->fn(c->arg, &fault);
}

/* Only our events write to our rings: a sample by another name still has the shape of its event.
 * NR_SPECS: it does not tell. */
static unsigned int spec_by_shape(const struct sample *sample)
{
	size_t room = (sample->header.size - sizeof(*sample)) / 8;

	if (sample->abi != PERF_SAMPLE_REGS_ABI_64)
		return NR_SPECS;
	if (room == 1)
		return MINOR_USER;
	for (unsigned int spec = 0; spec < NR_SPECS; spec++)
		if (specs[spec].stack_bytes && room > FP_NR_REGS &&
		    sample->more[FP_NR_REGS] == specs[spec].stack_bytes)
			return spec;
	return NR_SPECS;
}

/* Is it the fault that the sample before told already? */
static bool told_twice(struct perf *c, const struct sample *sample, unsigned int spec)
{
	struct last *last = &c->last[c->rings->reading];

	if (last->tid == (pid_t)sample->tid && last->address == sample->address &&
	    last->spec == spec && (last->time_ns == sample->time_ns || last->id != sample->id))
		return true;
	*last = (struct last){ .id = sample->id,
			       .time_ns = sample->time_ns,
			       .address = sample->address,
			       .tid = sample->tid,
			       .spec = spec };
	return false;
}

static int take_record(void *arg, const struct perf_event_header *header)
{
	const struct sample *sample = (const void *)header;
	struct perf *c = arg;
	const struct perf_event *event;
	struct followed *followed;
	unsigned int spec;

	if (header->type == PERF_RECORD_FORK || header->type == PERF_RECORD_EXIT)
		return followed_record(&c->followed, header);
	if (header->type != PERF_RECORD_SAMPLE || header->size < sizeof(*sample))
		return 0;
	event = perf_rings_find(c->rings, sample->id);
	spec = event ? event->tag & ~ON_EXEC : spec_by_shape(sample);
	if (spec >= NR_SPECS)
		return 0;
	c->samples++;
	followed = followed_find(&c->followed, sample->pid);
	if (followed && followed->sampled_ns < sample->time_ns)
		followed->sampled_ns = sample->time_ns;
	return told_twice(c, sample, spec) ? 0 : hand_on(c, sample, spec);
}

static int drain(struct perf *c, collect_fault_fn fn, void *arg)
{
	/* Before the rings are read: a child of one that ends now is in them. */
	bool alive = followed_alive(&c->followed);
	int r;

	/* In this order, all mappings that a marked sample needs are there to be applied. */
	perf_rings_mark(c->rings);
	c->now_ns = clock_now_ns();
	r = mappings_poll(c->base.mappings, UINT64_MAX);
	if (r)
		return r;
	c->fn = fn;
	c->arg = arg;
	r = perf_rings_read(c->rings, take_record, c);
	if (!r)
		r = followed_apply(&c->followed, c->inherit);
	c->alive = alive || followed_alive(&c->followed);
	if (c->now_ns - c->swept_ns > SWEEP_NS) {
		c->swept_ns = c->now_ns;
		c->counts.lost[FP_LOSS_TARGET] += followed_sweep(&c->followed, SWEEP_NS);
	}
	return r;
}

static int perf_poll(struct collector *collector, int timeout_ms, collect_fault_fn fn, void *arg)
{
	struct perf *c = perf_of(collector);
	int r = 0, wait_r = 0;

	do {
		int slice = timeout_ms < 0 || timeout_ms > SLICE_MS ? SLICE_MS : timeout_ms;
		uint64_t before = c->samples;

		if (slice)
			wait_r = perf_rings_wait(c->rings, slice);
		r = drain(c, fn, arg);
		if (timeout_ms > 0)
			timeout_ms -= slice;
		if (c->samples != before)
			break;
	} while (!r && !wait_r && timeout_ms);
	return r ? r : wait_r;
}

/* The kernel's own counts are compared with the samples seen. */
static int perf_stop(struct collector *collector, collect_fault_fn fn, void *arg)
{
	struct perf *c = perf_of(collector);
	struct perf_event *event, *next;
	uint64_t counted = 0;
	int r = enable(c, PERF_EVENT_IOC_DISABLE);

	if (!r)
		r = drain(c, fn, arg);
	if (r)
		return r;
	HASH_ITER (hh, c->rings->events, event, next) {
		uint64_t count;

		if (read(event->fd, &count, sizeof(count)) != sizeof(count))
			return -EIO;
		counted += count;
	}
	c->counts.lost[FP_LOSS_TARGET] += followed_sweep(&c->followed, 0);
	c->counts.lost[FP_LOSS_SAMPLE] = counted > c->samples ? counted - c->samples : 0;
	return 0;
}

static void perf_counts(const struct collector *collector, struct collect_counts *ret)
{
	*ret = perf_of(collector)->counts;
}

static bool perf_alive(const struct collector *collector)
{
	return perf_of(collector)->alive;
}

static int perf_drop_privileges(struct collector *collector)
{
	return privilege_drop(perf_of(collector)->open_ended ? PRIVILEGE_PERFMON : PRIVILEGE_READ);
}

static const struct collector_ops perf_ops = {
	.description = "perf (events alone, no BPF)",
	.add = perf_add,
	.start = perf_start,
	.drop_privileges = perf_drop_privileges,
	.poll = perf_poll,
	.stop = perf_stop,
	.counts = perf_counts,
	.alive = perf_alive,
	.free = perf_free,
};

int perf_collector_new(const struct collector_options *options, struct mappings *mappings,
		       struct collector **ret)
{
	unsigned int pages = options->ring_bytes ? options->ring_bytes / 4096 : PAGES;
	struct perf *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->base.ops = &perf_ops;
	c->base.mappings = mappings;
	c->inherit = options->inherit;
	c->open_ended = options->open_ended;
	r = probe(c);
	if (!r)
		r = perf_rings_new(pages, &c->rings);
	if (!r) {
		c->last = calloc(c->rings->nr, sizeof(*c->last));
		c->unknown = image_new(0, 0, "[unknown]");
		r = c->last && c->unknown ? 0 : -ENOMEM;
	}
	if (r) {
		perf_free(&c->base);
		return r;
	}
	c->counts.kernel_seen = !c->user_only;
	c->counts.kinds_inferred = true;
	*ret = &c->base;
	return 0;
}
