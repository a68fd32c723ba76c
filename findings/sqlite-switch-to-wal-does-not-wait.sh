#!/usr/bin/env bash
# Node 24.21.0 and 22.23.3 (npm's package node), whose node:sqlite has the SQLite versions that are printed.
#
# A busy timeout makes a statement wait until another connection gives the file free. One would expect that of every statement that
# writes, and of `PRAGMA journal_mode = WAL` above all: it is what each of several processes does first with a new database. It is the
# one that does not wait. While another connection is about to write, BEGIN IMMEDIATE waits out the timeout; the PRAGMA fails within
# milliseconds with the same "database is locked". (It takes a read lock first and the lock to write after it, and SQLite never waits
# with the first in hand.) So of some processes that start at once on a new file, one may fail now and then, whatever its timeout. What
# helps is to wait with BEGIN IMMEDIATE, to look at the mode again, and to try again.
#
# Ends with 0 while that is so, with 1 when it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > both.mjs <<'JS'
import { DatabaseSync } from 'node:sqlite'

const TIMEOUT_MS = 1_000
const path = `${process.version}.db`
const [other, own] = [0, 1].map(() => new DatabaseSync(path, { timeout: TIMEOUT_MS }))
other.exec('CREATE TABLE something (of TEXT)')
other.exec('BEGIN IMMEDIATE')
function tried(sql) {
  const since = performance.now()
  try {
    own.prepare(sql).get()
    return 'done'
  } catch (error) {
    return `${error.message}, ${performance.now() - since < TIMEOUT_MS / 2 ? 'at once' : 'after the timeout'}`
  }
}
console.log(`SQLite ${process.versions.sqlite}`)
console.log(`BEGIN IMMEDIATE: ${tried('BEGIN IMMEDIATE')}`)
console.log(`journal_mode = WAL: ${tried('PRAGMA journal_mode = WAL')}`)
other.exec('COMMIT')
console.log(`and when the file is free: ${tried('PRAGMA journal_mode = WAL')}`)
JS

has_changed=0
for version in 24.21.0 22.23.3; do
  mkdir "$version"
  (cd "$version" && npm init -y >/dev/null && npm install --no-audit --no-fund --silent "node@$version")
  said=$("$version/node_modules/.bin/node" --disable-warning=ExperimentalWarning both.mjs)
  printf 'Node %s, %s\n' "$version" "$said"
  for expected in 'BEGIN IMMEDIATE: database is locked, after the timeout' \
    'journal_mode = WAL: database is locked, at once' 'and when the file is free: done'; do
    grep -qxF -- "$expected" <<< "$said" || has_changed=1
  done
done
exit "$has_changed"
