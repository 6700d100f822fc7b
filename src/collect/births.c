/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The kernel's map knows an object by its base. An address inside of it is looked up in a list,
 * sorted by base, and what is found is then asked for by its base: the list says where to look, the
 * map what is true.
 */
#include "collect/births.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/clock.h"
#include "base/grow.h"
#include "births.skel.h"
#include "collect/birthlist.h"
#include "collect/broker.h"

#define SECOND 1000000000ULL
#define SHORTEST (SECOND / 10) /* run of which something can be said */
#define NOTES_BYTES (FP_BIRTH_NOTES * sizeof(struct fp_birth_note))

struct function {  /* that has its probes */
	pid_t pid; /* 0: a free place */
	bool frees;
	uint64_t device, inode, offset;
};

struct site {
	pid_t pid; /* 0: a free place */
	const struct fp_allocator *allocator;
	uint64_t calls; /* when last read */
};

struct process {
	pid_t pid;	   /* 0: a free place */
	uint64_t since_ns; /* what is older was another program's; 0: it has ended */
	uint64_t calls_per_s;
};

struct birth_register {
	struct births *skeleton;
	struct broker broker;
	bool multi;
	const struct fp_birth_counts *per_cpu; /* mapped, of nr_cpus */
	const struct fp_birth_note *notes;     /* mapped */
	unsigned int nr_cpus;
	uint64_t *values; /* of one site, by CPU */
	struct site sites[FP_BIRTH_SITES];
	unsigned int nr_sites; /* places in use, and free ones between */
	struct function *functions;
	size_t nr_functions;
	struct process *processes;
	size_t nr_processes;
	struct birth_list list;
	struct birth_stacks stacks;
	bool littered;	    /* the map has objects of programs that are gone */
	bool polled;	    /* the calls were read */
	uint64_t polled_ns; /* when, or when the register was opened */
};

/* ---- opening ---- */

/* The uprobes; the other programs are loaded as they are. */
static int choose_multi(struct birth_register *b)
{
	struct bpf_program *const programs[] = { b->skeleton->progs.on_alloc,
						 b->skeleton->progs.on_return,
						 b->skeleton->progs.on_free };
	int r = 0;

	b->multi = broker_has_multi();
	for (int i = 0; b->multi && !r && i < 3; i++)
		r = bpf_program__set_expected_attach_type(programs[i], BROKER_MULTI);
	return r;
}

static int load(struct birth_register *b, const struct births_options *options)
{
	struct births *s = births__open();
	int r;

	b->skeleton = s;
	if (!s)
		return -errno;
	r = bpf_map__set_max_entries(s->maps.counts, b->nr_cpus);
	if (!r && options->objects)
		r = bpf_map__set_max_entries(s->maps.objects, options->objects);
	if (!r)
		r = birth_stacks_prepare(s, options->stacks);
	if (!r && options->inherit)
		r = choose_multi(b);
	if (!r)
		r = births__load(s);
	/* Those that are no uprobes; the others wait for a place. */
	if (!r) {
		s->links.on_exec = bpf_program__attach(s->progs.on_exec);
		s->links.on_exit = bpf_program__attach(s->progs.on_exit);
		r = s->links.on_exec && s->links.on_exit ? 0 : -errno;
	}
	return r == -ESRCH || r == -EOPNOTSUPP ? -ENOTSUP : r; /* no BTF */
}

static int allocate(struct birth_register *b)
{
	int cpus = libbpf_num_possible_cpus();

	if (cpus < 0)
		return cpus;
	b->nr_cpus = cpus;
	b->values = calloc(b->nr_cpus, sizeof(*b->values));
	return b->values ? 0 : -ENOMEM;
}

static const void *map_array(const struct bpf_map *map, size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ, MAP_SHARED, bpf_map__fd(map), 0);

	return at == MAP_FAILED ? NULL : at;
}

static int start(struct birth_register *b, bool stacks)
{
	const struct births *s = b->skeleton;
	const int programs[BROKER_NR] = {
		[BROKER_ALLOC] = bpf_program__fd(s->progs.on_alloc),
		[BROKER_RETURN] = bpf_program__fd(s->progs.on_return),
		[BROKER_FREE] = bpf_program__fd(s->progs.on_free),
	};
	int r;

	b->per_cpu = map_array(s->maps.counts, b->nr_cpus * sizeof(*b->per_cpu));
	b->notes = map_array(s->maps.notes, NOTES_BYTES);
	if (!b->per_cpu || !b->notes)
		return -ENOMEM;
	b->list.map = bpf_map__fd(s->maps.objects);
	b->list.notes = b->notes;
	b->list.born = &s->bss->born;
	b->polled_ns = clock_now_ns();
	r = birth_list_init(&b->list);
	if (!r && stacks)
		r = birth_stacks_init(&b->stacks, s);
	return r ? r : broker_start(programs, b->multi, &b->broker);
}

int births_open(const struct births_options *options, struct birth_register **ret)
{
	struct birth_register *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return -ENOMEM;
	if (!options->debug)
		libbpf_set_print(NULL);
	r = allocate(b);
	if (!r)
		r = load(b, options);
	if (!r)
		r = start(b, options->stacks);
	if (r)
		births_close(b);
	else
		*ret = b;
	return r;
}

void births_close(struct birth_register *b)
{
	if (!b)
		return;
	broker_stop(&b->broker);
	if (b->per_cpu)
		munmap((void *)b->per_cpu, b->nr_cpus * sizeof(*b->per_cpu));
	if (b->notes)
		munmap((void *)b->notes, NOTES_BYTES);
	birth_stacks_release(&b->stacks);
	births__destroy(b->skeleton);
	free(b->functions);
	free(b->processes);
	birth_list_release(&b->list);
	free(b->values);
	free(b);
}

pid_t births_helper(const struct birth_register *b)
{
	return b->broker.pid;
}

/* ---- watching ---- */

static struct process *process_of(const struct birth_register *b, pid_t pid)
{
	for (size_t i = 0; i < b->nr_processes; i++)
		if (b->processes[i].pid == pid)
			return &b->processes[i];
	return NULL;
}

/* Its objects stay in the map until the list is renewed: births_poll() sees to it. */
static void forget(struct birth_register *b, struct process *process)
{
	pid_t pid = process->pid;

	broker_detach(&b->broker, pid);
	for (unsigned int i = 0; i < b->nr_sites; i++)
		if (b->sites[i].pid == pid)
			b->sites[i].pid = 0;
	for (size_t i = 0; i < b->nr_functions; i++)
		if (b->functions[i].pid == pid)
			b->functions[i].pid = 0;
	process->pid = 0;
	b->littered = true;
}

/* Exec and exit are told by the kernel side. */
static void update(struct birth_register *b, struct process *process)
{
	struct fp_birth_process told;
	uint32_t key = process->pid;

	if (!bpf_map_lookup_elem(bpf_map__fd(b->skeleton->maps.processes), &key, &told)) {
		b->littered |= told.since_ns != process->since_ns;
		process->since_ns = told.since_ns;
	} else if (errno == ENOENT) {
		forget(b, process);
	}
}

static int process_get(struct birth_register *b, pid_t pid, uint32_t image)
{
	struct process fresh = { .pid = pid, .since_ns = clock_now_ns() };
	struct fp_birth_process told = { .since_ns = fresh.since_ns, .image = image };
	struct process *process = process_of(b, pid);
	uint32_t key = pid;
	int r;

	if (process)
		update(b, process);
	if (process && process->pid)
		return 0;
	if (!process)
		process = process_of(b, 0);
	if (!process) {
		r = grow(&b->processes, b->nr_processes, sizeof(*b->processes));
		if (r)
			return r;
		process = &b->processes[b->nr_processes++];
		process->pid = 0;
	}
	if (bpf_map_update_elem(bpf_map__fd(b->skeleton->maps.processes), &key, &told, BPF_ANY))
		return -errno;
	*process = fresh;
	return 0;
}

static int function_of(const struct births_place *place, pid_t pid, bool frees,
		       struct function *ret)
{
	struct stat st;

	if (fstat(place->file, &st))
		return -errno;
	*ret = (struct function){ .pid = pid,
				  .frees = frees,
				  .device = st.st_dev,
				  .inode = st.st_ino,
				  .offset = place->offset };
	return 0;
}

static bool watched(const struct birth_register *b, const struct function *function)
{
	for (size_t i = 0; i < b->nr_functions; i++) {
		const struct function *other = &b->functions[i];

		if (other->pid == function->pid && other->frees == function->frees &&
		    other->device == function->device && other->inode == function->inode &&
		    other->offset == function->offset)
			return true;
	}
	return false;
}

static int add_function(struct birth_register *b, const struct function *function)
{
	int r;

	for (size_t i = 0; i < b->nr_functions; i++) {
		if (!b->functions[i].pid) {
			b->functions[i] = *function;
			return 0;
		}
	}
	r = grow(&b->functions, b->nr_functions, sizeof(*b->functions));
	if (!r)
		b->functions[b->nr_functions++] = *function;
	return r;
}

/* Over all CPUs, since the register was opened. */
static uint64_t calls_of(struct birth_register *b, uint32_t site)
{
	uint64_t sum = 0;

	if (bpf_map_lookup_elem(bpf_map__fd(b->skeleton->maps.calls), &site, b->values))
		return b->sites[site].calls;
	for (unsigned int cpu = 0; cpu < b->nr_cpus; cpu++)
		sum += b->values[cpu];
	return sum;
}

static int add_site(struct birth_register *b, pid_t pid, const struct births_allocator *watched,
		    uint32_t *ret)
{
	const struct fp_allocator *allocator = watched->is;
	const struct fp_birth_site site = {
		.size = allocator->size,
		.min_size = allocator->min_size,
		.size_arg = allocator->size_arg,
		.count_arg = allocator->count_arg,
		.old_arg = allocator->old_arg,
		.tag_arg = allocator->tag_arg,
		.free_arg = allocator->free_arg,
		.result_arg = watched->result_arg,
	};
	uint32_t id = 0;

	while (id < b->nr_sites && b->sites[id].pid)
		id++;
	if (id == FP_BIRTH_SITES)
		return -E2BIG;
	if (bpf_map_update_elem(bpf_map__fd(b->skeleton->maps.sites), &id, &site, BPF_ANY))
		return -errno;
	if (id == b->nr_sites)
		b->nr_sites++;
	b->sites[id] = (struct site){ .pid = pid, .allocator = allocator };
	b->sites[id].calls = calls_of(b, id);
	*ret = id;
	return 0;
}

/* No call may be seen to begin before its end can be seen, and no object be born before it can be
 * seen to end. */
static int attach(struct birth_register *b, const struct births_place *place,
		  const struct function *function, uint32_t site)
{
	int r;

	if (function->frees) {
		r = broker_attach(&b->broker, function->pid, place->file, place->offset,
				  BROKER_FREE, site);
	} else {
		r = broker_attach(&b->broker, function->pid, place->file, place->offset,
				  BROKER_RETURN, site);
		if (!r)
			r = broker_attach(&b->broker, function->pid, place->file, place->offset,
					  BROKER_ALLOC, site);
	}
	return r ? r : add_function(b, function);
}

static bool numbers_fit(const struct births_allocator *watched)
{
	const struct fp_allocator *a = watched->is;

	return watched->result_arg <= 5 && a->size_arg <= 5 && a->count_arg <= 5 &&
	       a->old_arg <= 5 && a->tag_arg <= 5 && a->free_arg >= 0 && a->free_arg <= 5;
}

int births_watch(struct birth_register *b, pid_t pid, uint32_t image,
		 const struct births_place *alloc, const struct births_place *freeing,
		 const struct births_allocator *allocator)
{
	struct function functions[2];
	bool wanted[2] = { false };
	uint32_t site = 0;
	int r = numbers_fit(allocator) ? process_get(b, pid, image) : -EINVAL;

	if (!r && freeing)
		r = function_of(freeing, pid, true, &functions[0]);
	if (!r)
		r = function_of(alloc, pid, false, &functions[1]);
	if (r)
		return r;
	wanted[0] = freeing && !watched(b, &functions[0]);
	wanted[1] = !watched(b, &functions[1]);
	if (!wanted[0] && !wanted[1])
		return 0;
	r = add_site(b, pid, allocator, &site);
	if (!r && wanted[0])
		r = attach(b, freeing, &functions[0], site);
	if (!r && wanted[1])
		r = attach(b, alloc, &functions[1], site);
	return r;
}

void births_unwatch(struct birth_register *b, pid_t pid)
{
	struct process *process = process_of(b, pid);
	uint32_t key = pid;

	if (!process)
		return;
	forget(b, process);
	bpf_map_delete_elem(bpf_map__fd(b->skeleton->maps.processes), &key);
}

/* ---- asking ---- */

static void tell(const struct birth_register *b, const struct listed_birth *object,
		 struct fp_live *ret)
{
	*ret = (struct fp_live){
		.base = object->key.base,
		.size = object->birth.size,
		.born_ns = object->birth.born_ns,
		.tag = object->birth.tag,
		.allocator = b->sites[object->birth.site].allocator,
	};
}

/* Of the program that its process runs now. An object of one that is gone is removed; should a new
 * one have got its address this instant, that is lost: addresses are random over an exec. */
static bool is_current(void *arg, const struct fp_birth_key *key, const struct fp_birth *birth)
{
	const struct process *process = process_of(arg, key->pid);

	return process && birth->born_ns >= process->since_ns;
}

static int renew(struct birth_register *b)
{
	for (size_t i = 0; i < b->nr_processes; i++)
		if (b->processes[i].pid)
			update(b, &b->processes[i]);
	b->littered = false;
	return birth_list_renew(&b->list, is_current, b);
}

int births_find(struct birth_register *b, pid_t pid, uint64_t address, uint64_t time_ns,
		struct fp_live *ret)
{
	struct process *process = process_of(b, pid);
	const struct listed_birth *object;
	int r = -ENOENT;

	if (process)
		update(b, process);
	if (process && process->pid)
		r = birth_list_find(&b->list, pid, address, time_ns, is_current, b, &object);
	if (!r)
		tell(b, object, ret);
	return r;
}

int births_walk(struct birth_register *b, pid_t pid, uint64_t since_ns, fp_live_fn fn, void *arg)
{
	struct fp_live live;
	int r = b->list.read_ns && b->list.read_ns >= since_ns ? 0 : renew(b);

	for (size_t i = 0; !r && i < b->list.all.nr; i++) {
		if (b->list.all.at[i].key.pid != (uint32_t)pid)
			continue;
		tell(b, &b->list.all.at[i], &live);
		r = fn(arg, &live);
	}
	return r;
}

const struct fp_birth_stack *births_stack(struct birth_register *b, pid_t pid, uint64_t base,
					  uint64_t born_ns)
{
	struct fp_birth_key key = { .base = base, .pid = pid };
	struct fp_birth birth;

	if (!b->stacks.walked || bpf_map_lookup_elem(b->list.map, &key, &birth) ||
	    birth.born_ns != born_ns)
		return NULL;
	return birth_stacks_find(&b->stacks, birth.stack);
}

void births_set_unwinder(struct birth_register *b, births_unwind_fn fn, void *arg)
{
	b->stacks.unwind = fn;
	b->stacks.arg = arg;
}

static void read_calls(struct birth_register *b, struct process *process, uint64_t passed_ns)
{
	uint64_t calls, rate = 0;

	for (unsigned int site = 0; process->pid && site < b->nr_sites; site++) {
		if (b->sites[site].pid != process->pid)
			continue;
		calls = calls_of(b, site);
		rate += calls - b->sites[site].calls;
		b->sites[site].calls = calls;
	}
	rate = rate * 1e9 / passed_ns;
	if (rate > process->calls_per_s)
		process->calls_per_s = rate;
}

void births_poll(struct birth_register *b, bool end)
{
	uint64_t now = clock_now_ns(), passed_ns = now - b->polled_ns;

	birth_stacks_poll(&b->stacks);
	if (passed_ns < SECOND && !(end && !b->polled && passed_ns >= SHORTEST))
		return;
	b->polled_ns = now;
	b->polled = true;
	for (size_t i = 0; i < b->nr_processes; i++) {
		if (b->processes[i].pid)
			update(b, &b->processes[i]);
		read_calls(b, &b->processes[i], passed_ns);
	}
	if (b->littered && birth_list_may_renew(&b->list))
		renew(b);
}

uint64_t births_calls_per_s(const struct birth_register *b, pid_t pid)
{
	const struct process *process = process_of(b, pid);

	return process ? process->calls_per_s : 0;
}

void births_lost(const struct birth_register *b, uint64_t ret[FP_NR_BIRTH_LOSSES])
{
	for (int i = 0; i < FP_NR_BIRTH_LOSSES; i++) {
		ret[i] = 0;
		for (unsigned int cpu = 0; cpu < b->nr_cpus; cpu++)
			ret[i] += ((const volatile struct fp_birth_counts *)&b->per_cpu[cpu])
					  ->lost[i];
	}
	ret[FP_BIRTH_NO_STACK] += b->stacks.lost;
}
