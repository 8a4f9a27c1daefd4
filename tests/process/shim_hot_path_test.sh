#!/bin/sh
# shim_hot_path_test.sh LIBRARY: what the machine code of the interposers must be like.
set -eu
dump=$(mktemp)
trap 'rm -f "$dump"' EXIT
objdump -d --no-show-raw-insn "$1" > "$dump"
failed=0

code_of() {
  code=$(awk "/<$1>:/,/^\$/" "$dump")
  [ -n "$code" ] || { echo "$1: not found"; exit 1; }
}
refuse() { # NAME WHAT PATTERN
  if printf '%s\n' "$code" | grep -E "$3"; then
    echo "$1 $2"
    failed=1
  fi
}

# Those that keep an acquisition's registers must not have changed a callee-saved one before
# (detector/tracker/thread_record.hpp, table::capture).
for name in \
  pthread_mutex_lock pthread_mutex_trylock pthread_mutex_timedlock pthread_mutex_clocklock \
  pthread_cond_wait pthread_cond_timedwait pthread_cond_clockwait \
  pthread_rwlock_rdlock pthread_rwlock_tryrdlock pthread_rwlock_timedrdlock \
  pthread_rwlock_clockrdlock pthread_rwlock_wrlock pthread_rwlock_trywrlock \
  pthread_rwlock_timedwrlock pthread_rwlock_clockwrlock \
  pthread_spin_lock pthread_spin_trylock sem_wait sem_trywait sem_timedwait sem_clockwait \
  mtx_lock mtx_trylock mtx_timedlock cnd_wait cnd_timedwait \
  flockfile ftrylockfile __cxa_guard_acquire pthread_once call_once \
  forkscope_lock_acquiring forkscope_lock_acquired; do
  code_of "$name"
  refuse "$name" "changes a callee-saved register" \
    'push|pop|(,|^[^,]*(xor|mov|lea)[^,]*)%(rbx|ebx|rbp|ebp|r1[2-5]d?)$'
done

# The fast path of these is over before the real function begins, with the caller's frame still on
# top of the stack: they call nothing, never move the stack pointer and end in jumps.
tail_only="pthread_mutex_lock pthread_mutex_unlock mtx_lock mtx_unlock pthread_rwlock_unlock
  pthread_spin_unlock sem_post"
for name in $tail_only; do
  code_of "$name"
  refuse "$name" "calls something" '[[:space:]]call'
  refuse "$name" "has a frame" '[[:space:]](push|pop|leave|enter)|(add|sub|and|lea|mov)[^#]*,%rsp$'
  refuse "$name" "returns itself" '[[:space:]]ret'
  printf '%s\n' "$code" | grep -Eq '[[:space:]]jmp +\*' ||
    { echo "$name does not end in a jump to the real function"; failed=1; }
done
exit $failed
