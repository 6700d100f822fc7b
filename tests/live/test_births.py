#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Objects of malloc and its like through the tool: the target says what it made, and when.

Its objects are so large that glibc maps each of them anew: no page of them is touched before the
target says so. What births.c itself knows is tested in tests/unit/test_births.c.
"""
import os
import re
import subprocess
import time

from lab import (BUILD, VM, Faultprof, Setting, Skip, as_user, cases_on_host, check, end, equal,
                 main, near, need_root, start, status, test, test_on_host, tool, wait_for)

LIB = "/usr/lib/x86_64-linux-gnu/"
SIZE, NR = 256 << 10, 10
ROOM = 0.05  # seconds from the target's look at the clock to its last fault
SYS_ADMIN, PERFMON, BPF = 1 << 21, 1 << 38, 1 << 39


class Alloc:
    """tests/live/alloc.c"""

    def __init__(self, name="alloc", preload=None, prefix=()):
        binary = os.path.join(BUILD, "tests", name)
        check(os.access(binary, os.X_OK), binary + " is not there: make lives")
        if preload and not os.access(LIB + preload, os.R_OK):
            raise Skip("no " + preload)
        env = dict(os.environ, **({"LD_PRELOAD": LIB + preload} if preload else {}))
        self.process = start(list(prefix) + [binary], stdin=subprocess.PIPE, env=env,
                             stdout=subprocess.PIPE, universal_newlines=True)
        self.pid = self.process.pid
        self._answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()
        end(self.process)

    def _answer(self):
        lines = []
        while True:
            line = self.process.stdout.readline()
            check(line, "the target has ended")
            if line == ".\n":
                return lines
            lines.append(line.split())

    def do(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def touch(self):
        """By allocator, and "all": pages, ages in seconds of the oldest and the youngest object."""
        return {name: (int(pages), int(oldest) / 1e9, int(youngest) / 1e9)
                for name, pages, oldest, youngest in self.do("touch")}


def watch(target, *options):
    return Faultprof("-p", target.pid, "--slow", 0, "--provider", "malloc", *options)


def objects(report, key="objects", **match):
    return [o for o in report[key] if all(o[k] == v for k, v in match.items())]


def only(report, key="objects", **match):
    found = objects(report, key, **match)
    equal(len(found), 1, "%s like %r among %r" % (key, match, [(o["provider"], o["type"])
                                                              for o in report[key]]))
    return found[0]


def in_two_batches(target, hows, *options):
    """Half of them older than the others: (the target's account, what was reported)."""
    with watch(target, *options) as prof:
        for pause in (0.6, 0.2):
            for how in hows:
                target.do("hold", NR, SIZE, how)
            time.sleep(pause)
        truth = target.touch()
        report = prof.report()
    check(not any("watched functions" in w for w in report["warnings"]), "it is not busy")
    return truth, report


def agree(truth, seen):
    pages, oldest, youngest = truth
    equal(seen["faults"], pages, "faults")
    equal(seen["age_source"], "alloc", "the source of the age")
    check(0 <= seen["age_s"]["max"] - oldest <= ROOM,
          "the oldest is %s s old, not %s" % (seen["age_s"]["max"], oldest))
    near(seen["age_s"]["p90"], oldest, 0.07, "p90 of the ages", ROOM)
    check(seen["age_s"]["p50"] < oldest - 0.3, "no object of the younger batch")


TYPES = {"_Znam": "operator new[]", "_ZnwmSt11align_val_t": "operator new", "malloc": "malloc",
         "calloc": "calloc", "realloc": "realloc", "aligned_alloc": "aligned_alloc",
         "posix_memalign": "posix_memalign"}
CALLERS = ["main", "obey", "hold", "enter", "call"]


def lives(report, name, pages):
    """All that was made is there, and what was touched is present."""
    row = only(report, "census", type=name)
    equal(row["objects"], 2 * NR, "living objects of " + name)
    equal(row["bytes"], 2 * NR * SIZE, "their bytes")
    check(pages * 4096 <= row["present_bytes"] <= row["bytes"], "present: %r" % row)
    equal(row["swapped_bytes"], 0, "swapped bytes")
    equal([age["objects"] for age in row["ages"]], [2 * NR, 0, 0, 0, 0, 0, 0], "ages")


# None of those that count every fault under emulation: the time that is spent on looking objects up
# is bounded, and not enough there.
@test_on_host
def test_types():
    """Who made it, when, and who called for it; a function that calls another one has made it, not
    that one."""
    need_root()
    with Alloc(preload="libstdc++.so.6") as target:
        truth, report = in_two_batches(target, TYPES, "--alloc-stacks")
    equal({o["type"] for o in objects(report, provider="malloc")}, set(TYPES.values()), "types")
    for how, name in TYPES.items():
        agree(truth[how], only(report, type=name))
        lives(report, name, truth[how][0])
        callers = only(report, "allocations", type=name)
        equal(callers["faults"], truth[how][0], "faults of what %s allocated" % name)
        equal([f for f in callers["frames"] if f in CALLERS], CALLERS, "callers of " + name)
    made = 2 * NR * len(TYPES)
    equal(sum(age["objects"] for age in report["object_ages"]["ages"]), made, "living objects")
    equal(sum(age["hit"] for age in report["object_ages"]["ages"]), made, "those that were hit")
    equal(report["allocation_faults"], {"faults": truth["all"][0], "cut": 0, "unknown": 0,
                                        "unlisted": 0}, "allocation_faults")


@cases_on_host("allocators", [
    ("jemalloc", "alloc", "libjemalloc.so.2"),
    ("tcmalloc", "alloc", "libtcmalloc_minimal.so.4"),
    ("static", "alloc-static", None),
])
def test_allocators(_, binary, preload):
    """Found by name, wherever they are. Some touch pages before they give them out."""
    need_root()
    with Alloc(binary, preload) as target:
        truth, report = in_two_batches(target, ["malloc"])
    pages, oldest, _ = truth["malloc"]
    seen = only(report, provider="malloc", type="malloc")
    check(pages * 0.9 <= seen["faults"] <= pages, "%d faults of %d" % (seen["faults"], pages))
    check(0 <= seen["age_s"]["max"] - oldest <= ROOM, "the oldest: %s, not %s" % (seen, oldest))


@test_on_host
def test_alloc_fn():
    """A function of the program's own, which takes from malloc what it gives."""
    need_root()
    with Alloc() as target:
        truth, report = in_two_batches(target, ["pool_alloc"], "--alloc-fn",
                                       "alloc=pool_alloc,free=pool_free,size=1,object=1")
    agree(truth["pool_alloc"], only(report, provider="malloc", type="pool_alloc"))
    equal(objects(report, type="malloc"), [], "objects of malloc")


@test
def test_alloc_fn_unknown():
    need_root()
    with Alloc() as target, watch(target, "--alloc-fn", "alloc=nobody,free=free,size=0") as prof:
        report = prof.report()
    check(any("nobody" in w for w in report["warnings"]), "no word of it: %r" % report["warnings"])


@test_on_host
def test_alloc_min():
    need_root()
    with Alloc() as target:
        truth, report = in_two_batches(target, ["malloc"], "--alloc-min", SIZE + 1)
    equal(objects(report, provider="malloc"), [], "objects of malloc")
    check(sum(o["faults"] for o in objects(report, provider="mapping")) >= truth["all"][0],
          "of the mapping")
    equal(report["allocation_faults"], None, "what nobody asked for")


@test_on_host
def test_older_than_the_run():
    """Not known to malloc; and what was given back is nobody's."""
    need_root()
    with Alloc() as target:
        target.do("hold", 20, SIZE)
        with watch(target) as prof:
            pages, _, _ = target.touch()["all"]
            target.do("drop")
            report = prof.report()
    equal(objects(report, provider="malloc"), [], "objects of malloc")
    check(sum(o["faults"] for o in objects(report, provider="mapping")) >= pages, "of the mapping")


@test_on_host
def test_exec():
    """Another program in the same process has other allocators, and none of the old objects."""
    need_root()
    with Alloc() as target, watch(target) as prof:
        target.do("hold", 20, SIZE)
        target.do("exec")
        wait_for(lambda: not target.touch()["all"][0], 5, "the new program")
        time.sleep(1)  # it is met at its first fault, and watched then
        target.do("hold", 20, SIZE)
        time.sleep(0.3)
        pages, _, _ = target.touch()["all"]
        report = prof.report()
    equal(only(report, provider="malloc", type="malloc")["faults"], pages, "faults")


@test
def test_stacks():
    """A function whose return is watched hides its caller from nobody."""
    wanted = CALLERS + ["operator new(unsigned long)", "malloc"]
    need_root()
    with Alloc(preload="libstdc++.so.6") as target, watch(target, "--alloc-stacks") as prof:
        target.do("hold", 2000, 8192, "_Znam")  # the heap grows: glibc touches each new page first
        report = prof.report()
    stacks = [s for s in report["stacks"] if "malloc" in s["frames"][-1]]
    check(sum(s["faults"] for s in stacks) >= 2000, "faults in malloc: %r" % stacks)
    for s in stacks:
        equal([f for f in s["frames"] if f in wanted], wanted, "callers in %r" % s)
    check(report["allocation_faults"], "allocations are not watched")
    # The page in which the kernel executes what its breakpoints replaced is touched for the first
    # time, too, and nobody unwinds from there.
    check(report["losses"]["stack"] <= 2, "losses.stack is %d" % report["losses"]["stack"])


@test
def test_busy():
    """Whoever slows a target down too much is told so, also after half a second. The rate and its
    bound are tested in tests/unit/test_births.c."""
    need_root()
    with Alloc() as target, watch(target) as prof:
        deadline = time.monotonic() + (3 if VM else 0.4)
        while time.monotonic() < deadline:
            target.do("pace", 20000, 64)
        report = prof.report()
    check(any("watched functions" in w for w in report["warnings"]),
          "no warning: %r" % report["warnings"])


def helper_of(prof):
    return [int(p) for p in os.listdir("/proc") if p.isdigit() and
            status_or_none(p, "PPid") == str(prof.pid) and
            int(status_or_none(p, "CapEff") or "0", 16) & BPF]


def has_links():
    """Of uprobes alone; perf events need more."""
    return bool(re.search(r"uprobe\.multi +works", tool("--probe").out))


def status_or_none(pid, key):
    try:
        return status(int(pid), key)
    except OSError:
        return None


@test
def test_privileges():
    """One helper has what attaching needs, the tool itself nothing of it; and it goes with it."""
    need_root()
    with Alloc() as target, watch(target) as prof:
        equal(int(status(prof.pid, "CapPrm"), 16) & (SYS_ADMIN | PERFMON | BPF), 0,
              "capabilities of the tool")
        helpers = helper_of(prof)
        equal(len(helpers), 1, "number of helpers")
        for key in ("CapPrm", "CapEff"):
            equal(int(status(helpers[0], key), 16),
                  BPF if has_links() else SYS_ADMIN | PERFMON | BPF, key + " of the helper")
        names = [os.readlink("/proc/%d/fd/%s" % (helpers[0], fd))
                 for fd in os.listdir("/proc/%d/fd" % helpers[0])]
        equal([n for n in names if not re.match(r"socket:|anon_inode:.*(bpf|perf)", n)], [],
              "its other descriptors")
        end(prof.process, 9)
    wait_for(lambda: status_or_none(helpers[0], "State") in (None, "Z"), 10, "the helper's end")


@test
def test_refused():
    """Without the right to attach there is a report all the same, and it says what it lacks: perf
    events, which children that are not watched make necessary, want more than links do."""
    with Setting("kernel/perf_event_paranoid", 2), Alloc() as target:
        result = tool("-p", target.pid, "-d", 0.3, "--provider", "malloc", "--format", "json",
                      "--no-inherit",
                      prefix=as_user("bpf", "perfmon", "sys_ptrace", "dac_read_search"))
    report = result.json()
    if not VM:  # Linux 6.1 asks for less
        check(any("uprobes need root" in w for w in report["warnings"]),
              "no word of it: %r" % report["warnings"])


main()
