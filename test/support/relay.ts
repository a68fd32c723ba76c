/** The relay as users run it: its own process, with only the given environment. */

import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { spawnWatched } from '../../tools/stack/watched.ts'
import { atEnd, hasPassed } from './at-end.ts'
import type { Exit, LogEntry } from './service.ts'
import { until } from './until.ts'

const SOURCE = join(import.meta.dirname, 'relay-process.ts')
const BUILT = join(import.meta.dirname, '../../packages/client/bin/postviews-relay.mjs')
const LAST_LINES = 20
const ANSWER_MS = 10_000
/** The relay promises 20 s. */
const END_DEADLINE_MS = 25_000

export interface RelayOptions {
  amqpUrl: string
  /** The folder of socket and spool. Default: a new one, removed when the test ends. */
  folder?: string
  /** Additional settings: `{ RELAY_MAX_BYTES: '1MiB' }`. */
  settings?: Record<string, string>
  /** Options of Node. */
  nodeOptions?: string[]
  /** True: the built program, which needs less memory; otherwise its source. */
  isBuilt?: boolean
  /** A program that then executes the relay: `['strace', '-DD', …]`. */
  under?: string[]
}

export interface Relay {
  readonly pid: number
  readonly folder: string
  readonly socket: string
  readonly spool: string
  /** The URL of its HTTP port. */
  readonly url: string
  readonly exited: Promise<Exit>
  readonly isRunning: boolean
  /** Connects to its socket. @throws when nothing listens */
  caller(): Promise<Caller>
  /** A sample of `/metrics`, by name and labels without the prefix; NaN if there is none. */
  metric(name: string): Promise<number>
  kill(signal: NodeJS.Signals): void
  /** Sends the signal and waits for the end. */
  end(signal: NodeJS.Signals): Promise<Exit>
  /** The files in its spool, without lock files. */
  segments(): string[]
  residentBytes(): number
  /** The log entries so far with that event name. */
  logged(event: string): LogEntry[]
  output(): string
}

export interface Caller {
  readonly socket: Socket
  /** Sends lines and returns their answers. @throws when the connection ends earlier */
  ask(...lines: (string | Buffer)[]): Promise<string[]>
  end(): void
}

/** Starts the relay and waits until it listens or has ended. It is killed when the test ends. */
export async function startRelay(t: TestContext, options: RelayOptions): Promise<Relay> {
  const { nodeOptions = [], under = [], settings = {}, isBuilt = false, amqpUrl } = options
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'postviews-relay-'))
  if (options.folder === undefined) atEnd(t, () => rmSync(folder, { recursive: true, force: true }))
  const logs = mkdtempSync(join(tmpdir(), 'postviews-relay-log-'))
  const logFile = join(logs, 'log')
  const output = openSync(logFile, 'a')
  const socket = settings['RELAY_SOCKET'] ?? join(folder, 'relay.sock')
  const spool = settings['RELAY_SPOOL'] ?? join(folder, 'spool')
  const { child, pid, ended } = spawnWatched(
    [...under, process.execPath, ...nodeOptions, isBuilt ? BUILT : SOURCE],
    {
      cwd: folder,
      env: {
        PATH: process.env['PATH'] ?? '/usr/bin:/bin',
        AMQP_URL: amqpUrl,
        RELAY_SOCKET: socket,
        RELAY_SPOOL: spool,
        RELAY_PORT: '0',
        ...settings,
      },
      output,
    },
  )
  closeSync(output)
  let isRunning = true
  void ended.then(() => {
    isRunning = false
  })
  const lines = () => readFileSync(logFile, 'utf8').split('\n')
  const logged = (event: string) =>
    lines()
      .filter(line => line.includes(`"event":"${event}"`))
      .map(line => JSON.parse(line) as LogEntry)
  atEnd(t, async () => {
    child.kill('SIGKILL')
    const { why } = await ended
    if (!hasPassed(t)) t.diagnostic(`relay (${why}): ${lines().slice(-LAST_LINES).join('\n')}`)
    rmSync(logs, { recursive: true })
  })
  await until('the relay listens', () => !isRunning || logged('relay.started').length > 0)
  return {
    pid,
    folder,
    socket,
    spool,
    get url() {
      return String(logged('relay.started')[0]?.['http'])
    },
    exited: ended,
    get isRunning() {
      return isRunning
    },
    caller: () => callerOf(socket),
    async metric(name) {
      const response = await fetch(`${logged('relay.started')[0]?.['http']}/metrics`, {
        // A relay that hangs does not answer.
        signal: AbortSignal.timeout(ANSWER_MS),
        headers: { connection: 'close' },
      })
      const line = (await response.text())
        .split('\n')
        .find(each => each.startsWith(`postviews_relay_${name} `))
      return line === undefined ? Number.NaN : Number(line.slice(line.lastIndexOf(' ')))
    },
    kill: signal => {
      child.kill(signal)
    },
    end: async signal => {
      child.kill(signal)
      await until(`the relay ends on ${signal}`, () => !isRunning, END_DEADLINE_MS)
      return ended
    },
    segments: () =>
      existsSync(spool)
        ? readdirSync(spool)
            .filter(name => name.endsWith('.views'))
            .sort()
        : [],
    residentBytes: () =>
      Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1_024,
    logged,
    output: () => lines().join('\n'),
  }
}

export async function callerOf(path: string): Promise<Caller> {
  const socket = connect({ path, allowHalfOpen: true })
  const waiting: { resolve(line: string): void; reject(error: Error): void }[] = []
  let text = ''
  const fail = (error: Error) => {
    for (const { reject } of waiting.splice(0)) reject(error)
  }
  socket.setEncoding('utf8').on('data', data => {
    text += data
    const answers = text.split('\n')
    text = answers.pop()!
    for (const answer of answers) waiting.shift()?.resolve(answer)
  })
  socket.on('error', fail)
  socket.on('close', () => fail(new Error('the relay has ended the connection')))
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })
  return {
    socket,
    ask(...lines) {
      const answers = lines.map(
        () =>
          new Promise<string>((resolve, reject) => {
            waiting.push({ resolve, reject })
          }),
      )
      socket.write(Buffer.concat(lines.map(line => Buffer.concat([Buffer.from(line), Buffer.from('\n')]))))
      return Promise.all(answers)
    },
    end: () => socket.end(),
  }
}
