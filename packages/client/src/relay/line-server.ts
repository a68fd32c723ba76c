import { createServer, type Server, type Socket } from 'node:net'
import type { Intake } from './intake.ts'
import { LineConnection } from './line-connection.ts'
import type { RelayLog } from './log.ts'
import type { Spool } from './spool.ts'

const MAX_CONNECTIONS = 1_024
/** A line that takes longer to arrive ends its connection. */
const LINE_MS = 10_000
const CHECK_EVERY_MS = 1_000
/** How long lines that have arrived are read before timers, signals and other connections have their turn. */
const TURN_MS = 2

export interface LineServerOptions {
  intake: Intake
  spool: Spool
  log: RelayLog
}

/** The protocol of docs/relay.md: an event a line, an answer a line, in the same order. */
export class LineServer {
  readonly server: Server
  readonly #options: LineServerOptions
  /** The quietest first. */
  readonly #connections = new Set<LineConnection>()
  /** Connections with lines that arrived and are not read yet. */
  readonly #ready = new Set<LineConnection>()
  #turn: NodeJS.Immediate | undefined
  /** Some connections wait because the disk is behind. */
  #isHeldUp = false
  readonly #checkTimer: NodeJS.Timeout

  constructor(options: LineServerOptions) {
    this.#options = options
    // A caller may close its side before it reads the answers.
    this.server = createServer({ allowHalfOpen: true, noDelay: true }, socket => this.#onConnection(socket))
    // A disk write that hangs blocks everything, and timers run before sockets are read: first read what arrived in time.
    this.#checkTimer = setInterval(() => setImmediate(() => this.#check()), CHECK_EVERY_MS).unref()
  }

  get connections(): number {
    return this.#connections.size
  }

  /** To call when the disk has answered: resumes callers that waited because it was behind. */
  resume(): void {
    if (!this.#isHeldUp || this.#options.spool.isBehind) return
    this.#isHeldUp = false
    for (const connection of this.#connections) connection.resume()
  }

  /** Closes every connection after its lines are answered. Fulfilled when all are closed. */
  async stop(): Promise<void> {
    clearInterval(this.#checkTimer)
    const closed = new Promise<void>(resolve => this.server.close(() => resolve()))
    for (const connection of this.#connections) connection.finish()
    await closed
  }

  /** Ends what `stop` waits for. */
  destroy(): void {
    for (const connection of this.#connections) connection.destroy()
  }

  #onConnection(socket: Socket): void {
    if (this.#connections.size >= MAX_CONNECTIONS) this.#makeRoom()
    const connection = new LineConnection(socket, {
      ...this.#options,
      onActive: () => {
        this.#connections.delete(connection)
        this.#connections.add(connection)
      },
      onReady: () => this.#readSoon(connection),
      onHeldUp: () => {
        this.#isHeldUp = true
      },
    })
    this.#connections.add(connection)
    socket.on('close', () => {
      this.#connections.delete(connection)
      this.#ready.delete(connection)
    })
  }

  /** Closes the connection that has been silent longest: a new one is more likely to send something. */
  #makeRoom(): void {
    const [quietest] = this.#connections
    if (quietest === undefined) return
    // Its `close` event comes later.
    this.#connections.delete(quietest)
    quietest.destroy()
    this.#options.log.rarely('warn', 'connection.displaced')
  }

  #readSoon(connection: LineConnection): void {
    this.#ready.add(connection)
    this.#turn ??= setImmediate(() => this.#read())
  }

  /** Reads a few lines from each connection in turn. */
  #read(): void {
    this.#turn = undefined
    const untilMs = performance.now() + TURN_MS
    for (const connection of this.#ready) {
      this.#ready.delete(connection)
      connection.readLines()
      if (performance.now() > untilMs) break
    }
    if (this.#ready.size > 0) this.#turn ??= setImmediate(() => this.#read())
  }

  #check(): void {
    const since = performance.now() - LINE_MS
    for (const connection of this.#connections) {
      if (!connection.isSlowerThan(since)) continue
      connection.destroy()
      this.#options.log.rarely('warn', 'connection.unfinished')
    }
  }
}
