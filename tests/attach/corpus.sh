#!/bin/sh
# Prints the tables of docs/attach-corpus.md: corpus.sh FORKSCOPE BUILD
set -eu
here=$(cd "$(dirname "$0")" && pwd)
command=$(realpath "$1")
build=$(realpath "$2")
echo "## The corpus"
/usr/bin/python3 -sEB "$here/corpus_test.py" "$command" "$build/tests/attach/programs" \
  "$build/lib/forkscope/scenarios" table
third_party=${FORKSCOPE_THIRD_PARTY:-$build/tests/attach/third_party}
echo
echo "## Software of others"
echo
/usr/bin/python3 -sEB "$here/third_party_test.py" "$command" "$third_party" table
