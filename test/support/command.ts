/** One command of the program, run to its end as the person on call runs it. */

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
  /** Null when it had to be killed. */
  code: number | null
  stdout: string
  stderr: string
}

export interface Started {
  /** What it has said so far, on stdout and stderr. */
  output(): string
  /** Sends the signal and waits for the end; its exit code. */
  end(signal: NodeJS.Signals): Promise<number | null>
}

export interface CommandLine {
  /** Where it runs, and leaves whatever it leaves. */
  folder: string
  /** Runs `postviews` with the arguments, and more settings. */
  run(args: string, settings?: Record<string, string>): Promise<Outcome>
  /** Starts it and goes on, until it is ended or the test is. */
  start(args: string, settings?: Record<string, string>): Started
  /** Runs a line of the shell, in which `postviews` is the program. */
  shell(line: string): Promise<Outcome>
  /** As `shell`, on a terminal; stdout is what that shows. */
  terminal(line: string): Promise<Outcome>
}

/** As the program `script` does it, by one that the tests have installed anyway. */
const RUN_ON_TERMINAL = 'import pty, sys; pty.spawn(sys.argv[1:])'
/** In a chroot whose /dev is bound without what is mounted below it there are no terminals: these are the command's alone. */
const MAKE_TERMINALS = 'mount --make-private /dev && mount -t devpts devpts /dev/pts && exec "$@"'

/** The program in a folder of its own, in an environment that has the given settings and no others. */
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

/** The words to put before a command so that it runs on a terminal of its own. */
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
