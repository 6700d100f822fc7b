/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "collect/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "collect/broker.h"
#include "collect/pages.h"
#include "faultprof/event.h"

static const struct {
	const char *name, *use;
} items[PROBE_NR] = {
	[PROBE_BTF] = { "BTF", "type information of the kernel: needed by all BPF programs" },
	[PROBE_BPF] = { "BPF programs", "counting in the kernel: all but the perf tier" },
	[PROBE_PIDS] = { "PIDs of the host", "what BPF programs know processes by" },
	[PROBE_START] = { "page_fault tracepoints", "start of a fault: stall time and access" },
	[PROBE_FENTRY] = { "fentry", "kind of fault by the handler it goes through (fentry tier)" },
	[PROBE_RSS_STAT] = { "rss_stat",
			     "kind of fault by the counter it moves (tracepoint tier)" },
	[PROBE_ACCOUNT] = { "count_memcg_events",
			    "completed minor faults, at less cost than perf events" },
	[PROBE_PERF_ALL] = { "perf events, system", "completed faults for the BPF programs" },
	[PROBE_PERF_KERNEL] = { "perf events, kernel", "kernel-mode faults in the perf tier" },
	[PROBE_PERF_USER] = { "perf events, user", "user-mode faults in the perf tier" },
	[PROBE_PAGEMAP] = { "pagemap", "present pages, all that is read of a target: objects" },
	[PROBE_SCAN] = { "PAGEMAP_SCAN", "finds swapped out pages at a tenth of the cost" },
	[PROBE_MULTI] = { "uprobe.multi", "lets go of allocators at once; else perf events do" },
};

static struct btf *btf;

static struct btf *kernel_btf(void)
{
	static bool tried;

	if (!tried) {
		tried = true;
		btf = btf__load_vmlinux_btf();
	}
	return btf;
}

void probe_release(void)
{
	btf__free(btf);
	btf = NULL;
}

/* The id of what a program of @type attaches to, or < 0. Not by libbpf's own function, which reads
 * the kernel's BTF (3 to 8 MB) each time. */
static int btf_id(enum bpf_attach_type type, const char *name)
{
	char typedef_name[80];

	if (!kernel_btf())
		return -ENOENT;
	if (type != BPF_TRACE_RAW_TP)
		return btf__find_by_name_kind(kernel_btf(), name, BTF_KIND_FUNC);
	snprintf(typedef_name, sizeof(typedef_name), "btf_trace_%s", name);
	return btf__find_by_name_kind(kernel_btf(), typedef_name, BTF_KIND_TYPEDEF);
}

bool probe_tracepoint(const char *name)
{
	return btf_id(BPF_TRACE_RAW_TP, name) > 0;
}

bool probe_function(const char *name)
{
	return btf_id(BPF_TRACE_FENTRY, name) > 0;
}

/* Also in those of its members that have no name. */
static bool has_member(int id, const char *name)
{
	const struct btf_type *type = btf__type_by_id(kernel_btf(), id);

	for (unsigned int i = 0; type && btf_is_composite(type) && i < btf_vlen(type); i++) {
		const struct btf_member *member = &btf_members(type)[i];
		const char *known = btf__name_by_offset(kernel_btf(), member->name_off);

		if (*known ? !strcmp(known, name) : has_member((int)member->type, name))
			return true;
	}
	return false;
}

bool probe_member(const char *type, const char *member)
{
	return kernel_btf() &&
	       has_member(btf__find_by_name_kind(kernel_btf(), type, BTF_KIND_STRUCT), member);
}

/* Loads a program that does nothing for @function, and attaches it. */
static int try_program(enum bpf_attach_type type, const char *function)
{
	static const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = type);
	int id = btf_id(type, function), program, link, r;

	if (id < 0)
		return ENOENT;
	options.attach_btf_id = id;
	program = bpf_prog_load(BPF_PROG_TYPE_TRACING, "faultprof_try", "GPL", insns,
				sizeof(insns) / sizeof(*insns), &options);
	if (program < 0)
		return errno;
	link = bpf_raw_tracepoint_open(NULL, program);
	r = link < 0 ? errno : 0;
	if (!r)
		close(link);
	close(program);
	return r;
}

/* The inode number of the first PID namespace is an ABI of include/linux/proc_ns.h. */
static bool pids_of_host(void)
{
	struct stat status;

	return stat("/proc/self/ns/pid", &status) || status.st_ino == 0xEFFFFFFCU;
}

static int try_event(int cpu, bool exclude_kernel)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_PAGE_FAULTS_MIN,
		.sample_period = 1,
		.disabled = 1,
		.exclude_kernel = exclude_kernel,
		.exclude_hv = 1,
	};
	int fd = syscall(SYS_perf_event_open, &attr, cpu < 0 ? 0 : -1, cpu, -1,
			 PERF_FLAG_FD_CLOEXEC);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

/* Before 6.2 the counters were batched: most of what a fault does to them shows in another one. */
static bool counters_exact(void)
{
	return kernel_btf() && probe_tracepoint("rss_stat") &&
	       btf__find_by_name_kind(kernel_btf(), "mm_rss_stat", BTF_KIND_STRUCT) < 0;
}

/* The tracepoint is there, but silent, with cgroup_disable=memory. */
static int account(void)
{
	FILE *file = fopen("/proc/cgroups", "re");
	int on = 1, r = probe_tracepoint("count_memcg_events") ? 0 : ENOENT;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "memory %*d %*d %d", &on);
	if (file)
		fclose(file);
	return on ? r : ENOTSUP;
}

static bool may_trace(void)
{
	cap_t caps = cap_get_proc();
	cap_flag_value_t on = CAP_CLEAR;

	if (caps)
		cap_get_flag(caps, CAP_SYS_PTRACE, CAP_EFFECTIVE, &on);
	cap_free(caps);
	return on == CAP_SET;
}

static void try_pagemap(struct probe *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	p->error[PROBE_PAGEMAP] = fd < 0 ? errno : may_trace() ? 0 : EPERM;
	p->error[PROBE_SCAN] = fd >= 0 && pages_source(fd) == PAGES_IOCTL ? 0 : ENOTTY;
	if (fd >= 0)
		close(fd);
}

void probe_run(struct probe *p)
{
	libbpf_print_fn_t print = libbpf_set_print(NULL);
	FILE *file = fopen("/proc/sys/kernel/perf_event_paranoid", "re");

	memset(p, 0, sizeof(*p));
	p->paranoid = -2;
	if (file) {
		if (fscanf(file, "%d", &p->paranoid) != 1)
			p->paranoid = -2;
		fclose(file);
	}
	p->error[PROBE_BTF] = kernel_btf() ? 0 : ENOENT;
	p->error[PROBE_BPF] = try_program(BPF_TRACE_RAW_TP, "sched_process_exit");
	p->error[PROBE_PIDS] = pids_of_host() ? 0 : ENOTSUP;
	p->error[PROBE_START] = probe_tracepoint("page_fault_user") ? 0 : ENOENT;
	p->error[PROBE_FENTRY] = try_program(BPF_TRACE_FENTRY, "handle_mm_fault");
	if (!p->error[PROBE_FENTRY])
		p->error[PROBE_FENTRY] = try_program(BPF_TRACE_FENTRY, "do_swap_page");
	if (!p->error[PROBE_FENTRY])
		p->error[PROBE_FENTRY] = try_program(BPF_TRACE_FEXIT, "do_huge_pmd_anonymous_page");
	p->error[PROBE_RSS_STAT] = counters_exact() ? 0 : ENOENT;
	p->error[PROBE_ACCOUNT] = account();
	p->error[PROBE_PERF_ALL] = try_event(0, false);
	p->error[PROBE_PERF_KERNEL] = try_event(-1, false);
	p->error[PROBE_PERF_USER] = try_event(-1, true);
	try_pagemap(p);
	p->error[PROBE_MULTI] = broker_has_multi() ? 0 : ENOTSUP;
	libbpf_set_print(print);
}

enum probe_what probe_obstacle(const struct probe *p, enum tier tier)
{
	static const enum probe_what needs[NR_TIERS][7] = {
		[TIER_AUTO] = { PROBE_NR },
		[TIER_FENTRY] = { PROBE_BPF, PROBE_PIDS, PROBE_BTF, PROBE_START, PROBE_FENTRY,
				  PROBE_PERF_ALL, PROBE_NR },
		[TIER_TRACEPOINT] = { PROBE_BPF, PROBE_PIDS, PROBE_BTF, PROBE_START, PROBE_RSS_STAT,
				      PROBE_PERF_ALL, PROBE_NR },
		[TIER_PERF] = { PROBE_PERF_USER, PROBE_NR },
	};
	const enum probe_what *what = needs[tier];

	while (*what != PROBE_NR && !p->error[*what])
		what++;
	return *what;
}

bool probe_tier(const struct probe *p, enum tier tier)
{
	return probe_obstacle(p, tier) == PROBE_NR;
}

const char *probe_name(enum probe_what what)
{
	return items[what].name;
}

const char *probe_use(enum probe_what what)
{
	return items[what].use;
}

const char *probe_remedy(enum probe_what what, const struct probe *p)
{
	bool denied = p->error[what] == EPERM || p->error[what] == EACCES;

	switch (what) {
	case PROBE_BTF:
		return "use a kernel built with CONFIG_DEBUG_INFO_BTF";
	case PROBE_BPF:
		return denied ? "run as root, or with CAP_BPF and CAP_PERFMON"
			      : "use a kernel with BPF and BTF";
	case PROBE_PIDS:
		return "run it on the host, or in a container with --pid=host";
	case PROBE_START:
		return "use a kernel for x86-64 with the exceptions tracepoints";
	case PROBE_FENTRY:
		if (p->error[PROBE_BPF])
			return "run as root, or with CAP_BPF and CAP_PERFMON";
		return "use a kernel with CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS";
	case PROBE_RSS_STAT:
		return "use Linux 6.2 or newer";
	case PROBE_ACCOUNT:
		return p->error[what] == ENOTSUP ? "start the kernel without cgroup_disable=memory"
						 : "use Linux 6.13 or newer";
	case PROBE_PAGEMAP:
		return denied ? "run as root, or with CAP_SYS_PTRACE; own targets need neither"
			      : "use a kernel with CONFIG_PROC_PAGE_MONITOR";
	case PROBE_MULTI:
		return p->error[PROBE_BPF] ? "run as root" : "use Linux 6.10 or newer";
	case PROBE_SCAN:
		return "use Linux 6.7 or newer";
	default:
		if (denied && p->paranoid > 2)
			return "run as root, or lower kernel.perf_event_paranoid to 2";
		return denied ? "run as root or with CAP_PERFMON, or lower "
				"kernel.perf_event_paranoid"
			      : "use a kernel with CONFIG_PERF_EVENTS";
	}
}
