#!/bin/sh
# shim_imports_test.sh LIBRARY LIST: the library needs libc and the loader only, and calls no function
# of them that is not on the list: nothing it interposes, nothing that a forked child may not call.
set -eu
export LC_ALL=C
needed=$(readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort | tr '\n' ' ')
if [ "$needed" != "ld-linux-x86-64.so.2 libc.so.6 " ]; then
  echo "needs: $needed"
  exit 1
fi
unlisted=$(nm -D --undefined-only "$1" | awk '{sub(/@.*/, "", $2); print $2}' | sort -u |
  grep -vxF -f "$2" || true)
if [ -n "$unlisted" ]; then
  echo "not on the list of imports:" $unlisted
  exit 1
fi
