#!/bin/sh
# annotate_header_test.sh FORKSCOPE INCLUDE PROBE.c FOLDER: forkscope/annotate.h compiles without a
# warning in the languages it promises, needs nothing to be linked, and is found by the preload
# library however the program was linked.
set -eu
forkscope=$1 include=$2 probe=$3
folder=$(mktemp -d "$4/annotate.XXXXXX")
trap 'rm -rf "$folder"' EXIT
failed=0
strict="-Wall -Wextra -Wshadow -pedantic -Werror -D_GNU_SOURCE -I$include"

fail() {
  echo "$*"
  failed=1
}

# compile NAME COMPILER FLAGS...: program NAME; under forkscope it must be seen, alone it must not.
compile() {
  name=$1
  shift
  echo "$*"
  # shellcheck disable=SC2086
  if ! "$@" $strict -o "$folder/$name" "$probe" -pthread; then
    fail "$name does not compile"
    return 1
  fi
  [ "$("$folder/$name" bare)" = alone ] || fail "$name: alone it is not alone"
}
seen() {
  [ "$("$forkscope" run --quiet "$folder/$1" bare)" = observed ] || fail "$1: is not observed"
  "$forkscope" run --on-deadlock=kill "$folder/$1" own 2> "$folder/errors" || true
  grep -q 'hangs at .*: custom lock "own lock" was held by thread' "$folder/errors" ||
    fail "$1: its own lock is not known: $(cat "$folder/errors")"
}

for compiler in gcc clang; do
  command -v $compiler > /dev/null || continue
  compile c89 $compiler -std=c89 -O0 && seen c89
  compile c99 $compiler -std=c99 -O2 && seen c99
  compile no_pie $compiler -std=c11 -O2 -no-pie -fno-pie && seen no_pie
  compile defs $compiler -std=c11 -O2 -Wl,-z,defs,-z,now -flto && seen defs
  compile static $compiler -std=c11 -O2 -static
done
for compiler in g++ clang++; do
  command -v $compiler > /dev/null || continue
  compile cxx98 $compiler -x c++ -std=c++98 -O0 && seen cxx98
  compile cxx20 $compiler -x c++ -std=c++20 -O2 && seen cxx20
done

# A library, which may be linked with -z defs, and two files of one program: no symbol twice.
# shellcheck disable=SC2086
gcc $strict -std=c11 -O2 -fPIC -shared -Wl,-z,defs -Dmain=probe_main -o "$folder/libprobe.so" "$probe"
if nm -D --defined-only "$folder/libprobe.so" | grep forkscope; then
  fail "the header exports something"
fi
printf '#include <forkscope/annotate.h>\nvoid other(void* p);\nvoid other(void* p) { FORKSCOPE_LOCK_NAME(p, "x"); }\n' > "$folder/other.c"
# shellcheck disable=SC2086
gcc $strict -std=c11 -O2 -o "$folder/two" "$probe" "$folder/other.c" -pthread || fail "two files do not link"

# shellcheck disable=SC2086
gcc $strict -std=c89 -DFORKSCOPE_NO_ANNOTATIONS -c -o "$folder/other.o" "$folder/other.c"
if nm "$folder/other.o" | grep forkscope; then fail "FORKSCOPE_NO_ANNOTATIONS leaves something"; fi

# Without forkscope an annotation is a load, a comparison and a branch: no call on the way.
printf '#include <forkscope/annotate.h>\nvoid hot(int* p);\nvoid hot(int* p) { FORKSCOPE_LOCK_RELEASING(p); *p = 0; }\n' > "$folder/hot.c"
# shellcheck disable=SC2086
gcc $strict -std=c11 -O2 -S -o - "$folder/hot.c" > "$folder/hot.s"
loads=$(sed -n '/^hot:/,/ret/p' "$folder/hot.s" | grep -c 'forkscope_answer_1_')
calls=$(sed -n '/^hot:/,/ret/p' "$folder/hot.s" | grep -c 'call' || true)
[ "$loads" = 1 ] && [ "$calls" = 0 ] || {
  cat "$folder/hot.s"
  fail "an annotation costs $loads loads and $calls calls"
}
exit $failed
