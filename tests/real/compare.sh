#!/bin/sh
# Runs every foreign suite in full, bare and observed: compare.sh FORKSCOPE [OPEN_POSIX_FOLDER
# [LIBUV_BUILD_FOLDER [REDIS_CHECKOUT [POSTGRESQL_CHECKOUT]]]]. docs/compatibility.md says what
# these folders are; without them, or where one is named "", those suites are skipped, and said to
# be. Some two hours, one of them Redis'; exit status 1 if any verdict differs, 77 if every suite
# was skipped.
set -u
[ $# -ge 1 ] || {
  echo "usage: compare.sh FORKSCOPE [OPEN_POSIX_FOLDER [LIBUV_BUILD_FOLDER [REDIS_CHECKOUT" \
    "[POSTGRESQL_CHECKOUT]]]]" >&2
  exit 2
}
here=$(dirname "$0")
forkscope=$1 open_posix=${2-} libuv=${3-} redis=${4-} postgresql=${5-} worst=77

suite() {
  echo "== $*"
  name=$1
  shift
  "$here/run.sh" "$name" "$forkscope" "$@"
  case $? in
  0) [ $worst = 77 ] && worst=0 ;;
  77) ;;
  *) worst=1 ;;
  esac
}

suite stress_suite.py
suite cpython_suite.py
suite posix_suite.py ${open_posix:+"$open_posix"}
suite libuv_suite.py ${libuv:+"$libuv"}
suite redis_suite.py ${redis:+"$redis"}
suite postgres_suite.py ${postgresql:+"$postgresql"}
suite redis_test.py
suite postgres_test.py 500
exit $worst
