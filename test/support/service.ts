/** The service as users run it: its own process, with only the given environment. */

import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { holdFreePort } from '../../tools/stack/ports.ts'
import { spawnWatched } from '../../tools/stack/watched.ts'
import { atEnd, hasPassed } from './at-end.ts'
import { until } from './until.ts'

const CLI = join(import.meta.dirname, '../../packages/analytics/src/postviews.mjs')
export const API_KEY = 'a-key-of-the-tests-alone'
/** Metric: counted views. */
export const COUNTED = 'postviews_events_total{outcome="counted",reason=""}'
/** Metric: views that had been counted before. */
export const DUPLICATES = 'postviews_events_total{outcome="duplicate",reason=""}'
/** Metric: unacknowledged messages of a consumer. */
export const UNACKNOWLEDGED = 'postviews_unacknowledged_messages'

const LAST_LINES = 20
/** The service promises 20 s; then it closes what it has opened. */
const END_DEADLINE_MS = 40_000

/** Its broker and its database. */
export interface Surroundings {
  amqpUrl: string
  databaseUrl: string
  /** Additional settings: `{ STATS_TIMEZONE: 'Europe/Warsaw' }`. */
  settings?: Record<string, string>
}

export interface ServiceOptions extends Surroundings {
  command?: 'serve' | 'consume' | 'api'
  /** Options of Node: `--import`, and a module to load before the service. */
  nodeOptions?: string[]
  /** Its port; a free one by default. */
  port?: number
  /** A program that then executes the service, and observes it: `['strace', '-DD', …]`. */
  under?: string[]
}

/** How a process ended: its exit code, and in words its code or signal. */
export interface Exit {
  code: number | null
  why: string
}

export interface LogEntry {
  event: string
  [field: string]: unknown
}

export interface Service {
  readonly pid: number
  /** Its URL; its key is `API_KEY`. */
  readonly url: string
  readonly exited: Promise<Exit>
  readonly isRunning: boolean
  /** Calls the internal API. @throws {TypeError} when nothing answers */
  get(path: string): Promise<{ status: number; text: string }>
  /** Why it is not ready; `down` when nothing answers, `ready` when it is. */
  readiness(): Promise<string>
  untilReady(deadlineMs?: number): Promise<void>
  /** A sample of `/metrics`, by name and labels as printed there. */
  metric(name: string): Promise<number>
  /** Sends the signal without waiting for its effect. */
  kill(signal: NodeJS.Signals): void
  /** Sends the signal and waits for the end. */
  end(signal: NodeJS.Signals): Promise<Exit>
  residentBytes(): number
  /** The log entries so far with that event name. */
  logged(event: string): LogEntry[]
}

/** Starts it without waiting. It is killed when the test ends; if the test failed, its last output is shown. */
export async function startService(t: TestContext, options: ServiceOptions): Promise<Service> {
  const { command = 'serve', nodeOptions = [], under = [] } = options
  const port = options.port === undefined ? await holdFreePort() : { port: options.port, release: () => {} }
  const folder = mkdtempSync(join(tmpdir(), 'postviews-service-'))
  const logFile = join(folder, 'log')
  const output = openSync(logFile, 'a')
  const { child, pid, ended } = spawnWatched([...under, process.execPath, ...nodeOptions, CLI, command], {
    cwd: folder,
    env: { ...environmentOf(options), PORT: String(port.port) },
    output,
  })
  closeSync(output)
  let isRunning = true
  void ended.then(() => {
    isRunning = false
  })
  const lines = () => readFileSync(logFile, 'utf8').split('\n')

  atEnd(t, async () => {
    child.kill('SIGKILL')
    const { why } = await ended
    port.release()
    if (!hasPassed(t)) t.diagnostic(`${command} (${why}): ${lines().slice(-LAST_LINES).join('\n')}`)
    rmSync(folder, { recursive: true })
  })

  const url = `http://127.0.0.1:${port.port}`
  const get = async (path: string) => {
    const response = await fetch(url + path, {
      headers: { 'x-internal-api-key': API_KEY, connection: 'close' },
      signal: AbortSignal.timeout(15_000),
    })
    return { status: response.status, text: await response.text() }
  }
  const readiness = async () => {
    const answer = await get('/readyz').catch(() => null)
    if (answer === null) return 'down'
    return answer.status === 200 ? 'ready' : answer.text
  }
  return {
    pid,
    url,
    exited: ended,
    get isRunning() {
      return isRunning
    },
    get,
    readiness,
    // A slow machine needs time when it creates several databases at once.
    untilReady: (deadlineMs = 60_000) =>
      until(`${command} is ready`, async () => (await readiness()) === 'ready', deadlineMs),
    metric: async name => {
      const { text } = await get('/metrics')
      return Number(
        text
          .split('\n')
          .find(line => line.startsWith(`${name} `))
          ?.slice(name.length),
      )
    },
    kill: signal => {
      child.kill(signal)
    },
    end: async signal => {
      child.kill(signal)
      await until(`${command} ends on ${signal}`, () => !isRunning, END_DEADLINE_MS)
      return ended
    },
    residentBytes: () => {
      const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
      return Number(kibibytes) * 1_024
    },
    logged: event =>
      lines()
        .filter(line => line.includes(`"event":"${event}"`))
        .map(line => JSON.parse(line) as LogEntry),
  }
}

/** Runs one command of the program to its end. */
export async function postviews(
  surroundings: Surroundings,
  ...args: string[]
): Promise<Exit & { output: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'postviews-command-'))
  const logFile = join(folder, 'log')
  const output = openSync(logFile, 'a')
  try {
    const run = spawnWatched([process.execPath, CLI, ...args], {
      cwd: folder,
      env: environmentOf(surroundings),
      output,
    })
    const exit = await run.ended
    return { ...exit, output: readFileSync(logFile, 'utf8') }
  } finally {
    closeSync(output)
    rmSync(folder, { recursive: true })
  }
}

function environmentOf({ amqpUrl, databaseUrl, settings = {} }: Surroundings): Record<string, string> {
  return {
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    AMQP_URL: amqpUrl,
    DATABASE_URL: databaseUrl,
    INTERNAL_API_KEY: API_KEY,
    ...settings,
  }
}
