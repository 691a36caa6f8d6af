#!/usr/bin/env bash
# Fetches the npm package that receivers of callbacks verify signatures with, standardwebhooks, and what it needs, each pinned
# by its checksum, unless they are there already.   usage: webhooks.sh FOLDER   (which then holds node_modules)
set -eu
folder=$1
[ ! -d "$folder/node_modules/standardwebhooks" ] || exit 0
command -v npm >/dev/null || { echo "webhooks.sh: npm is needed to fetch standardwebhooks: apt-get install nodejs npm" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# fetch NAME VERSION SHA256
fetch() {
  local archive into="$work/node_modules/$1"
  archive=$(cd "$work" && npm pack --silent "$1@$2")
  echo "$3  $work/$archive" | sha256sum --check --quiet
  mkdir -p "$into"
  tar --warning=no-unknown-keyword --strip-components=1 -C "$into" -xzf "$work/$archive"
}

echo "webhooks.sh: fetching standardwebhooks" >&2
fetch @stablelib/base64 1.0.1 0130711d2e0d3f87436c7825db1f35bd6134fba2eda64b0df43d781f9b6a596a
fetch fast-sha256 1.3.0 4f897ea2594dc9cfb1250e7d4d0f65b4f105952a802fff2d06990bf1dc2c84f6
fetch standardwebhooks 1.1.1 d0bc8fec280c9e30ea3cbc876f44fe71d56f443aeca2bd2bdf745718308d4aed
mkdir -p "$folder"
mv -T "$work/node_modules" "$folder/node_modules" 2>/dev/null || [ -d "$folder/node_modules/standardwebhooks" ]
