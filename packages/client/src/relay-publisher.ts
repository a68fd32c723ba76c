import { describe, type Log } from './log.ts'
import type { Message, Outbox } from './outbox.ts'
import { isTemporary } from './relay/protocol.ts'
import { openRelayLink, type RelayAnswer, type RelayLink } from './relay-link.ts'

/** Delivers the outbox's messages to a broker or a relay. */
export interface Sender {
  /** Events that the broker or the relay has confirmed. */
  readonly confirmed: number
  /** Events sent again, because the outcome was unknown or the refusal temporary. */
  readonly republished: number
  readonly isConnected: boolean
  readonly isBlocked: boolean
  /** There is something new in the outbox. */
  sendSoon(): void
  /** Waits until the outbox is empty, but no longer than this. */
  flush(deadlineMs: number): Promise<void>
  /** Puts the messages in flight back into the outbox at once, then disconnects, within this time. */
  stop(deadlineMs: number): Promise<void>
}

export interface RelayPublisherOptions {
  /** Of the relay's socket. */
  path: string
  /** Starts the sender that empties the same outbox while the relay is away. */
  fallback: (() => Sender) | undefined
  /** Each of its messages holds one event. */
  outbox: Outbox
  connectTimeoutMs: number
  confirmTimeoutMs: number
  retryMinMs: number
  retryMaxMs: number
  /** The relay will never take this event; it is out of the outbox. */
  onRefused(json: string, code: string): void
  log: Log
}

/**
 * Limit of lines without an answer: some 300 views. A relay's disk may take 30 ms to sync them and still keep
 * up with 10,000 views a second. When a relay dies, at most this much is sent twice.
 */
const MAX_IN_FLIGHT_BYTES = 128 * 1_024
/** For the orderly end of a fallback's connection. */
const DISCONNECT_MS = 1_000

/**
 * Sends the outbox's messages to a relay, and lets a fallback send them while the relay is away.
 *
 * `#pump` takes messages out of the outbox, writes each as a line on the socket, and keeps it in `#inFlight` until the relay answers.
 * Answers come in the order of the lines. `ok` settles the message, a temporary refusal puts it back, any other refusal drops it.
 *
 * It is in one of four states:
 *
 * - *away*: no link, and `#retryTimer` is set, because a link could not be opened, has ended, answered too late or refused
 *   temporarily. Messages in flight are put back, to be sent again under the same ids, and the fallback is started.
 * - *trying*: a link that has not taken an event yet. One line is in flight. An accepted connection proves nothing,
 *   because the kernel accepts it for a relay that hangs; so the fallback goes on beside it, out of the same outbox.
 * - *open*: the link has taken an event. The fallback is stopped, and up to `MAX_IN_FLIGHT_BYTES` are in flight.
 * - *stopped*: for good.
 *
 * Each failure makes the next pause longer; a link that lasts longer than the longest pause makes it short again.
 */
export class RelayPublisher implements Sender {
  readonly #options: RelayPublisherOptions
  readonly #outbox: Outbox
  readonly #log: Log
  readonly #inFlight: Message[] = []
  #inFlightBytes = 0
  #confirmed = 0
  #republished = 0
  #link: RelayLink | undefined
  #isConnected = false
  /** When the link took its first event; `performance.now()`. */
  #openSinceMs: number | undefined
  /** Why the relay refuses temporarily. Pending answers are awaited, then the link is left. */
  #refusal: string | undefined
  #failures = 0
  #retryTimer: NodeJS.Timeout | undefined
  #watchdog: NodeJS.Timeout | undefined
  #isPumpDue = false
  #flushes = 0
  #fallback: Sender | undefined
  /** Fallbacks that are stopped, but not disconnected yet. */
  readonly #leaving = new Set<Sender>()

  constructor(options: RelayPublisherOptions) {
    this.#options = options
    this.#outbox = options.outbox
    this.#log = options.log
    this.#connect()
  }

  get confirmed(): number {
    return this.#confirmed + (this.#fallback?.confirmed ?? 0)
  }

  get republished(): number {
    return this.#republished + (this.#fallback?.republished ?? 0)
  }

  get isConnected(): boolean {
    return this.#isConnected || this.#fallback?.isConnected === true
  }

  get isBlocked(): boolean {
    return this.#fallback?.isBlocked === true
  }

  /** Sends later, so that the caller does not wait for it. */
  sendSoon(): void {
    if (!this.#isPumpDue && this.#outbox.hasMessages) {
      this.#isPumpDue = true
      setImmediate(() => {
        this.#isPumpDue = false
        this.#pump()
      })
    }
    // Last, so that a relay that is being tried gets the first event.
    this.#fallback?.sendSoon()
  }

  async flush(deadlineMs: number): Promise<void> {
    this.#flushes++
    const link = this.#link
    if (this.#isLeftToFallback && this.#inFlight.length > 0 && link !== undefined) {
      this.#onLost(link, new Error(`the relay at ${this.#options.path} has not answered yet`))
    }
    await this.#outbox.emptied(deadlineMs)
    this.#flushes--
    this.sendSoon()
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#leave()
    clearTimeout(this.#retryTimer)
    for (const left of this.#leaving) void left.stop(0)
    await this.#fallback?.stop(deadlineMs)
  }

  #connect(): void {
    const { path, connectTimeoutMs, confirmTimeoutMs } = this.#options
    const link = openRelayLink(path, {
      onOpen: () => {
        this.#isConnected = true
        this.#pump()
      },
      onAnswers: answers => this.#onAnswers(link, answers),
      onLost: error => this.#onLost(link, error),
    })
    this.#link = link
    const everyMs = Math.ceil(Math.min(connectTimeoutMs, confirmTimeoutMs) / 20)
    this.#watchdog = setInterval(() => this.#watch(link), everyMs).unref()
  }

  /** During a flush, a connected fallback gets all events, because a relay that is being tried may hang. */
  get #isLeftToFallback(): boolean {
    return this.#flushes > 0 && this.#openSinceMs === undefined && this.#fallback?.isConnected === true
  }

  #pump(): void {
    const link = this.#link
    if (link === undefined || !this.#isConnected || this.#refusal !== undefined || this.#isLeftToFallback) {
      return
    }
    const maxBytes = this.#openSinceMs === undefined ? 1 : MAX_IN_FLIGHT_BYTES
    const now = performance.now()
    let lines = ''
    while (this.#inFlightBytes < maxBytes) {
      const message = this.#outbox.take()
      if (message === undefined) break
      if (message.sentAtMs !== undefined) this.#republished += message.events
      message.sentAtMs = now
      this.#inFlight.push(message)
      this.#inFlightBytes += message.bytes
      lines += `${message.json}\n`
    }
    if (lines !== '') link.send(lines)
  }

  #onAnswers(link: RelayLink, answers: RelayAnswer[]): void {
    for (const answer of answers) {
      // `onRefused` may have ended the link.
      if (this.#link !== link) return
      const message = this.#inFlight.shift()
      if (message === undefined) {
        this.#onLost(
          link,
          new Error(`what listens at ${this.#options.path} sends more answers than it got views`),
        )
        return
      }
      this.#inFlightBytes -= message.bytes
      this.#settle(message, answer)
    }
    if (this.#refusal !== undefined && this.#inFlight.length === 0) {
      this.#onLost(link, new Error(`the relay at ${this.#options.path} refuses views: ${this.#refusal}`))
    } else {
      this.#pump()
    }
  }

  #settle(message: Message, answer: RelayAnswer): void {
    if (answer === 'ok') {
      this.#outbox.settle(message)
      this.#confirmed += message.events
      if (this.#openSinceMs === undefined) this.#onTaken()
    } else if (isTemporary(answer.refused)) {
      this.#outbox.putBack(message)
      this.#refusal ??= answer.refused
    } else {
      this.#outbox.settle(message)
      this.#options.onRefused(String(message.json), answer.refused)
    }
  }

  #onTaken(): void {
    this.#openSinceMs = performance.now()
    this.#log('relay.connected', `${this.#options.path}, after ${this.#failures} failures`)
    const fallback = this.#fallback
    if (fallback === undefined) return
    this.#leaving.add(fallback)
    void fallback.stop(DISCONNECT_MS).finally(() => this.#leaving.delete(fallback))
    this.#confirmed += fallback.confirmed
    this.#republished += fallback.republished
    this.#fallback = undefined
  }

  #watch(link: RelayLink): void {
    const [oldest] = this.#inFlight
    const { path, connectTimeoutMs, confirmTimeoutMs } = this.#options
    const timeoutMs = this.#openSinceMs === undefined ? connectTimeoutMs : confirmTimeoutMs
    if (oldest?.sentAtMs !== undefined && performance.now() - oldest.sentAtMs >= timeoutMs) {
      this.#onLost(link, new Error(`the relay at ${path} has not answered for ${timeoutMs} ms`))
    } else {
      // The fallback may have put something back.
      this.#pump()
    }
  }

  #onLost(link: RelayLink, error: Error): void {
    if (this.#link !== link) return
    const { fallback, retryMinMs, retryMaxMs } = this.#options
    const heldMs = this.#openSinceMs === undefined ? 0 : performance.now() - this.#openSinceMs
    if (heldMs > retryMaxMs) this.#failures = 0
    this.#leave()
    const longestMs = Math.min(retryMaxMs, retryMinMs * 2 ** this.#failures++)
    // A random part of the longest delay, at least half of it: trackers that failed together do not reconnect together.
    const delayMs = longestMs * (0.5 + Math.random() / 2)
    this.#retryTimer = setTimeout(() => this.#connect(), delayMs).unref()
    const meanwhile = fallback === undefined ? 'views wait' : 'views go to the broker'
    this.#log('relay.lost', `${describe(error)}; ${meanwhile}; trying again in ${Math.round(delayMs)} ms`)
    this.#fallback ??= fallback?.()
    this.#fallback?.sendSoon()
  }

  #leave(): void {
    this.#link?.end()
    this.#link = undefined
    this.#isConnected = false
    this.#openSinceMs = undefined
    this.#refusal = undefined
    clearInterval(this.#watchdog)
    this.#outbox.putBackLost(this.#inFlight)
    this.#inFlight.length = 0
    this.#inFlightBytes = 0
  }
}
