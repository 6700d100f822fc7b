#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Reading a target's memory and the ages of its pages: what is told is true, and nothing moves."""
import contextlib
import errno
import os
import re
import signal
import struct
import subprocess
import time

from lab import (BUILD, PAGE, STORM_SECONDS, VM, Cgroup, Cold, LargeSwap, Skip, Swap, Target, check, end,
                 equal, fewer, main, procstat, read, start, status, swapped_in, test_on_host, write)


class Reader:
    """tests/unit/reader.c on one target; answers are lists of numbers."""

    def __init__(self, pid):
        binary = os.path.join(BUILD, "tests", "reader")
        check(os.access(binary, os.X_OK), binary + " is not there: make units")
        self.process = start([binary, str(pid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             universal_newlines=True, bufsize=1)
        self.first = self.process.stdout.readline().strip()

    def __enter__(self):
        equal(self.first, "ready", "the first line of the reader")
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        end(self.process, signal.SIGKILL)

    def send(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")

    def answer(self):
        return [int(n) for n in self.process.stdout.readline().split()]

    def do(self, *words):
        self.send(*words)
        return self.answer()


@contextlib.contextmanager
def cold(megabytes, swap=Swap):
    with swap(), Cgroup() as cgroup:
        free = int(re.search(r"^SwapFree: *(\d+)", read("/proc/meminfo"), re.M).group(1)) >> 10
        if free < megabytes + megabytes // 20:
            raise Skip("only %d MB of swap are free" % free)
        with Cold(megabytes, cgroup) as target:
            target.cgroup = cgroup
            yield target


@test_on_host
def test_contents():
    """Present pages are read as they are, swapped out ones are told, and sums are those of smaps."""
    with cold(8) as target, Reader(target.pid) as reader:
        pages = target.bytes // PAGE
        target.do("out", 0, pages)
        equal(target.smaps("Rss"), 0, "Rss after paging out")
        for first in range(0, pages, 32):
            target.do("touch", first, first // 32 % 24)
        for address, size in ((target.base, target.bytes), (target.base + 1000, 100 * PAGE)):
            present = sum(min(address + size, at + PAGE) - max(address, at)
                          for at in range(target.base, target.base + target.bytes, PAGE)
                          if (at - target.base) // PAGE % 32 < (at - target.base) // PAGE // 32 % 24
                          and at < address + size and at + PAGE > address)
            # What is read along with a page that is touched is in the swap cache, and not present.
            equal(reader.do("presence", address, size), [0, present, size - present],
                  "presence of %d bytes" % size)
        equal(reader.do("presence", target.base, target.bytes),
              [0, target.smaps("Rss"), target.smaps("Swap")], "presence against smaps")
        before = procstat(target.pid), status(target.pid, "VmSwap")
        for page in range(pages):
            at = target.base + page * PAGE
            there = page % 32 < page // 32 % 24
            equal(reader.do("read", at + 8, 1000), [0, 0, 0] if there else [-errno.ENODATA, at, 0],
                  "reading page %d" % page)
        equal((procstat(target.pid), status(target.pid, "VmSwap")), before, "faults and VmSwap")


@test_on_host
def test_observer():
    """1 GB that is swapped out and idle stays so, whatever is asked about it."""
    with cold(fewer(1024, 512), LargeSwap) as target:
        target.do("out", 0, target.bytes // PAGE)
        target.cgroup.reclaim()
        # One page in a thousand is there, so that something is read.
        for first in range(0, target.bytes // PAGE, 1000):
            target.do("touch", first, 1)
        rss, swap = target.smaps("Rss"), target.smaps("Swap")
        check(swap >= target.bytes * 0.99, "only %d bytes are swapped out" % swap)
        with Reader(target.pid) as reader:
            before = procstat(target.pid), status(target.pid, "VmSwap"), swapped_in()
            rounds, done, absent, other, wrong = reader.do("storm", target.base, target.bytes,
                                                           STORM_SECONDS)
            after = procstat(target.pid), status(target.pid, "VmSwap"), swapped_in()
        equal(after, before, "(minor, major) faults, VmSwap, pswpin")
        equal((target.smaps("Rss"), target.smaps("Swap")), (rss, swap), "Rss and Swap")
        equal((other, wrong), (0, 0), "other errors, wrong words")
        equal(done, rounds * rss // PAGE, "pages read")
        equal(absent, rounds * swap // PAGE, "pages told absent")
        print("# %d rounds over 1 GB in %d s" % (rounds, STORM_SECONDS))


@test_on_host
def test_marks():
    """Of structures with buffers between them, only the structures are read."""
    if not os.access("/proc/kpageflags", os.R_OK):
        raise Skip("no /proc/kpageflags")

    def referenced(target):
        with open("/proc/%d/pagemap" % target.pid, "rb") as pagemap, \
                open("/proc/kpageflags", "rb") as flags:
            pages = target.bytes // PAGE
            words = os.pread(pagemap.fileno(), pages * 8, target.base // PAGE * 8)
            frames = [word & (1 << 55) - 1 for word in struct.unpack("%dQ" % pages, words)]
            if not frames[0]:
                raise Skip("page frames are hidden")
            return {page for page, frame in enumerate(frames)
                    if struct.unpack("Q", os.pread(flags.fileno(), 8, frame * 8))[0] >> 2 & 1}

    with Cold(8) as target, Reader(target.pid) as reader:
        before = referenced(target)
        structures = range(0, target.bytes // PAGE, 5)
        for page in structures:
            equal(reader.do("read", target.base + page * PAGE, 500), [0, 0, 0], "a read")
        marked = referenced(target) - before
        check(marked <= set(structures), "%d pages were read along" % len(marked - set(structures)))


@test_on_host
def test_order():
    """Memory that is looked at, but not read, is swapped out in its turn."""
    with LargeSwap(), Cgroup() as cgroup, Cold(100, cgroup) as older, Cold(100, cgroup) as younger:
        with Reader(older.pid) as reader:
            for _ in range(20):
                reader.do("round")
                reader.do("presence", older.base, older.bytes)
                for at in range(older.base, older.base + older.bytes, 16 * PAGE):
                    reader.do("presence", at, PAGE)
                reader.do("scan")
        limit = "memory.limit_in_bytes" if cgroup.version == 1 else "memory.high"
        write(os.path.join(cgroup.path, limit), str(130 << 20))
        old, young = older.smaps("Swap"), younger.smaps("Swap")
        check(old + young > 50 << 20, "only %d bytes were swapped out" % (old + young))
        check(old > 9 * young, "of the older memory %d bytes were swapped out, of the younger %d" %
              (old, young))


@test_on_host
def test_cost():
    """A walk of 100,000 connections of 2 kB each, three objects in each, in 0.1 s of CPU."""
    with Cold(200) as target, Reader(target.pid) as reader:
        took = min(reader.do("walk", target.base, target.bytes)[0] for _ in range(5))
    print("# 100,000 connections: %.1f ms of CPU" % (took / 1e6))
    check(took, "not all was read")
    check(VM or took <= 100e6, "it took %.1f ms" % (took / 1e6))


@test_on_host
def test_ages():
    """When pages were swapped out, between two scans."""
    with cold(8) as target, Reader(target.pid) as reader:
        def now():
            return time.clock_gettime_ns(time.CLOCK_MONOTONIC)

        def age(page):
            return reader.do("age", target.base + page * PAGE + 5)

        target.do("out", 0, 10)
        equal(reader.do("moved"), [1], "news before the first scan")
        reader.do("scan")
        first = now()
        equal(reader.do("moved"), [0], "news after a scan")
        times = []
        for batch in range(1, 5):
            begin = now()
            target.do("out", batch * 100, 50)
            times.append((begin, now()))
            equal(reader.do("moved"), [1], "news of 50 pages")
            time.sleep(0.05)
            scan = reader.do("scan")
            equal((scan[0], scan[1], scan[2]), (0, target.smaps("Swap"), 0), "scan")
            time.sleep(0.05)
        r, after, before = age(3)
        equal((r, after), (0, 0), "what the first scan found")
        check(before <= first, "it was swapped out before the first scan ended")
        for batch, (begin, done) in enumerate(times, 1):
            for page in (batch * 100, batch * 100 + 49):
                r, after, before = age(page)
                equal(r, 0, "page %d" % page)
                check(after <= begin and done <= before, "the truth lies not in the answer")
                check(before - after < 1e9, "the answer spans %d ms" % ((before - after) / 1e6))
                check(after >= (times[batch - 2][1] if batch > 1 else 0), "an older scan's time")
            equal(age(batch * 100 + 50)[0], -errno.ENOENT, "a page behind the batch")
        # In again, and out again: only the last time counts.
        target.do("touch", 100, 10)
        reader.do("scan")
        equal(age(105)[0], 0, "a page that came in since the last scan but one")
        reader.do("scan")
        equal(age(105)[0], -errno.ENOENT, "a page that came in")
        equal(age(115)[0], 0, "its neighbour")
        target.do("out", 100, 10)
        reader.do("scan")
        check(age(105)[1] > age(115)[2], "the page's first time counts")


@test_on_host
def test_vanishing():
    """Mappings that come and go while they are read: old, new or nothing, and never a fault."""
    with Cold(8) as target, Reader(target.pid) as reader:
        target.do("unmap", 1024, 1024)
        reader.do("round")
        equal(reader.do("read", target.base + 1024 * PAGE, 8)[0], -errno.EFAULT, "what is gone")
        equal(reader.do("read", target.base + 1023 * PAGE, PAGE + 1)[0], -errno.EFAULT,
              "what is half gone")
        target.do("spin", 2)
        rounds, done, _, _, wrong = reader.do("storm", target.base, 64 * PAGE, 1)
        check(done > rounds, "nothing was read")
        # A page is mapped empty, and filled word by word.
        check(wrong < 512 * done, "all that was read is wrong")


@test_on_host
def test_death():
    with Cold(8) as target, Reader(target.pid) as reader:
        equal(reader.do("read", target.base, PAGE), [0, 0, 0], "a read of the living")
        equal(reader.do("scan")[0], 0, "a scan of the living")
        os.kill(target.pid, signal.SIGKILL)
        target.process.wait(10)
        equal(reader.do("read", target.base, PAGE), [0, 0, 0], "what was read in this round")
        reader.do("round")
        for words in (("read", target.base, PAGE), ("presence", target.base, PAGE),
                      ("presence", target.base, target.bytes), ("scan",)):
            equal(reader.do(*words)[0], -errno.ESRCH, "%s of the dead" % words[0])
        equal(Reader(target.pid).first, "error %d" % -errno.ESRCH, "a reader of the dead")


main()
