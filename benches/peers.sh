#!/usr/bin/env bash
# Installs what `make bench` measures claude-live against. Without it the bench runs as well, and says "not installed".
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(nginx libnginx-mod-nchan wrk jq)
if ! dpkg --status "${packages[@]}" >/dev/null 2>&1; then
    sudo=$([[ $(id -u) = 0 ]] || echo sudo)
    $sudo apt-get update --quiet --quiet
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install --quiet --quiet --yes --no-install-recommends "${packages[@]}"
fi

# Beside what cargo builds, where the bench looks for it; it is never installed system-wide.
if command -v npm >/dev/null; then
    npm install --silent --no-fund --no-audit --prefix "${CARGO_TARGET_DIR:-target}/tmp/figures" frontail@4.9.2
fi
