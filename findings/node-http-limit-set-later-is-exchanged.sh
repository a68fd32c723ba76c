#!/usr/bin/env bash
# Node 24.21.0 (npm's package node), fastify 5.12.8.
#
# `requestTimeout` is how long a whole request may take, `headersTimeout` how long its headers may. Node refuses a server that is
# made with the second above the first (ERR_OUT_OF_RANGE). Where the first is set afterwards, which is what Fastify does with
# its option `requestTimeout`, nothing is refused: Node takes the two for one another. With requestTimeout 2 s and headersTimeout
# 8 s, headers that do not end are cut after some 2 s, and a body that does not end after some 8 s instead of 2. With Node's
# own default of 60 s for headers, fastify({ requestTimeout: 5_000 }) so holds an endless body for a minute.
#
# Ends with 0 while that is so, with 1 when it has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --no-audit --no-fund --silent node@24.21.0 fastify@5.12.8

cat > finding.cjs <<'JS'
const { createServer } = require('node:http')
const { connect } = require('node:net')
const { fastify } = require('fastify')

const HEADERS_MS = 8_000
const REQUEST_MS = 2_000

/** How long the server keeps the connection of a client that says this much and no more, in seconds. */
function heldFor(port, text) {
  return new Promise((resolve, reject) => {
    const since = Date.now()
    const socket = connect(port, '127.0.0.1', () => socket.write(text))
    socket.on('error', () => {}).on('data', () => {})
    socket.on('close', () => resolve((Date.now() - since) / 1_000))
    setTimeout(() => { socket.destroy(); reject(new Error('still open after 20 s')) }, 20_000).unref()
  })
}

async function main() {
  let refused = null
  try {
    createServer({ headersTimeout: HEADERS_MS, requestTimeout: REQUEST_MS })
  } catch (error) {
    refused = error.code
  }
  const app = fastify({
    requestTimeout: REQUEST_MS,
    http: { headersTimeout: HEADERS_MS, connectionsCheckingInterval: 250 },
  })
  app.post('/', async () => 'ok')
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address()
  const [headers, body] = await Promise.all([
    heldFor(port, 'POST / HTTP/1.1\r\nHost: a.example\r\nContent-Type: text/plain\r\n'),
    heldFor(port, 'POST / HTTP/1.1\r\nHost: a.example\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nhalf'),
  ])
  await app.close()
  console.log(`Node ${process.versions.node}: made so: ${refused}; set later: headersTimeout ${app.server.headersTimeout} ms,`)
  console.log(`requestTimeout ${app.server.requestTimeout} ms; headers were cut after ${headers.toFixed(1)} s, a body after ${body.toFixed(1)} s`)
  const isSo = refused === 'ERR_OUT_OF_RANGE' && headers < 4 && body > 7
  if (!isSo) console.log('This has changed.')
  process.exitCode = isSo ? 0 : 1
}

main()
JS
./node_modules/.bin/node finding.cjs
