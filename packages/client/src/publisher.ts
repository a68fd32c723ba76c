import type { SocketOptions } from 'amqplib'
import { type Link, nameOf, openLink } from './link.ts'
import { describe, type Log, type LogEntry } from './log.ts'
import type { Message, Outbox } from './outbox.ts'
import { EXCHANGE, ROUTING_KEY } from './topology.ts'

export interface PublisherOptions {
  /** From `brokerUrl`: the nodes of one cluster. */
  urls: readonly string[]
  tls: SocketOptions | undefined
  appId: string
  maxWaitMs: number
  maxInFlight: number
  connectTimeoutMs: number
  setUpTimeoutMs: number
  confirmTimeoutMs: number
  retryMinMs: number
  retryMaxMs: number
  outbox: Outbox
  log: Log
}

const DISCONNECT_MS = 1_000
/**
 * A channel that was opened while the cluster noticed the death of a node may refuse everything for as long as that node is
 * away. One that is opened this much later does not.
 */
const REFUSED_PAUSE_MS = 500

/**
 * Publishes the outbox's messages to the broker.
 *
 * An event waits in the outbox's open group, which becomes a message when it is full or has waited `maxWaitMs`.
 * `#pump`, the one place that publishes, moves messages from the outbox to `#inFlight`. A confirm settles them;
 * anything else puts them back into the outbox, to be sent again as they are: first, if the link was lost; behind the others,
 * if the broker refused or returned them.
 *
 * A publisher is in one of four states:
 *
 * - *away*: no link. One is being opened, or `#retryTimer` is set to try the next host. This is the state at
 *   the start, and whenever the link is lost or confirms too late; all messages in flight are put back then.
 * - *open*: a link, and no timer. Up to `maxInFlight` messages are in flight; only one after a failure, until the
 *   broker has confirmed something. While the broker says that it is blocked, nothing more is sent.
 * - *pausing*: a link, and `#retryTimer` set, because the broker refused a message (its queue is full, or has lost
 *   its majority) or returned it (nothing is bound). Nothing is sent. When the timer fires, the link is renewed,
 *   with a new channel, and it is *open*; if the last renewal did not help, the next host is tried instead.
 * - *stopped*: for good.
 *
 * Once each host has been tried, each failure makes the next pause longer; a confirm while *open* makes it short again.
 */
export class Publisher {
  readonly #options: PublisherOptions
  readonly #outbox: Outbox
  readonly #log: Log
  readonly #inFlight = new Map<number, Message>()
  #confirmed = 0
  #republished = 0
  #socket = new AbortController()
  #link: Link | undefined
  #linkedAtMs = 0
  #lastTag = 0
  #isBlocked = false
  #failures = 0
  /** Pauses on this connection since its last confirm. */
  #pauses = 0
  /** The current host: an index of `urls`. */
  #host = 0
  #retryTimer: NodeJS.Timeout | undefined
  #watchdog: NodeJS.Timeout | undefined
  #groupTimer: NodeJS.Timeout | undefined
  #isGroupDue = false
  #isPumpDue = false
  #isStopped = false

  constructor(options: PublisherOptions) {
    this.#options = options
    this.#outbox = options.outbox
    this.#log = options.log
    void this.#connect()
  }

  /** Events that the broker confirmed, and that did not come back. */
  get confirmed(): number {
    return this.#confirmed
  }

  /** Events sent once more, because the outcome was unknown or the broker refused. */
  get republished(): number {
    return this.#republished
  }

  get isConnected(): boolean {
    return this.#link !== undefined
  }

  get isBlocked(): boolean {
    return this.#isBlocked
  }

  /** There is something new in the outbox. It is published later, so that the caller does not wait for it. */
  sendSoon(): void {
    if (this.#outbox.hasMessages && !this.#isPumpDue) {
      this.#isPumpDue = true
      setImmediate(() => {
        this.#isPumpDue = false
        this.#pump()
      })
    }
    if (this.#outbox.hasOpenGroup && !this.#isGroupDue) {
      this.#groupTimer ??= setTimeout(() => this.#sendGroup(), this.#options.maxWaitMs).unref()
    }
  }

  /** Waits until the outbox is empty, but no longer than this. */
  flush(deadlineMs: number): Promise<void> {
    this.#sendGroup()
    return this.#outbox.emptied(deadlineMs)
  }

  /** Puts the messages in flight back into the outbox at once, then disconnects, within this time. */
  async stop(deadlineMs: number): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#retryTimer)
    clearTimeout(this.#groupTimer)
    const link = this.#link
    this.#unlink()
    this.#isBlocked = false
    if (link !== undefined) {
      let timer: NodeJS.Timeout | undefined
      const tooLong = new Promise<void>(resolve => {
        timer = setTimeout(resolve, Math.min(deadlineMs, DISCONNECT_MS))
      })
      // The link may be lost already, or never answer; in both cases the socket is destroyed next.
      await Promise.race([link.close().catch(() => {}), link.lost, tooLong])
      clearTimeout(timer)
    }
    this.#socket.abort()
  }

  async #connect(): Promise<void> {
    this.#retryTimer = undefined
    this.#isBlocked = false
    const { connectTimeoutMs, setUpTimeoutMs: timeoutMs, tls } = this.#options
    const socket = new AbortController()
    this.#socket = socket
    try {
      const link = await openLink({
        url: this.#url,
        connectTimeoutMs,
        timeoutMs,
        signal: socket.signal,
        tls,
        onBlocked: reason => this.#onBlocked(reason),
        onUnblocked: () => this.#onUnblocked(),
      })
      if (this.#isStopped) return
      this.#pauses = 0
      this.#linkedAtMs = performance.now()
      this.#log('broker.connected', `${nameOf(this.#url)}, after ${this.#failures} failures`)
      this.#use(link)
    } catch (error) {
      this.#leave()
      if (!this.#isStopped) this.#reconnectLater(error)
    }
  }

  get #url(): string {
    return this.#options.urls[this.#host]!
  }

  #use(link: Link): void {
    this.#link = link
    this.#lastTag = 0
    link.channel.on('ack', ({ deliveryTag, multiple }) => this.#onAnswer(link, deliveryTag, multiple, true))
    link.channel.on('nack', ({ deliveryTag, multiple }) => this.#onAnswer(link, deliveryTag, multiple, false))
    link.channel.on('return', ({ properties }) => this.#onReturn(link, properties.messageId))
    void link.lost.then(error => this.#onLost(link, error))
    const everyMs = Math.ceil(this.#options.confirmTimeoutMs / 20)
    this.#watchdog = setInterval(() => this.#checkConfirms(link), everyMs).unref()
    if (link.declareRefused !== undefined) this.#log('topology.refused', describe(link.declareRefused))
    this.#pump()
  }

  #onLost(link: Link, error: unknown): void {
    if (this.#link !== link) return
    this.#leave()
    // If the link lasted a while, earlier failures no longer count.
    if (performance.now() - this.#linkedAtMs > this.#options.retryMaxMs) this.#failures = 0
    this.#reconnectLater(error)
  }

  /** Does not tell the broker, because a half-open or stuck connection never answers. Moves on to the next host. */
  #leave(): void {
    this.#unlink()
    this.#isBlocked = false
    this.#socket.abort()
    this.#host = (this.#host + 1) % this.#options.urls.length
  }

  #reconnectLater(error: unknown): void {
    const next = this.#options.urls.length > 1 ? `${nameOf(this.#url)} next` : 'again'
    this.#retry('broker.lost', `${describe(error)}; ${next}`, 0, () => void this.#connect())
  }

  /** What is in flight may or may not have arrived: it is sent again under the same ids. */
  #unlink(): void {
    this.#link = undefined
    clearInterval(this.#watchdog)
    this.#outbox.putBackLost([...this.#inFlight.values()])
    this.#inFlight.clear()
  }

  #retry(event: LogEntry['event'], why: string, leastMs: number, then: () => void): void {
    clearTimeout(this.#retryTimer)
    const { urls, retryMinMs, retryMaxMs } = this.#options
    this.#failures++
    const rounds = this.#failures / urls.length
    // The pause stays short until every host has been tried: one of them may work.
    const longestMs = Math.min(
      retryMaxMs,
      Number.isInteger(rounds) ? retryMinMs * 2 ** (rounds - 1) : retryMinMs,
    )
    // A random part of the longest delay, at least half of it: publishers that failed together do not reconnect together.
    const delayMs = Math.max(leastMs * (1 + Math.random() / 2), longestMs * (0.5 + Math.random() / 2))
    this.#retryTimer = setTimeout(then, delayMs).unref()
    this.#log(event, `${why} in ${Math.round(delayMs)} ms`)
  }

  #pause(event: 'message.returned' | 'message.refused', why: string): void {
    const link = this.#link
    // Already pausing: more of the same trouble.
    if (link === undefined || this.#retryTimer !== undefined) return
    this.#pauses++
    const leastMs = event === 'message.refused' ? REFUSED_PAUSE_MS : 0
    this.#retry(event, `${why}; again`, leastMs, () => void this.#resume(link))
  }

  async #resume(link: Link): Promise<void> {
    if (this.#pauses > 1 && this.#options.urls.length > 1) {
      // A node that is cut off from the others refuses on every channel.
      this.#leave()
      void this.#connect()
      return
    }
    try {
      const renewed = await link.renew()
      if (this.#link !== link) return
      this.#unlink()
      this.#retryTimer = undefined
      this.#use(renewed)
    } catch (error) {
      this.#onLost(link, error)
    }
  }

  #sendGroup(): void {
    clearTimeout(this.#groupTimer)
    this.#groupTimer = undefined
    this.#isGroupDue = true
    this.#pump()
  }

  #pump(): void {
    const link = this.#link
    if (link === undefined || this.#isBlocked || this.#retryTimer !== undefined) return
    const maxInFlight = this.#failures === 0 ? this.#options.maxInFlight : 1
    while (this.#inFlight.size < maxInFlight) {
      // A group is closed only when it can be sent, even if its time is over. So messages hold more events under load.
      if (this.#isGroupDue && !this.#outbox.hasMessages) {
        this.#isGroupDue = false
        this.#outbox.seal()
      }
      const message = this.#outbox.take()
      if (message === undefined || !this.#publish(link, message)) return
    }
  }

  #publish(link: Link, message: Message): boolean {
    try {
      const body = typeof message.json === 'string' ? Buffer.from(message.json) : message.json
      link.channel.publish(EXCHANGE, ROUTING_KEY, body, {
        mandatory: true,
        persistent: true,
        contentType: 'application/json',
        type: ROUTING_KEY,
        messageId: message.id,
        timestamp: Math.floor(Date.now() / 1_000),
        appId: this.#options.appId,
      })
    } catch {
      // The channel has just ended; `lost` tells why in a moment.
      this.#outbox.putBack(message)
      return false
    }
    if (message.sentAtMs !== undefined) this.#republished += message.events
    message.sentAtMs = performance.now()
    this.#inFlight.set(++this.#lastTag, message)
    return true
  }

  // A return arrives before the confirm of the same message. Two messages in flight may share an id, if the caller reused it.
  #onReturn(link: Link, id: unknown): void {
    if (this.#link !== link) return
    for (const message of this.#inFlight.values()) {
      if (message.id !== id || message.isReturned) continue
      message.isReturned = true
      return
    }
  }

  #onAnswer(link: Link, lastTag: number, isMultiple: boolean, isTaken: boolean): void {
    if (this.#link !== link) return
    if (isMultiple) {
      for (const tag of this.#inFlight.keys()) {
        if (tag > lastTag) break
        this.#settle(tag, isTaken)
      }
    } else {
      this.#settle(lastTag, isTaken)
    }
    this.#pump()
  }

  #settle(tag: number, isTaken: boolean): void {
    const message = this.#inFlight.get(tag)
    if (message === undefined) return
    this.#inFlight.delete(tag)
    if (isTaken && !message.isReturned) {
      this.#outbox.settle(message)
      this.#confirmed += message.events
      if (this.#retryTimer === undefined) this.#failures = this.#pauses = 0
      return
    }
    if (message.isReturned) this.#pause('message.returned', 'no queue is bound for views')
    else this.#pause('message.refused', 'the queue accepts no more messages')
    this.#outbox.putBack(message)
  }

  #checkConfirms(link: Link): void {
    const [oldest] = this.#inFlight.values()
    if (oldest?.sentAtMs === undefined || this.#isBlocked) return
    const { confirmTimeoutMs } = this.#options
    if (performance.now() - oldest.sentAtMs < confirmTimeoutMs) return
    this.#onLost(link, new Error(`the broker confirmed nothing for ${confirmTimeoutMs} ms`))
  }

  #onBlocked(reason: string): void {
    this.#isBlocked = true
    this.#log('broker.blocked', reason)
  }

  #onUnblocked(): void {
    this.#isBlocked = false
    // The time it was blocked does not count towards the confirm timeout.
    for (const message of this.#inFlight.values()) message.sentAtMs = performance.now()
    this.#log('broker.unblocked', 'the broker accepts messages again')
    this.#pump()
  }
}
