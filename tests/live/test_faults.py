#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Known faults: what the tool counts equals what was made, and what the kernel itself counted."""
import contextlib
import os
import re

from lab import (AUTO_TIER, EXPECT_TIER, Cgroup, Faultprof, PageCluster, Setting, Skip, Swap,
                 Target, cases, check, equal, fewer, main, procstat, read, test, tool)


READERS = ("zero_read_faults", "swap_in_faults", "swap_cache_faults", "file_read_faults",
           "file_map_faults", "huge_read_faults", "kernel_write_faults")


def swap_of(stack):
    """Swap with one page a read, so that each page is one fault; returns the cgroup to run in."""
    stack.enter_context(Swap())
    stack.enter_context(PageCluster(0))
    return stack.enter_context(Cgroup())


def run(mode, n, *options):
    """Returns (report, (minor, major) by /proc/PID/stat, the target's own account)."""
    with contextlib.ExitStack() as stack:
        cgroup = swap_of(stack) if "swap" in mode else None
        huge = thp_allocated()
        target = stack.enter_context(Target(mode, n, cgroup=cgroup))
        prof = stack.enter_context(Faultprof("-p", target.pid, *options))
        before = procstat(target.pid)
        account = target.go()
        after = procstat(target.pid)
        if mode == "huge" and thp_allocated() - huge < n:
            raise Skip("the kernel has no huge page to give")
        return prof.report(), (after[0] - before[0], after[1] - before[1]), account


def thp_allocated():
    for line in read("/proc/vmstat").splitlines():
        if line.startswith("thp_fault_alloc "):
            return int(line.split()[1])
    return 0


def check_stall(stall, what):
    check(stall["total"] > 0, what + ": no stall time")
    check(0 < stall["p50"] <= stall["p99"] <= stall["max"] <= stall["total"],
          "%s: stall times are out of order: %r" % (what, stall))


@cases("known", [
    # mode, faults, symbol, kind, mode, major, are all faults of the run of that kind?
    ("zero", 3000, "zero_faults", "zero", "user", False, True),
    ("zero_read", 1000, "zero_read_faults", "zero", "user", False, True),
    ("cow", 1000, "cow_faults", "cow", "user", False, True),
    ("cow_file", 1000, "cow_file_faults", "cow", "user", False, True),
    ("cow_first", 1000, "cow_first_faults", "cow", "user", False, True),
    ("swap_in", 1000, "swap_in_faults", "swap-in", "user", True, True),
    ("swap_cache", 1000, "swap_cache_faults", "swap-cache", "user", False, True),
    ("file_read", 1000, "file_read_faults", "file-read", "user", True, True),
    ("file_map", 500, "file_map_faults", "file-map", "user", False, True),
    ("shmem", 1000, "shmem_faults", "shmem", "user", False, True),
    ("shmem_swap", 1000, "shmem_swap_faults", "shmem", "user", True, True),
    ("huge", 8, "huge_faults", "huge", "user", False, True),
    ("huge_read", 8, "huge_read_faults", "zero", "user", False, True),
    ("dev_zero", 500, "dev_zero_faults", "zero", "user", False, True),
    ("kernel_read", 2000, "kernel_read_faults", "zero", "kernel", False, True),
    ("kernel_write", 2000, "kernel_write_faults", "zero", "kernel", False, True),
    ("thread", 2000, "thread_faults", "zero", "user", False, False),
    ("fork", 1000, "child_faults", "zero", "user", False, False),
])
def known(mode, n, symbol, kind, side, major, alone):
    for _ in range(3):
        report, stat, account = run(mode, n)
        # The kernel drops, or still writes, a page of a new file now and then: not what is meant.
        if not alone or account["majflt" if major else "minflt"] == n:
            break
    if alone:  # a new process or thread may have to map the function's own code, too
        equal(report.symbol(symbol), n, "faults of " + symbol)
    equal(report.symbol(symbol, kind=kind), n, "%s faults of %s" % (kind, symbol))
    equal(report.symbol(symbol, kind=kind, mode=side, module="faults"), n,
          "%s-mode faults of %s in module faults" % (side, symbol))
    equal(report.totals["minor"], stat[0] + account["child_minflt"], "minor")
    equal(report.totals["major"], stat[1] + account["child_majflt"], "major")
    if alone:
        access = "read" if symbol in READERS else "write"
        equal(report.totals["access"][access], n, access + " faults")
        equal(account["majflt" if major else "minflt"], n, "the target's own count")
        equal(report.kind(kind), n, "kind " + kind)
        equal(report.totals["faults"], n, "all faults")
    else:
        check(report.kind(kind) >= n, "kind %s is below %d" % (kind, n))
    for s in report["symbols"]:
        if s["symbol"] == symbol:
            check((s["file"] or "").endswith("faults.c") and s["line"] > 0,
                  "%s stands at %s:%s" % (symbol, s["file"], s["line"]))
            check_stall(s["stall_ns"], symbol)
    if side == "kernel":
        call = mode.rpartition("_")[2]
        by_call = sum(report.symbol(symbol, via=v) for v in (call, "__" + call, "__libc_" + call))
        equal(by_call, n, "faults of %s via %s" % (symbol, call))
        equal(report.totals["kernel"], n, "kernel-mode faults")
    if major:
        deep = sum(s["faults"] for s in report["stacks"]
                   if s["frames"][-1] == symbol and "main" in s["frames"])
        equal(deep, n, "faults with a stack from main to " + symbol)
    check(not report.totals["failed"], "failed faults")
    report.nothing_lost()


@test
def test_swap_race():
    """Threads that wait for each other's reads: a fault may turn out major at the last moment."""
    n = 8000
    report, stat, _ = run("swap_race", n)
    equal((report.totals["minor"], report.totals["major"]), stat, "minor and major")
    check(stat[1] >= n / 16, "only %d major faults" % stat[1])
    race = report.symbol("swap_in_faults")
    equal(report.kind("swap-in") + report.kind("file-read"), stat[1], "kinds that are major")
    check(report.symbol("swap_in_faults", kind="zero") < race / 20, "waits count as first touches")
    # Not nothing_lost(): the threads' stacks may be swapped out, too.
    equal(report.totals["lost"], 0, "lost")


@test
def test_userfault():
    """Another thread brings the page in; kernels differ in whether they call that major."""
    n = 500
    report, stat, _ = run("userfault", n)
    equal(report.symbol("userfault_faults", kind="other"), n, "faults of userfault_faults")
    equal((report.totals["minor"], report.totals["major"]), stat, "minor and major")
    equal(sum(stat), n, "the kernel's own count")
    report.nothing_lost()


def test_known_by_handler():
    """What moves no counter, so that the other tier cannot tell it from a first touch."""
    with Setting("vm/nr_hugepages", 8):
        known("hugetlb", 8, "hugetlb_faults", "huge", "user", False, True)
    with Setting("kernel/numa_balancing", 1):
        report, stat, account = run("hint", 2000)
    check(account["faults"] >= 2000, "only %d NUMA hints" % account["faults"])
    equal(report.kind("other"), stat[0], "hints")
    check(report.symbol("hint_faults", kind="other") > 0.98 * stat[0], "they are not hint_faults'")
    equal(report.totals["faults"], sum(stat), "faults")
    # Not nothing_lost(): a page of the stack may be up for a hint itself, and is not read then.
    equal(report.totals["lost"], 0, "lost")


if EXPECT_TIER == "fentry":
    test(test_known_by_handler)


@test
def test_forks():
    """10,000 children that live for one fault of ours each (and some of their own)."""
    n = fewer(10000, 500)
    report, stat, account = run("forks", n)
    equal(report.symbol("child_faults", kind="zero"), n, "faults of child_faults")
    equal(report.totals["minor"], stat[0] + account["child_minflt"], "minor")
    equal(report.totals["major"], stat[1] + account["child_majflt"], "major")
    report.nothing_lost()


@test
def test_failed():
    """Faults that end in a signal never complete: counted apart."""
    n = 500
    report, stat, _ = run("failed", n)
    equal(report.totals["faults"], sum(stat), "faults")
    equal(report.totals["failed"], n, "failed")
    equal(report.symbol("failed_faults"), 0, "completed faults of failed_faults")


@test
def test_kind_filter():
    report, _, _ = run("fork", 500, "--kind", "cow,zero")
    check(report.kind("zero") >= 500 and report.kind("cow") > 0, "a wanted kind is missing")
    both = report.kind("zero") + report.kind("cow")
    equal(report.totals["faults"], both, "faults of the wanted kinds")
    report, _, _ = run("fork", 500, "--kind", "cow")
    equal(report.symbol("child_faults"), 0, "faults of an unwanted kind")
    check(report.kind("cow") > 0, "the wanted kind is missing")


@test
def test_mode_filter():
    report, _, _ = run("kernel_read", 500, "--mode", "user")
    equal(report.symbol("kernel_read_faults"), 0, "kernel-mode faults with --mode user")
    report, _, _ = run("kernel_read", 500, "--mode", "kernel")
    equal(report.symbol("kernel_read_faults"), 500, "kernel-mode faults with --mode kernel")
    report, _, _ = run("zero", 500, "--mode", "kernel")
    equal(report.totals["faults"], 0, "user-mode faults with --mode kernel")


@test
def test_no_stacks():
    report, _, _ = run("file_read", 300, "--no-stacks")
    equal(report["stacks"], [], "stacks with --no-stacks")
    equal(report.symbol("file_read_faults", kind="file-read"), 300, "faults")


@test
def test_slow():
    """With --slow 1 nearly all of these travel one by one: nothing may count twice."""
    report, stat, _ = run("cow", 2000, "--slow", "1")
    equal(report.symbol("cow_faults", kind="cow"), 2000, "faults")
    equal(report.totals["minor"], stat[0], "minor")
    check(sum(s["faults"] for s in report["stacks"]) > 0, "no slow fault has a stack")


def possible(tier):
    """What the kernel cannot give: fentry is refused by some, the counters are exact since 6.2."""
    if tier == "tracepoint":
        return tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) >= (6, 2)
    return tier != "fentry" or AUTO_TIER == "fentry"


@cases("tier", [("fentry",), ("tracepoint",), ("perf",)])
def tier(name):
    """Every tier that can be forced counts the same; one that cannot is refused in one line."""
    with Target("zero", 1) as target:
        trial = tool("-p", target.pid, "--tier", name, "-d", "1", "--format", "json")
    if trial.rc and not possible(name):
        equal(trial.rc, 1, "exit code")
        equal(len(trial.err.splitlines()), 1, "number of lines of %r" % trial.err)
        check(name in trial.err, "%r does not mention the tier" % trial.err)
        return
    report, stat, _ = run("zero", 1000, "--tier", name)
    check(name in report["tier"], "the report calls its tier %r" % report["tier"])
    equal(report.symbol("zero_faults", kind="zero"), 1000, "faults")
    equal(report.totals["faults"], sum(stat), "all faults")
    report, stat, _ = run("file_read", 300, "--tier", name)
    equal(report.symbol("file_read_faults", kind="file-read"), 300, "faults")
    equal(report.totals["major"], stat[1], "major")
    if name == "perf":
        equal(report.totals["stall_ns"], None, "the stall time that this tier cannot know")


main()
