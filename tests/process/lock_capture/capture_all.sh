#!/bin/sh
# Makes the fixtures in tests/data/locks anew: capture_all.sh BUILD-FOLDER [OUTPUT-FOLDER]
#
# Builds locks.c with gcc and musl-gcc, runtimes.cpp with libgomp and, where its headers are found,
# Abseil (ABSEIL_FLAGS), and rust/. Needs gdb. Not part of the build: the bytes are kept.
set -u
here=$(dirname "$(realpath "$0")")
build=$1
out=${2:-$here/../../data/locks}
mkdir -p "$build" "$out"

capture() {  # fixture made-with program argument
  timeout 60 "${PYTHON:-python3}" "$here/capture.py" "$out/$1.txt" "$2" "$3" "$4" \
    || echo "not captured: $1"
}

glibc=$(getconf GNU_LIBC_VERSION)
gcc=gcc-$(gcc -dumpfullversion)
if gcc -O1 -pthread "$here/locks.c" -o "$build/locks"; then
  for kind in mutex recursive errorcheck adaptive robust robust-recursive shared-mutex \
    inherit inherit-recursive timed-mutex rwlock-read-write rwlock-write-read rwlock-write-write \
    rwlock-yield shared-rwlock cond shared-cond cond-destroy sem shared-sem barrier once join \
    stream loader environment; do
    capture "glibc-$kind" "$glibc, $gcc -O1 locks.c" "$build/locks" $kind
  done
fi
if musl-gcc -O1 -pthread "$here/locks.c" -o "$build/locks-musl"; then
  for kind in mutex recursive errorcheck robust shared-mutex rwlock-read-write rwlock-write-read \
    rwlock-write-write shared-rwlock cond shared-cond sem shared-sem barrier once join stream; do
    capture "musl-$kind" "musl ${MUSL_VERSION:-}, $gcc -O1 locks.c" "$build/locks-musl" $kind
  done
fi
if g++ -std=c++20 -O1 -fopenmp "$here/runtimes.cpp" -o "$build/runtimes"; then
  for kind in guard atomic-int atomic-long omp-barrier omp-lock omp-critical omp-idle; do
    capture "gcc-$kind" "$glibc, $gcc -std=c++20 -O1 -fopenmp runtimes.cpp" "$build/runtimes" $kind
  done
fi
if [ -n "${ABSEIL_FLAGS:-}" ] && g++ -std=c++20 -O1 -DWITH_ABSEIL "$here/runtimes.cpp" \
  -o "$build/runtimes-abseil" $ABSEIL_FLAGS; then
  for kind in abseil-mutex abseil-notification; do
    capture $kind "$glibc, Abseil ${ABSEIL_VERSION:-}, $gcc -O1" "$build/runtimes-abseil" $kind
  done
fi
if (cd "$here/rust" && CARGO_TARGET_DIR=$build/rust cargo build --release); then
  for kind in rust-mutex rust-rwlock-read rust-rwlock-write rust-condvar rust-once rust-park \
    rust-scope rust-channel crossbeam-channel parking-lot-mutex parking-lot-rwlock rayon-latch \
    rayon-idle; do
    capture $kind "$(rustc --version | cut -d' ' -f1,2), cargo build --release" \
      "$build/rust/release/lock-capture" $kind
  done
fi
