#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""HAProxy with idle websockets, squeezed into swap and woken: whose was what each fault hit?"""
import collections
import contextlib
import os
import re
import selectors
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time

from lab import (BUILD, Cgroup, Clients, Faultprof, Haproxy, PageCluster, Proxy, Scratch, Skip,
                 Swap, cases_on_host, check, end, equal, fewer, free_port, haproxy_source,
                 haproxy_tls_source, main, need, procstat, read, refused, scratch_base, start, test,
                 test_on_host, tool, wait_for, write)

BATCHES = 3
# The long form, by hand: FAULTPROF_BATCH_PAUSE=20.
CONNECTIONS = int(os.environ.get("FAULTPROF_CONNECTIONS", fewer(2000, 300)))
PAUSE = float(os.environ.get("FAULTPROF_BATCH_PAUSE", 6))  # seconds between batches
HELLO = (b"GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
         b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
WELCOME = (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
           b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")


class Upstream(threading.Thread):
    """A server that agrees to each upgrade, and says what it hears from then on."""

    def __init__(self):
        threading.Thread.__init__(self, daemon=True)
        self.selector = selectors.DefaultSelector()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(4096)
        self.port = self.listener.getsockname()[1]
        self.selector.register(self.listener, selectors.EVENT_READ, None)
        self.over, self.wake = os.pipe()
        self.selector.register(self.over, selectors.EVENT_READ, None)

    def run(self):
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.listener:
                    self.selector.register(self.listener.accept()[0], selectors.EVENT_READ, [b""])
                elif key.fileobj == self.over:
                    return
                else:
                    self.serve(key.fileobj, key.data)

    def serve(self, peer, head):
        try:
            data = peer.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.selector.unregister(peer)
            peer.close()
        elif head[0] is None:
            peer.sendall(data)
        else:
            head[0] += data
            if head[0].endswith(b"\r\n\r\n"):
                head[0] = None
                peer.sendall(WELCOME)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        os.write(self.wake, b"x")
        self.join(10)
        for key in list(self.selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self.selector.close()
        os.close(self.over)
        os.close(self.wake)


class Tunnels(Proxy):
    """HAProxy between its clients and an upstream, with a stats socket to be asked afterwards."""

    def __init__(self, binary, upstream, cgroup=None, more=""):
        binary = shutil.which(binary) or shutil.which(binary, path="/usr/sbin:/sbin")
        if not binary:
            raise Skip("no haproxy")
        self.dir = tempfile.mkdtemp(prefix="faultprof-test-", dir=scratch_base())
        self.port = free_port()
        config = os.path.join(self.dir, "haproxy.cfg")
        write(config, """
global
	maxconn 8000
	nbthread 1
	stats socket %s/socket level admin
defaults
	mode http
	timeout connect 20s
	timeout client 600s
	timeout server 600s
	timeout tunnel 600s
frontend in-front
	bind 127.0.0.1:%d
	default_backend behind
backend behind
	server s 127.0.0.1:%d
%s
""" % (self.dir, self.port, upstream.port, more))
        self.launch([binary, "-db", "-f", config], cgroup)

    def ask(self, command):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(self.socket)
            s.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: s.recv(65536), b"")).decode()

    @property
    def socket(self):
        return os.path.join(self.dir, "socket")

    def pools(self):
        """{name: objects in use}, what thread caches hold not counted."""
        used = {}
        for line in self.ask("show pools").splitlines():
            match = re.search(r"Pool (\S+) \(.* (\d+) used \(~(\d+) by thread", line)
            if match:
                used[match.group(1)] = int(match.group(2)) - int(match.group(3))
        check(used, "show pools says nothing")
        return used


    def settled_pools(self):
        """The same, once what came to see whether it listens is gone."""
        last = []

        def same():
            last.append(self.pools())
            time.sleep(0.3)
            return len(last) > 1 and last[-1] == last[-2]

        wait_for(same, 10, "the proxy's pools to settle")
        return last[-1]


def open_batches(proxy, n, pause):
    """Opens @n websockets, in batches: [(socket, port, when)]."""
    clients = []
    for batch in range(BATCHES):
        if batch:
            time.sleep(pause)
        for _ in range(n // BATCHES):
            s = socket.create_connection(("127.0.0.1", proxy.port), timeout=20)
            when = time.monotonic()
            s.sendall(HELLO)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                data = s.recv(4096)
                check(data, "HAProxy hung up")
                head += data
            check(b" 101 " in head, "the answer is %.60r" % head)
            clients.append((s, s.getsockname()[1], when))
    return clients


class Http2:
    """A client of HTTP/2 with as many requests that are never answered, made by hand."""
    PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    SETTINGS, HEADERS, PING = 4, 1, 6
    # GET, http, /, and the host: the first three stand in the static table.
    REQUEST = b"\x82\x86\x84\x01\x04test"

    def __init__(self, connected, streams):
        self.socket, self.bytes = connected, b""
        requests = b"".join(self.frame(self.HEADERS, 5, 1 + 2 * i, self.REQUEST)
                            for i in range(streams))
        self.socket.sendall(self.PREFACE + self.frame(self.SETTINGS, 0, 0, b"") + requests)
        self.ping(b"%8d" % streams)

    @staticmethod
    def frame(kind, flags, stream, payload):
        return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + \
            struct.pack(">I", stream) + payload

    def take(self, n):
        while len(self.bytes) < n:
            data = self.socket.recv(65536)
            check(data, "HAProxy hung up")
            self.bytes += data
        taken, self.bytes = self.bytes[:n], self.bytes[n:]
        return taken

    def ping(self, what):
        self.socket.sendall(self.frame(self.PING, 0, 0, what))
        while True:
            head = self.take(9)
            payload = self.take(int.from_bytes(head[:3], "big"))
            check(head[3] in (self.SETTINGS, self.PING, 8), "an HTTP/2 frame of type %d" % head[3])
            if head[3] == self.PING and head[4] & 1:
                return equal(payload, what, "the answer to a ping")

    def close(self):
        self.socket.close()


def certificate(directory):
    need("openssl")
    path = os.path.join(directory, "pem")
    done = subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                           "-subj", "/CN=test", "-keyout", path, "-out", path + ".crt"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    equal(done.returncode, 0, "openssl (%s)" % done.stdout[-200:])
    with open(path + ".crt") as crt, open(path, "a") as pem:
        pem.write(crt.read())
    return path


@contextlib.contextmanager
def warm(binary, n, pause, more=""):
    with Swap(), PageCluster(0), Cgroup() as group, Upstream() as upstream, \
            Tunnels(binary, upstream, group, more) as proxy:
        before = proxy.settled_pools()
        clients = open_batches(proxy, n, pause)
        try:
            yield proxy, clients, before, group
        finally:
            for s, _, _ in clients:
                s.close()


def squeeze(group, proxy, n):
    in_swap = group.squeeze(proxy.pid)
    if in_swap < 2 * n:
        raise Skip("only %d kB of the proxy went to swap" % in_swap)


@contextlib.contextmanager
def cold(binary, n=CONNECTIONS, pause=PAUSE):
    with warm(binary, n, pause) as (proxy, clients, before, group):
        squeeze(group, proxy, n)
        yield proxy, clients, before


def woken(proxy, clients, *args, first=lambda: None):
    """The report of a run in which each of the clients says something, and hears it again; and when
    each did: {port: time}."""
    awake = {}
    with Faultprof("-p", proxy.pid, *args) as prof:
        first()
        before = procstat(proxy.pid)
        for s, port, _ in clients:
            awake[port] = time.monotonic()
            s.sendall(b"%d" % port)
            equal(s.recv(100), b"%d" % port, "the echo")
        time.sleep(0.5)
        major = procstat(proxy.pid)[1] - before[1]
        report = prof.report()
    check(major > len(clients) / 4, "only %d major faults: the squeeze failed" % major)
    return report, awake


def known(report, share):
    """The objects of nearly all faults are told."""
    totals = report.totals
    told = totals["addressed"] - totals["unknown"] - totals["unowned"]
    check(told >= share * totals["addressed"], "the objects of only %d of %d faults are known" %
          (told, totals["addressed"]))


def check_connections(report, clients, awake):
    """Each woken connection has its faults, with its own peer and the age of its batch."""
    opened = {"127.0.0.1:%d" % port: (when, awake[port]) for _, port, when in clients}
    seen, named = set(), 0
    for c in report["connections"]:
        peer = c["peer"]
        if peer is None:
            continue
        check(peer in opened, "%s is no client" % peer)
        check(peer not in seen, "%s is two connections" % peer)
        seen.add(peer)
        # What reclaim took again in the meantime is not known, but never another one's.
        names = c["frontend"], c["backend"]
        check(names[0] in (None, "in-front") and names[1] in (None, "behind"),
              "the proxies of %s are %s" % (peer, names))
        named += names == ("in-front", "behind")
        age = opened[peer][1] - opened[peer][0]
        check(c["age_s"] is not None and abs(c["age_s"] - age) < 1,
              "%s is %s s old, not %.1f" % (peer, c["age_s"], age))
    check(named >= 0.9 * len(seen), "the proxies of only %d of %d connections are known" %
          (named, len(seen)))
    check(len(seen) >= 0.95 * len(opened), "only %d of %d connections were hit" %
          (len(seen), len(opened)))


def census(report):
    """{pool: living objects}."""
    counts = collections.Counter()
    for row in report["census"]:
        check(row["pool"], "the pool of %s is not known" % row["type"])
        counts[row["pool"]] += row["objects"]
    return counts


@test
def test_owners():
    """With DWARF. The names of pools and proxies are brought into memory before."""
    with cold(haproxy_source()) as (proxy, clients, before):
        proxy.pools()
        proxy.ask("show stat")
        report, awake = woken(proxy, clients)
        after = proxy.pools()
    equal(report["targets"][0]["provider"], "haproxy", "the provider")
    known(report, 0.97)
    check_connections(report, clients, awake)
    types = {o["type"] for o in report["objects"]}
    check({"connection", "h1c", "h1s"} <= types, "types: %s" % types)
    counts = census(report)
    # Of the pools, those of the connections opened meanwhile; the socket's own was there before too.
    for pool in set(counts) | {"stream"}:
        equal(counts[pool], after[pool] - before[pool], "living objects of " + pool)
    equal(counts["stream"], len(clients), "streams")


@test_on_host
def test_h2_and_tls():
    """HTTP/2 with streams that wait, in the clear and through TLS; websockets through TLS."""
    n, streams, ports = 60, 6, (free_port(), free_port(), free_port())
    binary = haproxy_tls_source()
    with Scratch() as scratch, socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(4096)
        tls = " ssl crt %s alpn h2,http/1.1" % certificate(scratch)
        more = "".join("frontend %s\n\tbind 127.0.0.1:%d%s\n\tdefault_backend %s\n" % f for f in (
            ("h2-clear", ports[0], " proto h2", "mute"), ("h2-tls", ports[1], tls, "mute"),
            ("ws-tls", ports[2], tls, "behind"))) + \
            "backend mute\n\tserver m 127.0.0.1:%d\n" % mute.getsockname()[1]
        with warm(binary, 0, 0, more) as (proxy, _, before, group):
            clients = open_secured(ports, n, streams)
            try:
                with Faultprof("-p", proxy.pid) as prof:
                    living = prof.report()
                after = proxy.pools()
                report, awake = roused(proxy, clients, lambda: squeeze(group, proxy, n))
            finally:
                for client, _, _, _ in clients:
                    client.close()
    for c in report["connections"]:
        if c["peer"] is None:
            continue
        # One port may be that of several, to different frontends.
        ages = [awake[port, frontend] - when for _, port, when, frontend in clients
                if c["peer"] == "127.0.0.1:%d" % port and c["frontend"] in (None, frontend)]
        check(ages, "nobody is %s" % c)
        # Of HTTP/2, streams know it: a ping does not touch them, but they were there before.
        check(c["age_s"] is not None and any(abs(c["age_s"] - age) < 1 for age in ages),
              "%s is not %s s old" % (c, ages))
    check(len(report["connections"]) >= 0.7 * len(clients),
          "only %d of %d connections were hit" % (len(report["connections"]), len(clients)))
    # The rest is OpenSSL's own.
    known(report, 0.5)
    living["census"] = [row for row in living["census"] if row["type"] != "SSL"]
    counts, types = census(living), collections.Counter()
    for row in living["census"]:
        types[row["type"]] += row["objects"]
    equal((types["h2c"], types["h2s"], types["hpack_tbl"], types["ssl_sock_ctx"]),
          (2 * n, 2 * n * streams, 2 * n, 2 * n), "h2c, h2s, hpack_tbl, ssl_sock_ctx")
    for pool in set(counts) | {"stream"}:
        equal(counts[pool], after[pool] - before[pool], "living objects of " + pool)


def open_secured(ports, n, streams):
    """[(client, port, when, frontend)], @n of each kind."""
    context, clients = ssl._create_unverified_context(), []
    for i in range(n):
        for port, frontend, alpn in zip(ports, ("h2-clear", "h2-tls", "ws-tls"),
                                        (None, "h2", "http/1.1")):
            s = socket.create_connection(("127.0.0.1", port), timeout=20)
            name = s.getsockname()[1]
            if alpn:
                context.set_alpn_protocols([alpn])
                s = context.wrap_socket(s)
            if alpn == "http/1.1":
                s.sendall(HELLO)
                check(b" 101 " in s.recv(4096), "no welcome")
            else:
                s = Http2(s, streams)
            clients.append((s, name, time.monotonic(), frontend))
        if i == n // 2:
            time.sleep(2)
    return clients


def roused(proxy, clients, first):
    awake = {}
    with Faultprof("-p", proxy.pid) as prof:
        time.sleep(1)
        first()
        for client, port, _, frontend in clients:
            awake[port, frontend] = time.monotonic()
            if isinstance(client, Http2):
                client.ping(b"%8d" % port)
            else:
                client.sendall(b"%d" % port)
                equal(client.recv(100), b"%d" % port, "the echo")
        time.sleep(0.5)
        return prof.report(), awake


@test
def test_stripped():
    """Debian's has no DWARF: the pool by the tag behind each object, and nothing that is not sure."""
    with cold("haproxy") as (proxy, clients, before):
        proxy.pools()
        report, _ = woken(proxy, clients)
    named = collections.Counter()
    for row in report["objects"]:
        if row["provider"] == "haproxy":
            equal(row["type"], "pool object", "the type without DWARF")
            named[row["pool"]] += row["faults"]
    check(set(named) <= set(before), "no such pools: %s" % (set(named) - set(before)))
    check(sum(named.values()) > 0.8 * report.totals["addressed"],
          "pools of only %s of %s faults" % (named, report.totals["addressed"]))


class Allocations:
    """What __pool_alloc gave and __pool_free took, of every process of a binary, as bpftrace saw it:
    the truth about pools."""
    PROGRAM = """
uprobe:BINARY:__pool_alloc { @pool[tid] = arg0; }
uretprobe:BINARY:__pool_alloc /@pool[tid]/ {
	printf("%d + %lu %lu\\n", pid, @pool[tid], retval); delete(@pool[tid]);
}
uprobe:BINARY:__pool_free { printf("%d - %lu %lu\\n", pid, arg0, arg1); }
END { clear(@pool); }"""

    def __init__(self, binary):
        need("bpftrace")
        self.file = tempfile.TemporaryFile(mode="w+")
        self.process = start(["bpftrace", "-B", "line", "-e",
                              self.PROGRAM.replace("BINARY", os.path.realpath(binary))],
                             stdin=subprocess.DEVNULL, stdout=self.file, stderr=subprocess.PIPE)
        wait_for(lambda: "Attaching" in self.text(), 30, "bpftrace")
        time.sleep(1)

    def text(self):
        self.file.seek(0)
        return self.file.read()

    def living(self, pid):
        """{address: address of the pool}, at the end."""
        time.sleep(1)
        end(self.process, signal.SIGINT)
        check("Lost" not in self.process.stderr.read().decode(), "bpftrace lost events")
        living = {}
        for line in self.text().splitlines():
            words = line.split()
            if len(words) != 4 or words[0] != str(pid):
                continue
            if words[1] == "+":
                living[int(words[3])] = int(words[2])
            else:
                living.pop(int(words[3]), None)
        return living


def exported(pid, binary):
    """NAME=ADDRESS of what a stripped binary exports, in this process."""
    need("nm")
    base = min(int(line.split("-")[0], 16) for line in read("/proc/%d/maps" % pid).splitlines()
               if line.endswith(os.path.realpath(binary)))
    text = subprocess.run(["nm", "-D", "--defined-only", binary], stdout=subprocess.PIPE,
                          timeout=30).stdout.decode()
    return ["%s=%d" % (name, base + int(address, 16)) for address, _, name in
            (line.split() for line in text.splitlines())
            if name in ("fdtab", "global") or name.startswith("pool_head_")]


@test_on_host
def test_every_tag():
    """Every object that a stripped HAProxy has taken from a pool and not given back is found by its
    first and last byte and one in between, under its own pool."""
    binary = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:" + os.environ["PATH"])
    if not binary:
        raise Skip("no haproxy")
    log = Allocations(binary)
    with Upstream() as upstream, Tunnels(binary, upstream) as proxy, Clients(proxy.port, 20):
        clients = open_batches(proxy, 300, 0)
        for s, _, _ in clients[::3]:
            s.close()
        wait_for(lambda: proxy.ask("show info").count("CurrConns: 220"), 10, "the ends of 100")
        pools = {int(m.group(2), 16): (m.group(1)) for m in re.finditer(
            r"Pool (\S+) \(.*@0x([0-9a-f]+)", proxy.ask("show pools"))}
        sizes = {m.group(1): int(m.group(2)) for m in re.finditer(
            r"Pool (\S+) \((\d+) bytes", proxy.ask("show pools"))}
        living = log.living(proxy.pid)
        check(len(living) > 200 * 15, "bpftrace saw %d objects" % len(living))
        asked = [(base, base + off) for base, head in living.items()
                 for off in (0, sizes[pools[head]] // 3, sizes[pools[head]] - 1)]
        done = subprocess.run([os.path.join(BUILD, "tests", "pooltags"), str(proxy.pid)] +
                              exported(proxy.pid, binary), timeout=60, stdout=subprocess.PIPE,
                              input="".join("%d\n" % a for _, a in asked).encode())
        for s, _, _ in clients:
            s.close()
    answers = done.stdout.decode().splitlines()
    equal(answers[:1], ["ready"], "pooltags")
    wrong = collections.Counter()
    for (base, address), answer in zip(asked, answers[1:]):
        if answer != "%d %s" % (base, pools[living[base]]):
            wrong["%s of %s" % (answer.split()[-1], pools[living[base]])] += 1
    equal(len(answers) - 1, len(asked), "answers")
    equal(dict(wrong), {}, "what is not as bpftrace saw it, of %d" % len(asked))
    seen = {pools[head] for head in living.values()}
    check({"stream", "buffer"} <= seen and len(seen) > 5, "only pools %s" % seen)


@test_on_host
def test_socket():
    """Debian's, and what its stats socket says of its connections: all of them, by pool, those that
    came later too, and whose each fault is. Of every other connection, which sleeps on, nothing is
    hit but tasks: to wake one is to move it in a tree."""
    with warm("haproxy", 900, 2) as (proxy, clients, before, group):
        later = []

        def first():
            later.extend(open_batches(proxy, 30, 0))
            squeeze(group, proxy, len(clients))

        report, awake = woken(proxy, clients[::2], "--haproxy-socket", proxy.socket, first=first)
        after = proxy.pools()
        for s, _, _ in later:
            s.close()
    asleep = {"127.0.0.1:%d" % port for _, port, _ in clients[1::2]}
    tasks = sum(o["faults"] for o in report["objects"] if o["type"] == "task")
    hit = sum(c["faults"] for c in report["connections"] if c["peer"] in asleep)
    check(hit <= tasks, "%d faults, but %d of tasks, are those of who slept" % (hit, tasks))
    report["connections"] = [c for c in report["connections"] if c["peer"] not in asleep]
    check_connections(report, clients[::2], awake)
    known(report, 0.85)
    counts = census(report)
    for pool in set(counts) | {"stream"}:
        equal(counts[pool], after[pool] - before[pool], "living objects of " + pool)
    said = [w for w in report["warnings"] if proxy.socket in w]
    check(len(said) == 1 and " %d connections" % len(clients) in said[0], "warnings: %s" % said)


class Impostor(threading.Thread):
    """Listens where a stats socket is to be, and says @answer once, or over and over."""

    def __init__(self, path, answer, forever):
        threading.Thread.__init__(self, daemon=True)
        self.answer, self.forever = answer, forever
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(4)

    def run(self):
        with contextlib.suppress(OSError):
            peer, _ = self.listener.accept()
            with peer:
                peer.sendall(self.answer)
                while self.forever:
                    if self.answer:
                        peer.sendall(self.answer)
                    elif not peer.recv(4096):
                        break

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.join(10)


@cases_on_host("socket_refused", [
    ("nobody", None, "No such file"), ("silent", (b"", True), "in time"),
    ("garbage", (b"\0\xff%s\n0x: [\n" * 100, True), "no answer of a HAProxy"),
    ("endless line", (b"x" * 65536, True), "no answer of a HAProxy"),
    ("hangs up", (b"", False), "no answer of a HAProxy"),
    ("master", (b"Unknown command, but maybe one of the following\n", True), "master"),
    ("level", (b"Pid: 1\nPermission denied\n", False), "level")])
def test_socket_refused(_name, impostor, word):
    with Haproxy() as proxy, Scratch() as scratch, contextlib.ExitStack() as stack:
        path = os.path.join(scratch, "socket")
        if impostor:
            stack.enter_context(Impostor(path, *impostor))
        refused(tool("-p", proxy.pid, "-d", "1", "--haproxy-socket", path), 1, path, word)


@test_on_host
def test_socket_of_another():
    with Upstream() as upstream, Tunnels("haproxy", upstream) as proxy, Haproxy() as other:
        refused(tool("-p", other.pid, "-d", "1", "--haproxy-socket", proxy.socket), 1, proxy.socket,
                "process %d" % proxy.pid)
        # One of several: the others are watched as ever.
        both = tool("-p", "%d,%d" % (other.pid, proxy.pid), "-d", "1", "--haproxy-socket",
                    proxy.socket, "--format", "json").json()
        check(any("process %d" % proxy.pid in w and proxy.socket in w for w in both["warnings"]),
              "warnings: %s" % both["warnings"])
        # Root may ask before it gives up its privileges, and is told so after.
        os.chown(proxy.socket, 65534, 65534)
        os.chmod(proxy.socket, 0o600)
        once = tool("-p", proxy.pid, "-d", "1", "--haproxy-socket", proxy.socket, "--format",
                    "json").json()
        check(any("given up" in w for w in once["warnings"]), "warnings: %s" % once["warnings"])
    refused(tool("-d", "1", "--haproxy-socket", "/x", "--", "true"), 64, "--haproxy-socket")
    refused(tool("-p", os.getpid(), "--haproxy-socket", "/x", "--provider", "none"), 64, "none")


main()
