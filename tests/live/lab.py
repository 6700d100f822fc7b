# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The laboratory of the live tests: swap, cgroups, targets, proxies, the tool, its judges.

Everything that changes the machine is a context manager that puts it back, also on SIGTERM.
A test raises Skip when the machine lacks an ability, and fails by any other exception.
"""
import atexit
import ctypes
import json
import os
import re
import resource
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(ROOT, "build")))
FAULTPROF = os.path.abspath(os.environ.get("FAULTPROF", os.path.join(BUILD, "faultprof")))
FAULTS = os.path.join(BUILD, "tests", "faults")
KINDS = ("swap-in", "swap-cache", "file-read", "file-map", "zero", "cow", "shmem", "huge", "other")
# In the machine of tests/vm/run, by software emulation, a second is worth a tenth of one outside.
VM = bool(os.environ.get("FAULTPROF_VM"))
PATIENCE = 4 if VM else 1  # for what is waited for in seconds
TEST_SECONDS = 240 if VM else 120
# The tier that this machine is to give by itself, and the one that every report has to name unless
# its test asks for another. "": any.
AUTO_TIER = os.environ.get("FAULTPROF_EXPECT_TIER", "")
EXPECT_TIER = os.environ.get("FAULTPROF_TIER") or AUTO_TIER


class Skip(Exception):
    pass


# ---- registry and results ----

_tests = []


def test(function):
    """Registers a test; its name is the function's, without test_."""
    _tests.append((function.__name__.replace("test_", "", 1), function))
    return function


# FAULTPROF_VM=all leaves none out.
_OUTSIDE = not VM or os.environ["FAULTPROF_VM"] == "all"


def test_on_host(function):
    """Registers a test of what no kernel has a part in: not worth the time of an emulation."""
    return test(function) if _OUTSIDE else function


def cases_on_host(name, arguments):
    return cases(name, arguments if _OUTSIDE else [])


def fewer(n, in_vm):
    """How many where it takes nothing but time: as many as prove it, and fewer by emulation."""
    return in_vm if VM else n


def cases(name, arguments):
    """Registers one test for each argument tuple."""
    def register(function):
        for args in arguments:
            label = "%s[%s]" % (name, args[0])
            _tests.append((label, lambda a=args: function(*a)))
        return function
    return register


def _alarm(_number, _frame):
    raise TimeoutError("took longer than %d s" % TEST_SECONDS)


def main():
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    file = os.path.basename(sys.argv[0]).replace("test_", "").replace(".py", "")
    bad = 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGALRM, _alarm)
    raise_limit()
    for name, function in _tests:
        name = file + "." + name
        if wanted not in name:
            continue
        start = time.monotonic()
        signal.alarm(TEST_SECONDS)
        try:
            function()
            line = "ok %s (%.1f s)" % (name, time.monotonic() - start)
        except Skip as reason:
            line = "skip %s: %s" % (name, reason)
        except Exception as error:
            bad += 1
            line = "not ok %s: %s" % (name, str(error) or type(error).__name__)
            if os.environ.get("V"):
                import traceback
                traceback.print_exc()
        finally:
            signal.alarm(0)
            cleanup_processes()
        print(" ".join(line.split()), flush=True)
    sys.exit(1 if bad else 0)


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def equal(got, want, what):
    check(got == want, "%s is %r, not %r" % (what, got, want))


def near(got, want, share, what, slack=0):
    check(abs(got - want) <= max(abs(want) * share, slack),
          "%s is %s, more than %g %% off %s" % (what, got, share * 100, want))


# ---- processes ----

_running = []


def start(command, **kwargs):
    process = subprocess.Popen(command, **kwargs)
    _running.append(process)
    return process


def end(process, number=signal.SIGTERM, seconds=10):
    """Ends a process that we started; returns its exit status."""
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
    if process in _running:
        _running.remove(process)
    return process.returncode


def cleanup_processes():
    for process in list(_running):
        end(process, signal.SIGKILL)


atexit.register(cleanup_processes)


def wait_for(condition, seconds, what):
    seconds *= PATIENCE
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        check(time.monotonic() < deadline, "waited %d s in vain for %s" % (seconds, what))
        time.sleep(0.02)


def need(*programs):
    for name in programs:
        if not shutil.which(name):
            raise Skip("no " + name)


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root")


def read(path):
    with open(path) as file:
        return file.read()


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def procstat(pid):
    """(minor, major) of the whole process, ended threads included; works on a zombie."""
    fields = read("/proc/%d/stat" % pid).rpartition(")")[2].split()
    return int(fields[7]), int(fields[9])


def status(pid, key):
    match = re.search(r"^%s:\s*(\S+)" % key, read("/proc/%d/status" % pid), re.M)
    return match.group(1) if match else None


def parent(pid):
    try:
        return int(status(pid, "PPid"))
    except (OSError, TypeError):
        return 0


def children(pid):
    return [int(p) for p in os.listdir("/proc") if p.isdigit() and parent(int(p)) == pid]


def raise_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    want = 20000
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (want, max(hard, want)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Scratch:
    """A directory that everyone may enter."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="faultprof-test-", dir=scratch_base())
        os.chmod(self.path, 0o755)
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


def scratch_base():
    for path in (os.environ.get("FAULTS_DIR"), "/var/tmp", "/tmp"):
        if path and os.access(path, os.W_OK):
            return path
    raise Skip("no directory to write to")


# ---- the machine ----

PAGE = 4096
# FAULTPROF_STORM=60: that many seconds of reading 1 GB of swapped out memory.
STORM_SECONDS = int(os.environ.get("FAULTPROF_STORM", "20"))


class Swap:
    """Swap space: what the machine has, or a file of our own."""
    SIZE = 512 << 20

    def __enter__(self):
        self.path = None
        if len(read("/proc/swaps").splitlines()) > 1:
            return self
        need_root()
        need("mkswap", "swapon", "swapoff")
        why = "no directory for a swap file"
        for base in (os.environ.get("FAULTS_DIR"), "/var/tmp", "/tmp", BUILD, "/"):
            if not base or not os.access(base, os.W_OK):
                continue
            self.path = os.path.join(base, "faultprof-test-swap-%d" % os.getpid())
            why = self._make()
            if not why:
                atexit.register(self.__exit__)
                return self
            os.unlink(self.path)
            self.path = None
        raise Skip("no swap: " + why)

    def _make(self):
        fd = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            os.posix_fallocate(fd, 0, self.SIZE)
        except OSError as error:
            return str(error)
        finally:
            os.close(fd)
        for command in (["mkswap", self.path], ["swapon", self.path]):
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  universal_newlines=True, timeout=60)
            if done.returncode:
                return done.stdout.strip()
        return None

    def __exit__(self, *_):
        if self.path:
            cleanup_processes()
            subprocess.run(["swapoff", self.path], timeout=120)
            os.unlink(self.path)
            self.path = None


class LargeSwap(Swap):
    SIZE = 1200 << 20


def swapped_in():
    return int(re.search(r"^pswpin (\d+)", read("/proc/vmstat"), re.M).group(1))


class Setting:
    """One file under /proc/sys, put back afterwards."""

    def __init__(self, name, value):
        self.path = os.path.join("/proc/sys", name)
        self.value = str(value)

    def __enter__(self):
        try:
            self.old = read(self.path).strip()
            write(self.path, self.value)
        except OSError as error:
            raise Skip("%s: %s" % (self.path, error.strerror))
        return self

    def __exit__(self, *_):
        write(self.path, self.old)


class PageCluster(Setting):
    def __init__(self, value=0):
        Setting.__init__(self, "vm/page-cluster", value)


def cgroup_mounts():
    """(version, directory) of each hierarchy that has the memory controller, then any cgroup2."""
    memory, plain = [], []
    for line in read("/proc/mounts").splitlines():
        _, where, kind, options = line.split()[:4]
        if kind == "cgroup" and "memory" in options.split(","):
            memory.append((1, where))
        elif kind == "cgroup2":
            controllers = read(os.path.join(where, "cgroup.controllers")).split()
            (memory if "memory" in controllers else plain).append((2, where))
    return memory, plain


class Cgroup:
    """A cgroup of our own. With memory=False any hierarchy will do."""
    count = 0

    def __init__(self, memory=True, version=None):
        self.memory, self.version = memory, version

    def __enter__(self):
        need_root()
        with_memory, plain = cgroup_mounts()
        mounts = with_memory if self.memory else with_memory + plain
        mounts = [m for m in mounts if self.version in (None, m[0])]
        if not mounts:
            raise Skip("no cgroup hierarchy of that kind is mounted")
        self.version, root = mounts[0]
        Cgroup.count += 1
        self.path = os.path.join(root, "faultprof-test-%d-%d" % (os.getpid(), Cgroup.count))
        try:
            if self.version == 2 and self.memory:
                write(os.path.join(root, "cgroup.subtree_control"), "+memory")
            os.mkdir(self.path)
        except OSError as error:
            raise Skip("cgroup: %s" % error)
        atexit.register(self.__exit__)
        if self.version == 1:
            self.control, self.text = "memory.force_empty", "0"
        else:
            self.control, self.text = "memory.reclaim", "1G"
        self.control = os.path.join(self.path, self.control)
        return self

    def __exit__(self, *_):
        if not self.path:
            return
        path, self.path = self.path, None
        cleanup_processes()
        for _ in range(100):
            try:
                os.rmdir(path)
                return
            except OSError:
                time.sleep(0.05)
        print("# cannot remove " + path, file=sys.stderr)

    def environment(self):
        return {"FAULTS_RECLAIM": self.control, "FAULTS_RECLAIM_TEXT": self.text}

    def add(self, pid=0):
        write(os.path.join(self.path, "cgroup.procs"), str(pid or os.getpid()))

    def reclaim(self):
        fd = os.open(self.control, os.O_WRONLY)
        try:
            os.write(fd, self.text.encode())
        except OSError:
            pass  # less than asked for
        finally:
            os.close(fd)

    def squeeze(self, pid):
        """Swaps out what @pid holds; returns how many kB of it are in swap."""
        rss = 0
        for _ in range(20):
            self.reclaim()
            page_out(pid)
            time.sleep(0.1)
            last, rss = rss, int(status(pid, "RssAnon"))
            if rss < 300 or rss == last:
                break
        self.reclaim()
        return int(status(pid, "VmSwap"))


def page_out(pid):
    """Asks for the anonymous memory of another process, whatever the kernel's lists say of its age."""
    class Iovec(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("bytes", ctypes.c_size_t)]

    ranges = []
    for line in read("/proc/%d/maps" % pid).splitlines():
        words = line.split()
        if words[1] == "rw-p" and (len(words) < 6 or words[5] == "[heap]"):
            start, end = (int(n, 16) for n in words[0].split("-"))
            ranges.append(Iovec(start, end - start))
    pidfd = os.pidfd_open(pid)
    try:
        for i in range(0, len(ranges), 64):
            part = (Iovec * len(ranges[i:i + 64]))(*ranges[i:i + 64])
            # process_madvise(MADV_PAGEOUT): what it leaves behind shows in VmRSS.
            ctypes.CDLL(None).syscall(440, pidfd, part, len(part), 21, 0)
    finally:
        os.close(pidfd)


# ---- the tool ----

def need_tool():
    if not os.access(FAULTPROF, os.X_OK):
        raise AssertionError("%s is not there: make first" % FAULTPROF)


_public = {}


def public(path):
    """A copy that every user may run, wherever the build directory is."""
    if path not in _public:
        scratch = Scratch()
        copy = os.path.join(scratch.__enter__(), os.path.basename(path))
        atexit.register(scratch.__exit__)
        shutil.copy(path, copy)
        os.chmod(copy, 0o755)
        _public[path] = copy
    return _public[path]


def refused(result, rc, *words):
    """One clear line on stderr, nothing on stdout, the right exit code."""
    equal(result.rc, rc, "exit code (%s)" % result.err.strip())
    equal(result.out, "", "stdout")
    equal(len(result.err.splitlines()), 1, "number of lines of %r" % result.err)
    line = result.err.strip()
    check(line.startswith("faultprof: "), "no 'faultprof: ' before %r" % line)
    check("\x1b" not in line and len(line) < 300, "not a line for people: %r" % line)
    for word in words:
        check(word.lower() in line.lower(), "%r does not mention %r" % (line, word))


class Result:
    def __init__(self, rc, out, err, tier=""):
        self.rc, self.out, self.err, self.tier = rc, out, err, tier
        self.lines = [l for l in err.splitlines() if l != "faultprof: collecting"]

    def json(self):
        check(self.rc == 0, "faultprof ended with %s: %s" % (self.rc, self.err.strip()))
        try:
            report = Report(json.loads(self.out))
        except ValueError as error:
            raise AssertionError("not JSON (%s): %.80r" % (error, self.out))
        check(report["tier"].startswith(self.tier),
              "measured by %s, not by %s" % (report["tier"], self.tier))
        return report


class Report(dict):
    """The JSON report with the sums that tests ask for."""

    @property
    def totals(self):
        return self["totals"]

    def symbol(self, name, **match):
        """Faults under a symbol (None: any), narrowed by keys of a symbols entry."""
        return sum(s["faults"] for s in self["symbols"]
                   if name in (None, s["symbol"]) and all(s.get(k) == v for k, v in match.items()))

    def kind(self, name):
        return sum(k["faults"] for k in self["kinds"] if k["kind"] == name)

    def consistent(self):
        """What holds in every report, whatever was measured."""
        equal(self["schema"], "faultprof/1", "schema")
        t = self.totals
        if t["minor"] is not None:
            equal(t["major"] + t["minor"], t["faults"], "major + minor")
        if t["kernel"] is not None and t["user"] is not None:
            equal(t["user"] + t["kernel"], t["faults"], "user + kernel")
        equal(sum(k["faults"] for k in self["kinds"]), t["faults"], "the sum of kinds")
        for k in self["kinds"]:
            check(k["kind"] in KINDS, "unknown kind %r" % k["kind"])
        return self

    def nothing_lost(self):
        equal(self.totals["lost"], 0, "lost")
        for key in ("detail", "site", "state", "start", "target", "task", "stack", "mapping",
                    "sample", "outcome"):
            equal(self["losses"][key], 0, "losses." + key)
        # Not in our hand: whoever works on a BPF map is in the way. Counted nevertheless.
        check(self["losses"]["skipped"] <= 3 + self.totals["faults"] // 100, "losses.skipped")
        equal(sum(s["faults"] for s in self["symbols"]), self.totals["faults"],
              "the sum of symbols")
        return self


class Faultprof:
    """A run of the tool. As a context: it is collecting; stop() ends it with its report."""

    def __init__(self, *args, prefix=(), env=None, form="json", wait=True, tier=EXPECT_TIER):
        need_tool()
        self.tier = args[args.index("--tier") + 1] if "--tier" in args else tier
        self.scratch = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        command = list(prefix) + [public(FAULTPROF) if prefix else FAULTPROF]
        if wait:
            command.append("-v")
        if form:
            command += ["--format", form]
            if form == "json":
                command += ["--top", "0"]
        if os.environ.get("FAULTPROF_TIER") and "--tier" not in args:
            command += ["--tier", os.environ["FAULTPROF_TIER"]]
        self.process = start(command + [str(a) for a in args], stdin=subprocess.DEVNULL,
                             stdout=self.scratch[0], stderr=self.scratch[1],
                             env=dict(os.environ, **(env or {})))
        self.pid = self.process.pid
        if wait:
            wait_for(self._collecting, 30, "faultprof: collecting (%s)" % self.err().strip())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process, signal.SIGKILL)

    def _text(self, i):
        size = os.fstat(self.scratch[i].fileno()).st_size
        return os.pread(self.scratch[i].fileno(), size, 0).decode(errors="replace")

    def err(self):
        return self._text(1)

    def _collecting(self):
        if "faultprof: collecting" in self.err().splitlines():
            return True
        check(self.process.poll() is None, "faultprof ended with %s before it collected: %s" %
              (self.process.returncode, self.err().strip()))
        return False

    def finish(self, seconds=60):
        """Waits for the end that comes by itself."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError("faultprof did not end within %d s" % seconds)
        if self.process in _running:
            _running.remove(self.process)
        return Result(self.process.returncode, self._text(0), self._text(1), self.tier)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.finish()

    def report(self):
        return self.stop().json().consistent()


def tool(*args, prefix=(), seconds=30, env=None, stdout=None, tier=AUTO_TIER):
    """A run that ends by itself, as typed."""
    need_tool()
    binary = public(FAULTPROF) if prefix else FAULTPROF
    done = subprocess.run(list(prefix) + [binary] + [str(a) for a in args],
                          stdin=subprocess.DEVNULL, stdout=stdout or subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=seconds * PATIENCE,
                          env=dict(os.environ, **(env or {})))
    return Result(done.returncode, (done.stdout or b"").decode(errors="replace"),
                  done.stderr.decode(errors="replace"),
                  "" if "--tier" in args else tier)


def as_user(*capabilities):
    """A command prefix: an ordinary user who holds these capabilities only."""
    need_root()
    need("setpriv")
    prefix = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    caps = ",".join("+" + c for c in capabilities)
    prefix += ["--bounding-set", "-all" + (caps and "," + caps)]
    prefix += ["--inh-caps", "-all" + (caps and "," + caps)]
    if caps:
        prefix += ["--ambient-caps", "-all," + caps]
    trial = subprocess.run(prefix + ["true"], stderr=subprocess.PIPE, timeout=10)
    if trial.returncode:
        raise Skip(trial.stderr.decode().strip())
    return prefix


# ---- targets ----

class Target:
    """tests/live/faults.c, ready for its go."""

    def __init__(self, mode, n, arg=None, cgroup=None, prefix=(), binary=None, env=None):
        binary = binary or FAULTS
        check(prefix or os.access(binary, os.X_OK), binary + " is not there: make check builds it")
        variables = dict(os.environ)
        variables.setdefault("FAULTS_DIR", scratch_base())
        variables.update(cgroup.environment() if cgroup else {})
        variables.update(env or {})
        command = list(prefix) + [binary, mode, str(n)] + ([arg] if arg else [])
        self.buffer = b""
        self.process = start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=variables,
                             bufsize=0, preexec_fn=cgroup.add if cgroup else None)
        self.pid = self.process.pid
        line = self.line(60)
        if line.startswith("skip: "):
            raise Skip(line[6:])
        equal(line, "ready", "the first line of faults")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()
        end(self.process, signal.SIGKILL)

    def line(self, seconds):
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self.buffer:
                left = deadline - time.monotonic()
                check(left > 0 and selector.select(left), "faults said nothing for %d s" % seconds)
                data = os.read(self.process.stdout.fileno(), 4096)
                check(data, "faults ended with %s" % self.process.poll())
                self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode()

    def tell(self):
        self.process.stdin.write(b"\n")

    def go(self, seconds=60):
        """All its faults; returns its own account of them."""
        self.tell()
        return json.loads(self.line(seconds))

    def finish(self):
        self.tell()
        return self.process.wait(10)


class Cold(Target):
    """tests/live/cold.c: memory whose words hold their own addresses."""

    def __init__(self, megabytes, cgroup=None):
        Target.__init__(self, str(megabytes), 0, binary=os.path.join(BUILD, "tests", "cold"),
                        cgroup=cgroup)
        self.base, self.bytes = map(int, self.line(10).split())

    def do(self, what, first=0, pages=0):
        self.process.stdin.write(("%s %d %d\n" % (what, first, pages)).encode())
        return self.line(100)

    def smaps(self, key):
        """Bytes, as the kernel itself sums them up, of the mappings that lie in our memory."""
        total, inside = 0, False
        for line in read("/proc/%d/smaps" % self.pid).splitlines():
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
            if match:
                inside = self.base <= int(match.group(1), 16) < self.base + self.bytes
            elif inside and line.startswith(key + ":"):
                total += int(line.split()[1]) * 1024
        return total


def provider(name):
    """A provider that was built as a shared object, where nobody but root can write."""
    need_root()
    base = [d for d in ("/root", "/var/lib", "/run") if os.access(d, os.W_OK)]
    if not base:
        raise Skip("no directory of root's to write to")
    scratch = tempfile.mkdtemp(prefix="faultprof-test-", dir=base[0])
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    return shutil.copy(os.path.join(BUILD, name + ".so"), scratch)


class Answers:
    """What a provider with provider_log.h was asked, and what it said."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "answers")
        self.env = {"FAULTPROF_TEST_LOG": self.path}

    def __iter__(self):
        """(time_ns, address, error, answer) of each fault: error is 0 or -errno, answer is None
        with one. A fault may be asked about twice in a row: the second answer counts."""
        last = None
        with open(self.path) as file:
            for line in file:
                f = line.split()
                if last and f[:2] != last[:2]:
                    yield self._parse(last)
                last = f
        if last:
            yield self._parse(last)

    @staticmethod
    def _parse(f):
        answer = None
        if len(f) > 3:
            answer = {"type": f[3].replace("_", " "), "base": int(f[4]), "size": int(f[5]),
                      "source": int(f[6]), "born_ns": int(f[7]), "connection": f[8], "peer": f[9]}
        return int(f[0]), int(f[1]), int(f[2]), answer


# ---- proxies and their clients ----

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def listening(port):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0


class Clients:
    """Idle connections, each with half a request sent: the proxy holds its buffers."""
    HEAD = b"GET / HTTP/1.1\r\nHost: test\r\nX-Pad: " + b"x" * 2800

    def __init__(self, port, n):
        self.sockets = []
        for _ in range(n):
            s = socket.create_connection(("127.0.0.1", port), timeout=10)
            s.sendall(self.HEAD)
            self.sockets.append(s)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in self.sockets:
            s.close()

    def send(self, data, pid=0):
        """Sends on each. With @pid the proxy is halted meanwhile: it finds all at once, always."""
        if pid:
            os.kill(pid, signal.SIGSTOP)
        try:
            for s in self.sockets:
                s.sendall(data)
        finally:
            if pid:
                os.kill(pid, signal.SIGCONT)

    def wake(self, pid=0):
        """Sends the rest on each and waits for each answer."""
        self.send(b"\r\n\r\n", pid)
        for i, s in enumerate(self.sockets):
            answer = s.recv(4096)
            check(answer.startswith(b"HTTP/1.1 200"), "answer %d is %.60r" % (i, answer))


class Proxy:
    """What Haproxy and Nginx share: a process that listens on self.port with self.pids at work."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        workers = children(self.process.pid)
        end(self.process, signal.SIGTERM, 3)
        for pid in workers:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        shutil.rmtree(self.dir, ignore_errors=True)

    def launch(self, command, cgroup):
        self.process = start(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=open(os.path.join(self.dir, "log"), "w"), cwd=self.dir,
                             preexec_fn=cgroup.add if cgroup else None)
        self.pid = self.process.pid
        try:
            wait_for(lambda: self.process.poll() is not None or listening(self.port), 10,
                     "the proxy to listen")
            check(self.process.poll() is None,
                  "the proxy ended: " + read(os.path.join(self.dir, "log")).strip()[-300:])
        except BaseException:
            self.__exit__()
            raise


class Haproxy(Proxy):
    """Answers every request itself. With @stats, self.stats is a socket of its that tells little."""

    def __init__(self, binary="haproxy", threads=1, master=False, cgroup=None, stats=False):
        binary = shutil.which(binary) or shutil.which(binary, path="/usr/sbin:/sbin")
        if not binary:
            raise Skip("no haproxy")
        self.dir = tempfile.mkdtemp(prefix="faultprof-test-", dir=scratch_base())
        self.port = free_port()
        self.stats = os.path.join(self.dir, "stats")
        config = os.path.join(self.dir, "haproxy.cfg")
        write(config, """
global
	maxconn 8000
	nbthread %d
	tune.bufsize 16384
%s
defaults
	mode http
	timeout connect 5s
	timeout client 600s
	timeout server 600s
	timeout http-request 600s
	timeout http-keep-alive 600s
frontend front
	bind 127.0.0.1:%d
	http-request return status 200 content-type text/plain string ok
""" % (threads, "\tstats socket %s level user" % self.stats if stats else "", self.port))
        self.launch([binary, "-W" if master else "-db", "-f", config], cgroup)
        self.worker = self.pid
        if master:
            self.worker = wait_for(lambda: children(self.pid), 5, "a worker")[0]


class Nginx(Proxy):
    """@http and @stream are for its configuration; the default answers every request itself."""
    HTTP = """
	client_header_buffer_size 8k;
	server {
		listen 127.0.0.1:%d;
		location / { return 200 "ok"; }
	}"""

    def __init__(self, cgroup=None, binary="nginx", http=None, stream="", port=None, log="stderr"):
        binary = shutil.which(binary) or shutil.which(binary, path="/usr/sbin:/sbin")
        if not binary:
            raise Skip("no nginx")
        self.dir = tempfile.mkdtemp(prefix="faultprof-test-", dir=scratch_base())
        os.chmod(self.dir, 0o755)
        self.port = port or free_port()
        paths = "".join("\t%s_temp_path %s/%s;\n" % (p, self.dir, p)
                        for p in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        config = os.path.join(self.dir, "nginx.conf")
        write(config, """
daemon off;
worker_processes 1;
pid %s/pid;
error_log %s;
events { worker_connections 4000; }
http {
%s	access_log off;
	client_header_timeout 600s;
	keepalive_timeout 600s;
%s
}
%s
""" % (self.dir, log, paths, self.HTTP % self.port if http is None else http, stream))
        self.launch([binary, "-p", self.dir, "-c", config, "-e", "stderr"], cgroup)
        self.worker = wait_for(lambda: children(self.pid), 5, "a worker")[0]


def haproxy_source():
    """HAProxy of Debian's source with DWARF and no frame pointers, built once."""
    return _from_source("haproxy", "haproxy-2.6", _build_haproxy)


def haproxy_tls_source():
    """The same, with OpenSSL."""
    return _from_source("haproxy", "haproxy-2.6-tls", lambda place, binary:
                        _build_haproxy(place, binary, openssl="1"))


def nginx_source():
    """nginx of Debian's upstream source with DWARF and the stream module, built once."""
    return _from_source("nginx", "nginx-1.22", _build_nginx)


def _from_source(name, directory, build):
    place = os.path.join(BUILD, "tests", directory)
    binary = os.path.join(place, name)
    if os.access(binary, os.X_OK):
        return binary
    if VM:
        raise Skip("%s is not built from source: python3 tests/live/lab.py %s outside" %
                   (name, name))
    note = os.path.join(place, "unavailable")
    if os.path.exists(note) and time.time() - os.stat(note).st_mtime < 3600:
        raise Skip("%s cannot be built from source: %s" % (name, read(note)))
    os.makedirs(place, exist_ok=True)
    try:
        build(place, binary)
    except (Skip, OSError, subprocess.SubprocessError, AssertionError) as error:
        write(note, str(error))
        raise Skip("%s cannot be built from source: %s" % (name, error))
    return binary


class Sources:
    """Debian's source packages, without a change to the machine's own lists."""

    def __init__(self, work, log):
        need("apt-get", "make", "gcc")
        keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
        os.makedirs(os.path.join(work, "lists", "partial"))
        write(os.path.join(work, "sources.list"), "".join(
            "deb-src [signed-by=%s] http://deb.debian.org/%s main\n" % (keyring, suite)
            for suite in ("debian bookworm", "debian-security bookworm-security")))
        self.apt = ["apt-get", "-q", "-o", "Dir::Etc::SourceList=%s/sources.list" % work,
                    "-o", "Dir::Etc::SourceParts=/dev/null", "-o", "APT::Sandbox::User=root",
                    "-o", "Dir::State::Lists=%s/lists" % work, "-o", "Acquire::http::Timeout=20"]
        self.work, self.log = work, log
        check(self.run(self.apt + ["update"]), "no source index (network?)")

    def run(self, command, directory="", seconds=120):
        return not subprocess.run(command, cwd=os.path.join(self.work, directory), timeout=seconds,
                                  stdin=subprocess.DEVNULL, stdout=self.log,
                                  stderr=subprocess.STDOUT).returncode

    def file(self, prefix):
        return [f for f in os.listdir(self.work) if f.startswith(prefix)][0]


def _keep(built, binary):
    shutil.copy2(built, binary + ".new")
    os.rename(binary + ".new", binary)


def _build_haproxy(place, binary, openssl=""):
    need("dpkg-source")
    with Scratch() as work, open(os.path.join(place, "build.log"), "w") as log:
        sources = Sources(work, log)
        check(any(sources.run(sources.apt + ["source", "haproxy=" + version])
                  for version in ("2.6.12-1+deb12u3", "2.6.12-1+deb12u4")), "no source package")
        tree = sources.file("haproxy-")
        make = ["make", "-j%d" % (os.cpu_count() or 1), "TARGET=linux-glibc",
                "USE_OPENSSL=" + openssl,
                "USE_ZLIB=", "USE_PCRE=", "USE_PCRE2=", "USE_LUA=", "USE_SYSTEMD=",
                "CPU_CFLAGS=-O2", "DEBUG_CFLAGS=-g -fomit-frame-pointer", "haproxy"]
        check(sources.run(make, tree, 280), "make failed, see build.log")
        _keep(os.path.join(work, tree, "haproxy"), binary)


def _build_nginx(place, binary):
    with Scratch() as work, open(os.path.join(place, "build.log"), "w") as log:
        sources = Sources(work, log)
        check(sources.run(sources.apt + ["source", "--download-only", "--tar-only", "nginx"]),
              "no source package")
        check(sources.run(["tar", "xf", sources.file("nginx_")]), "not a tar file")
        tree = sources.file("nginx-")
        configure = ["./configure", "--with-stream", "--with-debug",
                     "--with-cc-opt=-O2 -g -fomit-frame-pointer",
                     "--without-http_rewrite_module", "--without-http_gzip_module"]
        check(sources.run(configure, tree), "configure failed, see build.log")
        check(sources.run(["make", "-j%d" % (os.cpu_count() or 1)], tree, 280),
              "make failed, see build.log")
        _keep(os.path.join(work, tree, "objs", "nginx"), binary)


# ---- judges ----

def attached(pid):
    """How many perf events a process holds."""
    count = 0
    for fd in os.listdir("/proc/%d/fd" % pid):
        try:
            count += "perf_event" in os.readlink("/proc/%d/fd/%s" % (pid, fd))
        except OSError:
            pass
    return count


class PerfStat:
    """perf stat on a PID; stop() returns (minor, major)."""

    def __init__(self, pid):
        need("perf")
        self.file = tempfile.NamedTemporaryFile(mode="r")
        self.process = start(["perf", "stat", "-e", "minor-faults,major-faults", "-x,", "-o",
                              self.file.name, "-p", str(pid)], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        threads = len(os.listdir("/proc/%d/task" % pid))
        wait_for(lambda: attached(self.process.pid) >= 2 * threads, 10, "perf stat")
        time.sleep(0.2)

    def stop(self):
        end(self.process, signal.SIGINT)
        counts = {}
        for line in self.file.read().splitlines():
            fields = line.split(",")
            if len(fields) > 2 and fields[0].isdigit():
                counts[fields[2].split(":")[0]] = int(fields[0])
        check(len(counts) == 2, "perf stat counted nothing")
        return counts["minor-faults"], counts["major-faults"]


class PerfRecord:
    """perf record of each fault; stop() returns {(module, symbol): faults} of user mode."""

    def __init__(self, pid, directory):
        need("perf")
        self.data = os.path.join(directory, "perf.data")
        self.process = start(["perf", "record", "-q", "-e", "page-faults", "-c", "1", "-m", "1024",
                              "-o", self.data, "-p", str(pid)], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: attached(self.process.pid), 10, "perf record")
        time.sleep(0.3)

    def stop(self):
        end(self.process, signal.SIGINT, 30)
        done = subprocess.run(["perf", "script", "-i", self.data, "-F", "ip,sym,dso"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=100,
                              universal_newlines=True)
        counts = {}
        for line in done.stdout.splitlines():
            match = re.match(r"\s*[0-9a-f]+ (.*) \((.*)\)$", line)
            if match and not match.group(2).startswith("[kernel"):
                key = os.path.basename(match.group(2)), base_name(match.group(1))
                counts[key] = counts.get(key, 0) + 1
        check(counts, "perf record saw nothing")
        return counts


def base_name(symbol):
    """Without what compilers append to the copies of a function."""
    return re.sub(r"(\.(constprop|isra|part|cold|lto_priv)(\.\d+)?)+$", "", symbol)


def user_mode(report):
    counts = {}
    for s in report["symbols"]:
        if s["mode"] == "user":
            key = s["module"], base_name(s["symbol"])
            counts[key] = counts.get(key, 0) + s["faults"]
    return counts


if __name__ == "__main__":
    try:
        for built in {"haproxy": (haproxy_source, haproxy_tls_source),
                      "nginx": (nginx_source,)}[sys.argv[1]]:
            print(built())
    except Skip as reason:
        print("# %s" % reason)
