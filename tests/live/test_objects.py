#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Whose memory faults hit, against targets that tell it themselves."""
import bisect
import collections
import os
import signal
import subprocess
import time

from lab import (BUILD, Answers, Cgroup, Faultprof, PageCluster, Scratch, Skip, Swap, Target,
                 cases_on_host, check, equal, fewer, main, near, need_root, provider, read, start,
                 status, test, wait_for)

OWNER = os.path.join(BUILD, "tests", "owner")
COLDPROXY = os.path.join(BUILD, "coldproxy")
CONNECTIONS = fewer(2600, 650)
FAULTS = fewer(20000, 4000)
UNKNOWN = 0.02
AGE_S = 0.01
ALWAYS = 1 << 63

Thing = collections.namedtuple("Thing", "base size type born_ns connection peer")


class Truth:
    """The log of tests/live/owner.c: what lived at an address, at a time."""

    def __init__(self, path):
        lives = collections.defaultdict(list)  # by base: [thing, end], one after the other
        for line in read(path).splitlines():
            f = line.split()
            if f[0] == "A":
                thing = Thing(int(f[2]), int(f[3]), f[1], int(f[4]), f[5], "192.0.2.1:" + f[6])
                lives[thing.base].append([thing, ALWAYS])
            else:
                lives[int(f[1])][-1][1] = int(f[2])
        self.lives, self.bases = lives, sorted(lives)
        self.largest = max(thing.size for some in lives.values() for thing, _ in some)

    def at(self, address, time_ns):
        i = bisect.bisect_right(self.bases, address)
        while i and self.bases[i - 1] > address - self.largest:
            i -= 1
            for thing, end in self.lives[self.bases[i]]:
                if address < thing.base + thing.size and thing.born_ns <= time_ns < end:
                    return thing
        return None


def judge(truth, answers):
    """Holds each answer against the truth; returns (right, unknown, wrong ones in words)."""
    right, unknown, wrong = 0, 0, []
    for time_ns, address, error, answer in answers:
        thing = truth.at(address, time_ns)
        if not thing:
            if not error:
                wrong.append("%#x is nobody's, not %s" % (address, answer))
        elif error:
            unknown += 1
        elif (answer["type"], answer["base"], answer["size"], answer["connection"],
              answer["peer"]) != (thing.type, thing.base, thing.size, thing.connection, thing.peer):
            wrong.append("%#x is %s, not %s" % (address, thing, answer))
        elif abs(answer["born_ns"] - thing.born_ns) > AGE_S * 1e9:
            wrong.append("%s is as old as %d" % (thing, answer["born_ns"]))
        else:
            right += 1
    return right, unknown, wrong


def squeeze(group, pid, prof=None):
    """Until next to nothing of @pid is in memory. @prof waits: what it looks at meanwhile stays."""
    if prof:
        os.kill(prof.pid, signal.SIGSTOP)
    try:
        for _ in range(10):
            group.squeeze(pid)
            if int(status(pid, "RssAnon")) < 1000:
                return
        raise Skip("%s kB stay in memory" % status(pid, "RssAnon"))
    finally:
        if prof:
            os.kill(prof.pid, signal.SIGCONT)


def add_up(report, truth, answers):
    """The report has every answer: by type, by connection, with the age at the last fault."""
    types, peers, last = collections.Counter(), collections.Counter(), {}
    for time_ns, address, _, answer in answers:
        if answer:
            types[answer["type"]] += 1
            peers[answer["peer"]] += 1
            last[answer["peer"]] = max(last.get(answer["peer"], 0), time_ns)
    born = {thing.peer: thing.born_ns for some in truth.lives.values() for thing, _ in some}
    equal({o["type"]: o["faults"] for o in report["objects"] if o["provider"] == "owner"},
          dict(types), "faults by type")
    equal({c["peer"]: c["faults"] for c in report["connections"]}, dict(peers),
          "faults by connection")
    for c in report["connections"]:
        age = (last[c["peer"]] - born[c["peer"]]) / 1e9
        check(abs(c["age_s"] - age) <= AGE_S,
              "%s is %s s old, not %s" % (c["peer"], c["age_s"], age))


# How much stays unknown depends on how soon after a fault it is asked about: not under emulation.
@cases_on_host("owner", [("1", 2), ("4", 2), ("2wild", 2)])
def test_owner(kind, rounds):
    """Each fault of a proxy that tells whose its memory is, and closes and opens connections."""
    with Swap(), PageCluster(), Cgroup() as group, Scratch() as place, \
            Target(os.path.join(place, "truth"), CONNECTIONS, kind, group, binary=OWNER) as target:
        answers = Answers(place)
        squeeze(group, target.pid)
        with Faultprof("--provider", provider("tests/provider_owner"), "-p", target.pid,
                       env=answers.env) as prof:
            for i in range(rounds):
                if i:
                    squeeze(group, target.pid, prof)
                account = target.go()
                check(kind.endswith("wild") or account["opened"] > CONNECTIONS / 100,
                      "nothing was opened")
                time.sleep(0.3)
            report = prof.report()
        truth = Truth(os.path.join(place, "truth"))
        right, unknown, wrong = judge(truth, answers)
        check(not wrong, "%d of %d wrong: %s" % (len(wrong), right, "; ".join(wrong[:3])))
        check(right >= FAULTS, "only %d faults" % right)
        check(unknown <= UNKNOWN * (right + unknown), "%d of %d unknown" % (unknown, right))
        equal(sum(1 for _ in answers), report.totals["addressed"], "faults that were asked about")
        check(report.totals["addressed"] >= report.kind("swap-in") + report.kind("swap-cache"),
              "not all faults from swap have an address")
        add_up(report, truth, answers)


def ports(pid, port):
    """The ends of the connections to @port, as the kernel knows them."""
    lines = [l.split() for l in read("/proc/%d/net/tcp" % pid).splitlines()[1:]]
    return {int(l[1].split(":")[1], 16) for l in lines if l[2].endswith(":%04X" % port)}


@test
def test_example():
    """examples/provider_coldproxy.c: each connection with its port and age, four pages of each."""
    need_root()
    n = fewer(2000, 500)
    with Swap(), PageCluster(), Cgroup() as group, Scratch() as place:
        said = os.path.join(place, "said")
        begin = time.monotonic()
        proxy = start([COLDPROXY, "--connections", str(n), "--rounds", "2"],
                      stdin=subprocess.PIPE, stdout=open(said, "w"), preexec_fn=group.add)
        wait_for(lambda: "filled" in read(said), 20, "connections")
        filled = time.monotonic()
        known = ports(proxy.pid, int(read(said).split()[4]))
        squeeze(group, proxy.pid)
        with Faultprof("--provider", provider("provider_coldproxy"), "-p", proxy.pid) as prof:
            woken = time.monotonic()
            proxy.stdin.write(b"wake\n")
            proxy.stdin.flush()
            wait_for(lambda: "woken" in read(said), 20, "answers")
            end = time.monotonic()
            time.sleep(0.3)
            report = prof.report()
    faults = {o["type"]: o["faults"] for o in report["objects"] if o["provider"] == "coldproxy"}
    near(faults["buffer"], 4 * n, 0.01, "faults of buffers")
    check(faults["connection"] > 0, "no faults of connections")
    seen = {c["peer"]: c for c in report["connections"]}
    strangers = set(seen) - {"127.0.0.1:%d" % port for port in known}
    check(not strangers, "unknown peers: %s" % strangers)
    check(len(seen) >= (1 - UNKNOWN) * n, "%d of %d connections" % (len(seen), n))
    for peer, c in seen.items():
        check(woken - filled <= c["age_s"] <= end - begin, "%s is %s s old" % (peer, c["age_s"]))
        check(c["faults"] <= 6, "%s has %d faults" % (peer, c["faults"]))


main()
