#!/bin/sh
# shim_exports_test.sh LIBRARY MAP: the library exports the names in the version script, no others.
set -eu
export LC_ALL=C
listed=$(sed -e 's|/\*.*||; /\*\//d; /^ *anonymous/d; s/local:.*//; s/global://' "$2" |
  tr -d '{}' | tr ';' '\n' | tr -d ' ' | grep -E '^[A-Za-z_]' | sort)
exported=$(nm -D --defined-only "$1" | awk '{print $3}' | sort)
if [ "$listed" != "$exported" ]; then
  echo "listed in $2 and exported by $1 differ:"
  printf '%s\n' "$listed" >"${TMPDIR:-/tmp}/listed.$$"
  printf '%s\n' "$exported" | diff "${TMPDIR:-/tmp}/listed.$$" - || true
  rm -f "${TMPDIR:-/tmp}/listed.$$"
  exit 1
fi
printf '%s\n' "$exported" | wc -l
