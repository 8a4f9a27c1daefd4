# fish completion for forkscope(1).

complete -c forkscope -f -n __fish_use_subcommand -a run -d 'Run a program and report findings'
complete -c forkscope -f -n __fish_use_subcommand -a attach -d 'Diagnose a running process'
complete -c forkscope -f -n __fish_use_subcommand -a scan -d 'List processes that hang by a fork'
complete -c forkscope -f -n __fish_use_subcommand -a sweep -d 'Force each lock to be held at a fork'
complete -c forkscope -f -n __fish_use_subcommand -a exposure -d 'Which locks a fork would orphan'
complete -c forkscope -f -n __fish_use_subcommand -a report -d 'Print the report of a kept session'
complete -c forkscope -f -n __fish_use_subcommand -a bench -d 'What creating a process costs'
complete -c forkscope -f -n __fish_use_subcommand -a scenario -d 'Programs that show each cause'
complete -c forkscope -n __fish_use_subcommand -l version -d 'Show the version'
complete -c forkscope -s h -l help -d 'Show help'

set -l run '__fish_seen_subcommand_from run'
complete -c forkscope -n $run -l json -r -d 'Write the report as JSON'
complete -c forkscope -n $run -l sarif -r -d 'Write the findings as SARIF'
complete -c forkscope -n $run -l junit -r -d 'Write the findings as JUnit XML'
complete -c forkscope -n $run -l on-deadlock -x -a 'report kill abort exit:1 break' \
    -d 'What happens to a child that deadlocks'
complete -c forkscope -n $run -l fail-on -x -a 'deadlock probable latent hazard note only:' \
    -d 'Exit with --error-exitcode when there is such a finding'
complete -c forkscope -n $run -l error-exitcode -x -d 'Exit status for --fail-on'
complete -c forkscope -n $run -l timeout -x -d 'End the process tree after this time'
complete -c forkscope -n $run -l unsafe-calls -x -a 'on off' \
  -d 'Note calls that a forked child may not make'
complete -c forkscope -n $run -l check -x -a 'descriptors' -d 'What else to look at'
complete -c forkscope -n $run -l inject -x -a 'help fork:while-held fork:while-in fork:probe,every=1000 fork:fail=EAGAIN fork:delay= vfork:fail=ENOMEM clone:fail=EPERM posix_spawn:fail=ENOENT exec:fail=ENOENT pthread_create:fail=EAGAIN lock:hold= lock:yield trylock:busy timedlock:timeout thread:slow-start' \
    -d 'Make this happen'
complete -c forkscope -n $run -l seed -x -d 'Decide again as in the run that printed it'
complete -c forkscope -n $run -l watch -x -a '100ms 1s off' \
    -d 'How often children are looked at from outside'
complete -c forkscope -n $run -s q -l quiet -d 'Print no findings'
complete -c forkscope -n $run -l log-file -r -F -d 'Write findings to this file'
complete -c forkscope -n $run -l session -x -a '(__fish_complete_directories)' \
    -d 'Keep the records in this folder'
complete -c forkscope -n $run -f -a '(__fish_complete_subcommand --fcs-skip=2)'

set -l report '__fish_seen_subcommand_from report'
complete -c forkscope -n $report -l json -r -d 'Write JSON; - is standard output'
complete -c forkscope -n $report -l sarif -r -d 'Write the findings as SARIF'
complete -c forkscope -n $report -l junit -r -d 'Write the findings as JUnit XML'
complete -c forkscope -n $report -x -a '(__fish_complete_directories)'

set -l attach '__fish_seen_subcommand_from attach'
complete -c forkscope -n $attach -l stacks -d 'Stop each thread briefly, for whole stacks'
complete -c forkscope -n $attach -l follow-parent -d 'Tell of the process it was copied from'
complete -c forkscope -n $attach -l core -r -d 'Look at a core file'
complete -c forkscope -n $attach -l json -r -d 'Write JSON; - is standard output'
complete -c forkscope -n $attach -l sarif -r -d 'Write the findings as SARIF'
complete -c forkscope -n $attach -l junit -r -d 'Write the findings as JUnit XML'
complete -c forkscope -n $attach -x -a '(__fish_complete_pids)'

set -l scan '__fish_seen_subcommand_from scan'
complete -c forkscope -f -n $scan -l user -x -a '(__fish_complete_users)' -d 'Only of this user'
complete -c forkscope -n $scan -l json -r -d 'Write JSON; - is standard output'
complete -c forkscope -n $scan -l sarif -r -d 'Write the findings as SARIF'
complete -c forkscope -n $scan -l junit -r -d 'Write the findings as JUnit XML'

set -l sweep '__fish_seen_subcommand_from sweep'
complete -c forkscope -n $sweep -s j -l jobs -x -d 'Runs at a time'
complete -c forkscope -n $sweep -l folder -x -a '(__fish_complete_directories)' \
    -d 'Keep everything here, and go on with it'
complete -c forkscope -n $sweep -l plan -d 'Print the runs instead of making them'
complete -c forkscope -n $sweep -l json -r -d 'Write JSON; - is standard output'
complete -c forkscope -n $sweep -l timeout -x -d 'End each run after this time'
complete -c forkscope -n $sweep -l seed -x -d 'What chance decides is decided by this'
complete -c forkscope -n $sweep -l fail-on -x -a deadlock -d 'Exit with --error-exitcode then'
complete -c forkscope -n $sweep -l error-exitcode -x -d 'Exit status for --fail-on'
complete -c forkscope -n $sweep -f -a '(__fish_complete_subcommand --fcs-skip=2)'

set -l exposure '__fish_seen_subcommand_from exposure'
complete -c forkscope -n $exposure -l seconds -x -d 'For how long to look'
complete -c forkscope -n $exposure -l interval -x -a '1ms 10ms' -d 'Mean time between two looks'
complete -c forkscope -n $exposure -l json -r -d 'Write JSON; - is standard output'
complete -c forkscope -n $exposure -f -a '(__fish_complete_pids) (__fish_complete_subcommand --fcs-skip=2)'

set -l bench '__fish_seen_subcommand_from bench'
complete -c forkscope -f -n $bench -l quick -d 'Within a minute'
complete -c forkscope -f -n $bench -l full -d 'Within a quarter of an hour'
complete -c forkscope -n $bench -l html -r -d 'Write the report with plots'
complete -c forkscope -n $bench -l json -r -d 'Write JSON; - is standard output'
complete -c forkscope -n $bench -l filter -x -d 'Only cases whose name matches'
complete -c forkscope -f -n $bench -l list -d 'Print the names of the cases'
complete -c forkscope -n $bench -l python -r -d 'Python to measure'
complete -c forkscope -n $bench -l memory -x -a '64MiB 1GiB 4GiB' -d 'The largest parent'
complete -c forkscope -n $bench -l compare -r -d 'What changed between two reports'
complete -c forkscope -n $bench -l from -r -d 'Report a JSON report again'

set -l rules '__fish_seen_subcommand_from run report scan'
complete -c forkscope -n $rules -l suppressions -r -d 'Leave out what a rule matches'
set -l compares '__fish_seen_subcommand_from run report'
complete -c forkscope -n $compares -l baseline -r -d 'Accept the findings in this file'
complete -c forkscope -n $compares -l write-baseline -r -d 'Write the findings for --baseline'

set -l both '__fish_seen_subcommand_from run attach scan sweep exposure report'
complete -c forkscope -n $both -s v -l verbose -d 'Print hazards, notes and at-fork handlers'
complete -c forkscope -n $both -l colour -x -a 'auto always never' -d 'When to colour'

set -l scenario '__fish_seen_subcommand_from scenario'
complete -c forkscope -f -n "$scenario; and not __fish_seen_subcommand_from list show run new" -a 'list show run new'
complete -c forkscope -f -n "$scenario; and __fish_seen_subcommand_from show run" \
    -a "(forkscope scenario list 2>/dev/null | sed -n '2,\$s/^\([a-z][^ ]*\) .*/\1/p')"
set -l scenario_run "$scenario; and __fish_seen_subcommand_from run"
complete -c forkscope -n $scenario_run -l all -d 'Run all scenarios'
complete -c forkscope -n $scenario_run -l method -x -d 'Only these methods'
complete -c forkscope -n $scenario_run -l how -x -a 'bare shim lucky attached' -d 'Only in these ways'
complete -c forkscope -n $scenario_run -l under -x -d 'Compare with another detector'
complete -c forkscope -n $scenario_run -l repeat -x -d 'Runs of each'
complete -c forkscope -n $scenario_run -l jobs -x -d 'Runs at a time'
complete -c forkscope -n $scenario_run -l patience -x -d 'Milliseconds after which a worker hangs'
complete -c forkscope -n $scenario_run -l json -r -d 'Write all runs'
complete -c forkscope -n $scenario_run -l junit -r -d 'Write JUnit XML'
complete -c forkscope -n $scenario_run -l markdown -r -d 'Write the table'
