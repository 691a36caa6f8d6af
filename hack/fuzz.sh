#!/usr/bin/env bash
# Looks for inputs that break something: runs each fuzz target for the time given. What it finds is kept below testdata/fuzz
# of the package, and is a test from then on.
set -eu -o pipefail
cd "$(dirname "$0")/.."

time=$1
failed=0
while IFS=: read -r file _ target; do
  echo "$target in $(dirname "$file")"
  go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "./$(dirname "$file")" </dev/null || failed=1
done < <(grep -rno --include='*_test.go' '^func Fuzz[A-Za-z0-9]*' . | sed 's/func //; s,^\./,,' | sort)
exit "$failed"
