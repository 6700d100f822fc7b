/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The few kernel types that the programs look into, by CO-RE: only the named members matter, and
 * libbpf finds their offsets in the running kernel. Written by hand, so that a build needs no BTF
 * of the machine it runs on.
 */
#ifndef BPF_KERNEL_H
#define BPF_KERNEL_H

#include <linux/bpf.h>
#include <stdbool.h>

typedef __u8 fp_u8;
typedef __u16 fp_u16;
typedef __u32 fp_u32;
typedef __u64 fp_u64;
typedef __s32 fp_s32;
#define INT32_MIN (-2147483647 - 1)

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "faultprof/event.h"

/* Fixed by the x86-64 ABI of signals and ptrace, so no CO-RE. */
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di;
	unsigned long orig_ax, ip, cs, flags, sp, ss;
};

struct bpf_perf_event_data {
	struct pt_regs regs;
	__u64 sample_period, addr;
};

#include <bpf/bpf_tracing.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

struct percpu_counter {
	__s64 count;
	__s32 *counters;
};

struct task_struct;

struct mm_struct {
	struct percpu_counter rss_stat[4];
	struct task_struct *owner;
};

struct signal_struct {
	atomic_t live;
};

struct return_instance {
	unsigned long stack, orig_ret_vaddr;
	struct return_instance *next;
};

struct uprobe_task {
	struct return_instance *return_instances;
};

struct task_struct {
	int pid, tgid;
	unsigned int flags;
	int pagefault_disabled;
	unsigned long min_flt, maj_flt, nvcsw;
	struct mm_struct *mm;
	struct signal_struct *signal;
	struct uprobe_task *utask;
	char comm[16];
};

struct super_block {
	unsigned long s_magic;
};

struct inode {
	struct super_block *i_sb;
};

struct file {
	struct inode *f_inode;
};

struct vm_area_struct {
	unsigned long vm_flags;
	const struct vm_operations_struct *vm_ops;
	struct file *vm_file;
};

typedef struct {
	unsigned long pte;
} pte_t;

struct bpf_array {
	__u32 elem_size;
	void *pptrs[];
};

struct vm_fault {
	pte_t orig_pte;
};

struct mem_cgroup;
enum vm_event_item { PGFAULT = 1, PGMAJFAULT };

struct bpf_iter__task {
	struct task_struct *task;
};

#pragma clang attribute pop

/* enum of include/linux/mm_types_task.h: an ABI of the rss_stat tracepoint */
enum { MM_FILEPAGES, MM_ANONPAGES, MM_SWAPENTS, MM_SHMEMPAGES };

/* x86 page-fault error code */
#define PF_PRESENT 1
#define PF_WRITE 2
#define PF_INSTR 16

/* of task_struct.flags */
#define PF_EXITING 4
#define PF_MEMALLOC 0x800

#define PAGE_SHIFT 12
#define PAGE_SIZE (1UL << PAGE_SHIFT)
#define VM_SHARED 0x8UL
#define VM_HUGETLB 0x400000UL
#define VM_FAULT_FALLBACK 0x800
#define TMPFS_MAGIC 0x01021994UL
/* The five top bits of a swap entry are its type; from here on they mean migration, markers, … */
#define SWAP_TYPE_SHIFT 59
#define SWAP_TYPE_SPECIAL 23

#endif
