#!/bin/sh
# A hung worker that somebody else kills is reported as such, at once and with its own status.
# usage: scenario_killed_worker_test.sh PROGRAM
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkfifo "$folder/out"

TMPDIR=$folder "$1" --method=fork --patience=60000 >"$folder/out" &
scenario=$!
exec 3<"$folder/out"
while read -r line <&3; do
  echo "$line"
  case $line in
    "worker 1: started, pid "*) worker=${line##* } ;;
    "timing ready_us="*) kill -KILL "$worker" ;;
    "worker 1: worker ended early: signal 9") reported=yes ;;
  esac
done
status=0
wait "$scenario" || status=$?
[ "$status" -eq 4 ] || { echo "FAILED: exit status $status, expected 4"; exit 1; }
[ "${reported-no}" = yes ] || { echo "FAILED: signal 9 is not reported"; exit 1; }
