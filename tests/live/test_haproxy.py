#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""HAProxy with idle connections, squeezed into swap and woken: held against perf."""
import contextlib
import os
import signal
import time

from lab import (Cgroup, Clients, Faultprof, Haproxy, PageCluster, PerfRecord, PerfStat, Scratch,
                 Skip, Swap, check, children, equal, haproxy_source, main, near, need,
                 procstat, test, user_mode, wait_for)

CONNECTIONS = 2000


@contextlib.contextmanager
def cold(binary, connections=CONNECTIONS, cluster=3, **options):
    """A proxy whose connections are all in swap: yields (proxy, clients, chill).

    chill() sends half of another request on each and puts all of it into swap again.
    """
    with Swap(), PageCluster(cluster), Cgroup() as group, \
            Haproxy(binary, cgroup=group, **options) as proxy, \
            Clients(proxy.port, connections) as clients:
        def chill(refill=True):
            if refill:
                clients.send(clients.HEAD, proxy.pid)
                time.sleep(0.3)
            in_swap = group.squeeze(proxy.pid)
            if in_swap < 2 * connections:
                raise Skip("only %d kB of the proxy went to swap" % in_swap)
            quiet(proxy.pid)

        chill(refill=False)
        yield proxy, clients, chill


def quiet(pid):
    """Lets it have the faults of its own timers first."""
    for _ in range(5):
        before = procstat(pid)
        time.sleep(1.1)
        if procstat(pid) == before:
            break


def measure(binary, compare=False, **options):
    """Tool, perf stat and the kernel's own counters over one waking of all connections.

    With @compare the same proxy does the same under perf record, whose counts are returned too:
    another process would have its objects on other pages. A round before makes the two alike.
    """
    need("perf")
    with cold(binary, **options) as (proxy, clients, chill):
        if compare:
            clients.wake(proxy.pid)
            chill()
        judge = PerfStat(proxy.pid)
        stat = [procstat(proxy.pid)]
        with Faultprof("-p", proxy.pid) as prof:
            stat.append(procstat(proxy.pid))
            clients.wake(proxy.pid)
            time.sleep(0.5)  # it still tidies up after the last answer
            stat.append(procstat(proxy.pid))
            report = prof.report()
        stat.append(procstat(proxy.pid))
        minor, major = judge.stop()
        if compare:
            theirs = recorded(proxy, clients, chill, sum(stat[2]) - sum(stat[1]))
    check(major > CONNECTIONS / 2, "only %d major faults: the squeeze failed" % major)
    near(report.totals["major"], major, 0.01, "major (perf stat)", 2)
    near(report.totals["minor"], minor, 0.01, "minor (perf stat)", 5)
    for i, key in enumerate(("minor", "major")):
        low, high = stat[2][i] - stat[1][i], stat[3][i] - stat[0][i]
        check(low <= report.totals[key] <= high,
              "%s is %d, by /proc %d to %d" % (key, report.totals[key], low, high))
    equal(report.totals["lost"], 0, "lost")
    from_swap = report.kind("swap-in")
    check(from_swap > 0.9 * major, "only %d of %d major faults are swap-in" % (from_swap, major))
    owned(report)
    return (report, theirs) if compare else report


def recorded(proxy, clients, chill, wanted):
    """What perf record counts in another round that is like the first: by the kernel's own count,
    it made as many faults. One that started with more of the proxy in memory is not."""
    for _ in range(5):
        chill()
        with Scratch() as place:
            judge = PerfRecord(proxy.pid, place)
            before = procstat(proxy.pid)
            clients.wake(proxy.pid)
            time.sleep(0.5)
            made = sum(procstat(proxy.pid)) - sum(before)
            counts = judge.stop()
        if abs(made - wanted) < 0.05 * wanted:
            return counts
    raise AssertionError("no second round was like the first: %d faults, not %d" % (made, wanted))


def owned(report):
    """Faults raised in the kernel belong to the proxy's functions, with what they called."""
    total = report.symbol(None, mode="kernel")
    equal(total, report.totals["kernel"], "kernel-mode faults with a symbol")
    check(total > CONNECTIONS / 2, "only %d kernel-mode faults" % total)
    ours = sum(s["faults"] for s in report["symbols"] if s["mode"] == "kernel" and
               s["module"] == "haproxy" and "unknown" not in s["symbol"])
    check(ours > 0.99 * total, "%d of %d kernel-mode faults belong to haproxy" % (ours, total))
    by_recv = sum(s["faults"] for s in report["symbols"] if s["mode"] == "kernel" and
                  s["via"] in ("recv", "__libc_recv", "recvfrom", "__recv"))
    check(by_recv > 0.5 * total, "%d of %d kernel-mode faults came via recv" % (by_recv, total))


@test
def test_debian():
    """The stripped one, with readahead: .dynsym, then function starts, never the nearest name."""
    report = measure("haproxy")
    anonymous = sum(s["faults"] for s in report["symbols"] if "unknown" in s["symbol"])
    check(anonymous <= 0.01 * report.totals["faults"], "%d faults have no function" % anonymous)


@test
def test_source():
    """With DWARF and without frame pointers: names and shares as perf has them.

    Without readahead, or the shares would differ from run to run.
    """
    report, theirs = measure(haproxy_source(), compare=True, cluster=0)
    kernel = [s for s in report["symbols"] if s["mode"] == "kernel"]
    top = max(kernel, key=lambda s: s["faults"])
    equal((top["symbol"], top["module"]), ("raw_sock_to_buf", "haproxy"), "top kernel-mode symbol")
    check((top["file"] or "").endswith(".c") and top["line"] > 0, "it has no file and line")
    ours = user_mode(report)
    near(sum(ours.values()), sum(theirs.values()), 0.1, "user-mode faults (perf record)")
    # Which function touches a shared page first differs from run to run, by 10 points and more;
    # that the same few functions share nearly all of it does not.
    for one, other, who in ((theirs, ours, "faultprof"), (ours, theirs, "perf")):
        top = [k for k in sorted(one, key=one.get, reverse=True)[:3]
               if one[k] >= 0.05 * sum(one.values())]
        seen = sorted(other, key=other.get, reverse=True)[:6]
        for key in top:
            share = 100.0 * one[key] / sum(one.values())
            back = 100.0 * other.get(key, 0) / sum(other.values())
            check(key in seen, "%s (%.0f %%) is not in the top of %s" % (key[1], share, who))
            check(abs(share - back) <= 20, "%s: %.0f %%, %s says %.0f %%" %
                  (key[1], share, who, back))
        near(sum(other.get(k, 0) for k in top) / sum(other.values()),
             sum(one[k] for k in top) / sum(one.values()), 0.15, "the top by " + who)


@test
def test_threads():
    report = measure("haproxy", threads=2)
    check(report["targets"][0].get("threads") == 2, "threads: %r" % report["targets"])


@test
def test_reload():
    """The new worker of a master that reloads is followed."""
    with Haproxy(master=True) as proxy:
        old = proxy.worker
        with Faultprof("-p", proxy.pid) as prof:
            before = procstat(proxy.pid)
            os.kill(proxy.pid, signal.SIGUSR2)
            new = wait_for(lambda: [p for p in children(proxy.pid) if p != old], 15,
                           "a new worker")[0]
            # The old one closes its listener and ends, then all that comes goes to the new one.
            wait_for(lambda: old not in children(proxy.pid), 15, "the end of the old worker")
            with Clients(proxy.port, 500) as clients:
                clients.wake()
            time.sleep(0.3)
            worker, master = sum(procstat(new)), sum(procstat(proxy.pid)) - sum(before)
            report = prof.report()
    check(worker > 1000, "the new worker made only %d faults" % worker)
    near(report.totals["faults"], worker + master, 0.03, "faults of master and new worker")
    received = sum(s["faults"] for s in report["symbols"]
                   if s["mode"] == "kernel" and s["module"] == "haproxy")
    check(received >= 200, "only %d kernel-mode faults of 500 connections" % received)


main()
