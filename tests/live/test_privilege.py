#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Least privilege: what the tool needs, what it gives back, and what is left without any."""
import os
import re

from lab import (FAULTS, VM, Faultprof, Scratch, Setting, Target, as_user, check, equal, main, need,
                 need_root, procstat, public, read, status, test, tool)

DAC_READ_SEARCH, SYS_PTRACE = 1 << 2, 1 << 19
ALLOWED = DAC_READ_SEARCH | SYS_PTRACE
FOUR = ("bpf", "perfmon", "sys_ptrace", "dac_read_search")


def given_back(pid):
    """While it collects, no thread of the tool has more than two capabilities, or can get them."""
    for task in os.listdir("/proc/%d/task" % pid):
        for key in ("CapEff", "CapPrm", "CapAmb"):
            held = int(status(int(task), key), 16)
            check(not held & ~ALLOWED, "thread %s still holds %s %x" % (task, key, held & ~ALLOWED))


@test
def test_four_capabilities():
    """An ordinary user with four capabilities profiles a process of root."""
    prefix = as_user(*FOUR)
    with Setting("kernel/perf_event_paranoid", 2), Target("kernel_read", 800) as target, \
            Faultprof("-p", target.pid, prefix=prefix) as prof:
        equal(status(prof.pid, "Uid"), "65534", "the tool's user")
        given_back(prof.pid)
        before = procstat(target.pid)
        target.go()
        after = procstat(target.pid)
        report = prof.report()
    equal(report.symbol("kernel_read_faults", kind="zero", mode="kernel"), 800, "faults")
    equal(report.totals["faults"], sum(after) - sum(before), "all faults")
    check("perf" not in report["tier"].split()[0], "fell back to %r" % report["tier"])
    report.nothing_lost()


def test_paranoid():
    """Above 2 the kernels of Debian and Ubuntu want CAP_SYS_ADMIN: it says what to do."""
    with Setting("kernel/perf_event_paranoid", 3), Target("loop", 100) as target:
        result = tool("-p", target.pid, "-d", "1", prefix=as_user(*FOUR))
    equal(result.rc, 1, "exit code")
    equal(len(result.err.splitlines()), 1, "number of lines of %r" % result.err)
    check("perf_event_paranoid to 2" in result.err, "no remedy in %r" % result.err)


if VM:  # other kernels know no such level
    test(test_paranoid)


@test
def test_root_gives_back():
    need_root()
    with Target("zero", 500) as target, Faultprof("-p", target.pid) as prof:
        given_back(prof.pid)
        target.go()
        report = prof.report()
    equal(report.symbol("zero_faults", module="faults"), 500, "faults")


@test
def test_gives_back_before_parsing():
    """No byte of a target's ELF is read while a capability is left that is not needed for that."""
    need_root()
    need("strace")
    with Scratch() as place, Target("zero", 500) as target:
        log = os.path.join(place, "strace")
        prof = tool("-p", target.pid, "-d", "1", "--format", "json",
                    prefix=["strace", "-f", "-y", "-e", "trace=read,pread64,mmap,capset", "-o", log])
        equal(prof.rc, 0, "exit code (%s)" % prof.err.strip())
        calls = read(log).splitlines()
    capsets = [i for i, line in enumerate(calls) if "capset(" in line]
    parsed = [i for i, line in enumerate(calls)
              if re.search(r"(read|pread64|mmap)\(.*<[^>]*/%s>" % os.path.basename(FAULTS), line)]
    check(parsed, "the target's ELF was never read: %r" % calls[-3:])
    check(capsets and max(capsets) < min(parsed), "the ELF was read at call %s, capabilities given "
          "back at %s" % (parsed[:3], capsets))
    last = re.search(r"effective=(\S+?),", calls[max(capsets)]).group(1)
    kept = set(re.sub(r"1<<", "", last).split("|"))
    check(kept <= {"CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"}, "kept: %s" % last)


def unprivileged(mode, n):
    prefix = as_user()
    env = {"FAULTS_DIR": "/tmp"}
    with Setting("kernel/perf_event_paranoid", 2), \
            Target(mode, n, prefix=prefix, binary=public(FAULTS), env=env) as target, \
            Faultprof("-p", target.pid, prefix=prefix, tier="perf") as prof:
        target.go()
        return prof.report()


@test
def test_ordinary_user():
    """No privilege at all: user-mode faults of one's own process, and the report says so."""
    report = unprivileged("zero", 900)
    equal(report.symbol("zero_faults", mode="user", module="faults"), 900, "faults of zero_faults")
    equal(report.totals["faults"], 900, "faults")
    check("perf" in report["tier"], "the tier is %r" % report["tier"])
    check(any("user" in w and "kernel" in w for w in report["warnings"]),
          "no warning that kernel-mode faults are not seen: %r" % report["warnings"])
    equal(report.totals["stall_ns"], None, "totals.stall_ns")
    for s in report["symbols"]:
        equal(s["stall_ns"] and s["stall_ns"]["max"], None, "stall of " + s["symbol"])


@test
def test_ordinary_user_kernel_mode():
    """What is not seen is not made up."""
    report = unprivileged("kernel_read", 900)
    check(report.totals["faults"] < 900, "kernel-mode faults without privilege?")
    equal(report.symbol("kernel_read_faults", mode="kernel"), 0, "kernel-mode faults")


main()
