#!/bin/sh
# The catalogue in docs/scenarios.md is what the programs say of themselves.
# usage: scenario_docs_test.sh FORKSCOPE PAGE
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$1" scenario list --markdown >"$folder/now"
sed -n '/^<!-- catalogue: begin/,/^<!-- catalogue: end/p' "$2" | sed '1d;$d' >"$folder/page"
[ -s "$folder/page" ] || { echo "FAILED: there is no catalogue in $2"; exit 1; }
diff -u "$folder/page" "$folder/now" || {
  echo "FAILED: the page is not current; run scripts/scenario-docs --catalogue"
  exit 1
}
