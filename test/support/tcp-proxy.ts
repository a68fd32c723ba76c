/** A TCP proxy that misbehaves on request: network faults, one at a time. */

import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export type Direction = 'to-server' | 'to-client'

/** Data that came in on one side, and are about to be forwarded. */
export interface Chunk {
  direction: Direction
  bytes: Buffer
  /** 1 for the proxy's first connection, and so on. */
  connection: number
  /** Bytes that came before on this connection in this direction. */
  bytesBefore: number
}

/**
 * | verdict | this chunk | the connection afterwards |
 * |---|---|---|
 * | `pass` | forwarded | goes on |
 * | `swallow` | lost | stays open, but nothing more gets through in this direction, not even the end: half-open |
 * | `cut` | lost | both sides see it end |
 * | `reset` | lost | both sides see a reset |
 * | `pass-then-cut`, `pass-then-reset` | forwarded | the side it came from sees the end, or a reset, at once |
 */
export type Verdict = 'pass' | 'swallow' | 'cut' | 'reset' | 'pass-then-cut' | 'pass-then-reset'

export interface TcpProxy {
  port: number
  /** The same URL, but through this proxy. */
  through(url: string): string
  /** Connections accepted since the start. */
  readonly taken: number
  /** Connections whose client side is open now. */
  readonly open: number
  /** Whether the client side of that connection is open now. */
  isOpen(connection: number): boolean
  /** Decides about every chunk from now on; `pass()` ends it. */
  intercept(decide: (chunk: Chunk) => Verdict): void
  /** Swallows everything in one direction, or both, on existing and new connections. */
  swallow(direction?: Direction): void
  /** Delays every chunk by this time; 0 for no delay. */
  delay(ms: number): void
  /** Resets new connections at once. Existing ones continue. */
  refuse(): void
  /** Ends all faults: new connections pass. A connection that has lost bytes stays half-open, as a real one would. */
  pass(): void
  /** Ends every existing connection in an orderly way. */
  cut(): void
  /** Resets every existing connection. */
  reset(): void
  close(): Promise<void>
}

/** Listens on a port of 127.0.0.1 and forwards to another port. It causes no faults until told. */
export async function startTcpProxy(serverPort: number): Promise<TcpProxy> {
  const connections = new Set<Connection>()
  let taken = 0
  let refusing = false
  let delayMs = 0
  let decide: (chunk: Chunk) => Verdict = () => 'pass'

  // allowHalfOpen: this proxy ends its side only after the other side has ended.
  const server = createServer({ allowHalfOpen: true }, client => {
    taken++
    if (refusing) {
      client.on('error', () => {})
      client.resetAndDestroy()
      return
    }
    const upstream = connect({ host: '127.0.0.1', port: serverPort, allowHalfOpen: true })
    const connection = new Connection(taken, client, upstream, {
      decide: chunk => decide(chunk),
      delayMs: () => delayMs,
      onGone: () => connections.delete(connection),
    })
    connections.add(connection)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo

  return {
    port,
    through: url => {
      const through = new URL(url)
      through.hostname = '127.0.0.1'
      through.port = String(port)
      return through.href
    },
    get taken() {
      return taken
    },
    get open() {
      return [...connections].filter(connection => connection.isOpen).length
    },
    isOpen: number => [...connections].some(connection => connection.number === number && connection.isOpen),
    intercept: next => {
      decide = next
    },
    swallow: direction => {
      decide = chunk => (direction === undefined || chunk.direction === direction ? 'swallow' : 'pass')
      for (const connection of connections) connection.swallow(direction)
    },
    delay: ms => {
      delayMs = ms
    },
    refuse: () => {
      refusing = true
    },
    pass: () => {
      refusing = false
      delayMs = 0
      decide = () => 'pass'
    },
    cut: () => {
      for (const connection of connections) connection.cut()
    },
    reset: () => {
      for (const connection of connections) connection.reset()
    },
    close: async () => {
      const closed = new Promise<void>(resolve => server.close(() => resolve()))
      for (const connection of connections) connection.destroy()
      await closed
    },
  }
}

interface Hooks {
  decide(chunk: Chunk): Verdict
  delayMs(): number
  onGone(): void
}

class Connection {
  readonly number: number
  readonly #client: Socket
  readonly #server: Socket
  readonly #hooks: Hooks
  readonly #swallowed = new Set<Direction>()

  constructor(number: number, client: Socket, server: Socket, hooks: Hooks) {
    this.number = number
    this.#client = client
    this.#server = server
    this.#hooks = hooks
    for (const socket of [client, server]) {
      socket.setNoDelay(true)
      // Errors are this proxy's purpose; 'close' follows, and is forwarded.
      socket.on('error', () => {})
    }
    this.#forward('to-server', client, server)
    this.#forward('to-client', server, client)
  }

  get isOpen(): boolean {
    return !this.#client.destroyed && !this.#client.readableEnded
  }

  swallow(direction?: Direction): void {
    if (direction !== 'to-client') this.#swallowed.add('to-server')
    if (direction !== 'to-server') this.#swallowed.add('to-client')
  }

  cut(): void {
    for (const socket of [this.#client, this.#server]) socket.end(() => socket.destroy())
  }

  reset(): void {
    for (const socket of [this.#client, this.#server]) socket.resetAndDestroy()
  }

  destroy(): void {
    for (const socket of [this.#client, this.#server]) socket.destroy()
  }

  #forward(direction: Direction, from: Socket, to: Socket): void {
    let bytesBefore = 0
    let sent: Promise<void> = Promise.resolve()
    const inOrder = (step: () => void): void => {
      const dueAt = performance.now() + this.#hooks.delayMs()
      // Counted from its arrival: chunks that arrive together leave together, as on a long line.
      sent = sent.then(() => sleepUntil(dueAt)).then(step)
    }
    from.on('data', bytes => {
      if (this.#swallowed.has(direction)) return
      const verdict = this.#hooks.decide({ direction, bytes, connection: this.number, bytesBefore })
      bytesBefore += bytes.length
      if (verdict === 'swallow') this.#swallowed.add(direction)
      else if (verdict === 'cut') this.cut()
      else if (verdict === 'reset') this.reset()
      else {
        inOrder(() => {
          if (!to.write(bytes)) {
            from.pause()
            to.once('drain', () => from.resume())
          }
          if (verdict === 'pass') return
          to.end()
          if (verdict === 'pass-then-cut') from.end(() => from.destroy())
          else from.resetAndDestroy()
        })
      }
    })
    from.on('end', () => {
      if (!this.#swallowed.has(direction)) inOrder(() => to.end())
    })
    from.on('close', hadError => {
      if (this.#client.destroyed && this.#server.destroyed) this.#hooks.onGone()
      if (this.#swallowed.has(direction) || to.destroyed) return
      inOrder(() => (hadError ? to.resetAndDestroy() : to.end(() => to.destroy())))
    })
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}

async function sleepUntil(dueAt: number): Promise<void> {
  const leftMs = dueAt - performance.now()
  if (leftMs > 0) await sleep(leftMs)
}
