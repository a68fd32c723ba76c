/** Runs what is measured in its own process. No process outlives the benchmark. */

import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { holdFreePort } from '../tools/stack/ports.ts'
import { Server } from '../tools/stack/server.ts'
import { spawnWatched } from '../tools/stack/watched.ts'

const ROOT = join(import.meta.dirname, '..')
const SERVICE = join(ROOT, 'packages/analytics/src/postviews.mjs')
export const API_KEY = 'the-key-of-the-benchmark'

export interface RunningProcess {
  readonly pid: number
  readonly isRunning: boolean
  /** `http://127.0.0.1:PORT`. */
  url: string
  /** Stops it in an orderly way. @throws {Error} with its last output, when it has ended before */
  stop(): Promise<void>
}

export interface ProcessOptions {
  name: string
  /** A program of ours, by its path from the repository's root, and its arguments. */
  command: [program: string, ...args: string[]]
  env?: Record<string, string>
  /** The environment variable with its port; `PORT` by default. */
  portName?: string
  /** The path that answers once it is ready; or, for a process without a port, a function that tells. */
  ready: string | (() => Promise<boolean>)
  /** The folder for its log. */
  folder: string
}

const LOOK_MS = 500

let started = 0

/** Starts a program of ours, and waits until it is ready. */
export async function startProcess(options: ProcessOptions): Promise<RunningProcess> {
  const { name, command, env = {}, portName = 'PORT', ready, folder } = options
  const [program, ...args] = command
  const port = await holdFreePort()
  const url = `http://127.0.0.1:${port.port}`
  const server = new Server({
    name,
    command: [process.execPath, join(ROOT, program), ...args],
    env: {
      PATH: process.env['PATH'],
      ...env,
      ...(typeof ready === 'string' && { [portName]: String(port.port) }),
    },
    cwd: folder,
    logFile: join(folder, `${++started}.log`),
    ready: typeof ready === 'string' ? () => answers(url + ready) : ready,
    startTimeoutMs: 60_000,
    stopTimeoutMs: 30_000,
  })
  try {
    await server.start()
  } catch (error) {
    port.release()
    throw error
  }
  return {
    get pid() {
      return server.pid
    },
    get isRunning() {
      return server.isRunning
    },
    url,
    async stop() {
      const hasEnded = !server.isRunning
      await server.stop()
      port.release()
      if (hasEnded) throw new Error(`${name} has ended by itself\n${await server.logTail()}`)
    },
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(2_000) })).ok
  } catch {
    return false // Not listening yet.
  }
}

export interface ServiceOptions {
  command?: 'serve' | 'consume' | 'api'
  amqpUrl: string
  databaseUrl: string
  folder: string
  settings?: Record<string, string>
}

/** Our service, with its default settings; it serves `/metrics` and `/livez`, and with `API_KEY` the internal API. */
export function startService(options: ServiceOptions): Promise<RunningProcess> {
  const { command = 'serve', folder, settings } = options
  return startProcess({
    name: `postviews ${command}`,
    command: ['packages/analytics/src/postviews.mjs', command],
    env: { ...serviceEnv(options), ...settings },
    ready: '/livez',
    folder,
  })
}

/** Runs one of our commands to its end. @throws {Error} with its output, when it fails */
export async function postviews(options: ServiceOptions, ...args: string[]): Promise<void> {
  await runProgram([process.execPath, SERVICE, ...args], options.folder, {
    ...serviceEnv(options),
    ...options.settings,
  })
}

/**
 * Runs one of the contenders to its end.
 * @param argument goes to it as JSON
 * @returns the JSON in the last line it printed; what comes before are its logs
 * @throws {Error} with its whole output, when it fails
 */
export async function runContender<Outcome>(
  name: string,
  argument: object,
  folder: string,
): Promise<Outcome> {
  return (await linesOf<Outcome>(name, argument, folder)).at(-1)!
}

/** As `runContender`, for one that prints several lines: `onLine` gets each soon after it is printed. */
export async function linesOf<Line>(
  name: string,
  argument: object,
  folder: string,
  onLine: (line: Line) => void = () => {},
): Promise<Line[]> {
  const program = join(import.meta.dirname, `contenders/${name}.ts`)
  const lines: Line[] = []
  const read = (printed: string) => {
    const whole = printed.split('\n').filter((line, at, all) => line.startsWith('{') && at < all.length - 1)
    for (const line of whole.slice(lines.length)) {
      lines.push(JSON.parse(line) as Line)
      onLine(lines.at(-1)!)
    }
  }
  read(await runProgram([process.execPath, program, JSON.stringify(argument)], folder, {}, read))
  return lines
}

/** As `runContender`, for a PHP script. */
export async function runPhp<Outcome>(name: string, argument: object, folder: string): Promise<Outcome> {
  const program = join(import.meta.dirname, `contenders/${name}.php`)
  const printed = await runProgram(['php', program, JSON.stringify(argument)], folder)
  return JSON.parse(printed.trimEnd().split('\n').at(-1)!) as Outcome
}

/** Runs a program to its end and returns its output. @throws {Error} with that, when it fails */
async function runProgram(
  command: string[],
  folder: string,
  env: Record<string, string> = {},
  onOutput: (printed: string) => void = () => {},
): Promise<string> {
  mkdirSync(folder, { recursive: true })
  const logFile = join(folder, `${++started}.log`)
  const output = openSync(logFile, 'a')
  const run = spawnWatched(command, {
    cwd: folder,
    env: { PATH: process.env['PATH'], ...env },
    output,
  })
  closeSync(output)
  const looking = setInterval(() => onOutput(readFileSync(logFile, 'utf8')), LOOK_MS)
  const { code, why } = await run.ended
  clearInterval(looking)
  const printed = readFileSync(logFile, 'utf8')
  if (code !== 0) throw new Error(`${command.join(' ')}: ${why}\n${printed.slice(-2_000)}`)
  return printed
}

function serviceEnv({ amqpUrl, databaseUrl }: ServiceOptions): Record<string, string> {
  return { AMQP_URL: amqpUrl, DATABASE_URL: databaseUrl, INTERNAL_API_KEY: API_KEY }
}
