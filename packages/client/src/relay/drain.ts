import { setTimeout as sleep } from 'node:timers/promises'
import { describe } from '../log.ts'
import { Outbox } from '../outbox.ts'
import { Publisher } from '../publisher.ts'
import { PUBLISHER_DEFAULTS } from '../tracker.ts'
import type { RelayLog } from './log.ts'
import type { Spool } from './spool.ts'

/** What is read ahead of the broker's confirms: 20 MB a second where the broker is 25 ms away. */
const AHEAD_BYTES = 1_048_576
/** What is on the disk is in no hurry, and the fewer messages there are, the less they cost. */
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
 * Publishes what is in the spool, as the tracker publishes what is in its memory: grouped, confirmed, sent again until it
 * is taken. What waits for the broker waits on the disk; in memory there is only what keeps the broker busy.
 */
export class Drain {
  readonly #spool: Spool
  readonly #log: RelayLog
  /** How many there are to try. */
  readonly #brokers: number
  readonly #outbox: Outbox
  readonly #publisher: Publisher
  #isReading = false
  #readTimer: NodeJS.Timeout | undefined
  /** What could not be read is left alone for a moment. */
  #isPausing = false
  #isStopped = false
  /** Attempts to reach a broker that have failed since one has not, and why the last one did. */
  #failures = 0
  #lost = 'it is being connected to'

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
        // The link is in use a moment later.
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

  /** There may be something to read: at once if it fills a message, else a moment later, when there may be more. */
  wake(): void {
    const { unreadBytes } = this.#spool
    if (unreadBytes === 0 || this.#isPausing || !this.#mayReadAhead) return
    if (unreadBytes >= PUBLISHER_DEFAULTS.maxMessageBytes) void this.#read()
    else this.#readTimer ??= setTimeout(() => void this.#read(), GATHER_MS)
  }

  /** Publishes what is in the spool as long as the broker takes it, but no longer than this, and disconnects. */
  async stop(deadlineMs: number): Promise<void> {
    const deadlineAtMs = performance.now() + deadlineMs
    while (!this.#spool.isDrained && this.#failures < this.#brokers && performance.now() < deadlineAtMs) {
      await this.#publisher.flush(deadlineAtMs - performance.now())
      // Until more of it was read.
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
