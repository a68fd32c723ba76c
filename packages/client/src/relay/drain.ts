import { setTimeout as sleep } from 'node:timers/promises'
import { describe } from '../log.ts'
import { Outbox } from '../outbox.ts'
import { Publisher } from '../publisher.ts'
import { PUBLISHER_DEFAULTS } from '../tracker.ts'
import type { RelayLog } from './log.ts'
import type { Spool } from './spool.ts'

/** How much is read ahead of the broker's confirms: enough for 20 MB a second to a broker that is 25 ms away. */
const AHEAD_BYTES = 1_048_576
/** Views on the disk are safe and can wait a moment: fewer messages cost less. */
const GATHER_MS = 25
const RETRY_MS = 1_000
const STOP_POLL_MS = 10
const DISCONNECT_MS = 1_000

export interface DrainOptions {
  spool: Spool
  /** From `brokerUrl`. */
  urls: readonly string[]
  log: RelayLog
}

/**
 * Publishes the events in the spool, as the tracker publishes those in its memory: grouped, confirmed, sent
 * again until the broker takes them. Events wait on the disk; only enough to keep the broker busy is in memory.
 */
export class Drain {
  readonly #spool: Spool
  readonly #log: RelayLog
  /** How many brokers there are to try. */
  readonly #brokers: number
  readonly #outbox: Outbox
  readonly #publisher: Publisher
  #isReading = false
  #readTimer: NodeJS.Timeout | undefined
  /** Set for a moment after a read has failed. */
  #isPausing = false
  #isStopped = false
  /** Failed attempts to reach a broker since the last success, and why the last one failed. */
  #failures = 0
  #lost = 'not connected yet'

  constructor({ spool, urls, log }: DrainOptions) {
    this.#spool = spool
    this.#log = log
    this.#brokers = urls.length
    this.#outbox = new Outbox({
      ...PUBLISHER_DEFAULTS,
      maxBufferedEvents: Infinity,
      maxBufferedBytes: Infinity,
      onSettled: ({ mark, events }) => {
        spool.confirm(mark, events)
        this.wake()
      },
    })
    this.#publisher = new Publisher({
      ...PUBLISHER_DEFAULTS,
      appId: 'postviews-relay',
      urls,
      tls: undefined,
      outbox: this.#outbox,
      log: (event, detail) => {
        log.broker(event, detail)
        if (event === 'broker.connected') this.#failures = 0
        if (event === 'broker.lost') {
          this.#failures++
          this.#lost = detail
        }
        // The publisher uses the link only a moment later.
        if (event === 'broker.connected') setImmediate(() => this.wake())
      },
    })
  }

  /** Events that the broker has confirmed. */
  get confirmed(): number {
    return this.#publisher.confirmed
  }

  /** Events that were sent once more. */
  get republished(): number {
    return this.#publisher.republished
  }

  get isConnected(): boolean {
    return this.#publisher.isConnected
  }

  /** Why there is no connection to the broker. */
  get problem(): string {
    return this.#lost
  }

  get isBlocked(): boolean {
    return this.#publisher.isBlocked
  }

  /** To call when there may be something to read. Reads at once if it fills a message, else a moment later, with more. */
  wake(): void {
    const { unreadBytes } = this.#spool
    if (unreadBytes === 0 || this.#isPausing || !this.#mayReadAhead) return
    if (unreadBytes >= PUBLISHER_DEFAULTS.maxMessageBytes) void this.#read()
    else this.#readTimer ??= setTimeout(() => void this.#read(), GATHER_MS)
  }

  /** Publishes what is in the spool while the broker takes it, but no longer than this, and disconnects. */
  async stop(deadlineMs: number): Promise<void> {
    const deadlineAtMs = performance.now() + deadlineMs
    while (!this.#spool.isDrained && this.#failures < this.#brokers && performance.now() < deadlineAtMs) {
      await this.#publisher.flush(deadlineAtMs - performance.now())
      // Wait until more was read.
      await sleep(STOP_POLL_MS)
    }
    this.#isStopped = true
    clearTimeout(this.#readTimer)
    await this.#publisher.stop(DISCONNECT_MS)
  }

  /** While the broker is away, views stay on the disk and are not read. */
  get #mayReadAhead(): boolean {
    return this.isConnected && !this.#isStopped && this.#outbox.bytes < AHEAD_BYTES
  }

  async #read(): Promise<void> {
    clearTimeout(this.#readTimer)
    this.#readTimer = undefined
    if (this.#isReading) return
    this.#isReading = true
    try {
      while (this.#mayReadAhead) {
        const read = await this.#spool.read()
        if (read === undefined) break
        for (const { id, json, events } of read.messages) {
          this.#outbox.addMessage({ id, json, events, bytes: json.length, mark: read.segment })
        }
        this.#publisher.sendSoon()
        if (this.#spool.unreadBytes < PUBLISHER_DEFAULTS.maxMessageBytes) break
      }
    } catch (error) {
      this.#log.rarely('error', 'spool.unreadable', { error: describe(error) })
      this.#pause()
    } finally {
      this.#isReading = false
    }
    this.wake()
  }

  #pause(): void {
    this.#isPausing = true
    setTimeout(() => {
      this.#isPausing = false
      this.wake()
    }, RETRY_MS).unref()
  }
}
