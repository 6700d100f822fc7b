# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# bash completion of faultprof(8)

_faultprof() {
	local cur prev word i
	local kinds='swap-in swap-cache file-read file-map zero cow shmem huge other'
	local options='--pid --comm --cgroup --duration --output --format --top --kind --mode
		--no-stacks --no-inherit --slow --tier --provider --alloc-min --alloc-fn
		--alloc-stacks --haproxy-socket --sites --ring --probe --textfile --interval --verbose
		--version --help'
	local gate_options='--pid --comm --cgroup --duration --kind --mode --no-inherit --tier --sites --ring
		--baseline --repeat --work --work-from --per-request --haproxy-socket --verbose --help'
	local subcommands='record report archive diff gate baseline'

	case ${COMP_WORDS[1]} in
	record) options="${options/ --probe --textfile --interval/} --report" ;;
	report)
		options='--output --debug-dir --format --top --kind --mode --no-stacks --verbose
			--help'
		;;
	archive) options='--output --debug-dir --verbose --help' ;;
	diff) options='--output --debug-dir --format --top --kind --mode --verbose --help' ;;
	gate) options="$gate_options --budget --max-ratio --min-rise --level --by --series --confirm --report" ;;
	baseline) options="$gate_options --keep" ;;
	esac

	COMPREPLY=()
	cur=${COMP_WORDS[COMP_CWORD]}
	prev=${COMP_WORDS[COMP_CWORD - 1]}
	for ((i = 1; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} == -- ]]; then
			if declare -F _command_offset >/dev/null; then
				_command_offset $((i + 1))
			elif ((i + 1 == COMP_CWORD)); then
				mapfile -t COMPREPLY < <(compgen -c -- "$cur")
			else
				mapfile -t COMPREPLY < <(compgen -f -- "$cur")
			fi
			return
		fi
	done
	# --option=value comes as three words
	if [[ $prev == = && $COMP_CWORD -ge 2 ]]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	elif [[ $cur == = ]]; then
		prev=${COMP_WORDS[COMP_CWORD - 1]} cur=
	fi
	case $prev in
	-p | --pid)
		word=
		[[ $cur != *,* ]] || word=${cur%,*},
		mapfile -t COMPREPLY < <(compgen -P "$word" \
			-W "$(ps -eo pid= 2>/dev/null)" -- "${cur##*,}")
		;;
	--comm) mapfile -t COMPREPLY < <(compgen -W "$(ps -eo comm= 2>/dev/null)" -- "$cur") ;;
	--debug-dir)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		;;
	--cgroup)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -d -- "${cur:-/sys/fs/cgroup/}")
		;;
	-o | --output | --report | --textfile | --haproxy-socket | --baseline | --work-from)
		if [[ ${COMP_WORDS[1]} == gate && $prev == --report && $cur != *=* ]]; then
			compopt -o nospace 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -S = -W 'github summary gitlab junit json' -- "$cur")
			return
		fi
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		;;
	--format)
		mapfile -t COMPREPLY < <(compgen -W \
			'text json csv folded pprof speedscope flamegraph help' -- "$cur")
		;;
	--kind)
		word=
		[[ $cur != *,* ]] || word=${cur%,*},
		mapfile -t COMPREPLY < <(compgen -P "$word" -W "$kinds" -- "${cur##*,}")
		;;
	--mode) mapfile -t COMPREPLY < <(compgen -W 'user kernel all' -- "$cur") ;;
	--provider) mapfile -t COMPREPLY < <(compgen -f -W 'none malloc' -- "$cur") ;;
	--tier) mapfile -t COMPREPLY < <(compgen -W 'auto fentry tracepoint perf' -- "$cur") ;;
	--by)
		word=
		[[ $cur != *,* ]] || word=${cur%,*},
		mapfile -t COMPREPLY < <(compgen -P "$word" -W 'total major kind symbol' -- "${cur##*,}")
		;;
	--repeat | --keep | --work | --budget | --max-ratio | --min-rise | --level | --series) ;;
	-d | --duration | --interval | --top | --slow | --sites | --ring | --alloc-min | --alloc-fn) ;;
	*)
		if ((COMP_CWORD == 1)); then
			options+=" $subcommands"
		elif [[ ${COMP_WORDS[1]} == baseline && $COMP_CWORD -eq 2 ]]; then
			options=update
		elif [[ ${COMP_WORDS[1]} =~ ^(report|archive|diff|gate|baseline)$ && $cur != -* ]]; then
			compopt -o filenames 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
			return
		fi
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
		;;
	esac
}
complete -F _faultprof faultprof
