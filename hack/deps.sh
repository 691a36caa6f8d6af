#!/usr/bin/env bash
# Installs those of the Debian packages named as arguments that are missing, and says which. Says nothing when none is.
set -eu

if ! command -v dpkg-query >/dev/null; then
  echo "deps: this is no Debian machine; recordhost needs what these packages hold: $*" >&2
  echo "deps: install them in this machine's way; 'bin/recordhost doctor' tells what is still missing" >&2
  exit 0
fi

missing=()
for package in "$@"; do
  status=$(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null || true)
  [ "${status%% *}" = ii ] || missing+=("$package")
done
[ "${#missing[@]}" -gt 0 ] || exit 0

sudo=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "deps: missing: ${missing[*]}; install them as root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  sudo=(sudo)
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# apt runs an apt-get command and shows its output only when it failed.
apt() {
  if ! "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1; then
    cat "$log" >&2
    echo "deps: apt-get $* failed; the reason stands above" >&2
    exit 1
  fi
}

echo "deps: installing ${missing[*]}" >&2
apt update
apt install --yes --no-install-recommends "${missing[@]}"
