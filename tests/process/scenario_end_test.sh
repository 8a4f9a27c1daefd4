#!/bin/sh
# A scenario ends as it must, says so, and leaves neither process nor file behind.
# usage: scenario_end_test.sh PROGRAM METHOD END PATIENCE_MS
# END is 0 (all workers done), hangs, or what the first worker dies of: signal_N, exit_N
set -eu
program=$1 method=$2 end=$3 patience=$4
case $end in
  0) expected=0 ;;
  hangs) expected=3 ;;
  *) expected=4 ;;
esac

fail() {
  echo "FAILED: $1"
  cat "$folder.out"
  exit 1
}

folder=$(mktemp -d)
trap 'rm -rf "$folder" "$folder.out"' EXIT

status=0
TMPDIR=$folder "$program" --method="$method" --workers=3 --patience="$patience" \
  >"$folder.out" || status=$?
if [ "$status" -eq 77 ]; then
  cat "$folder.out"
  exit 77
fi
[ "$status" -eq "$expected" ] || fail "exit status $status, expected $expected"

ready=$(grep -c '^timing ready_us=[0-9][0-9]*$' "$folder.out" || :)
finished=$(grep -c '^timing done_us=[0-9][0-9]*$' "$folder.out" || :)
case $expected in
  0) [ "$ready $finished" = "3 3" ] || fail "$ready ready and $finished done of 3 workers" ;;
  3) # the first worker comes as far as ready, and no other is started
    [ "$ready $finished" = "1 0" ] || fail "$ready ready and $finished done of a hung worker"
    grep -q '^worker 1: hangs in its work' "$folder.out" || fail "does not say where it hangs" ;;
  4) [ "$ready $finished" = "1 0" ] || fail "$ready ready and $finished done of a dead worker"
    grep -q "^worker 1: worker ended early: $(echo "$end" | tr _ ' ')\$" "$folder.out" ||
      fail "does not say that it died of $end" ;;
esac

for pid in $(sed -n 's/^worker [0-9]*: started, pid //p' "$folder.out"); do
  ! kill -0 "$pid" 2>/dev/null || fail "worker $pid was left behind"
done
[ -z "$(ls -A "$folder")" ] || fail "files were left behind: $(ls -A "$folder")"
