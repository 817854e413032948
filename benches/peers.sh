#!/usr/bin/env bash
# Installs the programs that `make bench` compares with. Without one its cells say "not installed".
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(nginx libnginx-mod-nchan jq)
if ! dpkg --status "${packages[@]}" >/dev/null 2>&1; then
    as_root=$([[ $EUID == 0 ]] || echo sudo)
    $as_root apt-get update --quiet=2
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install --quiet=2 --yes --no-install-recommends "${packages[@]}"
fi

# frontail and ccusage are kept where the bench looks for them.
if command -v npm >/dev/null; then
    npm install --silent --no-fund --no-audit --prefix "${CARGO_TARGET_DIR:-target}/tmp/figures" \
        frontail@4.9.2 ccusage@20.0.24
    # Its launcher makes the program executable.
    "${CARGO_TARGET_DIR:-target}/tmp/figures/node_modules/.bin/ccusage" --version >/dev/null
fi
