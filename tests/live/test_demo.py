#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""make demo: shows what it promises, and leaves the machine as it was, whatever ends it."""
import glob
import os
import re
import signal
import subprocess
import tempfile
import time

from lab import (BUILD, FAULTPROF, ROOT, Setting, as_user, cases_on_host, cgroup_mounts, check, end,
                 equal, main, need, need_root, need_tool, public, read, start, test, test_on_host,
                 wait_for)

COLDPROXY = os.path.join(BUILD, "coldproxy")
PROVIDER = os.path.join(BUILD, "provider_coldproxy.so")
SCRIPT = os.path.join(ROOT, "examples", "demo.sh")


def machine():
    """All that a demo changes for its time."""
    groups = [where for kind in cgroup_mounts() for _, where in kind]
    return {
        "swaps": [line.split()[0] for line in read("/proc/swaps").splitlines()[1:]],
        "cgroups": [path for where in groups for path in glob.glob(where + "/faultprof-demo*")],
        "controllers": [read(path) for where in groups
                        for path in glob.glob(where + "/cgroup.subtree_control")],
        "files": [path for where in ("/tmp", "/var/tmp", "/var", "/root")
                  for path in glob.glob(where + "/faultprof-demo*")],
        "proxies": [p for p in os.listdir("/proc") if p.isdigit() and comm(p).startswith("cold")],
    }


def comm(pid):
    try:
        return read("/proc/%s/comm" % pid)
    except OSError:
        return ""


class Demo:
    def __init__(self, command, directory=None):
        need_tool()
        self.before = machine()
        self.out = tempfile.TemporaryFile()
        self.begin = time.monotonic()
        # In a group of its own: a terminal's Ctrl-C goes to all of a group.
        self.process = start(command, stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.out,
                             cwd=directory, start_new_session=True)

    def text(self):
        return os.pread(self.out.fileno(), 1 << 20, 0).decode()

    def wait(self, word):
        wait_for(lambda: word in self.text() or self.process.poll() is not None, 45, word)
        check(word in self.text(), "ended before %r: %s" % (word, self.text()[-300:]))

    def finish(self, rc, seconds=60):
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            end(self.process, signal.SIGKILL)
            raise AssertionError("not done after %d s: %s" % (seconds, self.text()[-300:]))
        took, text = time.monotonic() - self.begin, self.text()
        check(self.process.returncode in rc,
              "exit code %d: %s" % (self.process.returncode, text[-300:]))
        equal(machine(), self.before, "the machine afterwards")
        check(took < 60, "took %d s" % took)
        return text


def row(text, *words):
    """Is there a line of the report with all these words?"""
    return any(all(w in line for w in words) for line in text.splitlines())


@test
def test_root():
    need_root()
    need("make")
    text = Demo(["make", "-s", "demo", "YES=1", "BUILD=" + BUILD], ROOT).finish([0])
    check(re.search(r"woken 2000 connections", text), "not all woken: " + text[-300:])
    check(row(text, "[k] conn_read (via recv)"), "no conn_read in kernel mode: " + text)
    check(row(text, "[.] conn_process coldproxy.c:"), "no conn_process: " + text)
    check(row(text, "coldproxy: buffer"), "nothing known of the buffers: " + text)
    # Without a memory cgroup, pages written to swap stay in memory too.
    kind = "swap-in" if cgroup_mounts()[0] else "swap-cache"
    check(row(text, kind, "[.] wake_cb"), "no wake_cb of kind %s: %s" % (kind, text))


@test
def test_ordinary_user():
    with Setting("kernel/perf_event_paranoid", 2):
        text = Demo(as_user() + [public(SCRIPT), public(FAULTPROF), public(COLDPROXY),
                                public(PROVIDER)],
                    "/").finish([0])
    check("woken 2000 connections" in text, "not all woken: " + text[-300:])
    check(row(text, "zero", "[.] conn_process coldproxy.c:"), "no conn_process: " + text)
    check(row(text, "file-", "[.] conn_process coldproxy.c:"), "no conn_process: " + text)
    check("could not observe: faults in user mode only" in text, "it does not say what is missing")


@test_on_host
def test_closed_pipe():
    """Who reads it ends early, as head does."""
    before = machine()
    script = [SCRIPT, FAULTPROF, COLDPROXY, PROVIDER]
    done = subprocess.run(["sh", "-c", '"$@" | grep -m1 "conn_process"', "sh"] + script,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60)
    equal(done.returncode, 0, "grep")
    wait_for(lambda: machine() == before, 20, "the machine to be as before")


# Where in its course, and how: Ctrl-C goes to the whole group, kill to make or the script alone.
@cases_on_host("interrupted", [
    ("Ctrl-C at the start", "", signal.SIGINT, os.killpg),
    ("Ctrl-C while pushing out", "pushing", signal.SIGINT, os.killpg),
    ("Ctrl-C while profiling", "data comes in", signal.SIGINT, os.killpg),
    ("SIGTERM at the start", "", signal.SIGTERM, os.kill),
    ("SIGTERM while filling", "port", signal.SIGTERM, os.kill),
    ("SIGTERM while profiling", "data comes in", signal.SIGTERM, os.kill),
])
def interrupted(_, word, number, kill):
    need_root()
    demo = Demo([SCRIPT, FAULTPROF, COLDPROXY, PROVIDER])
    if word:
        demo.wait(word)
    else:
        time.sleep(0.15)  # it makes its swap file
    kill(demo.process.pid, number)
    demo.finish([128 + number], 20)


@test_on_host
def test_make_terminated():
    """make passes the signal on, and waits."""
    need_root()
    need("make")
    demo = Demo(["make", "-s", "demo", "YES=1", "BUILD=" + BUILD], ROOT)
    demo.wait("pushing")
    os.kill(demo.process.pid, signal.SIGTERM)
    demo.finish([2, -signal.SIGTERM], 20)


main()
