#!/usr/bin/env bash
# The page's tests: its modules in node, its types, and the page in Chromium; or `run.sh
# screenshots`. A part whose tools are missing is noted as skipped, for `make test` to count; with
# CI set it fails.
set -euo pipefail
cd "$(dirname "$0")/.."

tmp=$(cd .. && mkdir -p "${CARGO_TARGET_DIR:=target}/tmp" && cd "$CARGO_TARGET_DIR/tmp" && pwd)
PATH=$tmp/venv/bin:$PATH

has_node() {
    # Older ones do not see that a file without a package.json beside it is a module.
    type -P node >/dev/null && node --eval '
        const [major, minor] = process.versions.node.split(".").map(Number);
        process.exit(Number(major < 20 || (major === 20 && minor < 19)))'
}

skip() { # LACK FILE...: notes the tests of the files
    echo "tests/browser/run.sh: missing: $1; tests that need it are skipped" >&2
    [[ -z ${CI:-} ]]
    grep --no-filename --only-matching --extended-regexp '\btest\(["`].*["`],' "${@:2}" |
        sed "s/^/$1\t/" >>"$tmp/skipped"
}

if ! has_node; then
    skip "node 20.19" front/*.test.js browser/*.test.js
elif [[ ${1:-} == screenshots ]]; then
    npm run --silent screenshots
else
    node --test front/*.test.js
    if [[ ! -d node_modules/playwright-core ]]; then
        skip "packages from npm" browser/*.test.js
    elif ! type -P "${CHROMIUM:-chromium}" >/dev/null; then
        npm run --silent types
        skip chromium browser/*.test.js
    else
        npm run --silent types
        npm test --silent
    fi
fi
