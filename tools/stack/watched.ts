import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import { Socket } from 'node:net'

/**
 * Runs the command, and in its process group a watcher that reads a pipe which we hold. The pipe closes however we end, even by
 * SIGKILL. The watcher then kills the group and removes the directory ($1). A line on the pipe means that we are alive and take
 * care of the directory ourselves. Because of `exec`, our child's pid is the command's. No other process can get that number while
 * the watcher lives.
 */
const WATCHED = `
(
  trap '' HUP INT TERM
  read -r line
  kill -s KILL -- $$
  if [ -z "$line" ] && [ -n "$1" ]; then rm -rf -- "$1" || { sleep 1; rm -rf -- "$1"; }; fi
  kill -s KILL -- -$$
) <&3 >/dev/null 2>&1 &
shift
exec "$@" 3<&-
`

export type WatchedOptions = {
  env: NodeJS.ProcessEnv
  cwd: string
  /** stdout and stderr: `'inherit'` or a file descriptor. */
  output: 'inherit' | number
  /** Removed if this process dies before the child has ended. */
  removeDir?: string
}

export type Watched = {
  pid: number
  child: ChildProcess
  /** Settles when the child and everything left in its process group are gone: `exit code 1`, `SIGKILL`. */
  ended: Promise<{ why: string; code: number | null }>
}

/** Starts a process that does not outlive this one. It has its own session, so that only we get a Ctrl-C. */
export function spawnWatched(command: string[], options: WatchedOptions): Watched {
  const { env, cwd, output, removeDir = '' } = options
  const stdio: StdioOptions = ['ignore', output, output, 'pipe']
  const child = spawn('/bin/sh', ['-c', WATCHED, 'watched', removeDir, ...command], {
    detached: true,
    env,
    cwd,
    stdio,
  })
  const watcher = child.stdio[3]
  if (child.pid === undefined || !(watcher instanceof Socket)) {
    child.on('error', () => {}) // The error below reports it.
    throw new Error(`${command[0]} could not be started: no /bin/sh, or no directory ${cwd}`)
  }
  watcher.unref()
  return { pid: child.pid, child, ended: untilGone(child, watcher) }
}

async function untilGone(
  child: ChildProcess,
  watcher: Socket,
): Promise<{ why: string; code: number | null }> {
  const end = await new Promise<{ why: string; code: number | null }>(resolve => {
    child.once('exit', (code, signal) => resolve({ why: signal ?? `exit code ${code}`, code }))
  })
  await new Promise<void>(resolve => {
    watcher.once('close', () => resolve())
    // The watcher dies with its process group, which may look like a reset to us. Either way, it is the end that we wait for.
    watcher.on('error', () => watcher.destroy())
    watcher.resume()
    watcher.ref()
    watcher.end('ended\n')
  })
  return end
}
