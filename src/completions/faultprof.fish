# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# fish completion of faultprof(8)

complete -c faultprof -f
complete -c faultprof -s p -l pid -x -d 'watch these processes' -a '(__fish_append , (__fish_complete_pids))'
complete -c faultprof -l comm -x -d 'watch all processes of this name' -a '(ps -eo comm= | sort -u)'
complete -c faultprof -l cgroup -x -d 'watch all processes in this control group' -a '(__fish_complete_directories)'
complete -c faultprof -s d -l duration -x -d 'end after this many seconds'
complete -c faultprof -s o -l output -r -F -d 'write the report to this file'
complete -c faultprof -l format -x -d 'format of the report' -a 'text json folded'
complete -c faultprof -l top -x -d 'rows in each table'
complete -c faultprof -l kind -x -d 'only these kinds of fault' -a '(__fish_append , swap-in swap-cache file-read file-map zero cow shmem huge other)'
complete -c faultprof -l mode -x -d 'only faults of this mode' -a 'user kernel all'
complete -c faultprof -l no-stacks -d 'no call stacks'
complete -c faultprof -l no-inherit -d 'do not follow new processes'
complete -c faultprof -l slow -x -d 'record faults slower than this many microseconds one by one'
complete -c faultprof -l tier -x -d 'where to measure' -a 'auto fentry tracepoint perf'
complete -c faultprof -l sites -x -d 'places in the code that can be told apart'
complete -c faultprof -l ring -x -d 'kB for faults recorded one by one'
complete -c faultprof -l probe -d 'say what can be measured here'
complete -c faultprof -s v -l verbose -d 'say more'
complete -c faultprof -s V -l version -d 'print the version'
complete -c faultprof -s h -l help -d 'print help'
complete -c faultprof -n 'contains -- -- (commandline -opc)' -a '(__fish_complete_subcommand)'
