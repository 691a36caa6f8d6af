#!/usr/bin/env bash
# Fetches azurite, Microsoft's emulator of Azure Blob Storage, with the versions and checksums that hack/azurite/package-lock.json pins,
# unless it is there already.   usage: azurite.sh FOLDER   (which then holds node_modules)
set -eu
pinned=$(cd "$(dirname "$0")/azurite" && pwd)
folder=$1
! cmp -s "$pinned/package-lock.json" "$folder/package-lock.json" || exit 0
command -v npm >/dev/null || { echo "azurite.sh: npm is needed to fetch azurite: apt-get install nodejs npm" >&2; exit 1; }
mkdir -p "$folder"
exec 9>"$folder/.lock" # another test may be fetching it
flock 9
! cmp -s "$pinned/package-lock.json" "$folder/package-lock.json" || exit 0
echo "azurite.sh: fetching azurite" >&2
work=$(mktemp -d "$folder/.new.XXXXXX")
trap 'rm -rf "$work"' EXIT
cp "$pinned/package.json" "$pinned/package-lock.json" "$work/"
(cd "$work" && npm ci --silent --no-audit --no-fund --ignore-scripts --omit=dev --omit=optional)
rm -rf "$folder/node_modules" "$folder/package-lock.json"
mv -T "$work/node_modules" "$folder/node_modules"
mv "$work/package-lock.json" "$folder/package-lock.json" # last: it says that all is there
