/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Does nothing but BPF map operations, on the CPU it is told. While one is under way the kernel
 * runs no perf_event program on that CPU, also for a process that takes the CPU away in the middle.
 *
 * mapbusy CPU: says "ready", then works until it is killed.
 */
#include <linux/bpf.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static long bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
	return syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

int main(int argc, char **argv)
{
	union bpf_attr attr = { 0 };
	uint64_t key = 0, value = 0;
	cpu_set_t cpus;
	int map;

	if (argc != 2)
		return 64;
	CPU_ZERO(&cpus);
	CPU_SET(atoi(argv[1]), &cpus);
	attr.map_type = BPF_MAP_TYPE_HASH;
	attr.key_size = attr.value_size = sizeof(key);
	attr.max_entries = 65536;
	map = bpf(BPF_MAP_CREATE, &attr);
	if (map < 0 || sched_setaffinity(0, sizeof(cpus), &cpus)) {
		perror("mapbusy");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		memset(&attr, 0, sizeof(attr));
		attr.map_fd = map;
		attr.key = (uintptr_t)&key;
		attr.value = (uintptr_t)&value;
		bpf(BPF_MAP_UPDATE_ELEM, &attr);
		key = (key + 1) % 65536;
	}
}
