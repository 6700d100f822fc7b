#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# include_rule.sh [TREE]: checks who includes whom.
#   base <- model <- {collect, symbolize, provider, sink, gate} <- session <- main
# Siblings never include each other; only symbolize sees libelf and libdw; only collect sees libbpf
# and the skeleton; only sink and gate see jansson; only session and main see options.h; bpf
# includes event.h and its own headers.
# include_rule.sh --self-test: proves on violating copies that it fails when it should.

cd "$(dirname "$0")/.." || exit 1

# The part of the tree that a file belongs to.
part_of() {
	case $1 in
	src/main.c) echo main ;;
	src/session*) echo session ;;
	src/options*) echo options ;;
	src/*/*) part=${1#src/} && echo "${part%%/*}" ;;
	bpf/*) echo bpf ;;
	include/*) echo include ;;
	*) echo outside ;;
	esac
}

# Which parts a part may include. The public headers are open to all but other parts' business.
allowed() {
	case $1 in
	include) echo include ;;
	bpf) echo bpf include ;;
	base) echo base ;;
	model) echo model base include ;;
	collect | symbolize | provider | sink | gate) echo "$1" model base include ;;
	options) echo options model base include ;;
	session) echo session options collect symbolize provider sink gate model base include ;;
	main) echo main session options model base include ;;
	esac
}

check() {
	local tree=$1 bad=0 file part header to line

	while IFS=: read -r file line header; do
		file=${file#"$tree"/}
		part=$(part_of "$file")
		# Whose header is it? As the compiler finds it: beside the file, under src, include, bpf.
		to=
		case $header in
		*.skel.h) to=skeleton ;;
		bpf/libbpf.h | bpf/btf.h | bpf/bpf.h | libbpf.h) to=libbpf ;;
		bpf/bpf_*.h | vmlinux.h | linux/*) to=bpf-side ;;
		elfutils/* | libelf.h | gelf.h | dwarf.h | libdw.h | libdwfl.h) to=libdw ;;
		jansson.h) to=jansson ;;
		*)
			local base
			for base in "$tree/$(dirname "$file")" "$tree/src" "$tree/include" "$tree/bpf"; do
				[ -f "$base/$header" ] || continue
				to=$(realpath -s --relative-to="$tree" "$base/$header")
				to=$(part_of "$to")
				break
			done
			;;
		esac
		case $to in
		"") continue ;; # the system's
		skeleton | libbpf) [ "$part" = collect ] && continue ;;
		libdw) [ "$part" = symbolize ] && continue ;;
		jansson) [[ $part =~ ^(sink|gate)$ ]] && continue ;;
		bpf-side) [ "$part" != include ] && continue ;;
		options) [[ $part =~ ^(options|session|main)$ ]] && continue ;;
		*) [[ " $(allowed "$part") " == *" $to "* ]] && continue ;;
		esac
		echo "$file:$line: $part must not include $header ($to)" >&2
		bad=1
	done < <(grep -rnE --include='*.[ch]' '^[[:space:]]*#[[:space:]]*include' \
			"$tree/src" "$tree/bpf" "$tree/include" |
		sed -nE 's/^([^:]+):([0-9]+):[^"<]*["<]([^">]+)[">].*/\1:\2:\3/p')
	return $bad
}

# One violation at a time: file and line to add; each must be found.
self_test() {
	local copy bad=0 file text

	copy=$(mktemp -d)
	trap 'rm -rf "$copy"' EXIT
	while IFS='|' read -r file text; do
		rm -rf "${copy:?}"/*
		cp -r src bpf include "$copy"
		mkdir -p "$copy/src/provider" "$copy/src/collect" "$copy/src/symbolize"
		touch "$copy/src/options.h" "$copy/src/session.h" "$copy/src/collect/self_test.h" \
			"$copy/src/provider/self_test.h" "$copy/src/symbolize/self_test.h"
		echo "#include $text" >>"$copy/$file"
		if check "$copy" 2>/dev/null; then
			echo "include_rule.sh does not see $text in $file" >&2
			bad=1
		fi
	done <<-'END'
		src/base/self_test.c|"model/fault.h"
		src/base/self_test.c|"faultprof/event.h"
		src/model/self_test.c|"collect/self_test.h"
		src/model/self_test.c|"../session.h"
		src/model/self_test.c|<elfutils/libdw.h>
		src/sink/self_test.c|"collect/self_test.h"
		src/gate/self_test.c|"sink/json.h"
		src/gate/self_test.c|"options.h"
		src/session.c|<jansson.h>
		src/sink/self_test.c|"../symbolize/self_test.h"
		src/sink/self_test.c|"options.h"
		src/collect/self_test.c|"symbolize/self_test.h"
		src/collect/self_test.c|<libelf.h>
		src/collect/self_test.c|"session.h"
		src/symbolize/self_test.c|"provider/self_test.h"
		src/symbolize/self_test.c|<bpf/libbpf.h>
		src/session.c|<gelf.h>
		src/session.c|"faults.skel.h"
		src/session.c|<bpf/libbpf.h>
		src/main.c|"collect/self_test.h"
		src/main.c|<dwarf.h>
		bpf/self_test.bpf.c|"model/fault.h"
		include/faultprof/self_test.h|"model/fault.h"
	END
	# And the other way: what the rule allows passes.
	rm -rf "${copy:?}"/*
	mkdir -p "$copy/src/collect" "$copy/src/model" "$copy/bpf" "$copy/include/faultprof"
	touch "$copy/src/options.h" "$copy/src/model/fault.h" "$copy/include/faultprof/event.h"
	echo '#include "model/fault.h"' >"$copy/src/collect/live.c"
	echo '#include <bpf/libbpf.h>' >>"$copy/src/collect/live.c"
	echo '#include "options.h"' >"$copy/src/session.c"
	echo '#include "faultprof/event.h"' >"$copy/bpf/faults.bpf.c"
	check "$copy" || bad=1
	return $bad
}

case ${1:-} in
--self-test) self_test ;;
*) check "${1:-.}" ;;
esac
