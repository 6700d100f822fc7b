#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Full maps and rings: the totals stay true, and what was lost is shown."""
import contextlib
import os
import re
import signal
import subprocess
import time

from lab import BUILD, Faultprof, Target, check, end, equal, main, procstat, start, test


def tiny(mode, n, *options, form="json", halt=False):
    with Target(mode, n) as target, Faultprof("-p", target.pid, *options, form=form) as prof:
        before = procstat(target.pid)
        if halt:
            os.kill(prof.pid, signal.SIGSTOP)
        target.go()
        after = procstat(target.pid)
        if halt:
            os.kill(prof.pid, signal.SIGCONT)
            time.sleep(0.2)
        return prof.stop(), sum(after) - sum(before)


@test
def test_sites():
    n = 64 * 200
    result, made = tiny("sites", n, "--sites", "4", "--ring", "64")
    report = result.json().consistent()
    equal(made, n, "faults made")
    equal(report.totals["faults"], n, "faults")
    equal(report.kind("zero"), n, "kind zero")
    check(report["losses"]["site"] > 0, "64 sites fit in a table of 4?")
    check(report.totals["lost"] >= report["losses"]["site"], "the loss is not in totals.lost")
    named = report.symbol("many_sites")
    check(0 < named < n, "%d faults have a name" % named)
    equal(named + report["losses"]["site"], n, "faults with a name and without")


@test
def test_sites_default():
    """The same without the limit: nothing is lost."""
    result, made = tiny("sites", 64 * 200)
    report = result.json().consistent().nothing_lost()
    equal(report.symbol("many_sites"), made, "faults of many_sites")


@test
def test_ring():
    """Nobody reads the ring while slow faults fill it."""
    result, made = tiny("cow", 5000, "--slow", "1", "--ring", "64", halt=True)
    report = result.json().consistent()
    equal(report.totals["faults"], made, "faults")
    equal(report.kind("cow"), made, "kind cow")
    equal(report.symbol("cow_faults"), made, "faults of cow_faults")
    check(report["losses"]["detail"] > 0, "no detail was lost in a ring of 64 kB?")
    check(report.totals["lost"] >= report["losses"]["detail"], "the loss is not in totals.lost")


@contextlib.contextmanager
def map_operations(cpu):
    """Somebody else keeps this CPU busy with BPF map operations."""
    busy = start([os.path.join(BUILD, "tests", "mapbusy"), str(cpu)], stdout=subprocess.PIPE)
    try:
        equal(busy.stdout.readline(), b"ready\n", "the first line of mapbusy")
        yield
    finally:
        busy.stdout.close()
        end(busy, signal.SIGKILL)


@test
def test_skipped():
    """Faults for which the kernel runs no program are counted all the same, with their symbol."""
    n, cpu = 40000, min(os.sched_getaffinity(0))
    with Target("cow", n) as target:
        os.sched_setaffinity(target.pid, {cpu})
        with Faultprof("-p", target.pid) as prof, map_operations(cpu):
            before = procstat(target.pid)
            target.go()
            after = procstat(target.pid)
            report = prof.report()
    equal(sum(after) - sum(before), n, "faults made")
    equal(report.totals["faults"], n, "faults")
    equal(report.symbol("cow_faults", kind="cow"), n, "faults of cow_faults")
    check(not report.totals["failed"], "failed faults")
    equal(report.totals["lost"], 0, "lost")
    timed = report.totals["timed"]
    equal(timed + report["losses"]["skipped"], n, "faults with a stall time and without")


@test
def test_text_shows_losses():
    """The first lines tell how much was lost, a line of its own tells what and why."""
    lossy, _ = tiny("sites", 6400, "--sites", "4", form="text")
    equal(lossy.rc, 0, "exit code")
    check(re.search(r"[1-9][0-9.,]*[kMG]? lost\b", lossy.out), "the header hides the loss")
    check(re.search(r"^\s*lost\b.*\d.*\bsite", lossy.out, re.M), "no line tells what was lost")
    whole, _ = tiny("sites", 6400, form="text")
    check(re.search(r"\b0 lost\b", whole.out), "a run without losses does not say so")
    check(not re.search(r"^\s*lost\b", whole.out, re.M), "a run without losses tells of one")


main()
