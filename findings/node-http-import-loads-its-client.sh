#!/usr/bin/env bash
# Node 24.21.0 (npm's package node).
#
# `import { STATUS_CODES } from 'node:http'` loads undici, Node's client for fetch and WebSocket, whose code takes memory for as
# long as the process lives; `require('node:http')` does not. To import one of its own modules, Node reads everything that the module
# exports, and three exports of node:http (WebSocket, CloseEvent, MessageEvent) are getters that load undici when they are read.
# `import` of node:https loads no undici, and neither does `process.getBuiltinModule`. Seen here: the process grew by 16 MB with the
# import, and by 4 to 6 MB without.
#
# Ends with 0 while that is so, with 1 when it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --no-audit --no-fund --silent node@24.21.0

cat > tell.mjs <<'JS'
const rssBefore = process.memoryUsage().rss
const ways = {
  import: () => import('node:http'),
  'import https': () => import('node:https'),
  require: () => process.getBuiltinModule('node:module').createRequire(import.meta.url)('node:http'),
  getBuiltinModule: () => process.getBuiltinModule('node:http'),
}
await ways[process.argv[2]]()
const { WebSocket } = Object.getOwnPropertyDescriptors(process.getBuiltinModule('node:http'))
console.log(JSON.stringify({
  undici: process.moduleLoadList.some(name => name.includes('undici')),
  megabytes: Math.round((process.memoryUsage().rss - rssBefore) / 1e6),
  isGetter: WebSocket?.get !== undefined,
}))
JS

saw() { ./node_modules/.bin/node tell.mjs "$1"; }
./node_modules/.bin/node --version
status=0
for way in import 'import https' require getBuiltinModule; do
  told=$(saw "$way")
  echo "$way: $told"
  expected=$([ "$way" = import ] && echo true || echo false)
  [[ $told == *"\"undici\":$expected"* ]] || status=1
done
[ $status = 0 ] || echo 'This has changed.'
exit $status
