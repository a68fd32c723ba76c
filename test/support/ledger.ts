/**
 * A publisher that keeps a ledger: which messages it attempted, which were confirmed and which came back. Each entry is on disk
 * before the publisher relies on it. It is a raw client, not our tracker. In the end, the ledger says what the database must
 * hold.
 */

import { createHash } from 'node:crypto'
import { type FileHandle, mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ConfirmChannel, connect, type Options } from 'amqplib'
import { atEnd } from './at-end.ts'

/** A message to publish, and its content. */
export interface LedgerMessage {
  /** The empty exchange routes directly to the queue that the routing key names. */
  exchange: string
  routingKey: string
  body: Buffer
  properties: Options.Publish
  /** The ids of its good events, and the `badId` of each bad event. */
  ids: readonly string[]
}

/** The id of a bad event or message in the ledger; its text must be unique. */
export function badId(body: Buffer | string): string {
  return `bad:${createHash('sha256').update(body).digest('hex').slice(0, 32)}`
}

export interface Book {
  attempted: Set<string>
  confirmed: Set<string>
  /** Came back from every attempt so far: routed to no queue. */
  returned: Set<string>
}

type Entry = 'attempted' | 'confirmed' | 'returned'

const MAX_IN_FLIGHT = 500
const WRITTEN_TOGETHER = 100
const RECONNECT_MS = 100
/** If a cluster's node takes longer to connect, the next one is tried. */
const CONNECT_MS = 10_000
const CONFIRM_MS = 20_000
/** Then another channel is opened: in a cluster, a channel that has refused once may refuse for ever. */
const REFUSED_MS = 500

export class Ledger {
  readonly #path: string
  readonly #file: FileHandle
  readonly #closing = new AbortController()

  private constructor(path: string, file: FileHandle) {
    this.#path = path
    this.#file = file
  }

  /** A new ledger, removed when the test ends. */
  static async open(t: TestContext): Promise<Ledger> {
    const folder = await mkdtemp(join(tmpdir(), 'postviews-ledger-'))
    const path = join(folder, 'ledger')
    const file = await open(path, 'a')
    const ledger = new Ledger(path, file)
    atEnd(t, async () => {
      ledger.#closing.abort()
      await file.close()
      await rm(folder, { recursive: true })
    })
    return ledger
  }

  /** Aborted when the test ends, so that a publisher still running in a failed test stops. */
  get closing(): AbortSignal {
    return this.#closing.signal
  }

  async write(entry: Entry, messages: readonly LedgerMessage[]): Promise<void> {
    if (messages.length === 0 || this.closing.aborted) return
    await this.#file.appendFile(messages.map(({ ids }) => `${entry} ${ids.join(' ')}\n`).join(''))
    await this.#file.datasync()
  }

  async read(): Promise<Book> {
    const book: Book = { attempted: new Set(), confirmed: new Set(), returned: new Set() }
    for (const line of (await readFile(this.#path, 'utf8')).split('\n')) {
      const [entry, ...ids] = line.split(' ')
      if (entry !== '') for (const id of ids) book[entry as Entry].add(id)
    }
    for (const id of book.confirmed) book.returned.delete(id)
    return book
  }
}

/**
 * Publishes the messages in order until each is confirmed or has come back. Messages lost with a connection are published again;
 * on a cluster, through the next node.
 */
export async function publish(
  amqpUrl: string | readonly string[],
  ledger: Ledger,
  messages: Iterable<LedgerMessage> | AsyncIterable<LedgerMessage>,
): Promise<void> {
  const publisher = new Publisher(typeof amqpUrl === 'string' ? [amqpUrl] : amqpUrl, ledger)
  let together: LedgerMessage[] = []
  for await (const message of messages) {
    if (ledger.closing.aborted) return
    together.push(message)
    if (together.length < WRITTEN_TOGETHER) continue
    await publisher.send(together)
    together = []
  }
  await publisher.send(together)
  await publisher.finish()
}

class Publisher {
  readonly #urls: readonly string[]
  readonly #ledger: Ledger
  /** Messages to send or to confirm, by the number in their headers. */
  readonly #unconfirmed = new Map<number, LedgerMessage>()
  readonly #returned = new Set<number>()
  #settled: { confirmed: LedgerMessage[]; returned: LedgerMessage[] } = { confirmed: [], returned: [] }
  #lastNumber = 0
  #channel: ConfirmChannel | undefined
  #socket = new AbortController()
  #turn = 0
  /** When it began to wait for a confirm, by `performance.now()`. */
  #waitsSince = 0
  #close: () => Promise<void> = async () => {}

  constructor(urls: readonly string[], ledger: Ledger) {
    this.#urls = urls
    this.#ledger = ledger
  }

  async send(messages: LedgerMessage[]): Promise<void> {
    await this.#ledger.write('attempted', messages)
    await this.#connected()
    for (const message of messages) {
      const number = ++this.#lastNumber
      this.#unconfirmed.set(number, message)
      if (this.#channel !== undefined) this.#publish(this.#channel, number)
    }
    await this.#until(MAX_IN_FLIGHT)
  }

  async finish(): Promise<void> {
    await this.#until(0)
    if (!this.#ledger.closing.aborted) await this.#close()
  }

  async #until(inFlight: number): Promise<void> {
    this.#waitsSince = performance.now()
    while (this.#unconfirmed.size > inFlight && !this.#ledger.closing.aborted) {
      await this.#connected()
      await sleep(2)
      const isLate = performance.now() - this.#waitsSince > CONFIRM_MS
      if (isLate && this.#urls.length > 1) this.#leave()
    }
    const { confirmed, returned } = this.#settled
    this.#settled = { confirmed: [], returned: [] }
    await this.#ledger.write('confirmed', confirmed)
    await this.#ledger.write('returned', returned)
  }

  async #connected(): Promise<void> {
    while (this.#channel === undefined && !this.#ledger.closing.aborted) {
      try {
        const channel = await this.#open()
        this.#channel = channel
        this.#waitsSince = performance.now()
        for (const number of this.#unconfirmed.keys()) this.#publish(channel, number)
      } catch {
        // The broker is away: these tests cause that.
        this.#leave()
        await sleep(RECONNECT_MS)
      }
    }
  }

  /** Without closing in order: a node that hangs would not answer. */
  #leave(): void {
    this.#channel = undefined
    this.#socket.abort()
  }

  async #open(): Promise<ConfirmChannel> {
    const socket = new AbortController()
    this.#socket = socket
    const late = setTimeout(() => socket.abort(), CONNECT_MS)
    try {
      return await this.#openOn(this.#urls[this.#turn++ % this.#urls.length]!, socket.signal)
    } finally {
      clearTimeout(late)
    }
  }

  async #openOn(url: string, signal: AbortSignal): Promise<ConfirmChannel> {
    const options: { signal: AbortSignal; timeout: number } = { signal, timeout: CONNECT_MS }
    const connection = await connect(url, options)
    const onLost = () => {
      if (signal === this.#socket.signal) this.#channel = undefined
    }
    connection.on('error', onLost)
    connection.on('close', onLost)
    // The connection may be gone already: these tests break the broker at any time.
    this.#close = () => connection.close().catch(() => {})
    this.#ledger.closing.addEventListener('abort', this.#close, { once: true })
    const channel = await connection.createConfirmChannel()
    channel.on('error', onLost)
    channel.on('return', ({ properties }) => this.#returned.add(properties.headers?.['number']))
    return channel
  }

  #publish(channel: ConfirmChannel, number: number): void {
    const message = this.#unconfirmed.get(number)!
    const { exchange, routingKey, body, properties } = message
    const headers = { ...properties.headers, number }
    this.#returned.delete(number)
    try {
      channel.publish(
        exchange,
        routingKey,
        body,
        { persistent: true, mandatory: true, ...properties, headers },
        async error => {
          if (channel !== this.#channel) return
          this.#waitsSince = performance.now()
          if (error === null) {
            this.#settled[this.#returned.delete(number) ? 'returned' : 'confirmed'].push(message)
            this.#unconfirmed.delete(number)
            return
          }
          // Refused, for example because its queue is full.
          await sleep(this.#urls.length > 1 ? REFUSED_MS : RECONNECT_MS)
          if (channel !== this.#channel) return
          if (this.#urls.length > 1) this.#leave()
          else this.#publish(channel, number)
        },
      )
    } catch {
      // The channel has just ended; the next one publishes everything unconfirmed.
    }
  }
}
