#!/bin/sh
# A test of this folder, with the system's own Python: run.sh TEST.py FORKSCOPE ARGS...
# Exit status 77 says that it was skipped.
python=/usr/bin/python3
if ! [ -x "$python" ]; then
  echo "skipped: $python is not installed"
  exit 77
fi
script=$(dirname "$0")/$1
shift
exec "$python" -sEB "$script" "$@"
