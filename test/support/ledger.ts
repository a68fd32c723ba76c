/**
 * A publisher that keeps books: what it attempted, what was confirmed and what came back, each on the disk before it
 * counts on it. A raw client, not our tracker. At the end the book says what the database must hold.
 */

import { createHash } from 'node:crypto'
import { type FileHandle, mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ConfirmChannel, connect, type Options } from 'amqplib'
import { atEnd } from './at-end.ts'

/** A message to publish, and what is in it. */
export interface LedgerMessage {
  /** The empty exchange leads straight to the queue of the routing key. */
  exchange: string
  routingKey: string
  body: Buffer
  properties: Options.Publish
  /** The ids of its good events; of a bad event, its `badId`. */
  ids: readonly string[]
}

/** What a bad event, or a bad message, is called in the book; its text must occur only once. */
export function badId(body: Buffer | string): string {
  return `bad:${createHash('sha256').update(body).digest('hex').slice(0, 32)}`
}

export interface Book {
  attempted: Set<string>
  confirmed: Set<string>
  /** Came back from every attempt so far: in no queue. */
  returned: Set<string>
}

type Entry = 'attempted' | 'confirmed' | 'returned'

const MAX_IN_FLIGHT = 500
const WRITTEN_TOGETHER = 100
const RECONNECT_MS = 100
/** A node of a cluster that takes longer is given up, and the next one tried. */
const CONNECT_MS = 10_000
const CONFIRM_MS = 20_000
/** On another channel: one of a cluster that has refused something may do so for ever. */
const REFUSED_MS = 500

export class Ledger {
  readonly #path: string
  readonly #file: FileHandle
  readonly #closing = new AbortController()

  private constructor(path: string, file: FileHandle) {
    this.#path = path
    this.#file = file
  }

  /** A new book; it goes with the test. */
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

  /** Aborted when the test ends: a publisher that is still at it in a test that failed stops then. */
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
 * Publishes every message, in order, until each is confirmed or has come back; what was lost with a connection is
 * published again, and on a cluster over the next of its nodes.
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
  /** Sent, or to be sent again, by the number that it carries. */
  readonly #unconfirmed = new Map<number, LedgerMessage>()
  readonly #returned = new Set<number>()
  #settled: { confirmed: LedgerMessage[]; returned: LedgerMessage[] } = { confirmed: [], returned: [] }
  #lastNumber = 0
  #channel: ConfirmChannel | undefined
  #socket = new AbortController()
  #turn = 0
  /** By `performance.now()`: since when it waits for a confirm. */
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
        // The broker is away: that is what these tests do to it.
        this.#leave()
        await sleep(RECONNECT_MS)
      }
    }
  }

  /** Without a word: a node that hangs would not answer. */
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
    // It may be gone already: what these tests do to the broker, they do at any time.
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
          // Refused: its queue is full, say.
          await sleep(this.#urls.length > 1 ? REFUSED_MS : RECONNECT_MS)
          if (channel !== this.#channel) return
          if (this.#urls.length > 1) this.#leave()
          else this.#publish(channel, number)
        },
      )
    } catch {
      // The channel has just ended; the next one publishes whatever is unconfirmed.
    }
  }
}
