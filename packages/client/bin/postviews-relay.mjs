#!/usr/bin/env node
/**
 * The program to start. It is JavaScript, so that any Node can run it. It runs the built relay; where nothing was built, as in a
 * container image, it runs the source, whose types Node strips.
 */

import { existsSync } from 'node:fs'
import * as nodeModule from 'node:module'
import { fileURLToPath } from 'node:url'

/**
 * A small heap, no JIT compilers, one thread: V8's defaults take twice the memory, and are no faster when each view waits
 * for the disk. Not --jitless: it also disables WebAssembly, which Node needs to run TypeScript. V8 reads these flags only when a
 * process starts.
 */
const FLAGS = [
  '--no-turbofan',
  '--no-maglev',
  '--no-sparkplug',
  '--optimize-for-size',
  '--max-semi-space-size=1',
  '--max-old-space-size=32',
  '--single-threaded',
]

// Read before any module loads. `execve` would close the socket that systemd passes, so there the systemd unit has the flags.
const isActivated = process.env.LISTEN_PID === String(process.pid)
// Node 22.15 and newer. `execve` keeps the pid, so the parent process does not notice.
if (typeof process.execve === 'function' && !process.execArgv.includes(FLAGS[0]) && !isActivated) {
  process.execve(process.execPath, [
    process.execPath,
    ...FLAGS,
    ...process.execArgv,
    ...process.argv.slice(1),
  ])
}

const built = new URL('../dist/relay/main.js', import.meta.url)
if (existsSync(built)) {
  const { runRelay } = await import('../dist/relay/main.js')
  await runRelay(process.env, process.argv.slice(2))
} else {
  // Node executes the cached code, so nobody else may have write access to this folder. Threads use the cache, too.
  const folder = fileURLToPath(new URL('../../../node_modules/.cache/postviews', import.meta.url))
  nodeModule.enableCompileCache?.(folder)
  const { runRelay } = await import('../src/relay/main.ts')
  await runRelay(process.env, process.argv.slice(2))
}
