import { describe, type Log } from './log.ts'
import type { Message, Outbox } from './outbox.ts'
import { isTemporary } from './relay/protocol.ts'
import { openRelayLink, type RelayAnswer, type RelayLink } from './relay-link.ts'

/** Gets what is in the outbox to where it is kept. */
export interface Sender {
  /** Events that are kept there. */
  readonly confirmed: number
  /** Events sent once more, because the outcome was unknown or they were refused for the time being. */
  readonly republished: number
  readonly isConnected: boolean
  readonly isBlocked: boolean
  /** There is something new in the outbox. */
  sendSoon(): void
  /** Waits until the outbox is empty, but no longer than this. */
  flush(deadlineMs: number): Promise<void>
  /** Puts what is in flight back into the outbox, at once, and disconnects, which takes no longer than this. */
  stop(deadlineMs: number): Promise<void>
}

export interface RelayPublisherOptions {
  /** Of the relay's socket. */
  path: string
  /** Starts what takes the events out of the same outbox while the relay is away. */
  fallback: (() => Sender) | undefined
  /** Its messages are of one event each. */
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
 * Beyond which no further line is sent before there are answers: some 300 views. A relay's disk may take 30 ms to sync
 * them and still keep up with 10,000 views a second; so many are sent twice when a relay dies.
 */
const MAX_IN_FLIGHT_BYTES = 128 * 1_024
/** For the orderly end of a fallback's connection. */
const DISCONNECT_MS = 1_000

/**
 * Gets what is in the outbox to a relay, and has a fallback do it while the relay is away.
 *
 * `#pump` takes messages out of the outbox, writes each as a line on the socket, and keeps it in `#inFlight` until the relay answers.
 * Answers come in the order of the lines. `ok` settles the message, a temporary refusal puts it back, any other refusal drops it.
 *
 * It is in one of four states:
 *
 * - *away*: no link, and `#retryTimer` is set. It is so whenever a link cannot be opened, ends, answers too late or refuses
 *   for the time being. What was in flight is put back, to be sent again under the same ids, and the fallback is started.
 * - *trying*: a link that has not taken anything yet. One line is in flight. Anybody can accept a connection, and the kernel
 *   does it for a relay that hangs; so the fallback goes on beside it, out of the same outbox.
 * - *open*: the link has taken an event. The fallback is stopped, and lines are sent while `MAX_IN_FLIGHT_BYTES` are not reached.
 * - *stopped*: for good.
 *
 * Each failure makes the next pause longer; a link that held for longer than the longest pause makes it short again.
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
  /** Since when the link has taken events; `performance.now()`. */
  #openSinceMs: number | undefined
  /** Why it takes nothing for the time being. Answers to come are waited for, then the link is left. */
  #refusal: string | undefined
  #failures = 0
  #retryTimer: NodeJS.Timeout | undefined
  #watchdog: NodeJS.Timeout | undefined
  #isPumpDue = false
  #flushes = 0
  #fallback: Sender | undefined
  /** Stopped, and not disconnected yet. */
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

  /** Sending itself is left for later: the caller is not to wait for it. */
  sendSoon(): void {
    if (!this.#isPumpDue && this.#outbox.hasMessages) {
      this.#isPumpDue = true
      setImmediate(() => {
        this.#isPumpDue = false
        this.#pump()
      })
    }
    // Second, so that a relay which is tried has the first event that comes.
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

  /** While somebody waits for the outbox to be empty, a fallback that works is not kept waiting for a relay that may hang. */
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
      // Whoever is told of a refused event may have ended the link.
      if (this.#link !== link) return
      const message = this.#inFlight.shift()
      if (message === undefined) {
        this.#onLost(link, new Error(`what listens at ${this.#options.path} answers more than it is asked`))
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
      this.#onLost(link, new Error(`the relay at ${path} answered nothing for ${timeoutMs} ms`))
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
    // Between half of it and all of it, so that trackers that failed together do not come back together.
    const delayMs = longestMs * (0.5 + Math.random() / 2)
    this.#retryTimer = setTimeout(() => this.#connect(), delayMs).unref()
    const meanwhile = fallback === undefined ? 'views wait' : 'views go to the broker'
    this.#log(
      'relay.lost',
      `${describe(error)}; ${meanwhile}, and it is tried again in ${Math.round(delayMs)} ms`,
    )
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
