#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""nginx with idle websockets and streams, squeezed into swap and woken: whose memory was it?

The truth is what the clients know, their ports and when they connected, and nginx' own debug log,
which tells of every allocation for which connection it was made.
"""
import bisect
import contextlib
import os
import re
import selectors
import signal
import socket
import threading
import time

from lab import (Answers, Cgroup, Faultprof, Nginx, PageCluster, Scratch, Skip, Swap, cases_on_host,
                 check, equal, free_port, main, nginx_source, provider, read, status, test)

BATCHES = 3
BATCH = 120
PAUSE = 3
AGE = 0.1  # seconds
UNKNOWN = 0.02
HTTP = """
	upstream sockets {
		server 127.0.0.1:%(backend)d;
	}
	server {
		listen 127.0.0.1:%(port)d;
		server_name front.test;
		location / {
			proxy_pass http://sockets;
			proxy_http_version 1.1;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection upgrade;
			proxy_read_timeout 600s;
		}
	}"""
STREAM = """
stream {
	upstream echo {
		server 127.0.0.1:%(backend)d;
	}
	server {
		listen 127.0.0.1:%(port)d;
		proxy_pass echo;
	}
}"""
UPGRADE = (b"GET / HTTP/1.1\r\nHost: front.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"X-Pad: " + b"x" * 400 + b"\r\n\r\n")


class Backend:
    """Accepts upgrades (@http), then sends back what it gets. A thread."""

    def __init__(self, http):
        self.http = http
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.upgraded = set()
        self.over = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over = True
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()

    def _run(self):
        while not self.over:
            for key, _ in self.selector.select(0.1):
                if key.fileobj is self.listener:
                    self.selector.register(self.listener.accept()[0], selectors.EVENT_READ)
                else:
                    self._serve(key.fileobj)

    def _serve(self, s):
        data = s.recv(65536)
        if not data:
            self.selector.unregister(s)
            s.close()
        elif self.http and s not in self.upgraded:
            self.upgraded.add(s)
            s.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                      b"Connection: Upgrade\r\n\r\n")
        else:
            s.sendall(data)


class Clients:
    """By the port of each: its socket, and when it connected, by CLOCK_MONOTONIC."""

    def __init__(self, port, http):
        self.port, self.http = port, http
        self.sockets, self.born = {}, {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in self.sockets.values():
            s.close()

    def connect(self, n):
        for _ in range(n):
            before = time.monotonic()
            s = socket.create_connection(("127.0.0.1", self.port), timeout=10)
            if self.http:
                s.sendall(UPGRADE)
                answer = s.recv(4096)
                check(answer.startswith(b"HTTP/1.1 101"), "not upgraded: %.60r" % answer)
            else:
                self.exchange(s, 100)
            port = s.getsockname()[1]
            self.sockets[port], self.born[port] = s, (before + time.monotonic()) / 2

    @staticmethod
    def exchange(s, size):
        s.sendall(b"w" * size)
        while size:
            data = s.recv(size)
            check(data, "closed")
            size -= len(data)

    def wake(self):
        for s in self.sockets.values():
            self.exchange(s, 3000)


@contextlib.contextmanager
def cold(binary, http, log="stderr"):
    """Batches of idle connections through nginx: yields (nginx, clients, squeeze)."""
    with Swap(), PageCluster(0), Cgroup() as group, Backend(http) as backend:
        ports = {"backend": backend.port, "port": free_port()}
        with Nginx(group, binary, port=ports["port"], http=HTTP % ports if http else "",
                   stream="" if http else STREAM % ports, log=log) as nginx, \
                Clients(ports["port"], http) as clients:
            for i in range(BATCHES):
                time.sleep(PAUSE if i else 0)
                clients.connect(BATCH)
            time.sleep(1)

            def squeeze():
                """Until all is out: what was looked at a moment ago takes several passes."""
                for _ in range(10):
                    group.squeeze(nginx.worker)
                    if int(status(nginx.worker, "RssAnon")) < 500:
                        return
                raise Skip("%s kB of nginx stay in memory" % status(nginx.worker, "RssAnon"))

            yield nginx, clients, squeeze


def port_of(peer):
    host, _, port = peer.rpartition(":")
    equal(host, "127.0.0.1", "the host in " + peer)
    return int(port)


# Ages are compared by the clock of this test, which emulation holds up by seconds.
@cases_on_host("report", [("http", True), ("stream", False)])
def test_report(_name, http):
    """The tool's own: each woken connection with its port, its age, its server and upstream.

    Names are in memory that nginx does not touch again: it is looked at before that is swapped out,
    and not while it is, or what was looked at would stay.
    """
    with cold(nginx_source(), http) as (nginx, clients, squeeze), \
            Faultprof("-p", nginx.worker) as prof:
        os.kill(prof.pid, signal.SIGSTOP)
        squeeze()
        os.kill(prof.pid, signal.SIGCONT)
        clients.wake()
        time.sleep(0.3)
        end = time.monotonic()
        report = prof.report()
    equal(report["targets"][0]["provider"], "nginx", "provider")
    seen = {port_of(c["peer"]): c for c in report["connections"] if c["peer"]}
    strangers = set(seen) - set(clients.born)
    check(not strangers, "%d peers that were never there: %s" % (len(strangers), strangers))
    check(len(seen) >= (1 - UNKNOWN) * len(clients.born),
          "%d of %d connections" % (len(seen), len(clients.born)))
    for port, c in seen.items():
        age = end - clients.born[port]
        check(abs(c["age_s"] - age) < 1,
              "port %d is %.2f s old, not %.2f" % (port, c["age_s"], age))
        equal(c["backend"], "sockets" if http else "echo", "backend")
        if http:
            equal(c["frontend"], "front.test", "frontend")
        check(c["faults"] > 0, "port %d has no faults" % port)


class Allocations:
    """What nginx' debug log says of its memory: by base, its size and the client it is for."""

    def __init__(self, path, pid):
        self.of, self.ports, loose = {}, {}, []
        line_of = re.compile(r"\[debug\] %d#0: (?:\*(\d+) )?(.*)" % pid)
        for line in read(path).splitlines():
            match = line_of.search(line)
            if not match:
                continue
            number, text = match.groups()
            made = re.match(r"(?:malloc|posix_memalign): ([0-9A-F]+):(\d+)", text)
            gone = re.match(r"free: ([0-9A-F]+)", text)
            accept = re.match(r"accept: 127.0.0.1:(\d+) ", text)
            if text == "worker cycle":
                loose = []
            if made:
                base = int(made.group(1), 16)
                self.of[base] = [int(made.group(2)), number]
                if not number:
                    loose.append(base)
            elif gone:
                self.of.pop(int(gone.group(1), 16), None)
            elif accept:
                self.ports[number] = int(accept.group(1))
            if number:  # a connection gets its number only after its first pool
                for base in loose:
                    self.of[base][1] = number
                loose = []
        self.bases = sorted(base for base in self.of if self.of[base][1])

    def at(self, address):
        """(base, size, port) of what was made for a client, or None."""
        i = bisect.bisect_right(self.bases, address)
        base = self.bases[i - 1] if i else 0
        size, number = self.of.get(base, (0, None))
        return (base, size, self.ports[number]) if address < base + size else None


def judge(allocations, born, answers):
    """(right, unknown, wrong ones in words). In the arrays only owner and age can be held against
    what is known here; a slot that is in no use has neither. An owner may be without its address
    as long as the page that has it is not in memory."""
    right, unknown, nameless, wrong = 0, 0, 0, []
    for _, address, error, answer in answers:
        truth = allocations.at(address)
        if error:
            unknown += bool(truth)
            continue
        port = allocations.ports.get(answer["connection"])
        array = answer["type"] in ("connection", "upstream connection", "event")
        if array:
            good = not truth and (port in born or answer["source"] == 0)
        else:
            good = truth == (answer["base"], answer["size"], port)
        if good and port:
            good = abs(answer["born_ns"] / 1e9 - born[port]) < AGE and \
                answer["peer"] in ("-", "127.0.0.1:%d" % port)
            nameless += answer["peer"] == "-"
        if good:
            right += 1
        else:
            wrong.append("%#x is %s, not %s" % (address, truth, answer))
    check(nameless <= UNKNOWN * right, "%d of %d owners without address" % (nameless, right))
    return right, unknown, wrong


@cases_on_host("each", [("http", True), ("stream", False)])
def test_each(_name, http):
    """Each fault, against nginx' own log of what it allocated for which connection."""
    with Scratch() as place:
        answers, log = Answers(place), os.path.join(place, "debug")
        with cold(nginx_source(), http, log + " debug") as (nginx, clients, squeeze):
            squeeze()
            with Faultprof("--provider", provider("tests/provider_nginx"), "-p", nginx.worker,
                           env=answers.env) as prof:
                clients.wake()
                time.sleep(0.3)
                report = prof.report()
            allocations = Allocations(log, nginx.worker)
        missing = set(clients.born) - set(allocations.ports.values())
        check(not missing, "%d clients are not in nginx' log" % len(missing))
        right, unknown, wrong = judge(allocations, clients.born, answers)
        check(not wrong, "%d of %d wrong: %s" % (len(wrong), right, "; ".join(wrong[:3])))
        check(right > 2 * BATCHES * BATCH, "only %d faults" % right)
        check(unknown <= UNKNOWN * right, "%d of %d unknown" % (unknown, right))
        equal(sum(1 for _ in answers), report.totals["addressed"], "faults that were asked about")


@test
def test_stripped():
    """Debian's own has no debug info: the report says so, once, and what to do."""
    with Nginx() as nginx, Faultprof("-p", nginx.worker) as prof:
        with socket.create_connection(("127.0.0.1", nginx.port), timeout=10) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            s.recv(4096)
        report = prof.report()
    said = [w for w in report["warnings"] if "nginx" in w and "debug info" in w]
    equal(len(said), 1, "warnings about debug info: %s" % report["warnings"])
    check("nginx-dbgsym" in said[0], "no remedy: " + said[0])
    equal([o for o in report["objects"] if o["provider"] == "nginx"], [], "objects of nginx")


main()
