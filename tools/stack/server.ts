import { closeSync, openSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { spawnWatched, type Watched } from './watched.ts'

export type ServerSpec = {
  /** The name in messages: `RabbitMQ`. */
  name: string
  command: string[]
  env: NodeJS.ProcessEnv
  cwd: string
  /** The server's output. Its last lines are part of the error when the server does not start. */
  logFile: string
  /** More log files to quote from when it does not start. */
  moreLogs?: string[]
  /** How many last lines of each log the error quotes. Default 20. */
  logTailLines?: number
  /** `stop` removes this folder, unless told to keep it. It is also removed when this process dies. Absent: nothing is removed. */
  removeDir?: string
  /** True as soon as the server answers. */
  ready: () => Promise<boolean>
  startTimeoutMs: number
  stopTimeoutMs: number
}

export type StopOptions = {
  /** Keeps the files, to look at them or to start the server on them again. */
  keep?: boolean
}

/** Enough to close client connections; the data are discarded anyway. */
const DISCARD_TIMEOUT_MS = 1_000

/** The server ended, or did not answer in time; the message ends with the tail of its logs. */
export class StartFailed extends Error {
  readonly addressInUse: boolean

  constructor(message: string, logTail: string) {
    super(logTail ? `${message}\n${logTail}` : message)
    this.name = 'StartFailed'
    this.addressInUse = /eaddrinuse|address already in use/i.test(logTail)
  }
}

const MOST_STARTS = 3

/** Another program may take a port between our choosing it and the server's binding it. Then it starts again on other ports. */
export async function startOnFreePorts<T>(startOnce: () => Promise<T>): Promise<T> {
  for (let starts = 1; ; starts++) {
    try {
      return await startOnce()
    } catch (error) {
      if (!(error instanceof StartFailed && error.addressInUse) || starts === MOST_STARTS) throw error
    }
  }
}

/**
 * A server process that can be stopped, killed, paused and restarted on the same files and ports. It does not outlive this process,
 * nor does it keep this process alive, unless somebody waits for its end.
 */
export class Server {
  readonly #spec: ServerSpec
  #process: Watched | undefined

  constructor(spec: ServerSpec) {
    this.#spec = spec
  }

  /** @throws {Error} when the server does not run */
  get pid(): number {
    if (!this.#process) throw new Error(`${this.#spec.name} does not run`)
    return this.#process.pid
  }

  get isRunning(): boolean {
    return this.#process !== undefined
  }

  /** Settles when the process that runs now has ended, with the reason: `exit code 1`, `SIGKILL`. */
  async untilEnded(): Promise<string> {
    this.#process?.child.ref()
    return (await this.#process?.ended)?.why ?? 'not running'
  }

  /** @throws {StartFailed} after which nothing of the server runs */
  async start(): Promise<void> {
    if (this.#process) throw new Error(`${this.#spec.name} runs already`)
    const { name, startTimeoutMs, ready } = this.#spec
    const started = this.#spawn()
    const deadline = Date.now() + startTimeoutMs
    while (!(await ready()) || this.#process !== started) {
      if (this.#process !== started) {
        const { why } = await started.ended
        throw new StartFailed(`${name} ended while starting (${why})`, await this.logTail())
      }
      if (Date.now() > deadline) {
        await this.kill()
        throw new StartFailed(`${name} did not start within ${startTimeoutMs} ms`, await this.logTail())
      }
      await sleep(20)
    }
  }

  /** Stops the server in an orderly way, by force if that takes too long, and removes its directory. */
  async stop({ keep = false }: StopOptions = {}): Promise<void> {
    const { removeDir, stopTimeoutMs } = this.#spec
    const isDiscarded = removeDir !== undefined && !keep
    this.resume()
    const force = setTimeout(
      () => this.#process?.child.kill('SIGKILL'),
      isDiscarded ? DISCARD_TIMEOUT_MS : stopTimeoutMs,
    )
    await this.#end('SIGTERM')
    clearTimeout(force)
    if (isDiscarded) await rm(removeDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  }

  /** SIGKILL, like a crash; its files stay for `start`. */
  kill(): Promise<void> {
    return this.#end('SIGKILL')
  }

  pause(): void {
    this.#process?.child.kill('SIGSTOP')
  }

  resume(): void {
    this.#process?.child.kill('SIGCONT')
  }

  /** The last lines of its logs, indented. */
  async logTail(): Promise<string> {
    const { logFile, moreLogs = [], logTailLines = 20 } = this.#spec
    const lines: string[] = []
    for (const file of [logFile, ...moreLogs]) {
      try {
        lines.push(...(await readFile(file, 'utf8')).trimEnd().split('\n').slice(-logTailLines))
      } catch {
        // The log was never created.
      }
    }
    return lines.map(line => `  | ${line}`).join('\n')
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const running = this.#process
    if (!running) return
    running.child.ref()
    running.child.kill(signal)
    await running.ended
  }

  #spawn(): Watched {
    const { command, env, cwd, logFile, removeDir } = this.#spec
    const output = openSync(logFile, 'a')
    try {
      const started = spawnWatched(command, {
        env,
        cwd,
        output,
        ...(removeDir === undefined ? {} : { removeDir }),
      })
      started.child.unref()
      this.#process = started
      started.ended.then(() => {
        this.#process = undefined
      })
      return started
    } finally {
      closeSync(output)
    }
  }
}

/** True when `127.0.0.1:port` sends at least one byte within 2 s, after `greeting` was sent. */
export function answers(port: number, greeting = ''): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ host: '127.0.0.1', port, timeout: 2_000 }, () => socket.write(greeting))
    const settle = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('data', () => settle(true))
    for (const event of ['error', 'timeout', 'end']) socket.once(event, () => settle(false))
  })
}
