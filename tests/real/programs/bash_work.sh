# Ordinary work of a shell script, for bash. What it prints does not depend on timing.
set -u
trap 'echo "trap: user signal"' USR1
trap 'echo "trap: exit of $BASHPID with $?" | sed "s/of [0-9]*/of the script/"' EXIT

echo "pipeline: $(seq 1 1000 | grep 7 | sort -rn | head -3 | tr '\n' ' ')"
false | true | (exit 4)
echo "statuses: ${PIPESTATUS[*]}"
set -o pipefail
(exit 6) | true
echo "pipefail: $?"

nested=$(echo "$(echo "$(echo "$(echo deep)")")")
echo "substitution: $nested"
for number in {1..60}; do total=$((${total:-0} + $(echo "$number"))); done
echo "sum of substitutions: $total"
diff <(seq 1 5) <(seq 2 6)
echo "process substitution: $?"
mkfifo counted
seq 1 17 | tee >(wc -l >counted) >/dev/null &
cat counted
wait $!

pids=()
for status in 1 2 3 4 5; do
  (exit "$status") &
  pids+=($!)
done
for pid in "${pids[@]}"; do
  wait "$pid"
  echo "background job: $?"
done

mkfifo pipe
cat pipe >received &
echo "through a pipe" >pipe
wait $!
cat received

coproc doubler { while read -r number; do echo $((number * 2)); done; }
echo 21 >&"${doubler[1]}"
read -r answer <&"${doubler[0]}"
echo "coprocess: $answer"
coprocess=$doubler_PID # unset as soon as bash sees its end
kill "$coprocess"
wait "$coprocess" 2>/dev/null
echo "killed coprocess: $?"

kill -USR1 $$
mkfifo ready
(exec >ready; exec sleep 1000) &
: <ready # opened: no trap of the shell's is in force any more
kill -TERM $!
wait $! 2>/dev/null
echo "killed job: $?"
(trap 'echo "trap: terminated"; exit 8' TERM; kill -TERM $BASHPID; echo "not reached")
echo "subshell with a trap: $?"

cat <<TEXT | while read -r word; do echo "here-document: $word"; done
first
$(echo second)
TEXT
env -i /bin/sh -c 'echo "cleared environment: ${HOME-no home}" | /bin/cat'
/nonexistent/program 2>/dev/null
echo "missing program: $?"
(exec /bin/sh -c 'echo "exec in a subshell"; exit 5')
echo "its status: $?"
echo "standard error is there" >&2
exec bash -c 'trap "echo trap of the last program" EXIT; echo "the last program"; exit 7'
