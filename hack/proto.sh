#!/usr/bin/env bash
# Checks the wire contracts and generates their Go beside them. The tools are pinned in hack/tool.sh.
set -eu
cd "$(dirname "$0")/.."

buf=$(hack/tool.sh buf)
for generator in protoc-gen-go protoc-gen-go-grpc; do
  path=$(hack/tool.sh "$generator")
  PATH="$(dirname "$path"):$PATH"
done

"$buf" format --write
"$buf" lint
"$buf" generate
