#!/usr/bin/env bash
# Prints the path of a build tool, after installing its pinned version into .tools when it is not there yet.
set -eu
cd "$(dirname "$0")/.."

case "${1:-}" in
  golangci-lint)      module=github.com/golangci/golangci-lint/v2/cmd/golangci-lint version=v2.15.0 ;;
  versitygw)          module=github.com/versity/versitygw/cmd/versitygw version=v1.8.0 ;;
  buf)                module=github.com/bufbuild/buf/cmd/buf version=v1.75.0 ;;
  protoc-gen-go)      module=google.golang.org/protobuf/cmd/protoc-gen-go version=v1.36.12 ;;
  protoc-gen-go-grpc) module=google.golang.org/grpc/cmd/protoc-gen-go-grpc version=v1.6.2 ;;
  *) echo "tool.sh: no such tool: ${1:-}" >&2; exit 2 ;;
esac

# Each version has a folder of its own, so that a new pin never runs the old binary.
bin="$PWD/.tools/$1-$version"
if [ ! -x "$bin/$1" ]; then
  echo "tool.sh: installing $module@$version" >&2
  GOBIN="$bin" go install "$module@$version" >&2
fi
echo "$bin/$1"
