/**
 * The way of dead letters into `postviews.dead`. The message that one came in is acknowledged only after the broker has
 * confirmed the letter there, or after it was given up: because it was refused for long, or because there is no room for it
 * within `DEAD_MAX_BYTES`.
 */

import { DEAD_QUEUE } from '@postviews/client/src/index.ts'
import { amqpCode, channelLost } from '@postviews/client/src/link.ts'
import { type ChannelModel, type ConfirmChannel, IllegalOperationError } from 'amqplib'
import type { QueueDepths } from '../api/health.ts'
import { describeError, type Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import { answered, Unanswered } from './answer.ts'
import { Connection, type Session } from './connection.ts'
import { bodyOf, bytesOf, type DeadLetter, publishOptions } from './dead-letter.ts'
import { DeadRoom } from './dead-room.ts'
import { depthsOf } from './depths.ts'
import { DiscardedLetters } from './discarded-letters.ts'
import { propertiesOf } from './properties.ts'
import { declareQueues, type Queues } from './queues.ts'
import { type Waiting, WaitingLetters } from './waiting-letters.ts'

/** The dead letters of one message. */
export interface Sending {
  /** Those there is room for; the others are discarded. */
  readonly taken: readonly DeadLetter[]
  readonly hasArrived: boolean
  /** Fulfilled once each of them is confirmed, or given up, or void. Never rejects. */
  readonly arrived: Promise<void>
  /** Counts those that have not arrived as discarded, and waits for them no longer. */
  giveUp(): void
}

export interface DeadLettersOptions {
  amqpUrls: readonly string[]
  deadMaxBytes: number
  metrics: Metrics
  log: Log
}

interface PublisherSession extends Session {
  connection: ChannelModel
  channel: ConfirmChannel
  /** It has refused or returned something, and is not used again. */
  isRefused: boolean
  /** The broker has no memory or disk left: it reads nothing on this connection. */
  isBlocked: boolean
  /** By `performance.now()`. */
  startedMs: number
  /** Sent on it and not answered, in that order. */
  inFlight: Set<Waiting>
  /** What was in flight when the broker closed the channel or the connection. */
  suspects: readonly Waiting[]
  end(error: Error): void
}

/** Sending more at once makes nothing faster, and thousands of letters would keep the process from all else. */
const MAX_IN_FLIGHT = 500
const REDECLARE_MS = 60_000
/** A channel opened at the moment a node dies refuses everything until that is back; one opened so much later does not. */
const RETRY_MS = 500
const WATCH_MS = 1_000
/** Longer than any confirm should take: it is told. */
const ANSWER_MS = 10_000
/** A new leader may need 8 to 11 s: only then do letters that wait make room for good events. */
const REFUSING_UNANSWERED_MS = 15_000
/** Then the connection is given up. It may be stuck for good, though its heartbeats are fine. */
const CONFIRM_MS = 20_000
/** What a node refuses for so long, on one channel after the other, another may take. */
const NEXT_NODE_MS = 10_000
/** A queue that was deleted, or that somebody is emptying, takes letters again sooner than this. */
const REFUSING_AFTER_MS = 5_000
const LOG_WAITING_MS = 10_000
/** The reply codes for something that was published: properties, a frame, or a size that the broker does not take. */
const CONTENT_REFUSED = [311, 406, 501, 502, 505, 541]

/**
 * Publishes on a connection of its own: memory and disk alarms block publishing connections, and must not stop
 * consuming. What cannot be published now waits here, and its message with it, until the consumer gives it up.
 *
 * The broker closes the channel on a letter that it does not take, and does not say which. Each letter in flight is then
 * suspected, and from now on sent alone. The one to blame is so found: it is sent once more without what its message said
 * of itself, and discarded if that is refused too.
 */
export class DeadLetters {
  readonly #nodes: number
  readonly #log: Log
  readonly #metrics: Metrics
  readonly #connection: Connection<PublisherSession>
  readonly #housekeeping: NodeJS.Timeout
  readonly #watch: NodeJS.Timeout
  readonly #waiting = new WaitingLetters()
  readonly #room: DeadRoom
  readonly #discarded: DiscardedLetters
  #retryTimer: NodeJS.Timeout | undefined
  #isRefusing = false
  #toldWaitingMs = Number.NEGATIVE_INFINITY
  #isStopping = false

  constructor({ amqpUrls: urls, deadMaxBytes, metrics, log }: DeadLettersOptions) {
    this.#nodes = urls.length
    this.#room = new DeadRoom(deadMaxBytes)
    this.#metrics = metrics
    this.#log = log
    this.#discarded = new DiscardedLetters({ metrics, log })
    this.#connection = new Connection<PublisherSession>({
      urls,
      setUp: async connection => {
        await declareQueues(connection)
        // Before anything is sent: how much room is left?
        await this.#room.look(
          connection,
          () => 0,
          () => {},
        )
        const channel = await connection.createConfirmChannel()
        const over = Promise.withResolvers<Error>()
        const inFlight = new Set<Waiting>()
        const session: PublisherSession = {
          connection,
          channel,
          isRefused: false,
          isBlocked: false,
          startedMs: performance.now(),
          inFlight,
          suspects: [],
          lost: over.promise,
          end: over.resolve,
        }
        connection.on('error', () => this.#noteSuspects(session))
        connection.on('blocked', () => {
          session.isBlocked = true
        })
        connection.on('unblocked', () => this.#onUnblocked(session))
        this.#attend(session)
        return session
      },
      onUp: session => {
        for (const waiting of this.#waiting.all()) this.#waiting.unsent.add(waiting)
        this.#sendOn(session)
      },
      onLost: (error, session, broker) => {
        if (session !== undefined && CONTENT_REFUSED.includes(amqpCode(error) ?? 0)) this.#suspect(session)
        log.warn({ connection: 'publisher', broker, error: describeError(error) }, 'broker.lost')
      },
    })
    // A binding or a queue that somebody removed would leave us silently idle.
    this.#housekeeping = setInterval(() => {
      const { session } = this.#connection
      if (session !== undefined) void this.#declare(session)
    }, REDECLARE_MS)
    this.#watch = setInterval(() => this.#look(), WATCH_MS)
  }

  /** Sends the letters of one message. `signal` is aborted when they are void: the broker will deliver the message again. */
  send(letters: readonly DeadLetter[], signal: AbortSignal): Sending {
    if (signal.aborted) return { taken: [], hasArrived: true, arrived: Promise.resolve(), giveUp: () => {} }
    const { promise: arrived, resolve } = Promise.withResolvers<void>()
    const left = new Set<Waiting>()
    const taken: DeadLetter[] = []
    for (const letter of letters) {
      if (!this.#room.isFor(bytesOf(letter), this.#waiting.bytes)) {
        this.#discarded.count(letter, 'full')
        continue
      }
      taken.push(letter)
      const waiting = this.#waiting.add(letter, signal, () => {
        left.delete(waiting)
        if (left.size === 0) resolve()
      })
      left.add(waiting)
    }
    if (taken.length === 0) resolve()
    const { session } = this.#connection
    if (session !== undefined) this.#sendOn(session)
    return {
      taken,
      get hasArrived() {
        return left.size === 0
      },
      arrived,
      giveUp: () => {
        for (const waiting of [...left]) this.#discard(waiting)
      },
    }
  }

  /** Whether letters have been refused, or not answered, for longer than passes by itself, even where some get through. */
  get isRefusing(): boolean {
    return this.#isRefusing
  }

  /** Whether there was no room for a letter within the last minute. */
  get isFull(): boolean {
    return this.#room.isFull
  }

  /** What the letters in the queue take, as an estimate; null when the broker has not told how many there are. */
  get bytes(): number | null {
    return this.#room.bytes
  }

  /** Messages that wait in each queue; null when the broker does not say. */
  async depths(queues: Queues): Promise<QueueDepths | null> {
    const { session } = this.#connection
    if (session === undefined) return null
    const depths = await depthsOf(session.connection, queues, error => this.#onSilent(session, error))
    if (depths === null || depths.dead === null) return depths
    return { ...depths, dead: depths.dead + this.#room.inHand }
  }

  isConnected(): boolean {
    return this.#connection.session !== undefined
  }

  stop(): Promise<void> {
    this.#isStopping = true
    clearInterval(this.#housekeeping)
    clearInterval(this.#watch)
    clearTimeout(this.#retryTimer)
    this.#discarded.tell()
    return this.#connection.stop()
  }

  #attend(session: PublisherSession): void {
    const { channel } = session
    channel.on('error', () => this.#noteSuspects(session))
    channel.on('return', message =>
      this.#onReturn(session, propertiesOf(message).allHeaders.fields['set-aside-id']),
    )
    void channelLost(channel).then(error => {
      if (session.channel === channel) session.end(error)
    })
  }

  // Now: in a moment amqplib tells each of them that the channel is closed, and none is in flight any more.
  #noteSuspects(session: PublisherSession): void {
    if (session.suspects.length === 0) session.suspects = [...session.inFlight]
  }

  #sendOn(session: PublisherSession): void {
    const { inFlight } = session
    for (const waiting of this.#waiting.unsent) {
      if (inFlight.size >= MAX_IN_FLIGHT || session !== this.#connection.session || session.isRefused) return
      const isAlone = waiting.suspicions > 0
      // Those that are not suspected go first; then one at a time.
      if (isAlone && inFlight.size > 0) continue
      this.#waiting.unsent.delete(waiting)
      this.#publish(session, waiting)
      if (isAlone) return
    }
  }

  #publish(session: PublisherSession, waiting: Waiting): void {
    const { letter, id } = waiting
    waiting.isReturned = false
    waiting.sentAtMs = performance.now()
    const options = publishOptions(letter, id, waiting.suspicions > 1)
    const { channel } = session
    try {
      channel.publish('', DEAD_QUEUE, bodyOf(letter), options, error => {
        session.inFlight.delete(waiting)
        if (error === null && !waiting.isReturned) this.#confirm(waiting)
        else this.#publishLater(session, channel, waiting)
        this.#sendOn(session)
      })
      session.inFlight.add(waiting)
    } catch (error) {
      // The channel has just ended: the next session sends whatever waits. Anything else is what the message said of
      // itself, which amqplib cannot write.
      if (error instanceof IllegalOperationError || waiting.suspicions > 1) return
      waiting.suspicions = 2
      this.#log.warn({ error: describeError(error) }, 'view.properties_left_out')
      this.#publish(session, waiting)
    }
  }

  #suspect({ suspects }: PublisherSession): void {
    for (const waiting of suspects) {
      // It was sent alone, and bare.
      if (waiting.suspicions > 1) this.#discard(waiting)
      else waiting.suspicions++
    }
  }

  #publishLater(session: PublisherSession, channel: ConfirmChannel, waiting: Waiting): void {
    // A session that is over fails all that was in flight; the next one publishes whatever waits.
    if (this.#connection.session !== session || !this.#waiting.has(waiting)) return
    waiting.refusedAtMs ??= performance.now()
    if (session.channel === channel) session.isRefused = true
    this.#waiting.refused.add(waiting)
    this.#retryLater(session)
  }

  #retryLater(session: PublisherSession): void {
    this.#retryTimer ??= setTimeout(() => void this.#retry(session), RETRY_MS)
  }

  async #retry(session: PublisherSession): Promise<void> {
    // Told also where it is mended at once, as a queue that was deleted.
    this.#look()
    await this.#declare(session)
    await this.#renewChannel(session)
    this.#retryTimer = undefined
    const refused = [...this.#waiting.refused]
    this.#waiting.refused.clear()
    // Another session may have begun, and sent some of them.
    const { session: current } = this.#connection
    for (const waiting of refused) if (!current?.inFlight.has(waiting)) this.#waiting.unsent.add(waiting)
    if (current === undefined) return
    // It is blocked, so that no other channel could be opened.
    if (current.isRefused && !this.#isStopping) this.#retryLater(current)
    this.#sendOn(current)
  }

  /**
   * A channel that once heard that a queue is full may never hear that it no longer is (3.10, where a policy goes), and one that
   * was opened as a node died refuses everything.
   */
  async #renewChannel(session: PublisherSession): Promise<void> {
    const { connection, channel: deaf } = session
    try {
      session.channel = await answered(connection.createConfirmChannel(), 'open a channel')
      session.isRefused = false
      this.#attend(session)
      // What is still in flight on it fails, and is published again.
      await answered(deaf.close(), 'close a channel')
    } catch (error) {
      // Anything else: the connection has just ended, and so has the session.
      this.#onSilent(session, error)
    }
  }

  /** A queue without a leader neither confirms nor refuses: without this nobody would know what its messages wait for. */
  #look(): void {
    const now = performance.now()
    this.#discarded.tellSometimes()
    this.#lookForRoom()
    // Without a connection `broker.lost` says it.
    const waiting = this.isConnected() ? this.#waiting.all() : []
    const isUnanswered = (each: Waiting, forMs: number) =>
      !this.#waiting.refused.has(each) &&
      (each.isOverdue || (each.sentAtMs !== undefined && each.sentAtMs < now - forMs))
    const unanswered = waiting.filter(each => isUnanswered(each, ANSWER_MS)).length
    const refused = waiting.filter(({ refusedAtMs }) => refusedAtMs !== undefined)
    this.#isRefusing =
      waiting.some(each => isUnanswered(each, REFUSING_UNANSWERED_MS)) ||
      refused.some(each => each.refusedAtMs! < now - REFUSING_AFTER_MS)
    if (refused.length + unanswered > 0 && now - this.#toldWaitingMs > LOG_WAITING_MS) {
      this.#toldWaitingMs = now
      this.#log.warn({ queue: DEAD_QUEUE, refused: refused.length, unanswered }, 'view.dead_letter_waits')
    }
    this.#lookForLate(refused)
  }

  /** Gives up a connection on which nothing comes of what was sent. */
  #lookForLate(refused: readonly Waiting[]): void {
    const { session } = this.#connection
    if (session === undefined || session.isBlocked) return
    const now = performance.now()
    const [oldest] = session.inFlight
    if (oldest?.sentAtMs !== undefined && oldest.sentAtMs < now - CONFIRM_MS) {
      for (const waiting of session.inFlight) waiting.isOverdue = true
      session.end(new Unanswered(`the broker has not confirmed anything for ${CONFIRM_MS} ms`))
      return
    }
    // A node that is cut off from the others refuses whatever it is sent, and knows of no majority that would take it.
    const isInVain =
      session.startedMs < now - NEXT_NODE_MS && refused.some(each => each.refusedAtMs! < now - NEXT_NODE_MS)
    if (isInVain && this.#nodes > 1) session.end(new Error(`${DEAD_QUEUE} refuses what it is sent`))
  }

  /** Unless the broker has said why it does not answer. */
  #onSilent(session: PublisherSession, error: unknown): void {
    if (error instanceof Unanswered && !session.isBlocked) session.end(error)
  }

  /** The time for which it was blocked does not count. */
  #onUnblocked(session: PublisherSession): void {
    session.isBlocked = false
    for (const waiting of session.inFlight) waiting.sentAtMs = performance.now()
  }

  #confirm(waiting: Waiting): void {
    if (!this.#waiting.has(waiting)) return
    this.#metrics.events.inc({ outcome: 'dead_lettered', reason: waiting.letter.reason })
    this.#waiting.settle(waiting)
    this.#room.take(waiting.bytes)
    this.#lookForRoom()
  }

  #lookForRoom(): void {
    const { session } = this.#connection
    if (session === undefined) return
    void this.#room.look(
      session.connection,
      () => session.inFlight.size,
      error => this.#onSilent(session, error),
    )
  }

  #discard(waiting: Waiting): void {
    this.#discarded.count(waiting.letter, 'refused')
    this.#waiting.settle(waiting)
  }

  /** A return comes before the confirm of the same letter. Of two with one id, the one that was sent first comes first. */
  #onReturn({ inFlight }: PublisherSession, id: unknown): void {
    for (const waiting of inFlight) {
      if (waiting.id !== id || waiting.isReturned) continue
      waiting.isReturned = true
      return
    }
  }

  /** Never rejects. */
  async #declare({ connection }: PublisherSession): Promise<void> {
    try {
      await declareQueues(connection)
    } catch (error) {
      if (!this.#isStopping)
        this.#log.warn({ connection: 'publisher', error: describeError(error) }, 'broker.lost')
    }
  }
}
