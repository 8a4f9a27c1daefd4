#!/bin/sh
# Builds what the third-party tests of `forkscope attach` need, in a folder that may be kept:
# setup.sh FOLDER. What cannot be had here (no compiler, no registry) leaves a file FOLDER/PART.skipped
# with the reason, and its tests are skipped; the exit status is 0 all the same.
set -u
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)
PATH=$PATH:/usr/local/go/bin:${HOME:-/}/.cargo/bin

# part NAME SOURCE...: whether the part is to be built: its sources changed since it was, or not all
# of it could be had.
part() {
  name=$1
  shift
  wanted=$(cat "$@" | cksum)
  log=$folder/$name.log
  rm -f "$folder/$name.skipped"
  [ "$(cat "$folder/$name.ready" 2>/dev/null)" != "$wanted" ]
}

built() {
  echo "$wanted" >"$folder/$name.ready"
}

skip() {
  rm -f "$folder/$name.ready"
  echo "$1: $(tail -n 1 "$log" 2>/dev/null)" | tee "$folder/$name.skipped"
}

# A registry that cannot be reached must not use up the time of all tests.
bounded() {
  timeout -k 5 "$@" >"$log" 2>&1 </dev/null
}

if part python "$here/requirements.txt"; then
  rm -rf "$folder/python"
  if ! bounded 120 /usr/bin/python3 -m venv "$folder/python"; then
    skip "Python cannot make a virtual environment"
  elif ! bounded 300 "$folder/python/bin/pip" install -q --disable-pip-version-check --retries 1 \
    --timeout 15 --only-binary :all: --no-deps --no-compile -r "$here/requirements.txt"; then
    skip "pip cannot install the packages"
  else
    built
  fi
fi

if part rayon "$here"/rayon_fork/Cargo.* "$here/rayon_fork/src/main.rs"; then
  if ! command -v cargo >/dev/null; then
    skip "cargo is not installed"
  elif ! bounded 300 cargo build --release --locked --manifest-path "$here/rayon_fork/Cargo.toml" \
    --target-dir "$folder/cargo"; then
    skip "cargo cannot build the program"
  else
    cp "$folder/cargo/release/rayon_fork" "$folder/" && built
  fi
fi

if part openmp "$here/openmp_fork.c"; then
  if bounded 60 gcc -O1 -g -fopenmp "$here/openmp_fork.c" -o "$folder/openmp_fork"; then
    built
  else
    skip "gcc cannot build it"
  fi
fi

if part go "$here"/go_shared/* "$here"/go_idle/* "$here/go_fork.c"; then
  export GOTOOLCHAIN=local GOFLAGS=-mod=mod GOPROXY=off CGO_ENABLED=1
  GOCACHE=$folder/go-cache
  export GOCACHE
  if ! command -v go >/dev/null; then
    skip "go is not installed"
  elif ! bounded 300 go -C "$here/go_shared" build -buildmode=c-shared -o "$folder/libwork.so" . ||
    ! bounded 120 go -C "$here/go_idle" build -o "$folder/go_idle" . ||
    ! bounded 60 gcc -O1 -g "$here/go_fork.c" -o "$folder/go_fork" "$folder/libwork.so" \
      "-Wl,-rpath,$folder"; then
    skip "go cannot build it"
  else
    built
  fi
fi
exit 0
