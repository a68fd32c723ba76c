/**
 * Publishes views without making the caller wait.
 *
 * | outcome of an event | when | `stats` counts it as |
 * |---|---|---|
 * | waiting, or sent and not confirmed | from `trackView` on | `pending` |
 * | the broker confirmed it and it did not come back as unroutable, or a relay has it on its disk | a round trip later | `confirmed` |
 * | given up, and passed to `onDrop` | see `DROP_REASONS` | `dropped` |
 */

import type { SocketOptions } from 'amqplib'
import { encodeView } from './encode.ts'
import { brokerUrl } from './link.ts'
import { callSafely, type LogEntry, rateLimited } from './log.ts'
import { Outbox } from './outbox.ts'
import { Publisher } from './publisher.ts'
import { MAX_EVENT_BYTES } from './relay/protocol.ts'
import { RelayPublisher, type Sender } from './relay-publisher.ts'
import { relayPath, trackerUrls } from './tracker-urls.ts'
import { MAX_EVENTS_PER_MESSAGE, MAX_MESSAGE_BYTES, type ViewEvent } from './view.ts'

/** Why an event was given up. One that only breaks the contract is sent: the service keeps it for repair. */
export const DROP_REASONS = {
  buffer_full: 'the broker, or the relay, has been away or too slow for longer than the buffer lasts',
  unserializable: 'it is not an object, or cannot be written as JSON',
  too_large: 'its JSON is over 1 MiB, or over 64 KiB and `url` begins with a relay',
  refused: 'the relay says that it breaks the contract; the log names the rule',
  closed:
    'the tracker is closed, or was closed before broker or relay confirmed it: it may have arrived all the same',
} as const

export type DropReason = keyof typeof DROP_REASONS

export interface TrackerOptions {
  /**
   * `amqp://user:password@host:port/vhost`, or `amqps://`. For a cluster: the URL of each node, separated by commas (a comma
   * inside a URL is %2C) or as an array, all with the same virtual host. When the connection is lost, the next node is tried.
   *
   * `unix:/run/postviews.sock`: the relay that listens there takes the views. Brokers may follow, after a comma or in
   * the array: they are the fallback, used only while the relay is away. Without a broker, views wait for the relay.
   */
  url: string | readonly string[]
  /** The AMQP `app_id`: who publishes. */
  appId?: string
  /** Limit of unconfirmed events, beyond which a new one is dropped. 100,000. */
  maxBufferedEvents?: number
  /**
   * Limit of unconfirmed bytes of JSON, beyond which a new event is dropped. 32 MiB. They take at most twice as much memory
   * (text beyond Latin-1 has two bytes a character), plus 0.2 KiB for each message, plus a copy of what is in flight.
   */
  maxBufferedBytes?: number
  /** How long an event waits for others to share its message. 5; not used if `url` begins with a relay. */
  maxWaitMs?: number
  /** 100; 1 sends every event in its own message, as always if `url` begins with a relay. */
  maxEventsPerMessage?: number
  /** A message that would exceed this takes no further event. 65,536. */
  maxMessageBytes?: number
  /** Messages sent and not confirmed yet. 64. */
  maxInFlight?: number
  /** A connection that is silent for two of these is given up. 10. A `heartbeat` in the URL takes precedence. */
  heartbeatSeconds?: number
  /** For connecting to one host, and for a relay's first answer. 5,000. */
  connectTimeoutMs?: number
  /** For declaring and opening a channel, once connected. 10,000. */
  setUpTimeoutMs?: number
  /** A connection that leaves a message (a relay: an event) unconfirmed this long without being blocked is given up. 20,000. */
  confirmTimeoutMs?: number
  /**
   * The first pause after a failure, and the pause before each further host. Once all have failed, the pause is
   * up to twice the last one. 100; at least half a second after the broker has refused a message.
   */
  retryMinMs?: number
  /** The longest pause. 10,000. */
  retryMaxMs?: number
  /** TLS options for `amqps`: `ca`, `cert`, `key`, … */
  tls?: SocketOptions
  /**
   * Called for every dropped event: as it was given, or, once accepted, as it would have been sent, with its id.
   * What it throws is ignored. If it calls `trackView` and that drops again, the drop is counted but not reported.
   */
  onDrop?: (event: ViewEvent, reason: DropReason) => void
  /** Each event name at most once in 10 s. Default: a line on stderr. What it throws is ignored. */
  log?: (entry: LogEntry) => void
}

/** accepted = confirmed + pending + dropped, at every moment. */
export interface TrackerStats {
  /** Calls of `trackView`. */
  accepted: number
  confirmed: number
  pending: number
  /** Bytes of JSON pending. */
  pendingBytes: number
  dropped: number
  droppedByReason: Record<DropReason, number>
  /** Events sent again, under the same id, because the outcome was unknown or the refusal temporary. */
  republished: number
  /** To the broker, or the relay. */
  connected: boolean
  /** The broker has no memory or disk left and takes nothing. */
  blocked: boolean
}

export interface Tracker {
  /** Takes one event. Never throws, never waits, whatever it is given. */
  trackView(event: ViewEvent): void
  stats(): TrackerStats
  /** Waits until nothing is pending, but no longer than this. Returns the number of events still pending. */
  flush(deadlineMs: number): Promise<number>
  /**
   * Takes no more events, waits like `flush`, drops what is left as `closed`, and disconnects: all within the
   * deadline (default 5,000 ms), whatever the broker does. Never rejects.
   */
  close(deadlineMs?: number): Promise<void>
}

/**
 * Connects in the background and retries for ever, so it never fails because a broker is missing.
 *
 * An open connection keeps the process alive until `close`; nothing else here does. A process that ends without
 * `close` loses what was pending.
 *
 * @throws {TypeError | RangeError} when the options are wrong
 */
export function createTracker(options: TrackerOptions): Tracker {
  const tracker = new BufferedTracker(options)
  return {
    // Bound, so that `const { trackView } = createTracker(…)` works.
    trackView: event => tracker.trackView(event),
    stats: () => tracker.stats(),
    flush: deadlineMs => tracker.flush(deadlineMs),
    close: deadlineMs => tracker.close(deadlineMs),
  }
}

const LONGEST_TIMER_MS = 2 ** 31 - 1
const DEFAULT_CLOSE_MS = 5_000
/**
 * Reserved from the deadline of `close`: to report what is dropped, some 0.15 s for 100,000 events, and to
 * disconnect from a broker that does not answer.
 */
const FAREWELL_MS = 500

/** How messages are made of events and sent. */
export const PUBLISHER_DEFAULTS = {
  maxWaitMs: 5,
  maxEventsPerMessage: 100,
  maxMessageBytes: 65_536,
  maxInFlight: 64,
  heartbeatSeconds: 10,
  connectTimeoutMs: 5_000,
  setUpTimeoutMs: 10_000,
  confirmTimeoutMs: 20_000,
  retryMinMs: 100,
  retryMaxMs: 10_000,
}

const DEFAULTS = {
  appId: 'postviews-client',
  maxBufferedEvents: 100_000,
  maxBufferedBytes: 32 * 1_048_576,
  ...PUBLISHER_DEFAULTS,
}

/** The options that are whole numbers, each with its minimum and maximum. */
const RANGES: { [name in keyof typeof DEFAULTS]?: [number, number] } = {
  maxBufferedEvents: [1, 2 ** 31],
  maxBufferedBytes: [1, 2 ** 40],
  maxWaitMs: [0, 60_000],
  maxEventsPerMessage: [1, MAX_EVENTS_PER_MESSAGE],
  maxMessageBytes: [1, MAX_MESSAGE_BYTES],
  maxInFlight: [1, 65_535],
  heartbeatSeconds: [1, 65_535],
  connectTimeoutMs: [1, LONGEST_TIMER_MS],
  setUpTimeoutMs: [1, LONGEST_TIMER_MS],
  confirmTimeoutMs: [1, LONGEST_TIMER_MS],
  retryMinMs: [1, LONGEST_TIMER_MS],
  retryMaxMs: [1, LONGEST_TIMER_MS],
}

function withDefaults(options: TrackerOptions): typeof DEFAULTS {
  const settings: Record<string, unknown> = {}
  for (const [name, value] of Object.entries({ ...DEFAULTS, ...options })) {
    settings[name] = value ?? DEFAULTS[name as keyof typeof DEFAULTS]
  }
  for (const [name, [least, greatest]] of Object.entries(RANGES)) {
    const value = settings[name]
    if (!Number.isInteger(value) || Number(value) < least || Number(value) > greatest) {
      throw new RangeError(`${name} must be a whole number from ${least} to ${greatest}`)
    }
  }
  if (typeof settings['appId'] !== 'string' || Buffer.byteLength(settings['appId']) > 255) {
    throw new RangeError('appId must be a text of at most 255 bytes')
  }
  return settings as typeof DEFAULTS
}

/** Where views go: to the relay at this path, to these brokers, or both. At least one is set. */
interface Destination {
  relay: string | undefined
  brokers: string[]
}

function destinationOf(url: TrackerOptions['url'], heartbeatSeconds: number): Destination {
  let urls: string[]
  try {
    urls = trackerUrls(url)
  } catch (error) {
    throw new TypeError(`url ${(error as Error).message}`)
  }
  const relay = relayPath(urls[0]!)
  const brokers = relay === undefined ? urls : urls.slice(1)
  return { relay, brokers: brokers.map(each => brokerUrl(each, heartbeatSeconds)) }
}

/** Accounts for every event. The outbox holds them; the sender takes them to the broker or the relay. */
class BufferedTracker {
  readonly #maxEventBytes: number
  readonly #outbox: Outbox
  readonly #sender: Sender
  readonly #onDrop: TrackerOptions['onDrop']
  readonly #log: ReturnType<typeof rateLimited>
  readonly #dropped: Record<DropReason, number> = {
    buffer_full: 0,
    unserializable: 0,
    too_large: 0,
    refused: 0,
    closed: 0,
  }
  #accepted = 0
  #isTellingDrop = false
  #closing: Promise<void> | undefined

  constructor(options: TrackerOptions) {
    const settings = withDefaults(options)
    const { relay, brokers } = destinationOf(options.url, settings.heartbeatSeconds)
    this.#onDrop = options.onDrop
    this.#log = rateLimited(options.log)
    const isRelayed = relay !== undefined
    this.#maxEventBytes = isRelayed ? MAX_EVENT_BYTES : MAX_MESSAGE_BYTES
    // A relay answers each event, so each has its own message. A larger `maxInFlight` keeps a fallback as fast.
    const { maxInFlight, maxEventsPerMessage } = settings
    const outbox = new Outbox(isRelayed ? { ...settings, maxEventsPerMessage: 1 } : settings)
    const sending = { ...settings, outbox, log: this.#log }
    const publisher = () =>
      new Publisher({
        ...sending,
        maxInFlight: isRelayed ? maxInFlight * maxEventsPerMessage : maxInFlight,
        urls: brokers,
        tls: options.tls,
      })
    this.#outbox = outbox
    this.#sender = isRelayed
      ? new RelayPublisher({
          ...sending,
          path: relay,
          fallback: brokers.length > 0 ? publisher : undefined,
          onRefused: (json, code) => this.#drop(() => JSON.parse(json), 'refused', `refused as ${code}`),
        })
      : publisher()
  }

  trackView(event: ViewEvent): void {
    const refused = this.#take(event)
    this.#accepted++
    if (refused === undefined) {
      this.#sender.sendSoon()
      return
    }
    this.#drop(() => event, refused)
  }

  #take(event: ViewEvent): DropReason | undefined {
    if (this.#closing !== undefined) return 'closed'
    const sent = encodeView(event, this.#maxEventBytes)
    if (typeof sent === 'string') return sent
    return this.#outbox.add(sent.json, sent.bytes, sent.id) ? undefined : 'buffer_full'
  }

  stats(): TrackerStats {
    return {
      accepted: this.#accepted,
      confirmed: this.#sender.confirmed,
      pending: this.#outbox.events,
      pendingBytes: this.#outbox.bytes,
      dropped: Object.values(this.#dropped).reduce((sum, count) => sum + count),
      droppedByReason: { ...this.#dropped },
      republished: this.#sender.republished,
      connected: this.#sender.isConnected,
      blocked: this.#sender.isBlocked,
    }
  }

  async flush(deadlineMs: number): Promise<number> {
    await this.#sender.flush(deadlineMs)
    return this.#outbox.events
  }

  close(deadlineMs: number = DEFAULT_CLOSE_MS): Promise<void> {
    this.#closing ??= this.#close(deadlineMs)
    return this.#closing
  }

  async #close(deadlineMs: number): Promise<void> {
    const deadlineAtMs = performance.now() + deadlineMs
    const farewellMs = Math.min(FAREWELL_MS, deadlineMs / 5)
    await this.#sender.flush(deadlineMs - farewellMs)
    const disconnected = this.#sender.stop(Math.max(0, deadlineAtMs - performance.now()))
    const left = this.#outbox.empty()
    this.#dropped.closed += left.length
    for (const json of left) this.#tellDrop(() => JSON.parse(json), 'closed')
    await disconnected
  }

  #drop(eventOf: () => ViewEvent, reason: DropReason, detail: string = reason): void {
    this.#dropped[reason]++
    this.#tellDrop(eventOf, reason, detail)
  }

  #tellDrop(eventOf: () => ViewEvent, reason: DropReason, detail: string = reason): void {
    this.#log('event.dropped', detail)
    if (this.#onDrop === undefined || this.#isTellingDrop) return
    this.#isTellingDrop = true
    callSafely(this.#onDrop, eventOf(), reason)
    this.#isTellingDrop = false
  }
}
