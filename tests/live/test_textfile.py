#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""--textfile: metrics that add up, whatever happens to the targets and to the file."""
import os
import re
import signal
import time

from lab import (Cgroup, Cold, Faultprof, PageCluster, Scratch, Swap, Target, check, end, equal,
                 main, near, procstat, read, status, test_on_host, wait_for)

SAMPLE = re.compile(r'^(\w+)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Metrics:
    """One file as node_exporter would read it."""

    def __init__(self, text):
        self.samples, self.types = {}, {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                name, kind = line.split()[2:]
                check(name not in self.types, "TYPE of %s twice" % name)
                self.types[name] = kind
            elif not line.startswith("#"):
                match = SAMPLE.match(line)
                check(match, "not a sample: %r" % line)
                labels = LABEL.findall(match.group(2) or "")
                key = match.group(1), tuple(sorted(labels))
                check(key not in self.samples, "twice: %r" % line)
                self.samples[key] = float(match.group(3))

    def sum(self, name, **match):
        return sum(value for (n, labels), value in self.samples.items()
                   if n == name and set(match.items()) <= set(labels))

    def counters(self):
        """Also the parts of histograms: all that may only rise."""
        return {key: value for key, value in self.samples.items()
                if self.types.get(key[0]) == "counter" or
                self.types.get(re.sub("_(bucket|sum|count)$", "", key[0])) == "histogram"}


class Exporter(Faultprof):
    """faultprof --textfile, each file of which rose from the one before."""

    def __init__(self, directory, *args, **kwargs):
        self.path = os.path.join(directory, "faultprof.prom")
        self.seen = None
        Faultprof.__init__(self, "--textfile", self.path, "--interval", "1", *args, form=None,
                           **kwargs)

    def read(self):
        now = Metrics(read(self.path))
        for key, value in (self.seen.counters() if self.seen else {}).items():
            check(now.samples.get(key, -1) >= value, "%s%s fell from %s to %s" %
                  (*key, value, now.samples.get(key)))
        self.seen = now
        return now

    def fresh(self):
        """The next file; SIGHUP asks for it."""
        before = os.stat(self.path).st_ino if os.path.exists(self.path) else 0
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: os.path.exists(self.path) and os.stat(self.path).st_ino != before, 10,
                 "a new file")
        return self.read()

    def last(self):
        equal(self.stop().rc, 0, "exit code")
        return self.read()


@test_on_host
def test_counts():
    """Of pages that go out and come back: as many as there were, under what they were."""
    pages = 2000
    with Scratch() as place, Swap(), PageCluster(0), Cold(16) as cold:
        with Exporter(place, "-p", cold.pid) as prof:
            before = prof.fresh()
            minor, major = procstat(cold.pid)
            swapped = int(status(cold.pid, "VmSwap"))
            for turn in (1, 2):
                cold.do("out", 0, pages)
                out = prof.fresh()
                equal(out.sum("faultprof_evicted_pages_total"), turn * pages, "evicted pages")
                equal(out.sum("faultprof_swapped_bytes"), int(status(cold.pid, "VmSwap")) * 1024,
                      "swapped bytes")
                cold.do("touch", 0, pages)
            now = prof.fresh()
            print(now.sum("faultprof_page_faults_total"), procstat(cold.pid), minor, major)
            for (n,l),v in now.samples.items():
                if v and not dict(l).get("le"): print(n, dict(l), v)


main()
