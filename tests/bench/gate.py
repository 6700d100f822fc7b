#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""How often the gate cries wolf, and how often it sees a rise, on real runs of tests/live/noisy.c.

    gate.py collect DIR SECONDS   add sessions of 5 runs to DIR, of all rises in turn
    gate.py judge DIR             what the gate says of each session, as tables

A session is measured as the gate measures its runs; a rise is how many times as many faults of a kind
the program makes. Each session is judged once, by a baseline that is the first sessions without a
rise, as it would be in use. GATE_LOAD names another program, such as examples/ci/load-test.sh, that
writes its units of work to the file "requests"; that one has no rises.
"""
import json
import os
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(ROOT, "build")))
FAULTPROF = os.environ.get("FAULTPROF", os.path.join(BUILD, "faultprof"))
NOISY = os.path.join(BUILD, "tests", "noisy")
LOAD = os.environ.get("GATE_LOAD")
SECONDS = "0.3"  # of a run
RUNS = 5  # of a session
# So many sessions of each rise: the first one has to show how rare false alarms are.
WANTED = {"1.0": 204} if LOAD else {"1.0": 204, "1.3": 100, "1.2": 50, "1.5": 50, "1.1": 25,
                                    "2.0": 25}


def pool(place, rise):
    return os.path.join(place, "pool-%s.json" % rise)


def sessions(place, rise):
    """[(runs, {series: faults})] of each session, as baselines of their own."""
    try:
        with open(pool(place, rise)) as file:
            whole = json.load(file)
    except FileNotFoundError:
        return []
    found = []
    for number in sorted({run["session"] for run in whole["runs"]}):
        at = [i for i, run in enumerate(whole["runs"]) if run["session"] == number]
        found.append(take(whole, at))
    return found


def take(whole, at):
    """The baseline of these runs of a baseline alone."""
    part = dict(whole, runs=[whole["runs"][i] for i in at])
    part["series"] = [dict(s, faults=[s["faults"][i] for i in at]) for s in whole["series"]]
    return part


def collect(place, seconds):
    place = os.path.abspath(place)
    os.makedirs(place, exist_ok=True)
    end = time.monotonic() + seconds
    have = {rise: len(sessions(place, rise)) for rise in WANTED}
    while time.monotonic() < end and any(have[r] < WANTED[r] for r in WANTED):
        # Whatever is furthest behind, so that all see the same weather.
        rise = min(WANTED, key=lambda r: have[r] / WANTED[r])
        command = [os.path.abspath(LOAD)] if LOAD else [NOISY, SECONDS, rise, "requests"]
        subprocess.run([os.path.abspath(FAULTPROF), "baseline", "update", "--baseline",
                        pool(place, rise), "--repeat", str(RUNS), "--keep", "10000", "--work-from",
                        "requests", "--"] + command, cwd=place, stdout=subprocess.DEVNULL, check=True)
        have[rise] += 1
    print(", ".join("%s: %d of %d" % (r, have[r], WANTED[r]) for r in WANTED))


def write(place, name, parts):
    """One file for each of these, to be read as runs; returns their paths."""
    paths = []
    for i, part in enumerate(parts):
        paths.append(os.path.join(place, "%s-%d.json" % (name, i)))
        with open(paths[-1], "w") as file:
            json.dump(part, file)
    return paths


def gate(place, base, runs, *args):
    """(exit code, the kinds that rose)"""
    report = os.path.join(place, "report.json")
    done = subprocess.run([FAULTPROF, "gate", "--baseline", base, "--report", "json=" + report,
                           *args, *runs], stdout=subprocess.DEVNULL)
    if done.returncode not in (0, 2, 3):
        sys.exit("the gate failed")
    with open(report) as file:
        rows = json.load(file)["rows"]
    return done.returncode, {r["kind"] for r in rows if r["level"] == "kind" and
                             r["state"] == "rose"}


def fewer(parts, repeat):
    """The same runs as sessions of so many: parts of them, or several together."""
    if repeat <= RUNS:
        return [[take(p, range(repeat))] for p in parts]
    n = repeat // RUNS
    return [parts[i:i + n] for i in range(0, len(parts) - n + 1, n)]


def judge_sessions(place, base, parts, *args):
    """(sessions, regressions, no verdicts, rises of the kind zero)"""
    counts = [0, 0, 0, 0]
    for session in parts:
        rc, kinds = gate(place, base, write(place, "run", session), *args)
        counts[0] += 1
        counts[1] += rc == 2
        counts[2] += rc == 3
        counts[3] += "zero" in kinds
    return counts


def scatter(parts, unit):
    """Of the rates of all runs: standard deviation by mean, of the kind zero."""
    rates = []
    for part in parts:
        faults = [s for s in part["series"] if s["level"] == "kind" and s["kind"] == "zero"][0]
        for run, n in zip(part["runs"], faults["faults"]):
            rates.append(n / run[unit])
    mean = sum(rates) / len(rates)
    return (sum((r - mean) ** 2 for r in rates) / (len(rates) - 1)) ** .5 / mean


def judge(place):
    pools = {rise: sessions(place, rise) for rise in WANTED}
    with tempfile.TemporaryDirectory() as work:
        for unit, args in (("seconds", []), ("work", ["--work", "1"])):
            print("rates by %s; a run's rate of zero scatters by %.1f %%" %
                  (unit, 100 * scatter(pools["1.0"], unit)))
            for base_sessions in (1, 4):
                base = os.path.join(work, "base.json")
                subprocess.run([FAULTPROF, "baseline", "update", "--baseline", base] +
                               write(work, "base", pools["1.0"][:base_sessions]), check=True,
                               stdout=subprocess.DEVNULL)
                table(work, base, base_sessions, pools, args)
                os.unlink(base)


def table(work, base, base_sessions, pools, args):
    for repeat in (3, 5, 10):
        for rise in sorted(pools):
            parts = pools[rise][4 if rise == "1.0" else 0:]
            if not parts:
                continue
            n, bad, none, zero = judge_sessions(work, base, fewer(parts, repeat), *args)
            print("  baseline of %2d runs, %2d repeats, rise %s: %3d gates, %5.1f %% regression, "
                  "%5.1f %% of the kind, %5.1f %% no verdict" %
                  (base_sessions * RUNS, repeat, rise, n, 100 * bad / n, 100 * zero / n,
                   100 * none / n), flush=True)


if len(sys.argv) == 4 and sys.argv[1] == "collect":
    collect(sys.argv[2], float(sys.argv[3]))
elif len(sys.argv) == 3 and sys.argv[1] == "judge":
    judge(sys.argv[2])
else:
    sys.exit(__doc__)
