#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""faultprof gate and faultprof baseline update: each exit code on real runs, what is reported, and
that nothing half-written stays behind. What no kernel has a part in is not for emulation."""
import json
import os
import re
import signal
import subprocess
import time
import xml.etree.ElementTree

from lab import (BUILD, FAULTPROF, FAULTS, ROOT, Haproxy, Scratch, Target, cases_on_host, check,
                 equal, main, need, need_tool, read, refused, start, test_on_host, tool, write)

NOISY = os.path.join(BUILD, "tests", "noisy")


def program(faults, kind="zero"):
    """A command that makes so many faults in zero_faults()."""
    return ["--", "sh", "-c", "printf '\\n\\n' | %s %s %d >/dev/null" % (FAULTS, kind, faults)]


def gate(*args):
    return tool("gate", *args, seconds=60)


def baseline(path, *args):
    result = tool("baseline", "update", "--baseline", path, *args, seconds=60)
    equal(result.rc, 0, "exit code of baseline update (%s)" % result.err.strip())
    return json.loads(read(path))


def verdict(result, rc, *words):
    equal(result.rc, rc, "exit code (%s)" % (result.err + result.out).strip())
    headline = result.out.splitlines()[0]
    for word in words:
        check(word in headline, "%r does not say %r" % (headline, word))
    check(all(len(line) <= 100 for line in result.out.splitlines()[1:]), "long lines: " + result.out)


# ---- bad input ----

GOOD = """{"schema":"faultprof-baseline/1","tier":"tracepoint","kernel":"Linux 6.18 x86_64",
"machine":null,"filter":null,"programs":[],"runs":[{"session":1,"begin":1,"seconds":1.0,"lost":0}],
"series":[{"level":"total","faults":[5]}]}"""

TRUE = ["--", "true"]


@cases_on_host("usage", [
    ("nothing allowed", TRUE, ["--baseline", "--budget"]),
    ("no command", ["--budget", "major=0", "--"], ["no command"]),
    ("no target", ["--budget", "major=0"], ["watch"]),
    ("no duration", ["--budget", "major=0", "-p", "1"], ["-d SECONDS"]),
    ("negative budget", ["--budget", "major=-1"] + TRUE, ["major=-1"]),
    ("budget not a number", ["--budget", "major=nan"] + TRUE, ["nan"]),
    ("budget of infinity", ["--budget", "major=inf"] + TRUE, ["inf"]),
    ("budget without number", ["--budget", "major"] + TRUE, ["SERIES=NUMBER"]),
    ("budget of no kind", ["--budget", "swapin=1"] + TRUE, ["swapin", "--kind"]),
    ("budget of no unit", ["--budget", "zero=1/m"] + TRUE, ["/m", "/s"]),
    ("budget not counted", ["--budget", "major=0", "--kind", "zero"] + TRUE, ["major", "--kind"]),
    ("series of no kind", ["--baseline", "b", "--series", "zeros"] + TRUE, ["zeros"]),
    ("series and by", ["--baseline", "b", "--series", "zero", "--by", "kind"] + TRUE, ["--by"]),
    ("series without baseline", ["--budget", "major=0", "--series", "zero"] + TRUE, ["--baseline"]),
    ("by what", ["--baseline", "b", "--by", "kind,line"] + TRUE, ["line", "symbol"]),
    ("ratio below 1", ["--baseline", "b", "--max-ratio", "0.5"] + TRUE, ["0.5"]),
    ("ratio not a number", ["--baseline", "b", "--max-ratio", "nan"] + TRUE, ["nan"]),
    ("level", ["--baseline", "b", "--level", "1"] + TRUE, ["--level"]),
    ("no runs", ["--baseline", "b", "--repeat", "0"] + TRUE, ["--repeat"]),
    ("half a run", ["--baseline", "b", "--repeat", "1.5"] + TRUE, ["--repeat", "whole"]),
    ("negative work", ["--baseline", "b", "--work", "-1"] + TRUE, ["--work"]),
    ("two works", ["--baseline", "b", "--work", "1", "--work-from", "f"] + TRUE, ["--work-from"]),
    ("requests of whom", ["--baseline", "b", "--per-request"] + TRUE, ["--haproxy-socket"]),
    ("socket for what", ["--baseline", "b", "--haproxy-socket", "s"] + TRUE, ["--per-request"]),
    ("unknown report", ["--baseline", "b", "--report", "html=f"] + TRUE, ["html", "junit"]),
    ("report without file", ["--baseline", "b", "--report", "junit="] + TRUE, ["KIND=FILE"]),
    ("confirm recordings", ["--baseline", "b", "--confirm", "run.fp"], ["--confirm"]),
    ("recordings and target", ["--baseline", "b", "-p", "1", "run.fp"], ["recordings"]),
    ("foreign option", ["--baseline", "b", "--format", "json"] + TRUE, ["takes no --format"]),
    ("foreign keep", ["--baseline", "b", "--keep", "3"] + TRUE, ["takes no --keep"]),
])
def usage(_, args, words):
    refused(gate(*args), 64, *words)


@cases_on_host("baseline_usage", [
    ("no file", ["update"] + TRUE, ["--baseline"]),
    ("no verb", [], ["baseline update"]),
    ("other verb", ["merge"] + TRUE, ["baseline update"]),
    ("foreign option", ["update", "--baseline", "b", "--budget", "major=0"] + TRUE, ["--budget"]),
])
def baseline_usage(_, args, words):
    refused(tool("baseline", *args), 64, *words)


@cases_on_host("bad_baseline", [
    ("missing", None, ["baseline update"]),
    ("empty", "", ["cannot be used"]),
    ("cut off", GOOD[:-30], ["cannot be used"]),
    ("another file", "hello\n", ["cannot be used"]),
    ("a report", '{"schema":"faultprof/1"}', ["no baseline"]),
    ("newer", GOOD.replace("baseline/1", "baseline/2"), ["newer faultprof"]),
    ("negative faults", GOOD.replace("[5]", "[-5]"), ["faults"]),
    ("no runs", re.sub(r'"runs":\[.*?\]', '"runs":[]', GOOD), ["0 runs"]),
])
def bad_baseline(_, content, words):
    """Told at once, before anything is run; no report is begun, and no baseline replaced."""
    with Scratch() as place:
        path, report = os.path.join(place, "base.json"), os.path.join(place, "junit.xml")
        mark = os.path.join(place, "ran")
        if content is not None:
            write(path, content)
        refused(gate("--baseline", path, "--report", "junit=" + report, "--", "touch", mark), 1, path,
                *words)
        equal(os.listdir(place), ["base.json"] if content is not None else [], "files")
        if content is not None:
            refused(tool("baseline", "update", "--baseline", path, "--", "touch", mark), 1, path)
            equal((os.listdir(place), read(path)), (["base.json"], content), "files and baseline")


@test_on_host
def test_bad_files():
    with Scratch() as place:
        good, other = os.path.join(place, "base.json"), os.path.join(place, "other")
        write(good, GOOD)
        write(other, "hello")
        refused(gate("--baseline", good, other), 1, other, "no recording")
        refused(gate("--baseline", good, other + "s"), 1, other + "s")
        refused(gate("--baseline", good, "--report", "junit=/no/such/place/x", "--", "true"), 1,
                "/no/such/place/x")
        refused(tool("baseline", "update", "--baseline", "/no/such/place/b", "--", "true"), 1,
                "/no/such/place/b")
        equal(sorted(os.listdir(place)), ["base.json", "other"], "files")


# ---- verdicts ----

def check_reports(place):
    """A regression of zero in zero_faults(), as each format has it."""
    def path(name):
        return os.path.join(place, name)

    found = json.loads(read(path("json")))
    equal((found["schema"], found["outcome"]), ("faultprof-gate/1", "regression"), "json")
    rose = {r["name"]: r for r in found["rows"] if r["state"] == "rose"}
    equal(sorted(rose), ["zero", "zero in zero_faults (faults)"], "what rose")
    row = rose["zero in zero_faults (faults)"]
    equal((row["kind"], row["symbol"], row["module"]), ("zero", "zero_faults", "faults"), "names")
    check(row["ratio"] == 1.5 and row["low"] > 1.1, "ratio and interval: %r" % row)
    equal(row["file"], "tests/live/faults.c", "file")
    line = read(os.path.join(ROOT, row["file"])).splitlines()[row["line"] - 1]
    equal(line, "WRITER(zero_faults)", "that line")

    where = "file=tests/live/faults.c,line=%d," % row["line"]
    errors = [l for l in read(path("github")).splitlines() if l.startswith("::error ")]
    equal(len(errors), 2, "annotations")
    check(any(where in l and "zero in zero_faults (faults)" in l for l in errors), str(errors))
    summary = read(path("summary"))
    check(re.search(r"^\| zero in zero\\_faults .*\*\*rose\*\* \| tests.*:%d \|$" % row["line"],
                    summary, re.M), "no row in %s" % summary)

    issues = json.loads(read(path("gitlab")))
    equal(len({i["fingerprint"] for i in issues}), 2, "fingerprints")
    for issue in issues:
        equal(sorted(issue), ["check_name", "description", "fingerprint", "location", "severity"],
              "keys")
        check(issue["severity"] in ("info", "minor", "major", "critical", "blocker"), "severity")
    check({"path": row["file"], "lines": {"begin": row["line"]}} in [i["location"] for i in issues],
          "locations")

    suite = xml.etree.ElementTree.parse(path("junit")).getroot().find("testsuite")
    cases = suite.findall("testcase")
    equal((int(suite.get("tests")), int(suite.get("failures")), suite.get("errors")),
          (len(cases), 2, "0"), "counts")
    equal([c.get("name") for c in cases if c.find("failure") is not None],
          ["zero", "zero in zero_faults (faults)"], "failures")


@test_on_host
def test_verdicts():
    """One baseline, by runs and not by time: unchanged, risen, of a budget, of another tier …"""
    with Scratch() as place:
        base = os.path.join(place, "base.json")
        formats = ("github", "summary", "gitlab", "junit", "json")
        content = baseline(base, "--work", "1", "--repeat", "3", *program(2000))
        equal([len(content["runs"]), content["tier"], content["filter"]],
              [3, content["tier"], None], "runs, tier, filter")
        check("faults" in [p["comm"] for p in content["programs"]], "programs")
        usual = ["--baseline", base, "--work", "1", "--repeat", "2"]
        verdict(gate(*usual, "--budget", "total=10000", *program(2000)), 0, "passed")
        reports = [w for f in formats for w in ("--report", f + "=" + os.path.join(place, f))]
        verdict(gate(*usual, *reports, *program(3000)), 2, "regression", "zero")
        check_reports(place)
        verdict(gate("--budget", "zero:zero_faults=1999", "--repeat", "1", "--budget", "major=1000",
                     "--work", "1", *program(2000)), 3, "no verdict", "only run")
        verdict(gate("--budget", "zero:zero_faults=0", "--repeat", "1", *program(2000)), 2,
                "regression", "zero:zero_faults=0")
        verdict(gate(*usual, "--repeat", "1", "--tier", "perf", *program(2000)), 3, "no verdict",
                "tier", "perf")
        write(base, read(base).replace("Linux 6", "Linux 2"))
        verdict(gate(*usual, "--repeat", "1", *program(2000)), 3, "no verdict", "kernel", "Linux 2")
        equal(sorted(os.listdir(place)), sorted(formats + ("base.json",)), "files")


@test_on_host
def test_refused_verdicts():
    with Scratch() as place:
        base = os.path.join(place, "base.json")
        baseline(base, "--repeat", "1", *program(100))
        verdict(gate("--baseline", base, "--repeat", "1", *program(100)), 3, "no verdict",
                "too short for rates per second")
        verdict(gate("--baseline", base, "--work", "1", "--repeat", "1", *program(100)), 3,
                "no verdict", "work that was done is not known")
        os.unlink(base)
        baseline(base, "--work", "1", "--repeat", "1", *program(100))
        verdict(gate("--baseline", base, "--work", "1", "--repeat", "1", *program(100)), 3,
                "no verdict", "how much all faults scatter")
        refused(gate("--baseline", base, "--repeat", "1", "--work", "1", "--series", "zero:no_such",
                     *program(100)), 1, "zero:no_such", base)
        result = gate("--budget", "total=1000000", "--repeat", "1", "--sites", "1", *program(100))
        verdict(result, 3, "no verdict", "were lost", "--sites")
        before = read(base)
        refused(tool("baseline", "update", "--baseline", base, "--repeat", "1", "--sites", "1",
                     *program(100)), 1, "were lost")
        refused(tool("baseline", "update", "--baseline", base, "--repeat", "1", "--tier", "perf",
                     *program(100)), 1, "tier", "perf")
        equal((read(base), os.listdir(place)), (before, ["base.json"]), "the baseline and files")


@test_on_host
def test_command_fails():
    """What it did not do has no faults: never a pass."""
    with Scratch() as place:
        path = os.path.join(place, "base.json")
        for status, words in (("exit 3", ["status 3"]), ("kill -9 $$", ["signal 9"])):
            refused(gate("--budget", "major=0", "--", "sh", "-c", status), 1, *words)
        refused(tool("baseline", "update", "--baseline", path, "--", "false"), 1, "false", "status 1")
        refused(gate("--budget", "major=0", "--", "/no/such/program"), 1, "/no/such/program")
        equal(os.listdir(place), [], "files")


@test_on_host
def test_confirm():
    """Bad luck is run again and passes; what is bad again has risen."""
    with Scratch() as place:
        base, counter = os.path.join(place, "base.json"), os.path.join(place, "counter")
        usual = ["--baseline", base, "--work", "1", "--repeat", "2"]

        def command(bad_runs):
            write(counter, "")
            return ["--", "sh", "-c", "echo >>%s; n=1000; [ $(wc -l <%s) -gt %d ] || n=2000; "
                    "printf '\\n\\n' | %s zero $n >/dev/null" % (counter, counter, bad_runs, FAULTS)]

        baseline(base, *usual[2:], *command(0))
        result = gate(*usual, "--confirm", *command(2))
        verdict(result, 0, "passed")
        check("not confirmed" in result.out and "run again, 2 times" in result.out, result.out)
        equal(len(read(counter)), 4, "runs")
        verdict(gate(*usual, "--confirm", *command(100)), 2, "regression", "zero")


@test_on_host
def test_interrupt():
    with Scratch() as place:
        base, report = os.path.join(place, "base.json"), os.path.join(place, "json")
        for command, rc, left in (
                (["gate", "--budget", "major=0", "--report", "json=" + report], 3, ["json"]),
                (["baseline", "update", "--baseline", base], 1, [])):
            need_tool()
            process = start([FAULTPROF] + command + ["-v", "--", "sleep", "30.71"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            universal_newlines=True)
            while "collecting" not in process.stderr.readline():
                check(process.poll() is None, "it ended")
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
            equal(process.returncode, rc, "exit code (%s)" % (err + out))
            check("interrupted" in out + err, "it does not say why: " + out + err)
            check("sleep 30.71" not in subprocess.check_output(["ps", "-eo", "args="]).decode(),
                  "the command runs on")
            equal(os.listdir(place), left, "files")
            if left:
                equal(json.loads(read(report))["why"], "it was interrupted", "why")
                os.unlink(report)


# ---- work, loads, recordings ----

@test_on_host
def test_load():
    """With -p the command is the load: its own faults are not counted, and it ends the run."""
    with Target("loop", 2000) as target, Scratch() as place:
        base = os.path.join(place, "base.json")
        target.tell()
        content = baseline(base, "--repeat", "2", "-p", target.pid, "--", "sh", "-c",
                           "for i in 1 2 3 4 5 6 7 8; do /bin/true; done; sleep 0.2")
        modules = {s.get("module") for s in content["series"]}
        check("faults" in modules and not modules & {"dash", "true", "sleep"}, str(modules))
        for run in content["runs"]:
            check(0.2 <= run["seconds"] < 1.5, "a run took %s s" % run["seconds"])
        content = baseline(base, "--repeat", "1", "-p", target.pid, "-d", "0.3")
        equal([r["session"] for r in content["runs"]], [1, 1, 2], "sessions")
        content = baseline(base, "--repeat", "1", "--keep", "2", "-p", target.pid, "-d", "0.3")
        equal([r["session"] for r in content["runs"]], [2, 3], "sessions that are kept")


@test_on_host
def test_work_from():
    with Scratch() as place:
        base, work = os.path.join(place, "base.json"), os.path.join(place, "work")
        args = ["--work-from", work, "--repeat", "1"]
        noisy = ["--", "sh", "-c", "%s 0.1 1 %s >/dev/null" % (NOISY, work)]
        runs = baseline(base, *args, *noisy)["runs"]
        equal(runs[0]["work"], float(read(work)), "work")
        # A file that the run did not write tells of another one.
        runs = baseline(base, *args, "--", "sleep", "0.1")["runs"]
        equal([r["work"] is None for r in runs], [False, True], "whether work is known")
        verdict(gate("--baseline", base, *args, *noisy), 3, "no verdict",
                "baseline", "work that was done is not known")


@test_on_host
def test_per_request():
    """As many requests as were made, counted by HAProxy itself."""
    with Haproxy(stats=True) as proxy, Scratch() as place:
        base = os.path.join(place, "base.json")
        load = os.path.join(place, "load.py")
        write(load, "import urllib.request\nfor _ in range(40):\n"
                    "    urllib.request.urlopen('http://127.0.0.1:%d/').read()\n" % proxy.port)
        usual = ["--per-request", "--haproxy-socket", proxy.stats, "--repeat", "2", "-p", proxy.pid,
                 "--", "python3", load]
        runs = baseline(base, *usual)["runs"]
        equal([r["work"] for r in runs], [40.0, 40.0], "requests")
        refused(gate("--budget", "total=1/work", "--per-request", "--haproxy-socket", "/no/such",
                     "--repeat", "1", "-p", proxy.pid, "-d", "0.1"), 1, "/no/such", "stats socket")


@test_on_host
def test_recordings():
    """Recordings are runs, and so are baselines; a single one is judged by its parts."""
    with Scratch() as place:
        base, files = os.path.join(place, "base.json"), []
        for i, faults in enumerate((1000, 1000, 1000, 2000, 2000)):
            files.append(os.path.join(place, "run%d.fp" % i))
            equal(tool("record", "-o", files[i], *program(faults)).rc, 0, "exit code of record")
        content = baseline(base, "--work", "1", *files[:3])
        equal(len(content["runs"]), 3, "runs")
        check(sum(s["faults"][0] for s in content["series"]
                  if s.get("symbol") == "zero_faults") == 1000, "faults of zero_faults")
        usual = ["--baseline", base, "--work", "1"]
        verdict(gate(*usual, *files[:3]), 0, "passed")
        verdict(gate(*usual, base), 0, "passed")
        verdict(gate(*usual, *files[3:]), 2, "regression", "zero")
        data = open(files[4], "rb").read()
        with open(files[4], "wb") as file:
            file.write(data[:-20])
        result = gate(*usual, *files[3:])
        equal((result.rc, result.out), (1, ""), "exit code and report of half a recording")


@test_on_host
def test_parts():
    with Scratch() as place:
        long, base = os.path.join(place, "long.fp"), os.path.join(place, "base.json")
        equal(tool("record", "-o", long, "--", NOISY, "3.5").rc, 0, "exit code of record")
        content = baseline(base, "--work", "10", long)
        equal(len(content["runs"]), 3, "parts")
        check(abs(sum(r["seconds"] for r in content["runs"]) - 3.5) < 0.5, "seconds")
        check(abs(sum(r["work"] for r in content["runs"]) - 10) < 0.1, "work")
        total = [s for s in content["series"] if s["level"] == "total"][0]["faults"]
        whole = tool("report", "--format", "json", long).json()
        equal(sum(total), whole["totals"]["faults"], "faults of all parts")


# ---- examples/ci ----

def step(workflow, name):
    return [s for s in workflow["jobs"]["gate"]["steps"] if s.get("name") == name][0]


class Project:
    """A directory with a load test and the commands of an example, as its runner has them. sudo
    only runs what it is given, as this is root already."""

    def __init__(self, place):
        self.place, self.ran = place, 0
        for name, text in (("sudo", 'exec "$@"'), ("faultprof", 'exec %s "$@"' % FAULTPROF)):
            self.script(os.path.join("bin", name), text)
        self.set_faults(1000)

    def script(self, name, text):
        path = os.path.join(self.place, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write(path, "#!/bin/sh\n%s\n" % text)
        os.chmod(path, 0o755)

    def set_faults(self, faults):
        self.script("load-test.sh", "echo 10 >requests; printf '\\n\\n' | %s zero %d >/dev/null" %
                    (FAULTS, faults))

    def run(self, text):
        """(exit code, stdout) of it, with two runs each: it is the commands that are tested."""
        text, count = re.subn(r"--repeat \d+", "--repeat 2", text)
        equal(count, 1, "--repeat in %r" % text)
        need_tool()
        done = subprocess.run(["bash", "-e", "-c", text], cwd=self.place, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                              universal_newlines=True,
                              env=dict(os.environ, GITHUB_STEP_SUMMARY=self.path("summary.md"),
                                       PATH=self.path("bin") + ":" + os.environ["PATH"]))
        return done.returncode, done.stdout

    def path(self, name):
        return os.path.join(self.place, name)


@test_on_host
def test_examples():
    """Their commands do what they are there for, on a load test that gets worse."""
    import yaml
    example = os.path.join(ROOT, "examples", "ci")
    github = yaml.safe_load(read(os.path.join(example, "github.yml")))
    gitlab = yaml.safe_load(read(os.path.join(example, "gitlab.yml")))
    with Scratch() as place:
        project = Project(place)
        equal(project.run(step(github, "Add to the baseline")["run"])[0], 0, "exit code of GitHub's")
        rc, out = project.run("\n".join(gitlab["page-faults"]["script"]))
        equal(rc, 0, "exit code of GitLab's (%s)" % out)
        github_words = step(github, "Add to the baseline")["run"].replace("\\\n", "").split()
        equal(gitlab["page-faults-baseline"]["script"][0].split(), github_words, "GitLab's baseline")
        reports = gitlab["page-faults"]["artifacts"]["reports"]
        equal(json.loads(read(project.path(reports["codequality"]))), [], "issues")
        equal(gitlab["page-faults"]["allow_failure"]["exit_codes"], 3, "what only warns")
        project.set_faults(4000)
        rc, out = project.run(step(github, "Gate")["run"])
        equal(rc, 2, "exit code of GitHub's gate (%s)" % out)
        check("::error " in out and "rose" in read(project.path("summary.md")), "reports: " + out)
        rules = re.sub(r"--repeat \d+", "--repeat 2", read(os.path.join(example, "gate.mk")))
        write(project.path("Makefile"), rules)
        rc, out = project.run("make -s faults-gate FAULTPROF='sudo faultprof' # --repeat 2")
        check(rc == 2 and "regression" in out and "Error 2" in out, "make: %d, %s" % (rc, out))


@test_on_host
def test_example_load():
    """It does its work, or it fails."""
    need("haproxy", "python3")
    load = os.path.join(ROOT, "examples", "ci", "load-test.sh")
    with Scratch() as place:
        subprocess.run([load], cwd=place, check=True, timeout=30)
        equal(read(os.path.join(place, "requests")), "200\n", "requests")
        os.unlink(os.path.join(place, "requests"))
        os.mkdir(os.path.join(place, "bin"))
        write(os.path.join(place, "bin/haproxy"), "#!/bin/sh\nexit 1\n")
        os.chmod(os.path.join(place, "bin/haproxy"), 0o755)
        done = subprocess.run([load], cwd=place, timeout=30, stderr=subprocess.DEVNULL,
                              env=dict(os.environ, PATH=place + "/bin:" + os.environ["PATH"]))
        check(done.returncode != 0, "it passes without a proxy")
        equal(os.listdir(place), ["bin"], "files")


main()
