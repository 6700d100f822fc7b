#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
#
# examples/demo.sh FAULTPROF COLDPROXY: `make demo`. A proxy with thousands of idle connections, whose
# buffers are pushed to swap and then needed again, under faultprof. As root it uses a memory cgroup,
# and a swap file of its own where the machine has no swap; both are gone afterwards. Without
# privilege the buffers are in a file, and the faults are file and first-touch faults.
set -u

if [ $# -ne 2 ]; then
	echo "usage: examples/demo.sh FAULTPROF COLDPROXY" >&2
	exit 64
fi
faultprof=$1 coldproxy=$2
connections=2000
work='' swap='' group='' controller='' proxy='' profiler=''

say() {
	echo "demo: $*"
}

die() {
	echo "demo: $*" >&2
	exit 1
}

stop() {
	kill -"$1" "$2" 2>/dev/null && wait "$2" 2>/dev/null
	:
}

cleanup() {
	trap '' INT TERM HUP
	[ -z "$profiler" ] || stop TERM "$profiler"
	[ -z "$proxy" ] || stop TERM "$proxy"
	if [ -n "$group" ]; then
		# The proxy's client dies with it, but not at once.
		for _ in 1 2 3 4 5 6 7 8 9 10; do
			rmdir "$group" 2>/dev/null && break
			sleep 0.2
		done
		[ ! -d "$group" ] || echo "demo: cannot remove $group" >&2
	fi
	[ -z "$controller" ] || echo -memory 2>/dev/null >"$controller"
	if [ -n "$swap" ]; then
		swapoff "$swap" || echo "demo: cannot take back the swap file $swap" >&2
		rm -f "$swap"
		rmdir "${swap%/*}"
	fi
	[ -z "$work" ] || rm -rf "$work"
}

# wait_for TEXT FILE PID SECONDS: until TEXT is in FILE. Fails when the time is over or PID is gone.
wait_for() {
	tries=$(($4 * 10))
	until grep -q "$1" "$2"; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] && kill -0 "$3" 2>/dev/null || return 1
		sleep 0.1
	done
}

has_swap() {
	[ "$(wc -l </proc/swaps)" -gt 1 ]
}

# A swap file needs a file system that knows its blocks: not tmpfs, not overlay.
make_swap() {
	for dir in /var/tmp /var /tmp /root .; do
		[ -d "$dir" ] && [ -w "$dir" ] || continue
		own=$(mktemp -d "$dir/faultprof-demo.XXXXXX" 2>/dev/null) || continue
		file=$(cd "$own" && pwd)/swap
		: >"$file" && chmod 600 "$file"
		chattr +C "$file" 2>/dev/null # btrfs
		if dd if=/dev/zero of="$file" bs=1M count=192 2>/dev/null && mkswap "$file" >/dev/null 2>&1; then
			swap=$file # before swapon, so that an interrupt finds it
			swapon "$file" 2>/dev/null && return 0
			swap=''
		fi
		rm -rf "$own"
	done
	return 1
}

# Leaves the new cgroup in $group, or nothing.
make_group() {
	mount=$(awk '$3 == "cgroup" && ("," $4 ",") ~ /,memory,/ { print $2; exit }' /proc/mounts)
	version=1
	if [ -z "$mount" ]; then
		version=2
		mount=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
		[ -n "$mount" ] && grep -qw memory "$mount/cgroup.controllers" || return 0
		if ! grep -qw memory "$mount/cgroup.subtree_control"; then
			echo +memory 2>/dev/null >"$mount/cgroup.subtree_control" || return 0
			controller=$mount/cgroup.subtree_control
		fi
	fi
	group=$mount/faultprof-demo.$$
	mkdir "$group" 2>/dev/null || group=''
}

status_kb() {
	awk -v name="$1:" '$1 == name { print $2 }' "/proc/$proxy/status"
}

# Takes all memory that the kernel can from the cgroup. Only the second time are the pages that the
# first one wrote out given up for good: until then a fault would find them in the swap cache.
squeeze() {
	for _ in 1 2 3; do
		if [ "$version" = 1 ]; then
			echo 0 2>/dev/null >"$group/memory.force_empty"
		elif [ -e "$group/memory.reclaim" ]; then
			echo 256M 2>/dev/null >"$group/memory.reclaim"
		fi
		sleep 0.3
	done
	[ "$(status_kb VmSwap)" -lt 16000 ] || return 0
	# Kernels without those: a limit does the same.
	if [ "$version" = 1 ]; then
		used=$(cat "$group/memory.usage_in_bytes")
		for part in 80 60 50 40 30; do
			echo $((used / 100 * part)) 2>/dev/null >"$group/memory.limit_in_bytes" || break
		done
		echo -1 >"$group/memory.limit_in_bytes"
	else
		echo 8M >"$group/memory.high"
		sleep 0.5
		echo max >"$group/memory.high"
	fi
}

start_proxy() {
	mkfifo "$work/orders" && : >"$work/proxy" || die "cannot write to $work"
	exec 3<>"$work/orders"
	if [ -n "$group" ]; then
		# shellcheck disable=SC2016
		sh -c 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"' sh "$group" "$coldproxy" "$@" \
			<"$work/orders" >"$work/proxy" 2>&1 3>&- &
	else
		"$coldproxy" "$@" <"$work/orders" >"$work/proxy" 2>&1 3>&- &
	fi
	proxy=$!
	if ! wait_for filled "$work/proxy" "$proxy" 20; then
		cat "$work/proxy" >&2
		die "the demonstration proxy did not come up"
	fi
	sed 's/^coldproxy: /demo: proxy: /' "$work/proxy"
}

# Runs beside faultprof: wakes the connections once it collects, and ends it when all is done.
conduct() {
	if ! wait_for 'faultprof: collecting' "$work/profiler" "$$" 20; then
		kill -TERM "$(cat "$work/pid")"
		return
	fi
	echo wake >&3
	if wait_for woken "$work/proxy" "$proxy" 20; then
		sed -n 's/^coldproxy: woken/demo: proxy: woken/p' "$work/proxy"
	else
		say "the connections are not all awake after 20 s: the report is of those that are"
	fi
	kill -INT "$(cat "$work/pid")"
	sleep 10
	kill -TERM "$(cat "$work/pid")"
}

# faultprof stays in the foreground: a script's background commands ignore SIGINT.
profile() {
	: >"$work/profiler"
	conduct 2>/dev/null &
	profiler=$!
	# shellcheck disable=SC2016
	sh -c 'echo $$ >"$1"; shift; exec "$@"' sh "$work/pid" "$faultprof" -v -p "$proxy" -d 45 \
		2>"$work/profiler" 3>&-
	status=$?
	stop TERM "$profiler"
	profiler=''
	grep -v 'faultprof: collecting' "$work/profiler" >&2
	[ "$status" -eq 0 ] || die "faultprof ended with $status"
}

for file in "$faultprof" "$coldproxy"; do
	[ -x "$file" ] || die "$file: not there; run make first"
done
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
work=$(mktemp -d "${TMPDIR:-/tmp}/faultprof-demo.XXXXXX") || exit 1

mode=swap version=''
if [ "$(id -u)" -ne 0 ]; then
	mode=files
	say "not root: the proxy's buffers are in a file instead of swap, and only what an ordinary user"
	say "may see is measured. With sudo: buffers in swap, and faults inside system calls too."
elif ! has_swap && ! make_swap; then
	mode=files
	say "no swap here, and no file system that takes a swap file: the buffers are in a file instead"
fi

if [ "$mode" = swap ]; then
	[ -z "$swap" ] || say "this machine has no swap: made a swap file, $swap, for the time of this demo"
	make_group
	start_proxy --connections "$connections" --rounds 2
	if [ -n "$group" ]; then
		say "pushing the memory of the idle connections to swap (cgroup $group)"
		squeeze
	fi
	if [ "$(status_kb VmSwap)" -lt 16000 ]; then
		say "pushing the memory of the idle connections to swap (MADV_PAGEOUT)"
		echo evict >&3
		wait_for evicted "$work/proxy" "$proxy" 20 || say "that did not work"
	fi
	say "the proxy has $(status_kb VmSwap) kB in swap, $(status_kb VmRSS) kB resident"
else
	start_proxy --connections "$connections" --rounds 2 --file
	echo evict >&3
	wait_for evicted "$work/proxy" "$proxy" 20 || die "cannot push the buffers out of memory"
	say "the proxy's buffers are out of memory: $(status_kb VmRSS) kB resident"
fi
say "data comes in on all $connections connections"
profile
