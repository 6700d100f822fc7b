#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""nginx with idle connections, squeezed into swap and woken: held against perf."""
import time

from lab import (Cgroup, Clients, Faultprof, Nginx, PageCluster, PerfStat, Skip, Swap, check, equal,
                 main, near, need, test)

CONNECTIONS = 600


@test
def test_woken():
    need("perf")
    with Swap(), PageCluster(3), Cgroup() as group, Nginx(group) as proxy, \
            Clients(proxy.port, CONNECTIONS) as clients:
        in_swap = group.squeeze(proxy.worker)
        if in_swap < 2 * CONNECTIONS:
            raise Skip("only %d kB of nginx went to swap" % in_swap)
        judge = PerfStat(proxy.worker)
        with Faultprof("-p", proxy.worker) as prof:
            clients.wake()
            time.sleep(0.5)
            report = prof.report()
        minor, major = judge.stop()
    check(major > CONNECTIONS / 4, "only %d major faults: the squeeze failed" % major)
    near(report.totals["major"], major, 0.01, "major (perf stat)", 2)
    near(report.totals["minor"], minor, 0.01, "minor (perf stat)", 5)
    equal(report.totals["lost"], 0, "lost")
    total = report.totals["kernel"]
    ours = sum(s["faults"] for s in report["symbols"] if s["mode"] == "kernel" and
               s["module"] == "nginx" and "unknown" not in s["symbol"])
    check(total > 0 and ours > 0.99 * total,
          "%d of %d kernel-mode faults belong to nginx" % (ours, total))
    check(report.symbol(None, module="nginx") > 0.5 * report.totals["faults"],
          "most faults are not nginx's")


main()
