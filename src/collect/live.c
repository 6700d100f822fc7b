/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The collector on BPF programs (bpf/): every completed fault of the targets, with kind, access and
 * stall time. Frequent faults are counted in the kernel by site and handed on when the site map
 * fills up, and at the end; the others come one by one.
 *
 * Creating it needs CAP_BPF and CAP_PERFMON. Once it is started, nothing does (before Linux 5.19,
 * the use of maps still needs CAP_BPF). Images are numbered by both sides: here when a process is
 * added, in the kernel at an exec.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/clock.h"
#include "base/privilege.h"
#include "collect/collector.h"
#include "collect/held.h"
#include "collect/procfs.h"
#include "collect/rules.h"
#include "collect/sites.h"
#include "faultprof/event.h"
#include "faults.skel.h"

struct completion { /* a software event on one CPU */
	int fd;
	struct bpf_link *link;
};

struct live {
	struct collector base;
	struct faults *skeleton;
	struct ring_buffer *ring;
	struct sites sites;
	struct completion *completions;
	unsigned int nr_completions, nr_cpus;
	struct image *unknown;		 /* of faults whose program nobody told of */
	const struct fp_counts *per_cpu; /* mapped, of nr_cpus */
	bool swapped_out;
	int last; /* reading it settles the last fault of each thread; -1: not open */
	uint64_t polled_ns;
	struct held held;	 /* faults */
	uint64_t uncorrected;	 /* FP_LOSS_OUTCOME found here */
	struct pid_list refused; /* targets for which there was no room */
	uint64_t lost_mappings;	 /* FP_LOSS_MAPPING found here */
	collect_fault_fn fn;	 /* during a poll */
	void *arg;
};

/* Programs for which this kernel has no hook, or which the other tier needs, stay out. */
static void choose_programs(struct faults *s, bool fentry, bool swapped_out)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, s->obj)
	{
		const char *section = bpf_program__section_name(program);
		bool trampoline = !strncmp(section, "fentry/", 7) || !strncmp(section, "fexit/", 6);

		if (trampoline) { /* no NUMA balancing, no task_numa_fault() */
			bpf_program__set_autoload(
				program, fentry && probe_function(strchr(section, '/') + 1));
		} else if (!strncmp(section, "tp_btf/", 7)) {
			const char *name = section + 7;
			bool by_counter = (!strcmp(name, "rss_stat") && !swapped_out) ||
					  !strncmp(name, "mm_", 3);

			bpf_program__set_autoload(program, !(by_counter && fentry) &&
								   probe_tracepoint(name));
		}
	}
}

/* Before the first target is added: one that forks, executes or ends meanwhile has to be told. */
static int attach_lifecycle(struct faults *s)
{
	s->links.on_fork = bpf_program__attach(s->progs.on_fork);
	s->links.on_exec = bpf_program__attach(s->progs.on_exec);
	s->links.on_exit = bpf_program__attach(s->progs.on_exit);
	return s->links.on_fork && s->links.on_exec && s->links.on_exit ? 0 : -errno;
}

static struct live *live_of(const struct collector *collector)
{
	return (struct live *)collector; /* its first member */
}

static int configure(struct live *c, const struct collector_options *options, bool fentry)
{
	struct faults *s = c->skeleton;
	int r = 0;

	s->rodata->fentry_tier = fentry;
	s->rodata->inherit = options->inherit;
	s->rodata->slow_ns = options->slow_ns;
	if (options->comm) {
		s->rodata->follow_comm = true;
		strncpy((char *)s->rodata->comm_wanted, options->comm, 15);
	}
	if (options->sites) {
		r = bpf_map__set_max_entries(s->maps.sites_even, options->sites);
		if (!r)
			r = bpf_map__set_max_entries(s->maps.sites_odd, options->sites);
		if (!r)
			r = bpf_map__set_max_entries(s->maps.site_values, 2 * options->sites);
		s->rodata->nr_sites = options->sites;
	}
	if (!r && options->ring_bytes)
		r = bpf_map__set_max_entries(s->maps.ring, options->ring_bytes);
	if (!r)
		r = bpf_map__set_max_entries(s->maps.counts, c->nr_cpus);
	c->sites.room = bpf_map__max_entries(s->maps.sites_even);
	s->rodata->count_swapped_out = options->swapped_out;
	choose_programs(s, fentry, options->swapped_out);
	c->swapped_out = options->swapped_out && probe_member("mm_struct", "owner") &&
			 bpf_program__autoload(s->progs.on_rss_stat);
	return r;
}

static int on_event(void *ctx, void *data, size_t size);

static int allocate(struct live *c)
{
	c->nr_cpus = libbpf_num_possible_cpus();
	c->completions = calloc(2 * c->nr_cpus, sizeof(*c->completions));
	c->unknown = image_new(0, 0, "[unknown]");
	return c->completions && c->unknown ? sites_init(&c->sites) : -ENOMEM;
}

static int use_maps(struct live *c)
{
	struct faults *s = c->skeleton;
	void *at = mmap(NULL, c->nr_cpus * sizeof(*c->per_cpu), PROT_READ, MAP_SHARED,
			bpf_map__fd(s->maps.counts), 0);

	if (at == MAP_FAILED)
		return -errno;
	c->per_cpu = at;
	c->sites.map[0] = bpf_map__fd(s->maps.sites_even);
	c->sites.map[1] = bpf_map__fd(s->maps.sites_odd);
	c->sites.overflow = bpf_map__fd(s->maps.overflow);
	c->sites.array = bpf_map__fd(s->maps.site_values);
	c->sites.turn = &s->data->site_turn;
	c->sites.used = s->bss->sites_used;
	c->ring = ring_buffer__new(bpf_map__fd(s->maps.ring), on_event, c, NULL);
	return c->ring ? 0 : -errno;
}

static void live_free(struct collector *collector)
{
	struct live *c = live_of(collector);

	for (unsigned int i = 0; i < c->nr_completions; i++) {
		if (c->completions[i].link)
			bpf_link__destroy(c->completions[i].link);
		else
			close(c->completions[i].fd);
	}
	ring_buffer__free(c->ring);
	if (c->last >= 0)
		close(c->last);
	if (c->per_cpu)
		munmap((void *)c->per_cpu, c->nr_cpus * sizeof(*c->per_cpu));
	faults__destroy(c->skeleton);
	sites_release(&c->sites);
	held_release(&c->held);
	pid_list_release(&c->refused);
	image_free(c->unknown);
	free(c->completions);
	free(c);
}

/* Alive, and the very process that was opened. */
static bool pidfd_alive(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 0;
}

static int live_add(struct collector *collector, pid_t pid, bool on_exec)
{
	struct live *c = live_of(collector);
	int map = bpf_map__fd(c->skeleton->maps.targets), fd, r;
	struct fp_target target = { .on_exec = on_exec };
	struct image *image;
	uint32_t key = pid;

	if (!bpf_map_lookup_elem(map, &key, &target))
		return -EEXIST;
	if (pid_list_has(&c->refused, pid))
		return -E2BIG;
	fd = syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return -errno;
	target.image = __atomic_add_fetch(&c->skeleton->bss->last_image, 1, __ATOMIC_RELAXED);
	r = mappings_image_attached(c->base.mappings, target.image, pid, &image);
	if (!r && bpf_map_update_elem(map, &key, &target, BPF_NOEXIST)) {
		r = -errno;
		if (r == -E2BIG && pid_list_add(&c->refused, pid))
			r = -ENOMEM;
	}
	/* Its exit may have come before the program knew it. */
	if (!r && !pidfd_alive(fd)) {
		bpf_map_delete_elem(map, &key);
		r = -ESRCH;
	}
	close(fd);
	return r;
}

static int attach_completion(struct live *c, int cpu, uint64_t config, struct bpf_program *program)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = config,
		.sample_period = 1,
		.disabled = 1,
	};
	struct completion *completion = &c->completions[c->nr_completions];

	completion->fd = syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (completion->fd < 0)
		return errno == ENODEV ? 0 : -errno; /* offline */
	c->nr_completions++;
	completion->link = bpf_program__attach_perf_event(program, completion->fd);
	return completion->link ? 0 : -errno;
}

/* The cheap way to see that a minor fault completed: does this kernel give it? */
static int try_account(struct live *c)
{
	struct faults *s = c->skeleton;
	struct bpf_link *trial;
	char *page;

	bpf_program__set_autoattach(s->progs.on_account_trial, false);
	bpf_program__set_autoattach(s->progs.on_account, false);
	if (!bpf_program__autoload(s->progs.on_account))
		return 0;
	trial = bpf_program__attach(s->progs.on_account_trial);
	if (!trial)
		return 0;
	page = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return -errno;
	*(volatile char *)page = 1;
	munmap(page, 1);
	bpf_link__destroy(trial);
	bpf_program__set_autoattach(s->progs.on_account, s->bss->by_account);
	return 0;
}

static int live_start(struct collector *collector)
{
	struct live *c = live_of(collector);
	int r = try_account(c);

	if (!r)
		r = faults__attach(c->skeleton);
	if (!r) {
		c->last = bpf_iter_create(bpf_link__fd(c->skeleton->links.on_last));
		r = c->last < 0 ? -errno : 0;
	}
	for (unsigned int cpu = 0; !r && cpu < c->nr_cpus; cpu++) {
		r = attach_completion(c, cpu, PERF_COUNT_SW_PAGE_FAULTS_MAJ,
				      c->skeleton->progs.on_major);
		if (!r && !c->skeleton->bss->by_account)
			r = attach_completion(c, cpu, PERF_COUNT_SW_PAGE_FAULTS_MIN,
					      c->skeleton->progs.on_minor);
	}
	return r;
}

/* When the event that told of an image was lost, its process may still say. */
static struct image *image_for(struct live *c, uint32_t id, uint32_t pid)
{
	struct image *image = mappings_image(c->base.mappings, id);
	struct fp_target target;

	if (image)
		return image;
	if (pid && !bpf_map_lookup_elem(bpf_map__fd(c->skeleton->maps.targets), &pid, &target) &&
	    target.image == id && !mappings_image_attached(c->base.mappings, id, pid, &image))
		return image;
	c->lost_mappings++;
	return c->unknown;
}

static int take_fault(void *arg, const struct fp_fault_event *event, size_t size)
{
	struct live *c = arg;
	struct fault fault = {
		.time_ns = event->h.time_ns,
		.address = event->address,
		.stall_ns = event->stall_ns,
		.pid = event->h.pid,
		.tid = event->h.tid,
		.kind = event->kind,
		.access = event->access,
		.mode = event->mode,
		.major = event->major,
		.ips = event->ip,
		.nr_ips = event->nr_frames,
		.stack_end = event->stack_end,
	};

	if (size < offsetof(struct fp_fault_event, ip) + event->nr_frames * sizeof(event->ip[0]))
		return -EBADMSG;
	if (event->raw) {
		fault.raw = (const void *)(event + 1);
		if (size < sizeof(*event) + offsetof(struct fp_raw_stack, data) + fault.raw->bytes)
			return -EBADMSG;
	}
	fault.image = image_for(c, event->h.image, event->h.pid);
	return c->fn(c->arg, &fault);
}

static int take_task(struct live *c, const struct fp_task_event *event)
{
	struct image *image;
	int r = 0;

	switch (event->h.type) {
	case FP_EVENT_FORK:
		r = mappings_fork(c->base.mappings, event->h.pid, event->other, event->h.time_ns);
		break;
	case FP_EVENT_EXEC:
		r = mappings_exec(c->base.mappings, event->h.pid, event->h.image, event->comm,
				  event->h.time_ns, &image);
		break;
	case FP_EVENT_EXIT:
		mappings_exit(c->base.mappings, event->h.pid);
	}
	return r == -ENOMEM ? r : 0;
}

static int on_event(void *ctx, void *data, size_t size)
{
	const struct fp_event *event = data;
	struct live *c = ctx;
	int r;

	if (size < sizeof(*event) || event->size > size)
		return -EBADMSG;
	/* The mapping records that came before the event are in their rings by now. */
	if (event->time_ns > c->polled_ns) {
		c->polled_ns = clock_now_ns();
		r = mappings_poll(c->base.mappings, UINT64_MAX);
		if (r)
			return r;
	}
	if (event->type == FP_EVENT_MAJOR) {
		if (size < sizeof(struct fp_major_event))
			return -EBADMSG;
		c->uncorrected += !held_correct(&c->held, data);
		return 0;
	}
	if (event->type == FP_EVENT_FAULT) {
		const struct fp_fault_event *fault = data;

		if (size >= offsetof(struct fp_fault_event, ip) && fault->unsettled)
			return held_add(&c->held, fault, size);
		return take_fault(c, fault, size);
	}
	return size < sizeof(struct fp_task_event) ? -EBADMSG : take_task(c, data);
}

static int hand_on_site(void *arg, const struct fp_site_key *key, const struct fp_site_value *value,
			unsigned int nr_ips)
{
	struct live *c = arg;
	struct image *image = key->image ? image_for(c, key->image, 0) : c->unknown;
	struct fault fault = {
		.kind = key->kind,
		.access = key->access,
		.mode = key->mode,
		.major = key->major,
		.image = image,
		.site = value,
		.ips = key->ip,
		.nr_ips = nr_ips,
	};

	if (key->kind == FP_SITE_SWAPPED_OUT) {
		image->swapped_out += value->untimed;
		return 0;
	}

	return c->fn(c->arg, &fault);
}

static void sum_counts(const struct live *c, struct fp_counts *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (unsigned int cpu = 0; cpu < c->nr_cpus; cpu++) {
		const volatile struct fp_counts *part = &c->per_cpu[cpu];

		ret->failed += part->failed;
		ret->sites += part->sites;
		ret->faults += part->faults;
		ret->major += part->major;
		for (int i = 0; i < FP_NR_LOSSES; i++)
			ret->lost[i] += part->lost[i];
	}
}

static int consume(struct live *c)
{
	int r = ring_buffer__consume(c->ring);

	return r < 0 ? r : mappings_poll(c->base.mappings, UINT64_MAX);
}

/* A program that was executed while the maps were switched is told of only now. */
static int drain_sites(struct live *c)
{
	int r;

	sites_switch(&c->sites);
	r = consume(c);
	return r ? r : sites_take(&c->sites, hand_on_site, c);
}

static int live_poll(struct collector *collector, int timeout_ms, collect_fault_fn fn, void *arg)
{
	struct live *c = live_of(collector);
	struct fp_counts counts;
	int r, interrupted;

	c->fn = fn;
	c->arg = arg;
	interrupted = ring_buffer__poll(c->ring, timeout_ms);
	if (interrupted < 0 && interrupted != -EINTR)
		return interrupted;
	r = consume(c);
	if (!r)
		r = held_hand_on(&c->held, clock_now_ns() - HELD_NS, take_fault, c);
	if (r < 0)
		return r;
	sum_counts(c, &counts);
	if (sites_due(&c->sites, counts.sites, counts.faults))
		r = drain_sites(c);
	return r ? r : interrupted < 0 ? interrupted : 0;
}

static int live_drain(struct collector *collector, collect_fault_fn fn, void *arg)
{
	struct live *c = live_of(collector);

	c->fn = fn;
	c->arg = arg;
	return drain_sites(c);
}

static void live_teach(struct collector *collector, const struct image *image, const uint64_t *ips,
		       const struct fp_rule *rules, unsigned int nr)
{
	struct live *c = live_of(collector);

	if (image != c->unknown)
		rules_teach(bpf_map__fd(c->skeleton->maps.rules), image->id, ips, rules, nr);
}

/* Lets the kernel walk its threads: see on_last(). */
static int settle_last(struct live *c)
{
	char nothing[64];
	ssize_t n;

	do
		n = read(c->last, nothing, sizeof(nothing));
	while (n > 0 || (n < 0 && errno == EAGAIN));
	return n < 0 ? -errno : 0;
}

static int live_stop(struct collector *collector, collect_fault_fn fn, void *arg)
{
	struct live *c = live_of(collector);
	int r;

	c->fn = fn;
	c->arg = arg;
	c->skeleton->bss->ending = true;
	sites_wait();
	r = settle_last(c);
	for (unsigned int i = 0; i < c->nr_completions; i++) {
		if (ioctl(c->completions[i].fd, PERF_EVENT_IOC_DISABLE, 0))
			r = -errno;
	}
	if (!r)
		r = consume(c);
	if (!r)
		r = held_hand_on(&c->held, UINT64_MAX, take_fault, c);
	if (!r)
		r = drain_sites(c);
	/* Faults that were under way still complete, and count in the other map meanwhile. */
	return r ? r : drain_sites(c);
}

static void live_counts(const struct collector *collector, struct collect_counts *ret)
{
	const struct live *c = live_of(collector);
	struct fp_counts counts;

	sum_counts(c, &counts);
	*ret = (struct collect_counts){
		.faults = counts.faults,
		.major = counts.major,
		.failed = counts.failed,
		.kernel_seen = true,
		.access_known = true,
		.stall_known = true,
		.swapped_out_known = c->swapped_out,
	};
	memcpy(ret->lost, counts.lost, sizeof(ret->lost));
	ret->lost[FP_LOSS_MAPPING] += c->lost_mappings;
	ret->lost[FP_LOSS_TARGET] += c->refused.nr;
	ret->lost[FP_LOSS_OUTCOME] += c->uncorrected;
}

static bool live_alive(const struct collector *collector)
{
	uint32_t key;

	return !bpf_map_get_next_key(bpf_map__fd(live_of(collector)->skeleton->maps.targets), NULL,
				     &key);
}

/* Before Linux 5.19 a map may be used with CAP_BPF only: tried, not looked up. */
static int live_drop_privileges(struct collector *collector)
{
	enum privilege_keep keep = PRIVILEGE_READ;
	int r = privilege_suspend_bpf(true);

	if (!r && !live_alive(collector) && errno != ENOENT)
		keep = PRIVILEGE_BPF;
	return r ? r : privilege_drop(keep);
}

#define OPS(text)                                                                                \
	{                                                                                        \
		.description = text, .add = live_add, .start = live_start,                       \
		.drop_privileges = live_drop_privileges, .poll = live_poll, .teach = live_teach, \
		.drain = live_drain, .stop = live_stop, .counts = live_counts,                   \
		.alive = live_alive, .free = live_free,                                          \
	}

static const struct collector_ops fentry_ops = OPS("fentry (BPF at fault handlers)");
static const struct collector_ops tracepoint_ops = OPS("tracepoint (BPF at tracepoints)");

int live_collector_new(const struct collector_options *options, enum tier tier,
		       struct mappings *mappings, struct collector **ret)
{
	bool fentry = tier == TIER_FENTRY;
	struct live *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	if (!options->debug)
		libbpf_set_print(NULL);
	c->base.ops = fentry ? &fentry_ops : &tracepoint_ops;
	c->base.mappings = mappings;
	c->last = -1;
	r = allocate(c);
	if (!r) {
		c->skeleton = faults__open();
		r = c->skeleton ? configure(c, options, fentry) : -errno;
	}
	if (!r)
		r = faults__load(c->skeleton);
	if (!r)
		r = use_maps(c);
	if (!r)
		r = attach_lifecycle(c->skeleton);
	if (r)
		live_free(&c->base);
	else
		*ret = &c->base;
	return r;
}
