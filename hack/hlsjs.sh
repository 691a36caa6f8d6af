#!/usr/bin/env bash
# Fetches hls.js, with which browsers play HLS, pinned by its checksum, unless it is there already.
# usage: hlsjs.sh FOLDER   (which then holds hls.min.js)
set -eu
folder=$1
[ ! -f "$folder/hls.min.js" ] || exit 0
command -v npm >/dev/null || { echo "hlsjs.sh: npm is needed to fetch hls.js: apt-get install nodejs npm" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "hlsjs.sh: fetching hls.js" >&2
archive=$(cd "$work" && npm pack --silent hls.js@1.7.4)
echo "e4ab3d5d13f7cca9ef241d098f39686e19fd451831ba07dc9943482fd5ff75c7  $work/$archive" | sha256sum --check --quiet
tar --warning=no-unknown-keyword -C "$work" -xzf "$work/$archive" package/dist/hls.min.js
mkdir -p "$folder"
cp "$work/package/dist/hls.min.js" "$folder/hls.min.js.$$"
mv "$folder/hls.min.js.$$" "$folder/hls.min.js"
