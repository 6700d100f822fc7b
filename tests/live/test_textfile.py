#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""--textfile: metrics that add up, whatever happens to the targets and to the file; and what
node_exporter, Prometheus and the shipped examples make of them."""
import collections
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request

from lab import (BUILD, ROOT, Cgroup, Cold, Faultprof, Haproxy, PageCluster, Scratch, Skip, Swap,
                 Target, cases_on_host, check, children, end, equal, free_port, listening, main,
                 near, need, need_root, procstat, provider, read, refused, start, status,
                 test_on_host, tool, wait_for)

EXAMPLES = os.path.join(ROOT, "examples", "prometheus")
COLDPROXY = os.path.join(BUILD, "coldproxy")
DISK = ("swap-in", "swap-cache", "file-read")
SAMPLE = re.compile(r'^(\w+)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Metrics:
    """One file, as node_exporter reads it."""

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
                key = match.group(1), tuple(sorted(LABEL.findall(match.group(2) or "")))
                check(key not in self.samples, "twice: %r" % line)
                self.samples[key] = float(match.group(3))

    def sum(self, name, **match):
        return sum(value for (n, labels), value in self.samples.items()
                   if n == name and set(match.items()) <= set(labels))

    def has(self, name):
        return any(n == name for n, _ in self.samples)

    def faults(self, **match):
        return self.sum("faultprof_page_faults_total", **match)

    def lost(self):
        """Of what concerns the target: mapping records are lost when the machine is busy, and whoever
        works on a BPF map keeps the kernel from running a program."""
        return self.sum("faultprof_lost_events_total") - sum(
            self.sum("faultprof_lost_events_total", reason=r) for r in ("mapping", "skipped"))

    def counters(self):
        """Also the parts of histograms: all that may only rise."""
        return {key: value for key, value in self.samples.items()
                if self.types.get(key[0]) == "counter" or
                self.types.get(re.sub("_(bucket|sum|count)$", "", key[0])) == "histogram"}


class Exporter(Faultprof):
    """faultprof --textfile, of which each file that is read rose from the one before."""

    def __init__(self, directory, *args, interval=60, **kwargs):
        self.path = os.path.join(directory, "faultprof.prom")
        self.seen = None
        Faultprof.__init__(self, "--textfile", self.path, "--interval", interval, *args, form=None,
                           **kwargs)
        wait_for(lambda: os.path.exists(self.path), 10, "the first file")

    def read(self):
        now = Metrics(read(self.path))
        for key, value in (self.seen.counters() if self.seen else {}).items():
            check(now.samples.get(key, -1) >= value, "%s%s fell from %s to %s" %
                  (*key, value, now.samples.get(key)))
        self.seen = now
        return now

    def ask(self):
        self.process.send_signal(signal.SIGHUP)

    def fresh(self):
        """The next file: SIGHUP asks for it, so it does not take an interval."""
        before = os.stat(self.path).st_ino
        self.ask()
        wait_for(lambda: os.stat(self.path).st_ino != before, 10, "a new file")
        return self.read()

    def warnings(self):
        return [line for line in self.err().splitlines() if "warning" in line]

    def last(self):
        equal(self.stop().rc, 0, "exit code")
        return self.read()


def named(directory, name):
    """A copy of the target that is called as no other process is."""
    path = os.path.join(directory, name)
    shutil.copy(os.path.join(BUILD, "tests", "faults"), path)
    return path


def at_exit(target):
    """Faults of a target that ends, as the kernel has them in the end."""
    wait_for(lambda: status(target.pid, "State") == "Z", 10, "the end of the target")
    return sum(procstat(target.pid))


# ---- what the figures are ----

@test_on_host
def test_counts():
    """Of pages that go out and come back: as many as there were, and what the kernel counts."""
    pages = 2000
    with Scratch() as place, Swap(), PageCluster(0), Cgroup() as group, Cold(16, group) as cold:
        with Exporter(place, "-p", cold.pid) as prof:
            begin, major = sum(procstat(cold.pid)), procstat(cold.pid)[1]
            for turn in (1, 2):
                cold.do("out", 0, pages)
                out = prof.fresh()
                equal(out.sum("faultprof_evicted_pages_total"), turn * pages, "evicted pages")
                equal(out.sum("faultprof_swapped_bytes"), int(status(cold.pid, "VmSwap")) * 1024,
                      "swapped bytes")
                cold.do("touch", 0, pages)
            now = prof.fresh()
            equal(now.faults(), sum(procstat(cold.pid)) - begin, "faults")
            equal(now.faults(comm="cold", module="cold", symbol="main"), 2 * pages,
                  "faults of main")
            equal(now.faults(kind="swap-in") + now.faults(kind="file-read"),
                  procstat(cold.pid)[1] - major, "major faults")
            equal(now.faults(kind="swap-in") + now.faults(kind="swap-cache"), 2 * pages,
                  "faults of what was swapped out")
            for part in ("faultprof_stall_seconds_count", "faultprof_stall_seconds_bucket"):
                match = {"le": "+Inf"} if "bucket" in part else {}
                equal(now.sum(part, **match), now.faults(), part)
            check(2 * pages * 1e-7 < now.sum("faultprof_stall_seconds_sum") < 100, "stall times")
            equal(now.sum("faultprof_object_faults_total", type="anonymous"), 2 * pages,
                  "faults of anonymous memory")
            equal(now.lost(), 0, "lost events")
            equal(now.sum("faultprof_targets", comm="cold"), 1, "targets")
            equal({dict(labels)["cgroup"] for (_, labels) in now.samples
                   if "cgroup" in dict(labels)}, {"/" + os.path.basename(group.path)}, "cgroups")
            # What others reclaim counts, too, and by whomsoever.
            swapped = int(status(cold.pid, "VmSwap"))
            more = group.squeeze(cold.pid) - swapped
            after = prof.fresh().sum("faultprof_evicted_pages_total") - 2 * pages
            check(more > 4 * pages / 2, "only %d kB went out" % more)
            equal(after, more / 4, "pages that were reclaimed")


@test_on_host
def test_top():
    """Few series, all faults."""
    with Scratch() as place, Target("zero", 3000) as target:
        with Exporter(place, "-p", target.pid, "--top", "1") as prof:
            begin = sum(procstat(target.pid))
            target.go()
            target.tell()
            faults = at_exit(target) - begin
            equal(prof.finish().rc, 0, "exit code once the target has ended")
            now = prof.read()
        equal({dict(labels)["symbol"] for (name, labels) in now.samples
               if name == "faultprof_page_faults_total"}, {"zero_faults", "other"}, "symbols")
        equal(now.faults(symbol="zero_faults"), 3000, "faults of zero_faults")
        equal(now.faults(), faults, "faults")


# ---- what may happen ----

def mounted(directory):
    """A file system of our own; what it is mounted on is not to be seen by others."""
    need_root()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", directory],
                          stderr=subprocess.PIPE, timeout=10)
    if done.returncode:
        raise Skip("mount: " + done.stderr.decode().strip())


def mount_again(directory, how):
    subprocess.run(["mount", "-o", "remount," + how, directory], check=True, timeout=10)


@test_on_host
def test_no_place_for_the_file():
    """A full disk, a read-only one, no directory: told once, counted, written again when it works."""
    with Scratch() as place, Target("loop", 500) as target:
        mounted(place)
        try:
            full, away = os.path.join(place, "full"), os.path.join(place, "away")
            directory = os.path.join(place, "metrics")
            os.mkdir(directory)
            with Exporter(directory, "-p", target.pid) as prof:
                start_faults = sum(procstat(target.pid))
                target.tell()
                for turn, (word, remedy, break_it, mend_it) in enumerate((
                        ("space", "room", lambda: fill(full), lambda: os.unlink(full)),
                        ("read-only", "writing", lambda: mount_again(place, "ro"),
                         lambda: mount_again(place, "rw")),
                        ("no such", "directory", lambda: os.rename(directory, away),
                         lambda: os.rename(away, directory))), 1):
                    kept = read(prof.path)
                    break_it()
                    seen = len(prof.warnings())
                    for _ in range(3):
                        prof.ask()
                        time.sleep(0.25)
                    told = prof.warnings()[seen:]
                    equal(len(told), 1, "warnings (%s)" % told)
                    check(word in told[0].lower() and remedy in told[0] and prof.path in told[0],
                          "%r does not say why, where and what to do" % told[0])
                    mend_it()
                    equal(read(prof.path), kept, "the old file")
                    now = prof.fresh()
                    check("again" in prof.warnings()[-1], "%r" % prof.warnings()[-1])
                    equal(now.sum("faultprof_textfile_write_failures_total"), 3 * turn,
                          "failed writes")
                    before, faults = procstat(target.pid)[0], now.faults()
                    check(before - 50 < faults + start_faults, "faults are missing")
                equal(os.listdir(directory), ["faultprof.prom"], "files")
                equal(prof.last().lost(), 0, "lost events")
        finally:
            subprocess.run(["umount", place], timeout=10)


def fill(path):
    with open(path, "wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass


@test_on_host
def test_targets_come_and_go():
    """By name: it waits for the first one, and counts on through restarts."""
    with Scratch() as place:
        binary = named(place, "fp-restarted")
        with Exporter(place, "--comm", "fp-restarted", interval=1) as prof:
            check("waiting" in prof.warnings()[0], "%r does not say that it waits" % prof.warnings())
            for turn in (1, 2, 3):
                with Target("zero", 2000, binary=binary) as target:
                    wait_for(lambda: prof.fresh().sum("faultprof_targets") == 1, 10, "a target")
                    begin, before = sum(procstat(target.pid)), prof.fresh().faults()
                    target.go()
                    target.tell()
                    total = before + at_exit(target) - begin
                now = prof.fresh()
                equal(now.sum("faultprof_targets", comm="fp-restarted"), 0, "targets")
                equal(now.faults(symbol="zero_faults"), turn * 2000, "faults of zero_faults")
                near(now.faults(comm="fp-restarted"), total, 0, "faults", 2)
            equal(prof.last().lost(), 0, "lost events")


@test_on_host
def test_reload():
    """A new HAProxy takes the place of the old one."""
    with Scratch() as place, Haproxy(master=True) as proxy:
        with Exporter(place, "-p", "%d,%d" % (proxy.pid, proxy.worker)) as prof:
            old, faults = proxy.worker, prof.fresh().faults()
            for _ in range(2):
                os.kill(proxy.pid, signal.SIGUSR2)
                wait_for(lambda: children(proxy.pid) not in ([], [old]), 10, "a new worker")
                wait_for(lambda: not os.path.exists("/proc/%d" % old), 10, "the end of the old one")
                old = children(proxy.pid)[0]
                now = prof.fresh()
                equal(now.sum("faultprof_targets", comm="haproxy"), 2, "targets")
                check(now.faults() > faults + 100, "faults of the new ones are missing")
                faults = now.faults()
            equal(prof.last().lost(), 0, "lost events")


@test_on_host
def test_many_programs():
    """A proxy's checks execute programs for ever: neither memory nor descriptors grow with them."""
    need("busybox")
    script = "read x; while :; do i=0; while [ $i -lt 2500 ]; do /bin/busybox true; " \
             "i=$((i+1)); done; echo done; read x; done"
    with Scratch() as place:
        shell = start(["busybox", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                      universal_newlines=True)

        def execute():
            shell.stdin.write("\n")
            shell.stdin.flush()
            equal(shell.stdout.readline(), "done\n", "what the shell says")
            prof.fresh()
            now = prof.fresh()
            return (now.sum("faultprof_process_resident_memory_bytes") / 2**20,
                    len(os.listdir("/proc/%d/fd" % prof.pid)))

        try:
            with Exporter(place, "-p", shell.pid, interval=1) as prof:
                first, files = execute()
                execute()
                execute()
                last, files_then = execute()
                now = prof.read()
                equal(now.sum("faultprof_targets"), 1, "targets")
                check(now.faults() > 10000 * 30, "%d faults" % now.faults())
                equal(now.lost(), 0, "lost events")
                equal(now.faults(comm="[unknown]"), 0, "faults of unknown programs")
                # Kept, 7,500 programs would take 4 MB.
                check(last < first + 2.5, "memory grew from %.1f to %.1f MB" % (first, last))
                check(files_then < files + 5, "from %d to %d files" % (files, files_then))
        finally:
            shell.stdin.close()
            shell.stdout.close()
            end(shell, signal.SIGKILL)


@test_on_host
def test_manager():
    """What systemd is told: ready once it counts, alive, and the end."""
    with Scratch() as place, Target("loop", 100) as target, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        path = os.path.join(place, "notify")
        manager.bind(path)
        manager.settimeout(10)
        with Exporter(place, "-p", target.pid,
                      env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "800000"}) as prof:
            said = [manager.recv(100) for _ in range(2)]
            begin = time.monotonic()
            said += [manager.recv(100) for _ in range(2)]
            check(time.monotonic() - begin < 0.8, "too late for the watchdog")
            check(b"READY=1" in said and said.count(b"READY=1") == 1, "READY=1 in %s" % said)
            check(said.count(b"WATCHDOG=1") == 3, "WATCHDOG=1 in %s" % said)
            prof.last()
            manager.settimeout(0.1)
            while said[-1] != b"STOPPING=1":
                said.append(manager.recv(100))


@cases_on_host("refuses", [
    ("another name", ["--textfile", "/tmp/x.txt"], 64, [".prom"]),
    ("no name", ["--textfile", "/tmp/.prom"], 64, [".prom"]),
    ("no directory", ["--textfile", "/no/such/x.prom"], 1, ["/no/such/x.prom"]),
    ("interval", ["--textfile", "/tmp/x.prom", "--interval", "0"], 64, ["--interval", "0"]),
    ("interval alone", ["--interval", "5"], 64, ["--textfile"]),
    ("format", ["--textfile", "/tmp/x.prom", "--format", "json"], 64, ["--format"]),
    ("output", ["--textfile", "/tmp/x.prom", "-o", "/tmp/x"], 64, ["-o"]),
    ("endless series", ["--textfile", "/tmp/x.prom", "--top", "0"], 64, ["--top"]),
    ("allocations", ["--textfile", "/tmp/x.prom", "--alloc-stacks"], 64, ["--alloc-stacks"]),
])
def refuses(_, args, rc, words):
    refused(tool("-p", os.getpid(), *args), rc, *words)


# ---- the others ----

def promtool(*args, stdin=None):
    need("promtool")
    done = subprocess.run(["promtool"] + list(args), input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True, timeout=60)
    check(not done.returncode, "promtool %s: %s" % (args[0], done.stdout.strip()))


@test_on_host
def test_alert_rules():
    promtool("check", "rules", os.path.join(EXAMPLES, "alerts.yml"))
    promtool("test", "rules", os.path.join(ROOT, "tests", "data", "alerts_test.yml"))


class Unit:
    """examples/prometheus/faultprof.service, as far as it can be had without systemd at work."""

    def __init__(self):
        self.path = os.path.join(EXAMPLES, "faultprof.service")
        self.lines = [line.split("=", 1) for line in read(self.path).splitlines()
                      if re.match(r"\w+=", line)]

    def all(self, key):
        return [value for name, value in self.lines if name == key]

    def capabilities(self):
        names = self.all("CapabilityBoundingSet")[0].split()
        return ",".join(["-all"] + ["+" + name[4:].lower() for name in names])

    def system_calls(self):
        need("systemd-analyze")
        allowed = set()
        for words in self.all("SystemCallFilter"):
            names = self._expand(words.lstrip("~").split())
            allowed = allowed - names if words[0] == "~" else allowed | names
        # What systemd always leaves.
        return allowed | {"execve", "exit", "exit_group", "getrlimit", "rt_sigreturn", "sigreturn"}

    def _expand(self, names):
        calls = {n for n in names if n[0] != "@"}
        for name in set(names) - calls:
            out = subprocess.run(["systemd-analyze", "syscall-filter", name], check=True, timeout=20,
                                 stdout=subprocess.PIPE, universal_newlines=True).stdout
            calls |= self._expand([l.strip() for l in out.splitlines()[1:]
                                   if l.strip() and l.strip()[0] != "#"])
        return calls


@test_on_host
def test_unit_is_understood():
    """By systemd itself; the program need not be installed where it says."""
    need("systemd-analyze")
    unit = Unit()
    with Scratch() as place:
        copy = os.path.join(place, "faultprof.service")
        text = re.sub("/usr/local/sbin/faultprof", "/bin/true", read(unit.path))
        with open(copy, "w") as file:
            file.write(re.sub("Documentation=.*\n", "", text))
        done = subprocess.run(["systemd-analyze", "verify", copy], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, universal_newlines=True, timeout=60)
        equal((done.returncode, done.stdout), (0, ""), "what systemd says of it")
    command = unit.all("ExecStart")[0].split()
    refused(tool(*command[1:], "--interval", "?"), 64, "--interval")


@test_on_host
def test_unit_is_enough():
    """With its capabilities alone, and no system call that it forbids."""
    need_root()
    need("strace", "setpriv")
    unit = Unit()
    with Scratch() as place, Swap(), Cold(4) as cold:
        calls = os.path.join(place, "calls")
        prefix = ["setpriv", "--bounding-set", unit.capabilities(), "--no-new-privs",
                  "strace", "-f", "-qq", "-o", calls]
        with Exporter(place, "-p", cold.pid, prefix=prefix) as prof:
            cold.do("out", 0, 500)
            cold.do("touch", 0, 500)
            tracee = children(prof.pid)[0]
            before = os.stat(prof.path).st_ino
            os.kill(tracee, signal.SIGHUP)
            wait_for(lambda: os.stat(prof.path).st_ino != before, 20, "a new file")
            now = prof.read()
            os.kill(tracee, signal.SIGTERM)
            equal(prof.finish().rc, 0, "exit code")
        equal(now.faults(kind="swap-in") + now.faults(kind="swap-cache"), 500, "faults")
        equal(now.sum("faultprof_evicted_pages_total"), 500, "evicted pages")
        check(not now.has("faultprof_unavailable_info"), "something is not available")
        used = set(re.findall(r"^\d+ +(\w+)\(", read(calls), re.M))
        check({"bpf", "perf_event_open", "capset"} <= used, "only %s" % used)
        equal(used - unit.system_calls(), set(), "system calls that it forbids")


class Prometheus:
    """node_exporter, and a Prometheus that scrapes it every half second; on this machine alone."""

    def __init__(self, textfiles, directory):
        need("prometheus", "prometheus-node-exporter")
        exporter, self.port = free_port(), free_port()
        config = os.path.join(directory, "prometheus.json")
        with open(config, "w") as file:
            json.dump({"global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
                       "rule_files": [os.path.join(EXAMPLES, "alerts.yml")],
                       "scrape_configs": [{"job_name": "node", "static_configs": [
                           {"targets": ["127.0.0.1:%d" % exporter]}]}]}, file)
        self.log = open(os.path.join(directory, "log"), "w")
        self.processes = [start(command, stdout=self.log, stderr=subprocess.STDOUT) for command in (
            ["prometheus-node-exporter", "--web.listen-address=127.0.0.1:%d" % exporter,
             "--collector.disable-defaults", "--collector.textfile",
             "--collector.textfile.directory=" + textfiles],
            ["prometheus", "--config.file=" + config, "--web.listen-address=127.0.0.1:%d" % self.port,
             "--storage.tsdb.path=" + os.path.join(directory, "data")])]
        wait_for(lambda: listening(self.port) and listening(exporter), 20, "Prometheus")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            end(process, signal.SIGKILL)
        self.log.close()

    def get(self, what, **parameters):
        url = "http://127.0.0.1:%d/api/v1/%s?%s" % (self.port, what,
                                                    urllib.parse.urlencode(parameters))
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError("%s: %s" % (parameters, error.read().decode()))

    def query(self, expression):
        """{frozenset of labels: value}"""
        return {frozenset(one["metric"].items()): float(one["value"][1])
                for one in self.get("query", query=expression)["result"]}

    def sum(self, expression):
        return sum(self.query(expression).values())


def dashboard_queries():
    with open(os.path.join(EXAMPLES, "dashboard.json")) as file:
        for panel in json.load(file)["panels"]:
            for target in panel["targets"]:
                query = target["expr"].replace("$__rate_interval", "1m")
                yield panel["title"], re.sub(r"\$(instance|comm)", ".*", query)


def by(values, label):
    sums = collections.Counter()
    for labels, value in values.items():
        sums[dict(labels).get(label)] += value
    return sums


def check_dashboard(server, file):
    """Each query gives something; those of sums, what the file says."""
    got = {}
    for title, query in dashboard_queries():
        values = server.query(query)
        check(values, "nothing for %r: %s" % (title, query))
        got.setdefault(title, {}).update(values)
    kinds = by(got["Faults since the profiler began"], "kind")
    for kind, value in kinds.items():
        equal(value, file.faults(kind=kind), "faults of kind " + kind)
    symbols = by(got["Faults by function since the profiler began"], "symbol")
    for symbol in ("conn_read", "conn_process"):
        check(symbols[symbol] > 0, "no faults of " + symbol)
        equal(symbols[symbol], sum(file.faults(kind=k, symbol=symbol) for k in DISK),
              "faults of " + symbol)
    equal(sum(symbols.values()), sum(kinds[k] for k in DISK), "faults of all functions")
    # A rate makes up for what it does not know at its ends.
    rate = by(got["Faults by kind"], "kind")
    for kind in kinds:
        check(rate[kind] * 60 <= 1.5 * kinds[kind],
              "the rate of %s is %g, of %d" % (kind, rate[kind], kinds[kind]))
    near(sum(rate.values()) * 60, sum(kinds.values()), 0.5, "faults by rates")


def selectors(text):
    return set(re.findall(r'\b(?:faultprof|node_textfile)_\w+(?:\{[^}]*\})?', text))


def check_rules(server):
    rules = server.get("rules")["groups"][0]["rules"]
    equal(len(rules), 6, "rules")
    for rule in rules:
        equal(rule["health"], "ok", "health of %s (%s)" % (rule["name"], rule.get("lastError")))
        for selector in selectors(rule["query"]):
            check(server.query(selector), "nothing for %s of %s" % (selector, rule["name"]))


@test_on_host
def test_end_to_end():
    """A proxy whose buffers were swapped out, through node_exporter and Prometheus."""
    n = 400
    need_root()
    with Scratch() as place, Scratch() as store, Swap(), PageCluster(0):
        said = os.path.join(store, "said")
        proxy = start([COLDPROXY, "--connections", str(n), "--rounds", "3"], stdin=subprocess.PIPE,
                      stdout=open(said, "w"))
        wait_for(lambda: "filled" in read(said), 20, "connections")
        server = Prometheus(place, store)
        with server, Exporter(place, "--provider", provider("provider_coldproxy"), "-p", proxy.pid,
                              "--no-inherit", interval=1) as prof:
            begin = sum(procstat(proxy.pid))
            wait_for(lambda: server.query("faultprof_targets"), 10, "the first scrape")
            for turn in (1, 2):
                for word, answer in ((b"evict\n", "evicted"), (b"wake\n", "woken")):
                    proxy.stdin.write(word)
                    proxy.stdin.flush()
                    wait_for(lambda: read(said).count(answer) == turn, 20, answer)
                # Before what was hit goes out again, it is looked at.
                seen = prof.fresh().faults()
                wait_for(lambda: server.sum("faultprof_page_faults_total") >= seen, 10,
                         "round %d" % turn)
            proxy.stdin.write(b"quit\n")
            proxy.stdin.flush()
            faults = at_exit(proxy) - begin
            equal(prof.finish().rc, 0, "exit code")
            file = prof.read()
            equal(file.faults(), faults, "faults")
            near(file.sum("faultprof_object_faults_total", provider="coldproxy", type="buffer"),
                 2 * 4 * n, 0.01, "faults of buffers")
            equal(file.sum("faultprof_object_age_seconds_bucket", type="buffer", le="17.179869183"),
                  file.sum("faultprof_object_faults_total", type="buffer"), "young buffers")
            wait_for(lambda: server.sum("faultprof_page_faults_total") == file.faults(), 10,
                     "the last figures")
            for name in ("faultprof_evicted_pages_total", "faultprof_object_age_seconds_count",
                         "faultprof_stall_seconds_count"):
                equal(server.sum(name), file.sum(name), name)
            promtool("check", "metrics", stdin=read(prof.path))
            check_dashboard(server, file)
            check_rules(server)


main()
