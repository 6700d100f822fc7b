#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Providers: which are loaded and which refused, what every process gets, and that nothing moves."""
import ctypes
import os
import shutil
import subprocess
import time

from lab import (BUILD, Cgroup, Cold, Faultprof, LargeSwap, PAGE, STORM_SECONDS, Scratch, Target, cases,
                 cases_on_host, check, equal, main, procstat, refused, status, swapped_in, test_on_host, tool)

# FAULTPROF_STORM=60: that many seconds over 1 GB.
MEGABYTES = 1024 if "FAULTPROF_STORM" in os.environ else 200
BATCHES = 4
EXAMPLE = os.path.join(BUILD, "provider_coldproxy.so")


def copy(scratch, source=EXAMPLE, mode=0o644, directory=0o755):
    """A provider in a directory of its own."""
    where = os.path.join(scratch, "lib")
    os.mkdir(where)
    os.chmod(where, directory)
    path = os.path.join(where, "provider.so")
    shutil.copy(source, path)
    os.chmod(path, mode)
    return path


def with_abi(scratch, abi):
    """The example, as if it had been compiled for another interface: it is the first member."""
    path = copy(scratch)
    library = ctypes.CDLL(EXAMPLE)
    provider = ctypes.c_uint32.in_dll(library, "faultprof_provider")
    with open("/proc/self/maps") as maps:
        base = min(int(line.split("-")[0], 16) for line in maps if line.strip().endswith(EXAMPLE))
    # Relocations leave it alone, so the file holds the number where a segment has it.
    equal(provider.value, 1, "the interface that the example is made for")
    address = ctypes.addressof(provider) - base
    out = subprocess.run(["readelf", "-lW", path], stdout=subprocess.PIPE,
                         universal_newlines=True, check=True).stdout
    for line in out.splitlines():
        words = line.split()
        if words[:1] == ["LOAD"]:
            offset, start, size = int(words[1], 16), int(words[2], 16), int(words[4], 16)
            if start <= address < start + size:
                with open(path, "r+b") as file:
                    file.seek(address - start + offset)
                    file.write(abi.to_bytes(4, "little"))
    return path


@cases_on_host("refused", [
    ("unknown name", lambda _: "nope", ["no provider 'nope'", "./nope"]),
    ("missing file", lambda _: "/no/such.so", ["/no/such.so", "No such file"]),
    ("not a library", lambda s: copy(s, "/etc/passwd"), ["no provider"]),
    ("another library", lambda s: copy(s, "/lib/x86_64-linux-gnu/libm.so.6"),
     ["no provider", "faultprof_provider"]),
    ("another interface", lambda s: with_abi(s, 4711), ["4711", "rebuild"]),
    ("others write the file", lambda s: copy(s, mode=0o646), ["provider.so", "other users"]),
    ("the group writes its directory", lambda s: copy(s, directory=0o775), ["lib", "other users"]),
    ("others write its directory", lambda s: copy(s, directory=0o1777), ["lib", "other users"]),
])
def refusal(_, path, words):
    with Scratch() as scratch:
        os.chmod(scratch, 0o755)
        refused(tool("--provider", path(scratch), "--", "/bin/true"), 1, *words)


@test_on_host
def test_accepted():
    """Below a sticky directory, and by a link; asked before those built in."""
    with Scratch() as scratch:
        link = os.path.join(scratch, "link.so")
        os.symlink(copy(scratch), link)
        with Target("zero", 100) as target:
            with Faultprof("-p", target.pid, "--provider", link) as prof:
                target.go()
                prof.report().nothing_lost()


def objects(report, provider="mapping"):
    """Faults by (type, pool)."""
    found = {}
    for o in report["objects"]:
        if o["provider"] == provider:
            found[o["type"], o["pool"]] = found.get((o["type"], o["pool"]), 0) + o["faults"]
    return found


# Where the pages of a mode lie, as its source says.
@cases("mapped", [
    ("zero", 500, ("anonymous", None)),
    ("thread", 500, ("anonymous", None)),
    ("file_map", 500, ("file", None)),
    ("shmem", 500, ("shared memory", None)),
])
def mapped(mode, n, where):
    """--slow 0: each fault comes with its address."""
    with Target(mode, n) as target, Faultprof("-p", target.pid, "--slow", "0") as prof:
        target.go()
        report = prof.report().nothing_lost()
    found = objects(report)
    total = sum(faults for (kind, _), faults in found.items() if kind == where[0])
    check(n <= total <= n + 50, "%s: %r" % (mode, found))
    equal(report.totals["addressed"], report.totals["faults"], "faults with an address")
    equal(sum(o["faults"] for o in report["objects"]) + report.totals["unknown"] +
          report.totals["unowned"], report.totals["faults"], "the sum of objects")


@test_on_host
def test_none():
    with Target("zero", 100) as target:
        with Faultprof("-p", target.pid, "--slow", "0", "--provider", "none") as prof:
            target.go()
            report = prof.report().nothing_lost()
    equal((report["objects"], report["targets"][0]["provider"]), ([], None), "with no provider")


@test_on_host
def test_observer():
    """What is swapped out and idle stays so, with all providers and scans at work; what is swapped
    out after all that is noticed soon."""
    with LargeSwap(), Cgroup() as cgroup, Cold(MEGABYTES, cgroup) as target:
        target.do("out", 0, target.bytes // PAGE)
        cgroup.reclaim()
        with Faultprof("-p", target.pid, "--provider", "malloc,%s" % EXAMPLE) as prof:
            # Breakpoints have been set, and the libraries with the allocators are in memory again.
            before = procstat(target.pid), status(target.pid, "VmSwap"), swapped_in()
            time.sleep(STORM_SECONDS - 1.5)
            after = procstat(target.pid), status(target.pid, "VmSwap"), swapped_in()
            for batch in range(BATCHES):
                first = batch * 100
                target.do("touch", first, 50)
                time.sleep(batch % 2 * 0.2)  # else as much is swapped out as before, at once
                target.do("out", first, 50)
                time.sleep(0.3)
                target.do("touch", first, 50)
            time.sleep(0.2)
            report = prof.report()
    equal(after, before, "(minor, major) faults, VmSwap, pswpin")
    # The program needs a page or two of its own for that.
    check(0 <= report.totals["faults"] - BATCHES * 100 <= 50, "%d faults" % report.totals["faults"])
    swapped = [o["swapped_s"] for o in report["objects"] if o["swapped_s"]["faults"]]
    equal([s["faults"] for s in swapped], [BATCHES * 50], "faults whose page was out for a known time")
    check(0.05 < swapped[0]["p50"] and swapped[0]["max"] < 0.5, "they were out for %s" % swapped)


main()
