#!/usr/bin/env bash
# Node 24.21.0, 22.23.3 and 20.20.2 (npm's package node).
#
# V8's flags `--jitless` and `--lite-mode` trade speed for memory and promise that JavaScript means the same. One would
# expect a program that runs without them to run with them, only slower. Three things differ:
#
# - Since Node runs TypeScript itself (22.18, 24), it strips the types by a compiler that is WebAssembly, which both flags take away.
#   Then a .ts file ends with ERR_WEBASSEMBLY_NOT_SUPPORTED. With V8's compilers switched off one by one, which saves the same
#   memory, types are stripped as ever.
# - `--lite-mode` implies `--jitless`, which V8's own help does not say: under it there is no `WebAssembly` either.
# - Node 20 and 22 complain on stderr about another flag (`--expose_wasm`), which nobody gave. To give its opposite (`--no-expose-wasm`)
#   silences them; for Node 24 that is a "bad option", with which it does not start.
#
# Ends with 0 while that is so, with 1 when it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for version in 24.21.0 22.23.3 20.20.2; do
  mkdir "$version"
  (cd "$version" && npm init -y >/dev/null && npm install --no-audit --no-fund --silent "node@$version")
done
echo 'const answer: number = 42; console.log(answer)' > typed.ts
echo 'console.log(42)' > plain.js

has_changed=0
# expect WHAT EXPECTED VERSION ARGUMENTS...
expect() {
  local what=$1 expected=$2 version=$3
  shift 3
  local said
  said=$("$version/node_modules/.bin/node" --disable-warning=ExperimentalWarning "$@" 2>&1) || true
  if grep -q -- "$expected" <<< "$said"; then
    echo "Node $version, $what: $expected"
  else
    echo "Node $version, $what: this has changed, it says: $said"
    has_changed=1
  fi
}

compilers_off=(--no-turbofan --no-maglev --no-sparkplug --regexp-interpret-all)
for version in 24.21.0 22.23.3; do
  expect 'a .ts file' '^42$' "$version" typed.ts
  expect 'a .ts file, all compilers off' '^42$' "$version" "${compilers_off[@]}" typed.ts
  for flag in --jitless --lite-mode; do
    expect "a .ts file, $flag" ERR_WEBASSEMBLY_NOT_SUPPORTED "$version" "$flag" typed.ts
    expect "a .js file, $flag" '^42$' "$version" "$flag" plain.js
  done
done
for version in 22.23.3 20.20.2; do
  expect '--lite-mode' 'disabling flag --expose_wasm due to conflicting flags' "$version" --lite-mode plain.js
  expect '--lite-mode --no-expose-wasm' '^42$' "$version" --lite-mode --no-expose-wasm plain.js
done
expect '--no-expose-wasm' 'bad option: --no-expose-wasm' 24.21.0 --no-expose-wasm plain.js
exit "$has_changed"
