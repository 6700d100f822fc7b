#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
#
# examples/demo.sh FAULTPROF COLDPROXY PROVIDER: `make demo`. A proxy with thousands of idle
# connections, whose buffers are pushed to swap and then needed again, under faultprof. As root it
# uses a memory cgroup, and a swap file of its own where the machine has no swap; both are gone
# afterwards, whatever ends it. Without privilege the buffers are in a file, and the faults are file
# and first-touch faults. Takes some seconds, and never more than a minute.
set -u

if [ $# -ne 3 ]; then
	echo "usage: examples/demo.sh FAULTPROF COLDPROXY PROVIDER" >&2
	exit 64
fi
faultprof=$1 coldproxy=$2 provider=$3
connections=2000
end=$(($(date +%s) + 45)) # for all waiting together
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
	trap '' INT TERM HUP PIPE
	[ -z "$profiler" ] || stop TERM "$profiler"
	[ -z "$proxy" ] || stop TERM "$proxy"
	# The proxy's client dies with it, but not at once.
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		[ -d "$group" ] || break
		rmdir "$group" 2>/dev/null || sleep 0.2
	done
	[ ! -d "$group" ] || echo "demo: cannot remove $group" >&2
	[ -z "$controller" ] || echo -memory 2>/dev/null >"$controller"
	[ -z "$swap" ] || remove_swap
	[ -z "$work" ] || rm -rf "$work"
}

# wait_for TEXT FILE PID: until TEXT is in FILE. Fails when the time is over or PID is gone.
wait_for() {
	until grep -q "$1" "$2"; do
		[ "$(date +%s)" -lt "$end" ] && kill -0 "$3" 2>/dev/null || return 1
		sleep 0.1
	done
}

has_swap() {
	[ "$(wc -l </proc/swaps)" -gt 1 ]
}

# $swap is a directory of our own with the file in it, or nothing.
remove_swap() {
	if grep -qF "$swap/file " /proc/swaps && ! swapoff "$swap/file"; then
		echo "demo: cannot take back the swap file $swap/file" >&2
		return
	fi
	rm -rf "$swap"
	swap=''
}

# A swap file needs a file system that knows its blocks: not tmpfs, not overlay.
make_swap() {
	for dir in /var/tmp /var /tmp /root .; do
		[ -w "$dir" ] || continue
		swap=$(cd "$dir" && mktemp -d "$PWD/faultprof-demo.XXXXXX" 2>/dev/null)
		[ -n "$swap" ] || continue
		: >"$swap/file"
		chmod 600 "$swap/file"
		chattr +C "$swap/file" 2>/dev/null # btrfs
		dd if=/dev/zero of="$swap/file" bs=1M count=192 2>/dev/null &&
			mkswap "$swap/file" >/dev/null 2>&1 && swapon "$swap/file" 2>/dev/null && return
		remove_swap
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
			controller=$mount/cgroup.subtree_control
			echo +memory 2>/dev/null >"$controller" || return 0
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
	if ! wait_for filled "$work/proxy" "$proxy"; then
		cat "$work/proxy" >&2
		die "the demonstration proxy did not come up"
	fi
	sed 's/^coldproxy: /demo: proxy: /' "$work/proxy"
}

# In the background, so that a signal to this script is not kept waiting.
profile() {
	: >"$work/profiler"
	say "faultprof -p $proxy --provider provider_coldproxy.so"
	"$faultprof" -v -p "$proxy" --provider "$work/provider_coldproxy.so" 2>"$work/profiler" 3>&- &
	profiler=$!
	if wait_for 'faultprof: collecting' "$work/profiler" "$profiler"; then
		say "data comes in on all $connections connections"
		echo wake >&3
		if wait_for woken "$work/proxy" "$proxy"; then
			sed -n 's/^coldproxy: woken/demo: proxy: woken/p' "$work/proxy"
		else
			say "not all connections are awake in time: the report is of those that are"
		fi
		echo
		kill -TERM "$profiler" # ends it as Ctrl-C does
	else
		kill -TERM "$profiler" 2>/dev/null
	fi
	wait "$profiler"
	status=$?
	profiler=''
	[ "$status" -eq 0 ] && return
	grep -v 'faultprof: collecting' "$work/profiler" >&2
	die "faultprof ended with $status"
}

for file in "$faultprof" "$coldproxy" "$provider"; do
	[ -x "$file" ] || die "$file: not there; run make first"
done
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
trap 'exit 141' PIPE
work=$(mktemp -d "${TMPDIR:-/tmp}/faultprof-demo.XXXXXX") || exit 1
# It is code, so it is loaded only from where others cannot write.
(umask 077 && cp "$provider" "$work/provider_coldproxy.so") || die "cannot write to $work"

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
	[ -z "$swap" ] || say "this machine has no swap: $swap/file is, while this runs"
	make_group
	start_proxy --connections "$connections" --rounds 2
	if [ -n "$group" ]; then
		say "pushing the memory of the idle connections to swap (by a memory cgroup)"
		squeeze
	fi
	if [ "$(status_kb VmSwap)" -lt 16000 ]; then
		say "pushing the memory of the idle connections to swap (MADV_PAGEOUT)"
		echo evict >&3
		wait_for evicted "$work/proxy" "$proxy" || say "that did not work"
	fi
	say "the proxy has $(status_kb VmSwap) kB in swap, $(status_kb VmRSS) kB resident"
else
	start_proxy --connections "$connections" --rounds 2 --file
	echo evict >&3
	wait_for evicted "$work/proxy" "$proxy" || die "cannot push the buffers out of memory"
	say "the proxy's buffers are out of memory: $(status_kb VmRSS) kB resident"
fi
profile
echo
if [ "$mode" = swap ]; then
	say "so: conn_process and conn_read stalled on buffers that had been swapped out. [k]: the kernel"
	say "did, when it copied what recv() had for conn_read. swap-cache: was in memory again, or still."
else
	say "so: conn_process and its callers stalled on buffers that were not in memory any more"
fi
say "now yours; Ctrl-C when it has seen enough: sudo $faultprof -p PID-OF-A-PROXY"
