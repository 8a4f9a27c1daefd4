#!/bin/sh
# Wrong arguments are refused in one line on standard error with status 2, before anything runs.
# usage: scenario_usage_test.sh PROGRAM
set -eu
for arguments in --method=nonesuch --method --patience=0 --patience=2s --workers=many --worker=3 \
  nonsense; do
  status=0
  errors=$("$1" "$arguments" 2>&1 >/dev/null) || status=$?
  [ "$status" -eq 2 ] || { echo "FAILED: $arguments gives status $status, expected 2"; exit 1; }
  [ "$(printf '%s\n' "$errors" | wc -l)" -eq 1 ] || { echo "FAILED: $arguments: $errors"; exit 1; }
  [ -z "$("$1" "$arguments" 2>/dev/null)" ] || { echo "FAILED: $arguments prints output"; exit 1; }
done
