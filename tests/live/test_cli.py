#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What a user types and sees: errors, exit codes, output files, terminals."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import stat
import subprocess
import threading
import time

from lab import (AUTO_TIER, Cgroup, FAULTPROF, FAULTS, Faultprof, Scratch, Setting, Skip, Target,
                 as_user, cases, check, end, equal, main, need_root, need_tool, read, refused, start,
                 status, test, test_on_host, tool, wait_for)


def free_pid():
    with open("/proc/sys/kernel/pid_max") as file:
        pid = int(file.read()) - 3
    while os.path.exists("/proc/%d" % pid):
        pid -= 1
    return pid


def kernel_thread():
    for pid in (p for p in os.listdir("/proc") if p.isdigit()):
        with open("/proc/%s/stat" % pid) as file:
            fields = file.read().rpartition(")")[2].split()
        if int(fields[6]) & 0x00200000:  # PF_KTHREAD
            return int(pid)
    raise Skip("no kernel thread in sight (a PID namespace)")


@cases("usage", [
    ("no target", [], []),
    ("unknown option", ["-p", "1", "--bogus"], ["bogus"]),
    ("unknown format", ["-p", "1", "--format", "xml"], ["xml", "json"]),
    ("unknown kind", ["-p", "1", "--kind", "swapin"], ["swapin", "swap-in"]),
    ("unknown mode", ["-p", "1", "--mode", "hyper"], ["hyper", "kernel"]),
    ("unknown tier", ["-p", "1", "--tier", "magic"], ["magic", "tracepoint"]),
    ("PID not a number", ["-p", "abc"], ["abc"]),
    ("PID zero", ["-p", "0"], ["0"]),
    ("PID list with a hole", ["-p", "1,,2"], []),
    ("duration not a number", ["-p", "1", "-d", "soon"], ["soon"]),
    ("duration negative", ["-p", "1", "-d", "-1"], ["-1"]),
    ("top not a number", ["-p", "1", "--top", "many"], ["many"]),
    ("option without value", ["-p"], ["-p"]),
    ("missing command", ["--"], ["command"]),
    ("empty comm", ["--comm", ""], ["--comm", "empty"]),
    ("empty cgroup", ["--cgroup", ""], ["--cgroup", "empty"]),
    ("empty output", ["-p", "1", "-o", ""], ["-o", "empty"]),
])
def usage(_, args, words):
    refused(tool(*args, seconds=10), 64, *words)


@cases("failed", [
    ("no such PID", lambda: ["-p", free_pid()], lambda: [str(free_pid())]),
    ("kernel thread", lambda: ["-p", kernel_thread()], lambda: ["kernel thread"]),
    ("no such comm", lambda: ["--comm", "no-such-comm"], lambda: ["no-such-comm"]),
    ("no such cgroup", lambda: ["--cgroup", "/no/such/cgroup"], lambda: ["/no/such/cgroup"]),
    ("no such command", lambda: ["--", "/no/such/command"], lambda: ["/no/such/command", "check"]),
    ("no permission", lambda: ["--", "/etc/passwd"], lambda: ["/etc/passwd", "permission"]),
])
def failed(_, args, words):
    refused(tool("-d", "5", *args(), seconds=20), 1, *words())


@test_on_host
def test_thread_or_zombie():
    """What is no process (any more) is called what it is."""
    with Target("loop", 100) as target:
        thread = threading.Thread(target=time.sleep, args=(5,), daemon=True)
        thread.start()
        tid = max(int(t) for t in os.listdir("/proc/self/task"))
        refused(tool("-p", tid, "-d", "1"), 1, str(tid), "thread", str(os.getpid()))
        os.kill(target.pid, signal.SIGKILL)
        wait_for(lambda: status(target.pid, "State") == "Z", 5, "a zombie")
        refused(tool("-p", target.pid, "-d", "1"), 1, str(target.pid), "zombie")


@test
def test_foreign_pid():
    """A PID of another user, without privilege: it says what is missing."""
    with Setting("kernel/perf_event_paranoid", 2), Target("loop", 100) as target:
        result = tool("-p", target.pid, "-d", "1", prefix=as_user())
        refused(result, 1, str(target.pid))
        check(re.search("CAP_|root|sudo", result.err), "no remedy in %r" % result.err)


@test_on_host
def test_unwritable_output():
    """Told at once, not after the run."""
    with Target("loop", 100) as target:
        begin = time.monotonic()
        refused(tool("-p", target.pid, "-d", "30", "-o", "/no/such/directory/report", seconds=20),
                1, "/no/such/directory")
        check(time.monotonic() - begin < 10, "told only after the run")


@test_on_host
def test_full_disk():
    with Target("loop", 100) as target, open("/dev/full", "w") as full:
        result = tool("-p", target.pid, "-d", "1", stdout=full)
        refused(result, 1)


@test_on_host
def test_output_whole():
    """-o: the old file, or the whole new one; never a part, and nothing else beside it."""
    with Scratch() as place, Target("loop", 500) as target:
        path = os.path.join(place, "report.json")
        with open(path, "w") as file:
            file.write("old")
        target.tell()
        prof = Faultprof("-p", target.pid, "-o", path)
        seen = set()
        time.sleep(0.3)
        prof.process.send_signal(signal.SIGINT)
        while prof.process.poll() is None:
            with open(path) as file:
                seen.add(file.read())
        result = prof.finish()
        with open(path) as file:
            final = file.read()
        equal(result.rc, 0, "exit code")
        equal(result.out, "", "stdout")
        json.loads(final)
        check(seen <= {"old", final}, "a part of the report was to be seen")
        check("old" in seen, "the old file was gone during the run")
        equal(os.listdir(place), ["report.json"], "files")


@test_on_host
def test_output_kept():
    """A run that fails or dies leaves the old file as it was."""
    with Scratch() as place, Target("loop", 500) as target:
        path = os.path.join(place, "report.json")
        with open(path, "w") as file:
            file.write("old")
        refused(tool("-p", free_pid(), "-o", path, "-d", "1"), 1)
        with Faultprof("-p", target.pid, "-o", path) as prof:
            os.kill(prof.pid, signal.SIGKILL)
            prof.process.wait(10)
        with open(path) as file:
            equal(file.read(), "old", "the file")


@test_on_host
def test_output_kind():
    """A device, a FIFO and standard output are written to as they are; a link keeps leading there."""
    need_root()
    with Scratch() as place, Target("loop", 500) as target:
        def path(name):
            return os.path.join(place, name)

        def run(name, **kwargs):
            result = tool("-p", target.pid, "-d", "0.3", "--format", "json", "-o", path(name), **kwargs)
            equal((result.rc, result.err), (0, ""), "exit code and stderr of " + name)
            return result

        os.mknod(path("null"), 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        os.mkdir(path("real"))
        open(path("real/report"), "w").close()
        os.symlink("real/report", path("link"))
        os.symlink("null", path("link-to-null"))
        os.symlink("nowhere", path("dangling"))
        os.symlink("/dev/stdout", path("stdout"))
        run("null")
        run("link-to-null")
        check(stat.S_ISCHR(os.lstat(path("null")).st_mode), "the device was replaced")
        run("link")
        check(os.path.islink(path("link")), "the link was replaced")
        json.loads(read(path("real/report")))
        equal(os.listdir(path("real")), ["report"], "files beside what the link leads to")
        check("schema" in run("stdout").json(), "no report by /dev/stdout (a pipe)")
        with open(path("file"), "a") as out:
            out.write(" \n")
            out.flush()
            run("stdout", stdout=out)
        check(read(path("file")).startswith(" \n{"), "standard output, a file, was replaced")
        for name, word in (("real", "directory"), ("dangling", "No such file")):
            refused(tool("-p", target.pid, "-d", "9", "-o", path(name)), 1, name, word)
        check(os.path.islink(path("dangling")), "the link was replaced")


@test
def test_output_of_other_user():
    """Root writes where root's privileges are needed, though they are given up meanwhile."""
    need_root()
    with Scratch() as place, Target("loop", 500) as target:
        os.chown(place, 65534, 65534)
        path = os.path.join(place, "report.json")
        for _ in range(2):
            result = tool("-p", target.pid, "-d", "0.3", "--format", "json", "-o", path)
            equal((result.rc, result.err), (0, ""), "exit code and stderr")
            equal(json.loads(read(path))["schema"], "faultprof/1", "schema")
        with Faultprof("-p", target.pid, "-o", path) as prof:
            os.kill(prof.pid, signal.SIGKILL)
        equal(os.listdir(place), ["report.json"], "files")


@test_on_host
def test_output_helper():
    """The process that gives the file its name is no target."""
    with Cgroup(memory=False) as cgroup, Scratch() as place:
        path = os.path.join(place, "report.json")
        result = tool("--cgroup", cgroup.path, "-d", "1", "--format", "json", "-o", path,
                      prefix=["sh", "-c", 'echo $$ > "$0" && exec "$@"',
                              os.path.join(cgroup.path, "cgroup.procs")])
        equal((result.rc, result.err), (0, ""), "exit code and stderr")
        equal(json.loads(read(path))["targets"], [], "targets")


@test_on_host
def test_closed_pipe():
    """faultprof | head: nothing to complain about."""
    with Target("loop", 500) as target:
        target.tell()
        for args in (("-p", target.pid, "-d", "0.3", "--format", "json"), ("--help",)):
            reader, writer = os.pipe()
            os.close(reader)
            result = tool(*args, stdout=writer)
            os.close(writer)
            equal(result.err, "", "stderr of %r" % (args,))
            check(result.rc != 0, "exit code 0")


@test
def test_cgroup_goes():
    """A cgroup that is removed during the run takes no figure with it."""
    with Cgroup(memory=False) as cgroup:
        with Target("zero", 500, cgroup=cgroup) as target, \
                Faultprof("--cgroup", cgroup.path, "-d", "2") as prof:
            target.go()
            target.finish()
            wait_for(lambda: not read(os.path.join(cgroup.path, "cgroup.procs")), 5, "its end")
            os.rmdir(cgroup.path)
            result = prof.finish()
        os.mkdir(cgroup.path)
    equal(result.lines, [], "stderr")
    equal(result.json().consistent().symbol("zero_faults"), 500, "faults of zero_faults")


@test_on_host
def test_second_interrupt():
    """The first one ends the run, the second the tool, whatever it is at."""
    need_tool()
    reader, writer = os.pipe()
    os.write(writer, b"x" * fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096))  # the report has to wait
    with Target("loop", 500) as target:
        process = start([FAULTPROF, "-v", "-p", str(target.pid)], stdin=subprocess.DEVNULL,
                        stdout=writer, stderr=subprocess.PIPE)
        with process.stderr:
            check(b"collecting" in process.stderr.readline(), "it does not collect")
            for _ in range(2):
                check(process.poll() is None, "the first one ended it")
                process.send_signal(signal.SIGINT)
                time.sleep(0.7)
        equal(process.wait(5), -signal.SIGINT, "exit status")
    os.close(reader)
    os.close(writer)


@test_on_host
def test_short_command():
    """A command's time is its own, not that of our looking."""
    report = tool("--format", "json", "--", "sleep", "0.1").json()
    check(0.1 <= report["duration_s"] < 0.3, "0.1 s is said to be %s" % report["duration_s"])


@test_on_host
def test_filter():
    """A report that holds a part of the faults says which."""
    args = ("--kind", "swap-in,swap-cache", "--mode", "user")
    text = tool(*args, "--", "true").out
    check("only: swap-in, swap-cache, user mode" in text and "of that kind" in text,
          "the filter is not told: %r" % text)
    report = tool(*args, "--format", "json", "--", "true").json().consistent()
    equal(report["filter"], {"kinds": ["swap-in", "swap-cache"], "mode": "user"}, "filter")
    equal((report.totals["user"], report.totals["kernel"]), (0, None), "user and kernel")
    report = tool("--tier", "perf", "--format", "json", "--", "true").json().consistent()
    equal((report["filter"], report.totals["failed"]), (None, None), "filter and failed")


@cases("started", [(tier or "auto", tier) for tier in ("", "perf")])
def started(_, tier):
    """What the command starts is among the targets, and nothing else."""
    others = start(["sh", "-c", "while :; do /bin/true; done"])
    args = (["--tier", tier] if tier else []) + ["--", "sh", "-c", "/bin/sleep 0.2; /bin/echo; :"]
    try:
        report = tool("--format", "json", *args).json()
        text = tool(*args).out
    finally:
        end(others)
    exes = {t["comm"]: os.path.basename(t["exe"]) for t in report["targets"]}
    equal(report["targets"][0]["comm"], "sh", "the first target")
    equal(sorted(exes), ["echo", "sh", "sleep"], "targets")
    equal(exes["sleep"], "sleep", "exe of sleep")
    check("and 2 programs started later for" in text.replace("\n    ", " "), "header: %.150r" % text)


@test_on_host
def test_text():
    """Lines of at most 100 columns, no escape codes, nothing on stderr when it is no terminal."""
    with Target("fork", 500) as target, Faultprof("-p", target.pid, form="text") as prof:
        target.go()
        result = prof.stop()
    equal(result.rc, 0, "exit code")
    equal(result.lines, [], "stderr")
    check("child_faults" in result.out and "zero" in result.out, "the report lacks its content")
    check(re.search(r"child_faults.*faults\.c:\d+", result.out), "no file:line at the symbol")
    for line in result.out.splitlines():
        check(len(line) <= 100, "%d columns: %r" % (len(line), line))
        check("\x1b" not in line and "\t" not in line, "escape code or tab in %r" % line)
        equal(line, line.rstrip(), "line")


@test_on_host
def test_folded():
    with Target("zero", 500) as target, Faultprof("-p", target.pid, form="folded") as prof:
        target.go()
        result = prof.stop()
    equal(result.rc, 0, "exit code")
    total = 0
    for line in result.out.splitlines():
        match = re.match(r"(\S.*) (\d+)$", line)
        check(match, "not folded: %r" % line)
        total += int(match.group(2)) if "zero_faults" in match.group(1) else 0
    equal(total, 500, "faults of zero_faults")


@test_on_host
def test_top():
    with Target("fork", 500) as target, Faultprof("-p", target.pid, "--top", "1") as prof:
        target.go()
        report = prof.stop().json()
    equal(len(report["symbols"]), 1, "symbols with --top 1")
    equal(report["symbols"][0]["symbol"], "child_faults", "the first")
    check(report.totals["faults"] > 500, "--top changes the totals")


def on_terminal(*args, stream, env=None, seconds=20):
    """What the tool writes to a terminal that is its stdout or stderr: [(time, bytes)]."""
    need_tool()
    master, slave = pty.openpty()
    other = "stderr" if stream == "stdout" else "stdout"
    process = start([FAULTPROF] + list(args), stdin=subprocess.DEVNULL,
                    env=dict(os.environ, TERM="xterm", **(env or {})),
                    **{stream: slave, other: subprocess.DEVNULL})
    os.close(slave)
    begin, got = time.monotonic(), []
    while time.monotonic() - begin < seconds:
        if select.select([master], [], [], 0.1)[0]:
            try:
                data = os.read(master, 65536)
            except OSError:
                break
            if not data:
                break
            got.append((time.monotonic() - begin, data))
    os.close(master)
    equal(end(process), 0, "exit code")
    return got


@test_on_host
def test_progress():
    """A terminal's stderr shows progress while it collects; it is cleared or ended by a newline."""
    with Target("loop", 1000) as target:
        target.tell()
        got = on_terminal("-p", str(target.pid), "-d", "3", stream="stderr")
        end_of_run = got[-1][0] if got else 0
        text = b"".join(data for when, data in got if when < end_of_run - 0.5)
        check(re.search(rb"\d", text), "no progress: %r" % text)
        quiet = tool("-p", target.pid, "-d", "1")
        equal(quiet.err, "", "stderr without a terminal")


@test_on_host
def test_no_color():
    with Target("loop", 1000) as target:
        target.tell()
        args = ("-p", str(target.pid), "-d", "1", "--format", "text")
        plain = b"".join(d for _, d in on_terminal(*args, stream="stdout", env={"NO_COLOR": "1"}))
        check(b"loop_faults" in plain, "no report on the terminal: %r" % plain[:80])
        check(b"\x1b" not in plain, "escape codes in spite of NO_COLOR")


@test_on_host
def test_version_and_help():
    version = tool("--version")
    equal((version.rc, version.err), (0, ""), "--version")
    check(re.match(r"faultprof \d+\.\d+", version.out), "--version says %r" % version.out)
    text = tool("--help")
    equal((text.rc, text.err), (0, ""), "--help")
    for option in ("-p", "-d", "-o", "--comm", "--cgroup", "--format", "--top", "--kind", "--mode",
                   "--no-stacks", "--slow", "--probe", "--version", "--tier"):
        check(option in text.out, "--help does not mention " + option)
    check(max(map(len, text.out.splitlines())) <= 100, "--help is wider than 100 columns")


@test
def test_probe():
    result = tool("--probe")
    equal(result.rc, 0, "exit code")
    for word in ("fentry", "tracepoint", "perf"):
        check(word in result.out, "--probe does not mention " + word)
    check(max(map(len, result.out.splitlines())) <= 100, "--probe is wider than 100 columns")
    check("(tier " + AUTO_TIER in result.out, "--probe does not choose " + AUTO_TIER)
    need_root()
    equal(tool("--probe", prefix=as_user()).rc, 0, "exit code without privilege")


@test
def test_terminate():
    """SIGTERM ends a run like SIGINT does: with a report."""
    with Target("zero", 100) as target, Faultprof("-p", target.pid) as prof:
        target.go()
        os.kill(prof.pid, signal.SIGTERM)
        report = prof.finish().json()
    equal(report.symbol("zero_faults"), 100, "faults")


@test_on_host
def test_command_that_fails():
    """The command's own exit does not become the tool's."""
    result = tool("--format", "json", "--", FAULTS, "no-such-mode", "1")
    check(result.rc == 0, "exit code %s when the command fails" % result.rc)


main()
