/** A program of ours that gets a signal to end: its output, and how long it takes. */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { atEnd } from './at-end.ts'
import { API_KEY } from './service.ts'
import { until } from './until.ts'

const ROOT = join(import.meta.dirname, '../..')
const CLI = join(ROOT, 'packages/analytics/src/postviews.mjs')
/** The promised limit. */
const END_MS = 20_000

export interface ProgramEnd {
  code: number | null
  signal: NodeJS.Signals | null
  tookMs: number
}

export interface Program {
  readonly isRunning: boolean
  /** Its stderr so far. */
  errors(): string
  /** Sends the signal and waits for the end, which must come in time. */
  end(signal: NodeJS.Signals): Promise<ProgramEnd>
  kill(signal: NodeJS.Signals): void
}

/** Runs `postviews` with the arguments. Its stdout is a pipe that nobody reads. */
export function postviewsUnread(t: TestContext, args: string, env: Record<string, string>): Program {
  return startProgram(t, [CLI, ...args.split(' ')], { INTERNAL_API_KEY: API_KEY, PORT: '0', ...env })
}

/** Runs a file of this repository, or other arguments of Node. */
export function startProgram(t: TestContext, args: readonly string[], env: Record<string, string>): Program {
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', text => {
    errors += text
  })
  const isRunning = () => child.exitCode === null && child.signalCode === null
  // Nobody reads its stdout, so `close` never comes.
  const hasSaidAll = () => child.stderr.readableEnded
  atEnd(t, async () => {
    child.kill('SIGKILL')
    await until('it is gone', () => !isRunning())
    child.stdout.destroy()
  })
  return {
    get isRunning() {
      return isRunning()
    },
    errors: () => errors,
    kill: signal => {
      child.kill(signal)
    },
    async end(signal) {
      const since = performance.now()
      child.kill(signal)
      await until(`${args.slice(-2).join(' ')} ends on ${signal}`, () => !isRunning(), 2 * END_MS)
      const tookMs = performance.now() - since
      await until('its last words are read', hasSaidAll)
      assert.ok(tookMs < END_MS, `${args.slice(-2).join(' ')}: ${tookMs} ms`)
      return { code: child.exitCode, signal: child.signalCode, tookMs }
    },
  }
}

/** A server that accepts connections and never sends anything. */
export async function silentServer(t: TestContext): Promise<{ port: number; readonly taken: number }> {
  let taken = 0
  const server = createServer(socket => {
    taken++
    socket.on('error', () => {})
    // Reads what is sent, as the kernel does for a hanging process.
    socket.resume()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  atEnd(t, () => server.close())
  return {
    port: (server.address() as AddressInfo).port,
    get taken() {
      return taken
    },
  }
}
