#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Recordings: their report is that of the run, whole or cut off, here or elsewhere."""
import json
import os
import re
import resource
import shutil
import signal
import struct
import subprocess
import tarfile
import time
import zlib

from lab import (BUILD, FAULTPROF, FAULTS, Cgroup, PageCluster, Scratch, Swap, Target, as_user,
                 cases_on_host, check, equal, main, provider, read, refused, start, test_on_host,
                 tool, wait_for)

SITE, FAULT, COUNTED = 7, 10, 11  # types of records


def records(path):
    """(type, bytes) of each record; by the description in src/collect/recording.h."""
    def number(at):
        value = shift = 0
        while True:
            value |= (plain[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if plain[at - 1] < 128:
                return value, at

    with open(path, "rb") as file:
        equal(file.read(16)[:8], b"faultprf", "magic")
        while True:
            head = file.read(12)
            if not head:
                return
            packed, unpacked, checksum = struct.unpack("<III", head)
            plain = file.read(packed)
            equal(zlib.crc32(head[:8] + plain), checksum, "checksum")
            if packed != unpacked:
                plain = zlib.decompress(plain)
            at = 0
            while at < unpacked:
                begin = at
                kind, at = number(at)
                size, at = number(at)
                at += size
                yield kind, at - begin


def contents(path):
    with open(path, "rb") as file:
        return file.read()


def replayed(path, *args, rc=0, prefix=()):
    result = tool("report", path, *args, prefix=prefix)
    equal(result.rc, rc, "exit code (%s)" % result.err.strip())
    return result


def faults_in(result):
    """The last one of a thread is counted when there is another one, or at the end."""
    return int(re.search(r": ([\d,]+) faults?,", result.out).group(1).replace(",", ""))


class Recorder:
    """faultprof record, collecting."""

    def __init__(self, *args):
        self.err = open(os.path.join(args[1] + ".err"), "w+")
        self.process = start([FAULTPROF, "record", "-v"] + [str(a) for a in args],
                             stdin=subprocess.DEVNULL, stderr=self.err)
        wait_for(lambda: "collecting" in read(self.err.name), 30, "faultprof record: collecting")

    def stop(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return self.process.wait(30)


@test_on_host
def test_formats():
    """Some of them; tests/unit/test_recording.c has all."""
    with Scratch() as place:
        for form in "text", "json", "pprof":
            path, report, later = (os.path.join(place, name) for name in ("run.fp", "now", "later"))
            tier = ["--tier", "perf"] if form == "text" else []  # it has warnings
            done = tool("record", "-o", path, "--report", report, "--format", form, *tier, "--",
                        "ls", "/")
            equal(done.rc, 0, "exit code (%s)" % done.err.strip())
            check(os.path.getsize(report) > 20, "the report is %r" % contents(report))
            replayed(path, "--format", form, "-o", later)
            check(contents(later) == contents(report), form + " of the recording is another one")


@test_on_host
def test_allocations():
    """Who allocated what was hit."""
    with Scratch() as place:
        path, report = (os.path.join(place, name) for name in ("run.fp", "report"))
        done = tool("record", "-o", path, "--report", report, "--format", "json", "--alloc-stacks",
                    "--alloc-min", 1 << 20, "--slow", 0, "--", "python3", "-c",
                    "import time; time.sleep(0.5); b = [bytearray(1 << 20) for i in range(9)]")
        equal(done.rc, 0, "exit code (%s)" % done.err.strip())
        stacks = [a["frames"] for a in json.loads(read(report))["allocations"]]
        check(any("PyByteArray_Resize" in s or len(s) > 5 for s in stacks), "stacks: %s" % stacks)
        equal(replayed(path, "--format", "json").out, read(report), "the report of the recording")


@test_on_host
def test_one_by_one():
    """Faults with an address and a stack; and what such a recording weighs."""
    with Scratch() as place, Swap(), PageCluster(0), Cgroup() as group, \
            Target("swap_in", 1000, cgroup=group) as target:
        path, report = (os.path.join(place, name) for name in ("run.fp", "report"))
        recorder = Recorder("-o", path, "-p", target.pid, "--report", report, "--format", "json")
        target.go()
        equal(recorder.stop(), 0, "exit code")
        equal(replayed(path, "--format", "json").out, read(report), "the report of the recording")
        check('"swap_in_faults"' in read(report), "no symbol")
        # Not the same report, and none of the run either, but one that adds up.
        some = tool("report", path, "--format", "json", "--kind", "swap-in", "--no-stacks",
                    tier="").json().consistent()
        equal(some.kind("swap-in"), 1000, "faults from swap")
        equal(some["stacks"], [], "stacks")
        check(os.path.getsize(path) < 1000 * 256, "%d bytes for 1,000 faults" %
              os.path.getsize(path))
        equal(sum(kind == FAULT for kind, _ in records(path)), 1000, "records of one fault")
        equal(replayed(path, prefix=as_user()).err, "", "what an ordinary user is told")
        origin = replayed(path, "-v").err
        check(os.uname().release in origin and time.strftime("%Y-%m-%dT", time.gmtime()) in origin,
              "where it comes from: " + origin)


@test_on_host
def test_objects():
    """What faults hit, of which connection, how old, and what lived at the end."""
    with Scratch() as place, Swap(), PageCluster(0), Cgroup() as group, \
            Target(os.path.join(place, "truth"), 300, "1", group,
                   binary=os.path.join(BUILD, "tests", "owner")) as target:
        path, report = (os.path.join(place, name) for name in ("run.fp", "report"))
        group.squeeze(target.pid)
        recorder = Recorder("-o", path, "-p", target.pid, "--report", report, "--format", "json",
                            "--provider", provider("tests/provider_owner"))
        target.go()
        equal(recorder.stop(), 0, "exit code")
        equal(replayed(path, "--format", "json").out, read(report), "the report of the recording")
        told = json.loads(read(report))
        check(len(told["connections"]) > 100 and told["objects"],
              "the provider told of %d connections" % len(told["connections"]))


@test_on_host
def test_counted():
    """What the kernel counted: in each second, and in few bytes."""
    with Scratch() as place, Target("sites", 512) as target:
        path, report = (os.path.join(place, name) for name in ("run.fp", "report"))
        recorder = Recorder("-o", path, "-p", target.pid, "--report", report, "--top", "0")
        target.go()
        wait_for(lambda: faults_in(replayed(path)) >= 511, 10, "a first interval")
        check("is being recorded" in replayed(path).out, "that it goes on is not told")
        equal(recorder.stop(), 0, "exit code")
        equal(replayed(path, "--top", "0").out, read(report), "the report of the recording")
        sizes = [size for kind, size in records(path) if kind in (SITE, COUNTED)]
        check(sum(sizes) / len(sizes) <= 32, "%d bytes in %d records" % (sum(sizes), len(sizes)))


@test_on_host
def test_archive():
    """Without the program, there are no names; with what the archive holds, there are again."""
    with Scratch() as place:
        program, path, there = (os.path.join(place, name) for name in ("gone", "run.fp", "there"))
        shutil.copy(FAULTS, program)
        done = tool("record", "-o", path, "--", program, "now", "300")
        equal(done.rc, 0, "exit code (%s)" % done.err.strip())
        here = replayed(path)
        check("zero_faults faults.c:" in here.out, "no names in " + here.out)
        equal(tool("archive", path).rc, 0, "exit code of archive")
        refused(tool("archive", path, "-o", os.path.join(place, "run.what")), 1, "run.what", ".tar")
        os.unlink(program)
        nameless = replayed(path).out
        check("zero_faults faults.c:" not in nameless and "its file is not here" in nameless,
              "reported is " + nameless)
        with tarfile.open(path + ".tar.gz") as archive:
            archive.extractall(there)
        check(not os.path.exists(os.path.join(place, "run.what")), "there is a part of an archive")
        equal(replayed(os.path.join(there, "run.fp")).out, here.out, "the report elsewhere")
        equal(replayed(path, "--debug-dir", there).out, here.out, "the report with --debug-dir")


@test_on_host
def test_diff():
    """The faults of both, each once."""
    with Scratch() as place:
        paths = [os.path.join(place, name) for name in ("a.fp", "b.fp")]
        for path, n in zip(paths, ("300", "400")):
            equal(tool("record", "-o", path, "--", FAULTS, "now", n).rc, 0, "exit code")
        diff = json.loads(tool("diff", *paths, "--format", "json").out)
        for side, path in zip("ab", paths):
            whole = tool("report", path, "--format", "json", tier="").json()
            equal(diff[side]["faults"], whole.totals["faults"], "faults")
            for kind in diff["kinds"]:
                equal(kind[side]["faults"], whole.kind(kind["kind"]), kind["kind"])
            equal(sum(s[side]["faults"] for s in diff["symbols"]), whole.totals["faults"],
                  "faults by symbol")
        made = [s for s in diff["symbols"] if s["symbol"] == "zero_faults"]
        equal([(s["a"]["faults"], s["b"]["faults"]) for s in made], [(300, 400)], "zero_faults")
        refused(tool("diff", paths[0]), 64, "diff")
        refused(tool("diff", *paths, "--format", "folded"), 64, "folded", "json")
        refused(tool("diff", paths[0], place + "/none"), 1, place + "/none")


@test_on_host
def test_killed():
    """What was written when it was killed is reported; that there was more is told."""
    with Scratch() as place, Target("zero", 300) as target:
        path = os.path.join(place, "run.fp")
        recorder = Recorder("-o", path, "-p", target.pid)
        target.go()
        wait_for(lambda: faults_in(replayed(path)) >= 299, 10, "a first interval")
        recorder.stop(signal.SIGKILL)
        whole = replayed(path, rc=1)
        check(faults_in(whole) >= 299 and "cut off" in whole.out, "reported is " + whole.out)
        equal(len(whole.err.splitlines()), 1, "lines on standard error")
        with open(path, "rb+") as file:
            file.truncate(os.path.getsize(path) - 1)
        less = replayed(path, rc=1)
        check(faults_in(less) < 299, "reported is " + less.out)


@test_on_host
def test_full():
    """A file that cannot grow: the run ends, says so, and what is whole stays."""
    with Scratch() as place, Target("sites", 512) as target:
        path = os.path.join(place, "run.fp")
        recorder = Recorder("-o", path, "-p", target.pid)
        room = os.path.getsize(path) + 20
        resource.prlimit(recorder.process.pid, resource.RLIMIT_FSIZE, (room, room))
        target.go()
        equal(recorder.process.wait(20), 1, "exit code")
        told = [line for line in read(recorder.err.name).splitlines() if path in line]
        equal(len(told), 1, "lines that tell of it in %r" % read(recorder.err.name))
        check("too large" in told[0], "it says " + told[0])
        check("cut off" in replayed(path, rc=1).out, "not cut off")


@test_on_host
def test_failed_start():
    """The recording that was there stays until there is another one."""
    with Scratch() as place:
        path = os.path.join(place, "run.fp")
        with open(path, "w") as file:
            file.write("old")
        refused(tool("record", "-o", path, "--", "/no/such/command"), 1, "/no/such/command")
        refused(tool("record", "-o", path, "-p", "999999999"), 1, "999999999")
        refused(tool("record", "-o", "/no/such/place/run.fp", "-p", os.getpid()), 1,
                "/no/such/place")
        equal(os.listdir(place), ["run.fp"], "files")


def written(place, data):
    path = os.path.join(place, "run.fp")
    with open(path, "wb") as file:
        file.write(data)
    return path


def head(version=1, machine=62):
    data = b"faultprf" + struct.pack("<HH", version, machine)
    return data + struct.pack("<I", zlib.crc32(data))


@cases_on_host("bad", [
    ("none", b"#!/bin/sh\n" * 100, ["no recording"]),
    ("empty", b"", ["no recording"]),
    ("nothing but a head", head(), ["no recording"]),
    ("newer", head(version=2), ["version 2", "newer"]),
    ("another machine", head(machine=183), ["machine", "x86-64"]),
    ("random", head() + bytes(range(256)) * 40, ["no recording"]),
])
def bad(_, data, words):
    with Scratch() as place:
        path = written(place, data)
        report = os.path.join(place, "report")
        refused(tool("report", path), 1, path, *words)
        refused(tool("report", path, "-o", report), 1, path, *words)
        check(not os.path.exists(report), "there is a report")


main()
