/** Watches the traffic between the service and the broker: deliveries and acknowledgements. */

import type { Chunk, Direction, TcpProxy, Verdict } from './tcp-proxy.ts'

/** An AMQP method that concerns a delivery. */
export interface Method {
  name: 'deliver' | 'ack' | 'refuse'
  connection: number
}

export interface AmqpTap {
  /** Deliveries forwarded to the service since the start, or the last `forget`. */
  readonly delivered: number
  /** Those of them with the flag `redelivered`. */
  readonly redelivered: number
  /** Those of them that the service has not acknowledged. */
  readonly unacknowledged: number
  /** Those of them that the service can still acknowledge, because their connections are open. */
  readonly inHand: number
  /** Deliveries that the service rejected or returned one by one. Those returned together before a channel ends do not count. */
  readonly refused: number
  /** Resets the counts, and counts only new connections from now on. */
  forget(): void
  /** Calls `decide` for each method before it counts. The verdict applies to the chunk that holds it; undefined lets it pass. */
  onMethod(decide: (method: Method) => Verdict | undefined): void
}

/** Uses the proxy's `intercept`. */
export function tapAmqp(proxy: TcpProxy): AmqpTap {
  let connections = new Map<number, ConnectionTap>()
  let ignoredUpTo = 0
  let decide: (method: Method) => Verdict | undefined = () => undefined
  const sum = (count: (tap: ConnectionTap, connection: number) => number) =>
    [...connections].reduce((total, [connection, tap]) => total + count(tap, connection), 0)

  proxy.intercept(chunk => {
    if (chunk.connection <= ignoredUpTo) return 'pass'
    let tap = connections.get(chunk.connection)
    if (tap === undefined) {
      tap = new ConnectionTap()
      connections.set(chunk.connection, tap)
    }
    for (const name of tap.read(chunk)) {
      const verdict = decide({ name, connection: chunk.connection })
      if (verdict !== undefined) return verdict
    }
    return 'pass'
  })

  return {
    get delivered() {
      return sum(tap => tap.delivered)
    },
    get redelivered() {
      return sum(tap => tap.redelivered)
    },
    get unacknowledged() {
      return sum(tap => tap.unacknowledged.size)
    },
    get inHand() {
      return sum((tap, connection) => (proxy.isOpen(connection) ? tap.unacknowledged.size : 0))
    },
    get refused() {
      return sum(tap => tap.refused)
    },
    forget: () => {
      connections = new Map()
      ignoredUpTo = proxy.taken
    },
    onMethod: next => {
      decide = next
    },
  }
}

// AMQP 0-9-1, section 4.2: type, channel, size, payload, end.
const METHOD_FRAME = 1
const HEADER_BYTES = 7
const PROTOCOL_HEADER_BYTES = 8
const CHANNEL = 20
const CLOSE_OK = 41
const BASIC = 60
const DELIVER = 60
const ACK = 80
const REJECT = 90
const NACK = 120

class ConnectionTap {
  delivered = 0
  redelivered = 0
  refused = 0
  /** `channel/tag` of each delivery. */
  readonly unacknowledged = new Set<string>()
  readonly #unread = { 'to-server': Buffer.alloc(0), 'to-client': Buffer.alloc(0) };

  /** Reads a chunk and yields each method that is complete with it, before counting that method. */
  *read({ direction, bytes, bytesBefore }: Chunk): Generator<Method['name']> {
    const isStart = direction === 'to-server' && bytesBefore === 0
    const fresh = isStart ? bytes.subarray(PROTOCOL_HEADER_BYTES) : bytes
    let unread = Buffer.concat([this.#unread[direction], fresh])
    while (unread.length >= HEADER_BYTES) {
      const end = HEADER_BYTES + unread.readUInt32BE(3) + 1
      if (unread.length < end) break
      if (unread[0] === METHOD_FRAME) {
        const channel = unread.readUInt16BE(1)
        const method = unread.subarray(HEADER_BYTES + 2, end)
        const ofClass = unread.readUInt16BE(HEADER_BYTES)
        if (ofClass === BASIC) yield* this.#readBasic(direction, channel, method)
        if (ofClass === CHANNEL && method.readUInt16BE(0) === CLOSE_OK) this.#returnAll(channel)
      }
      unread = unread.subarray(end)
    }
    this.#unread[direction] = unread
  }

  *#readBasic(direction: Direction, channel: number, method: Buffer): Generator<Method['name']> {
    const id = method.readUInt16BE(0)
    if (direction === 'to-client') {
      if (id !== DELIVER) return
      yield 'deliver'
      const tagAt = 3 + method.readUInt8(2)
      this.delivered++
      this.redelivered += method.readUInt8(tagAt + 8)
      this.unacknowledged.add(`${channel}/${method.readBigUInt64BE(tagAt)}`)
      return
    }
    if (id !== ACK && id !== REJECT && id !== NACK) return
    yield id === ACK ? 'ack' : 'refuse'
    const tag = method.readBigUInt64BE(2)
    if (id === NACK && tag === 0n) return this.#returnAll(channel)
    const isMultiple = id !== REJECT && (method.readUInt8(10) & 1) === 1
    const settled = isMultiple
      ? [...this.unacknowledged].filter(delivery => isUpTo(delivery, channel, tag))
      : [`${channel}/${tag}`]
    for (const delivery of settled) this.unacknowledged.delete(delivery)
    if (id !== ACK) this.refused += settled.length
  }

  /** The broker returns a channel's deliveries when it is closed, or earlier. */
  #returnAll(channel: number): void {
    for (const delivery of this.unacknowledged) {
      if (delivery.startsWith(`${channel}/`)) this.unacknowledged.delete(delivery)
    }
  }
}

function isUpTo(delivery: string, channel: number, tag: bigint): boolean {
  const [ofChannel, ofTag] = delivery.split('/') as [string, string]
  return Number(ofChannel) === channel && BigInt(ofTag) <= tag
}
