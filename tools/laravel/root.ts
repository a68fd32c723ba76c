/** Runs commands in the root that has Laravel. */

import { spawn } from 'node:child_process'
import { ensureLaravelRoot } from '../stack/laravel-root.ts'
import { commandIn } from '../stack/stacks.ts'

export interface Outcome {
  /** Null if it had to be killed. */
  code: number | null
  stdout: string
  stderr: string
}

export interface CommandOptions {
  /** The whole environment, besides PATH. */
  env?: Record<string, string>
  /** Its stdin. */
  input?: string
  timeoutMs?: number
}

const TIMEOUT_MS = 120_000
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin'

/** Prepared once, for all commands. */
let root: Promise<string> | undefined

export function laravelRoot(): Promise<string> {
  root ??= ensureLaravelRoot(line => console.error(line))
  return root
}

/** Runs one command in the root to its end, as root. It sees /tmp and its working folder. */
export async function inLaravelRoot(
  folder: string,
  command: readonly string[],
  { env = {}, input = '', timeoutMs = TIMEOUT_MS }: CommandOptions = {},
): Promise<Outcome> {
  const [program, ...args] = commandIn(await laravelRoot(), folder, command)
  return new Promise<Outcome>((resolve, reject) => {
    const child = spawn(program!, args, { env: rootEnv(env), timeout: timeoutMs, killSignal: 'SIGKILL' })
    const said = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', text => {
        said[name] += text
      })
    }
    child.once('error', reject)
    child.once('close', code => resolve({ code, ...said }))
    // A program that ends before it has read all of its input fails for its own reasons.
    child.stdin.on('error', () => {})
    child.stdin.end(input)
  })
}

export function rootEnv(env: Record<string, string>): Record<string, string> {
  return { PATH, HOME: '/tmp', ...env }
}
