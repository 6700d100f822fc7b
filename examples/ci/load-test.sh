#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# A load test as the gate wants one: it starts the proxy, does always the same work, ends the proxy,
# and fails when the work was not done. How much it was goes to the file "requests".
#
# Here 200 clients come to HAProxy, and each asks once. Yours will do more: some seconds are better.
set -eu
requests=200

place=$(mktemp -d)
proxy=
trap '[ -z "$proxy" ] || kill "$proxy"; rm -rf "$place"' EXIT
cat >"$place/haproxy.cfg" <<END
defaults
	mode http
	timeout connect 5s
	timeout client 30s
	timeout server 30s
frontend front
	bind unix@$place/front
	http-request return status 200 content-type text/plain string ok
END
PATH=$PATH:/usr/sbin haproxy -db -f "$place/haproxy.cfg" &
proxy=$!
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	[ ! -S "$place/front" ] || break
	sleep 0.05
done
python3 - "$place/front" "$requests" <<'END'
import socket, sys

path, requests = sys.argv[1], int(sys.argv[2])
clients = [socket.socket(socket.AF_UNIX) for _ in range(requests)]
for client in clients:
    client.connect(path)
    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
for client in clients:
    if not client.recv(4096).startswith(b"HTTP/1.1 200 "):
        sys.exit("no answer")
END
echo "$requests" >requests
