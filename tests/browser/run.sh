#!/usr/bin/env bash
# The page's tests: its pure modules under node, its types, the page in Chromium; or `run.sh screenshots`. Fetches what
# they need. Without node or Chromium it says how to get them, and fails in CI only.
set -euo pipefail
cd "$(dirname "$0")"

have() { # COMMAND PACKAGE: the command is there, or can be installed from Debian's packages
    command -v "$1" >/dev/null && return
    if command -v apt-get >/dev/null && [[ $EUID == 0 ]]; then
        apt-get update --quiet --quiet &&
            DEBIAN_FRONTEND=noninteractive apt-get install --quiet --quiet --yes --no-install-recommends "$2" && return
    fi
    give_up "\`$1\` is missing; on Debian, as root: apt-get install $2"
}

give_up() { # REASON
    echo "the page is not tested: $1" >&2
    exit $((${CI:+1} + 0))
}

have node nodejs
# Older ones do not see that a file without a package.json beside it is a module.
node --eval 'const [major, minor] = process.versions.node.split(".").map(Number); process.exit(Number(major < 20 || (major === 20 && minor < 19)))' ||
    give_up "node $(node --version) is older than 20.19"
have npm npm
have "${CHROMIUM:-chromium}" chromium
if [[ ! -e node_modules/.package-lock.json || package-lock.json -nt node_modules/.package-lock.json ]]; then
    npm ci --no-audit --no-fund
fi
if [[ ${1:-} == screenshots ]]; then
    exec npm run --silent screenshots
fi
node --test ../front/*.test.js
npm run --silent types
npm test --silent
