#!/usr/bin/env bash
# Runs every test with the race detector: first those of the packages, then, one at a time, those that record with a real
# Chrome or start servers of their own. Shows what failed, and ends with one line that counts.
set -eu -o pipefail
cd "$(dirname "$0")/.."

# Stores that tests start. Here, because the first time takes longer than a test may.
hack/tool.sh versitygw >/dev/null
hack/azurite.sh .cache/azurite

packages=$(go list ./...)
failed=0

run() {
  go test -json -race "$@" || failed=1
}

{
  # shellcheck disable=SC2046 # a word for each package
  run -timeout 10m $(grep -v -E "/test/(e2e|soak)|/plugins/storage-blob" <<<"$packages")
  # shellcheck disable=SC2046
  run -timeout 20m -p 1 $(grep -E "/test/(e2e|soak)|/plugins/storage-blob" <<<"$packages")
  exit "$failed"
} 2>&1 | go run ./hack/testsum
