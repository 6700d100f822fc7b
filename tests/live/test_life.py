#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What happens to a target during a run: death, exec, new code, and where its binary lives."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time

from lab import (BUILD, FAULTS, Cgroup, Faultprof, Scratch, Setting, Skip, Target, as_user, attached,
                 cases, cases_on_host, cgroup_mounts, check, equal, main, need, need_root, procstat,
                 public, read, status, test, tool, wait_for)

FAMILY = os.path.join(BUILD, "tests", "family")


@test
def test_killed():
    """SIGKILL in the middle: the report still equals what the kernel counted (on the zombie)."""
    with Target("loop", 3000) as target, Faultprof("-p", target.pid) as prof:
        before = procstat(target.pid)
        target.tell()
        time.sleep(1)
        os.kill(target.pid, signal.SIGKILL)
        wait_for(lambda: status(target.pid, "State") == "Z", 10, "its death")
        after = procstat(target.pid)
        time.sleep(0.2)
        report = prof.report()
        check(sum(after) - sum(before) > 1000, "the target hardly faulted")
        equal(report.totals["faults"], sum(after) - sum(before), "faults")
        equal(report.symbol("loop_faults"), after[0] - before[0], "faults of loop_faults")
        report.nothing_lost()


@test
def test_exec():
    with Target("exec", 700) as target, Faultprof("-p", target.pid) as prof:
        before = procstat(target.pid)
        target.go()
        after = procstat(target.pid)
        report = prof.report()
        equal(report.symbol("zero_faults", kind="zero"), 700, "faults before exec")
        equal(report.symbol("exec_faults", kind="zero"), 700, "faults after exec")
        # The kernel copies the arguments of exec without registers: in stat, seen by no event.
        made = sum(after) - sum(before)
        check(made - 150 <= report.totals["faults"] <= made,
              "%d faults of %d" % (report.totals["faults"], made))
        equal(report.totals["lost"], 0, "lost")


def build_plugin(place, name):
    source, plugin = os.path.join(place, "plugin.c"), os.path.join(place, name)
    with open(source, "w") as file:
        file.write("const char *plugin_name(void) { return NAME; }\n"
                   "void plugin_faults(volatile char *p, unsigned long n)\n"
                   "{\n\tfor (unsigned long i = 0; i < n; i++)\n\t\tp[i * 4096] = 1;\n}\n")
    subprocess.run(["gcc", "-O2", "-g", "-fomit-frame-pointer", "-shared", "-fPIC", "-o", plugin,
                    '-DNAME="%s"' % name, source], check=True, timeout=60)
    return plugin


@test
def test_exec_by_thread():
    """A thread that executes a program becomes its process's first one, with another number."""
    script = ("import os, sys, threading\n"
              "t = threading.Thread(target=os.execv, args=(sys.argv[1], sys.argv[1:]))\n"
              "t.start()\nt.join()\n")
    report = tool("--format", "json", "--", sys.executable, "-c", script, FAULTS, "now",
                  "700").json().consistent()
    equal(report.symbol("zero_faults", kind="zero", comm="faults"), 700, "faults after exec")
    equal(report.totals["lost"], 0, "lost")
    equal(report["losses"]["start"], 0, "losses.start")


@test
def test_dlopen():
    """Code that was mapped after the start has names too."""
    need("gcc")
    with Scratch() as place:
        plugin = build_plugin(place, "plugin.so")
        with Target("dlopen", 800, plugin) as target, Faultprof("-p", target.pid) as prof:
            before = procstat(target.pid)
            target.go()
            after = procstat(target.pid)
            report = prof.report()
    equal(report.symbol("plugin_faults", module="plugin.so", kind="zero"), 800,
          "faults of plugin_faults")
    equal(report.totals["faults"], sum(after) - sum(before), "faults")
    equal(report.totals["lost"], 0, "lost")


@cases("siblings", [("bpf",), ("perf",)])
def siblings(tier):
    """Children of one parent with other libraries at one address: no fault gets a wrong name."""
    need("gcc")
    with Scratch() as place:
        plugins = [build_plugin(place, name) for name in ("plugin-a.so", "plugin-b.so")]
        with Target("siblings", 700, ":".join(plugins)) as target, \
                Faultprof("-p", target.pid, *(["--tier", "perf"] if tier == "perf" else [])) as prof:
            target.go()
            report = prof.report()
    got = [report.symbol("plugin_faults", module=m, kind="zero")
           for m in ("plugin-a.so", "plugin-b.so")]
    if report["tier"].startswith("perf"):
        equal(got, [1400, 700], "faults of the two plugins")
        equal(report.totals["lost"], 0, "lost")
        return
    equal(got, [0, 0], "faults of the two plugins, counted without a process")
    check(report.symbol(None, module="[unknown]", kind="zero") >= 2100, "too few unknown faults")
    check(report["losses"]["mapping"] > 0, "the ambiguous mapping is not told")


@cases("binary", [("deleted",), ("replaced",)])
def binary(how):
    """After an upgrade of its file the running program keeps its names."""
    with Scratch() as place:
        copy = os.path.join(place, "upgraded")
        shutil.copy2(FAULTS, copy)
        with Target("zero", 600, binary=copy) as target:
            os.unlink(copy)
            if how == "replaced":
                shutil.copy2("/proc/self/exe", copy)
            with Faultprof("-p", target.pid) as prof:
                target.go()
                report = prof.report()
    equal(report.symbol("zero_faults", module="upgraded"), 600, "faults of zero_faults")


@test
def test_mount_namespace():
    """A binary that exists in the target's mount namespace alone."""
    need_root()
    need("unshare")
    script = 'mount -t tmpfs none /mnt && cp "$0" /mnt/hidden && exec /mnt/hidden "$@"'
    try:
        target = Target("zero", 600, prefix=["unshare", "-m", "sh", "-c", script])
    except AssertionError as error:
        raise Skip("no mount namespace of our own: %s" % error)
    with target:
        check(not os.path.exists("/mnt/hidden"), "the namespace leaks")
        with Faultprof("-p", target.pid) as prof:
            target.go()
            report = prof.report()
    equal(report.symbol("zero_faults", module="hidden"), 600, "faults of zero_faults")


@test
def test_pid_namespace():
    """Where PIDs are not the kernel's own, as in a container: perf events, and it says why."""
    need_root()
    need("unshare")
    result = tool("--format", "json", "--", FAULTS, "now", "900",
                  prefix=["unshare", "--pid", "--fork", "--mount-proc"], tier="perf")
    report = result.json().consistent()
    equal(report.symbol("zero_faults", kind="zero"), 900, "faults of zero_faults")
    check("perf" in report["tier"], "the tier is %r" % report["tier"])
    check(any("--pid=host" in w for w in report["warnings"]), "no remedy: %r" % report["warnings"])


@test
def test_pids():
    """A list of PIDs, and nobody else's faults."""
    with Target("zero", 300) as a, Target("cow", 200) as b, Target("shmem", 100) as other:
        with Faultprof("-p", "%d,%d" % (a.pid, b.pid)) as prof:
            for target in (a, b, other):
                target.go()
            report = prof.report()
        equal(report.totals["faults"], 500, "faults")
        equal(sorted(t["pid"] for t in report["targets"]), sorted([a.pid, b.pid]), "targets")


@test
def test_comm():
    with Scratch() as place:
        copy = os.path.join(place, "fp-by-comm")
        shutil.copy2(FAULTS, copy)
        with Target("zero", 300, binary=copy) as a, Target("zero", 200, binary=copy) as b, \
                Target("zero", 100) as other, Faultprof("--comm", "fp-by-comm") as prof:
            for target in (a, b, other):
                target.go()
            report = prof.report()
        equal(report.totals["faults"], 500, "faults")
        equal(report.symbol("zero_faults", comm="fp-by-comm"), 500, "faults under that comm")


@cases("cgroup", sorted({("v%d" % version, version) for version, _ in sum(cgroup_mounts(), [])}))
def cgroup(_, version):
    """A cgroup of every hierarchy that this machine mounts."""
    with Cgroup(memory=False, version=version) as group:
        with Target("zero", 300, cgroup=group) as a, Target("zero", 200, cgroup=group) as b, \
                Target("zero", 100) as other, Faultprof("--cgroup", group.path) as prof:
            for target in (a, b, other):
                target.go()
            report = prof.report()
            equal(report.totals["faults"], 500, "faults")


@test
def test_command():
    """A command is followed from its exec to its end, which ends the run."""
    result = tool("--format", "json", "--top", "0", "--", FAULTS, "now", "900")
    report = result.json().consistent()
    equal(report.symbol("zero_faults", kind="zero"), 900, "faults of zero_faults")
    equal(result.lines, [], "stderr")
    foreign = report["symbols"] and [s for s in report["symbols"] if s["comm"] != "faults"]
    equal(foreign, [], "symbols of another program")
    equal(report.totals["lost"], 0, "lost")


@test
def test_duration():
    with Target("loop", 1000) as target:
        target.tell()
        start = time.monotonic()
        report = tool("-p", target.pid, "-d", "1", "--format", "json").json().consistent()
        check(1 <= time.monotonic() - start < 15, "-d 1 took another time")
        check(0.9 <= report["duration_s"] <= 1.5, "duration_s is %s" % report["duration_s"])
        check(report.symbol("loop_faults") > 300, "hardly a fault seen")


# Not by emulation: there, the children have ended before they are found.
@cases_on_host("family", [("perf",), ("perf --no-inherit",)])
def family(options):
    """Children that are found by their name, and inherit events too, are counted once."""
    with Scratch() as place:
        copy = os.path.join(place, "fp-family")
        shutil.copy2(FAMILY, copy)
        with Target("children", 2000, binary=copy) as target, \
                Faultprof("--comm", "fp-family", "--tier", *options.split()) as prof:
            before = procstat(target.pid)
            account = target.go()
            wait_for(lambda: status(target.pid, "State") == "S", 10, "it to sleep")
            report = prof.report()
            made = sum(procstat(target.pid)) - sum(before) + account["children"]
    check(made > 20000, "only %d faults were made" % made)
    equal(report.totals["lost"], 0, "lost")
    if "--no-inherit" in options:  # what a child does before it is found is nobody's
        check(made * 0.3 < report.totals["faults"] <= made,
              "%d faults of %d" % (report.totals["faults"], made))
    else:
        equal(report.totals["faults"], made, "faults")


@test
def test_family_late():
    """The same when they are forked long after their parent was found: no events of their own."""
    with Scratch() as place:
        copy = os.path.join(place, "fp-family")
        shutil.copy2(FAMILY, copy)
        with Target("children", 500, binary=copy) as target, \
                Faultprof("--comm", "fp-family", "--tier", "perf") as prof:
            time.sleep(2.3)
            before = procstat(target.pid)
            events = attached(prof.pid)
            target.tell()
            time.sleep(1)
            equal(attached(prof.pid), events, "perf events for one process and 10 children")
            account = json.loads(target.line(60))
            wait_for(lambda: status(target.pid, "State") == "S", 10, "it to sleep")
            report = prof.report()
            made = sum(procstat(target.pid)) - sum(before) + account["children"]
            equal(len(report["targets"]), 11, "targets")
    equal(report.totals["faults"], made, "faults")


@test
def test_orphan():
    """The run goes on as long as a child of the command does."""
    with Scratch() as place:
        path = os.path.join(place, "count")
        report = tool("--format", "json", "--tier", "perf", "--", FAMILY, "orphan", "5000",
                      path).json().consistent()
        made = int(read(path))
    check(made >= 5000, "only %d faults were made" % made)
    check(report.totals["faults"] >= made, "%d faults of %d" % (report.totals["faults"], made))


@cases("events", [("taken", "exec"), ("kept", "thread")])
def events(what, mode):
    """A program with the set-user-ID bit takes its events away; an exec from a thread does not."""
    prefix = as_user()
    binary = public(FAMILY)
    with Scratch() as place:
        program = os.path.join(place, "setuid")
        shutil.copy(FAMILY, program)
        os.chmod(program, 0o4755)
        if os.statvfs(place).f_flag & os.ST_NOSUID:
            raise Skip("no set-user-ID programs on this file system")
        with Setting("kernel/perf_event_paranoid", 2):
            report = tool("--format", "json", "--tier", "perf", "--", binary, mode, "3000", program,
                          prefix=prefix).json().consistent()
    if what == "taken":
        check(report.totals["faults"] < 3000, "events of a setuid program?")
        equal(report["losses"]["target"], 1, "losses.target")
    else:
        check(report.totals["faults"] >= 3000, "only %d faults" % report.totals["faults"])
        equal(report.totals["lost"], 0, "lost")


@test
def test_two_recorders():
    """Two at a time on one process: the kernel gives both the same identifiers."""
    with Target("zero", 3000) as target, Faultprof("-p", target.pid, "--tier", "perf") as one, \
            Faultprof("-p", target.pid, "--tier", "perf") as two:
        target.go()
        reports = one.report(), two.report()
    for report in reports:
        equal(report.symbol("zero_faults", kind="zero"), 3000, "faults of zero_faults")
        equal(report.totals["faults"], 3000, "faults")
        report.nothing_lost()


main()
