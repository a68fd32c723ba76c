#!/usr/bin/env node
/**
 * What is started. JavaScript itself, so that any Node can run it: what was built of the relay, or, where nothing was
 * built, as in a container image, its source, of which Node strips the types.
 */

import { existsSync } from 'node:fs'
import * as nodeModule from 'node:module'
import { fileURLToPath } from 'node:url'

/**
 * A small heap, no compilers, one thread: with its defaults V8 takes twice the memory, and is no quicker where a view waits
 * for the disk. Not --jitless: that takes WebAssembly away as well, without which Node cannot run TypeScript. V8 reads flags
 * only when a process starts.
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

// Read here, before any module loads: `execve` would close the socket that systemd hands over. The unit has the flags instead.
const isActivated = process.env.LISTEN_PID === String(process.pid)
// Node 22.15 and newer. The process stays the same one for whoever has started it.
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
  // It is code that is run: it must not lie where anybody else may write. Threads take it from there.
  const folder = fileURLToPath(new URL('../../../node_modules/.cache/postviews', import.meta.url))
  nodeModule.enableCompileCache?.(folder)
  const { runRelay } = await import('../src/relay/main.ts')
  await runRelay(process.env, process.argv.slice(2))
}
