/** Runs one command of the program to its end, as the person on call does. */

import { execFile } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { findPython } from '../../tools/stack/install.ts'
import { spawnWatched } from '../../tools/stack/watched.ts'

const CLI = join(import.meta.dirname, '../../packages/analytics/src/postviews.mjs')
const TIMEOUT_MS = 60_000

export interface Outcome {
  /** Null if it had to be killed. */
  code: number | null
  stdout: string
  stderr: string
}

export interface Started {
  /** The output so far, stdout and stderr. */
  output(): string
  /** Sends the signal, waits for the end, and returns the exit code. */
  end(signal: NodeJS.Signals): Promise<number | null>
}

export interface CommandLine {
  /** The working folder of the commands. */
  folder: string
  /** Runs `postviews` with these arguments and additional settings. */
  run(args: string, settings?: Record<string, string>): Promise<Outcome>
  /** Starts it without waiting; it ends with the test at the latest. */
  start(args: string, settings?: Record<string, string>): Started
  /** Runs a shell command line, in which `postviews` is the program. */
  shell(line: string): Promise<Outcome>
  /** As `shell`, on a terminal; stdout is the terminal's output. */
  terminal(line: string): Promise<Outcome>
}

/** Does what the program `script` does, with Python, which the tests install anyway. */
const RUN_ON_TERMINAL = 'import pty, sys; pty.spawn(sys.argv[1:])'
/** In a chroot whose /dev is bound without its submounts there are no terminals. This mount gives the command its own. */
const MAKE_TERMINALS = 'mount --make-private /dev && mount -t devpts devpts /dev/pts && exec "$@"'

/** The program in its own folder, with the given settings and no other environment. */
export async function commandLine(
  t: TestContext,
  settings: Record<string, string> = {},
): Promise<CommandLine> {
  const folder = await mkdtemp(join(tmpdir(), 'postviews-command-'))
  t.after(() => rm(folder, { recursive: true, maxRetries: 5 }))
  const execute = (program: string, args: string[], more: Record<string, string>) =>
    new Promise<Outcome>(resolve => {
      const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', ...settings, ...more }
      const options = { cwd: folder, env, timeout: TIMEOUT_MS, killSignal: 'SIGKILL' } as const
      const child = execFile(program, args, options, (_, stdout, stderr) =>
        resolve({ code: child.exitCode, stdout, stderr }),
      )
    })
  return {
    folder,
    run: (args, more = {}) => execute(process.execPath, [CLI, ...args.split(' ')], more),
    start: (args, more = {}) => {
      const file = join(folder, 'output')
      const output = openSync(file, 'a')
      const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', ...settings, ...more }
      const { child, ended } = spawnWatched([process.execPath, CLI, ...args.split(' ')], {
        cwd: folder,
        env,
        output,
      })
      closeSync(output)
      const end = async (signal: NodeJS.Signals) => {
        child.kill(signal)
        return (await ended).code
      }
      t.after(() => end('SIGKILL'))
      return { output: () => readFileSync(file, 'utf8'), end }
    },
    shell: line => execute('/bin/sh', ['-c', inFull(line)], {}),
    terminal: line => {
      const [program, ...args] = [...onTerminal(), '/bin/sh', '-c', inFull(line)]
      return execute(program!, args, {})
    },
  }
}

function inFull(line: string): string {
  return line.replaceAll('postviews', `${process.execPath} ${CLI}`)
}

/** The prefix that runs a command on its own terminal. */
function onTerminal(): string[] {
  const python = [findPython()!, '-c', RUN_ON_TERMINAL]
  if (readdirSync('/dev/pts').length > 0) return python
  return [
    'unshare',
    '--mount',
    '--propagation=unchanged',
    '/bin/sh',
    '-c',
    MAKE_TERMINALS,
    'terminal',
    ...python,
  ]
}
