#!/bin/sh
# shim_hot_path_test.sh LIBRARY: the interposers that keep an acquisition's registers must not have
# changed a callee-saved one before (detector/tracker/thread_record.hpp, table::capture), and those
# of the fast path call nothing: they end in a jump.
set -eu
for name in mutex_lock mutex_trylock mutex_timedlock mutex_clocklock \
  cond_wait cond_timedwait cond_clockwait; do
  code=$(objdump -d --no-show-raw-insn "$1" | awk "/<pthread_$name>:/,/^\$/")
  [ -n "$code" ] || { echo "pthread_$name: not found"; exit 1; }
  if printf '%s\n' "$code" | grep -E 'push|pop|(,|^[^,]*(xor|mov|lea)[^,]*)%(rbx|ebx|rbp|ebp|r1[2-5]d?)$'; then
    echo "pthread_$name changes a callee-saved register"
    exit 1
  fi
done
for name in lock unlock; do
  if objdump -d --no-show-raw-insn "$1" | awk "/<pthread_mutex_$name>:/,/^\$/" | grep -w call; then
    echo "pthread_mutex_$name calls something"
    exit 1
  fi
done
