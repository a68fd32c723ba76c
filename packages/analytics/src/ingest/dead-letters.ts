/**
 * Publishes dead letters to `postviews.dead`. The message of a letter is acknowledged only after the broker has confirmed the
 * letter there, or after the letter was given up: because it was refused for long, or because there is no room for it within
 * `DEAD_MAX_BYTES`.
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
  /** The letters that there is room for; the others are discarded. */
  readonly taken: readonly DeadLetter[]
  readonly hasArrived: boolean
  /** Resolves once each letter is confirmed, given up or void. Never rejects. */
  readonly arrived: Promise<void>
  /** Stops waiting for letters that have not arrived, and counts them as discarded. */
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
  /** The channel has refused or returned a letter, and is not used again. */
  isRefused: boolean
  /** The broker has no memory or disk left: it reads nothing on this connection. */
  isBlocked: boolean
  /** By `performance.now()`. */
  startedMs: number
  /** Letters sent and not answered yet, in the order sent. */
  inFlight: Set<Waiting>
  /** The letters in flight when the broker closed the channel or the connection. */
  suspects: readonly Waiting[]
  end(error: Error): void
}

/** Sending more at once is not faster, and publishing thousands of letters would block the process. */
const MAX_IN_FLIGHT = 500
const REDECLARE_MS = 60_000
/** A channel opened at the moment a node dies refuses everything until the node is back; one opened this much later does not. */
const RETRY_MS = 500
const WATCH_MS = 1_000
/** Longer than any confirm should take; beyond this the wait is logged. */
const ANSWER_MS = 10_000
/** Longer than the 8 to 11 s that a new leader may need. Only then do waiting letters make room for good events. */
const REFUSING_UNANSWERED_MS = 15_000
/** After this the connection is given up: it may be stuck for ever, though its heartbeats arrive. */
const CONFIRM_MS = 20_000
/** What a node refuses for this long, on one channel after the other, another node may take. */
const NEXT_NODE_MS = 10_000
/** A queue that was deleted, or that somebody is emptying, takes letters again sooner than this. */
const REFUSING_AFTER_MS = 5_000
const LOG_WAITING_MS = 10_000
/** The reply codes that blame a published message: the broker refuses its properties, a frame or its size. */
const CONTENT_REFUSED = [311, 406, 501, 502, 505, 541]

/**
 * Publishes on a connection of its own: memory and disk alarms block publishing connections, and must not stop consuming. A
 * letter that cannot be published now waits here, with its message, until the consumer gives it up.
 *
 * When the broker refuses a letter, it closes the channel and does not say which letter it was. Every letter in flight is then a
 * suspect, and is sent alone from now on. This finds the bad letter: it is sent once more without the properties of its message,
 * and discarded if it is refused again.
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

  /** Whether letters are refused or not answered for too long to be a passing problem, even if some get through. */
  get isRefusing(): boolean {
    return this.#isRefusing
  }

  /** Whether there was no room for a letter within the last minute. */
  get isFull(): boolean {
    return this.#room.isFull
  }

  /** Estimated bytes of the letters in the queue; null while the broker has not said how many there are. */
  get bytes(): number | null {
    return this.#room.bytes
  }

  /** Messages that wait in each queue; null when the broker does not say. */
  async depths(queues: Queues): Promise<QueueDepths | null> {
    const { session } = this.#connection
    if (session === undefined) return null
    return depthsOf(session.connection, queues, error => this.#onSilent(session, error))
  }

  /** Letters taken from the queue to estimate their size. */
  get inHand(): number {
    return this.#room.inHand
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

  // Must run now: amqplib is about to fail all letters of the closed channel, and then none is in flight any more.
  #noteSuspects(session: PublisherSession): void {
    if (session.suspects.length === 0) session.suspects = [...session.inFlight]
  }

  #sendOn(session: PublisherSession): void {
    const { inFlight } = session
    for (const waiting of this.#waiting.unsent) {
      if (inFlight.size >= MAX_IN_FLIGHT || session !== this.#connection.session || session.isRefused) return
      const isAlone = waiting.suspicions > 0
      // Letters that are not suspected go first; then the suspects, one at a time.
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
      // `IllegalOperationError`: the channel has just ended, and the next session sends what waits. Any other error: amqplib
      // cannot encode the properties of the message.
      if (error instanceof IllegalOperationError || waiting.suspicions > 1) return
      waiting.suspicions = 2
      this.#log.warn({ error: describeError(error) }, 'view.properties_left_out')
      this.#publish(session, waiting)
    }
  }

  #suspect({ suspects }: PublisherSession): void {
    for (const waiting of suspects) {
      // It was sent alone, and without properties.
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
    // Logs the refusal even if it is repaired at once, as for a deleted queue.
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
    // The connection is blocked, so no new channel could be opened.
    if (current.isRefused && !this.#isStopping) this.#retryLater(current)
    this.#sendOn(current)
  }

  /**
   * A channel may refuse letters for ever: on RabbitMQ 3.10 it may never learn that a queue is no longer full (after a policy is
   * removed), and a channel that was opened as a node died refuses everything.
   */
  async #renewChannel(session: PublisherSession): Promise<void> {
    const { connection, channel: deaf } = session
    try {
      session.channel = await answered(connection.createConfirmChannel(), 'open a channel')
      session.isRefused = false
      this.#attend(session)
      // Letters still in flight on the old channel fail, and are published again.
      await answered(deaf.close(), 'close a channel')
    } catch (error) {
      // Any other error: the connection has just ended, and so has the session.
      this.#onSilent(session, error)
    }
  }

  /** A queue without a leader neither confirms nor refuses. Without this check nothing would tell why its messages wait. */
  #look(): void {
    const now = performance.now()
    this.#discarded.tellSometimes()
    this.#lookForRoom()
    // Without a connection, `broker.lost` was logged.
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

  /** Gives up a connection that answers nothing, or only refuses. */
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
    // A node that is cut off from the others has no majority, so it refuses everything.
    const isInVain =
      session.startedMs < now - NEXT_NODE_MS && refused.some(each => each.refusedAtMs! < now - NEXT_NODE_MS)
    if (isInVain && this.#nodes > 1) session.end(new Error(`${DEAD_QUEUE} refuses the messages sent to it`))
  }

  /** Ends the session, unless the connection is blocked: then the silence is expected. */
  #onSilent(session: PublisherSession, error: unknown): void {
    if (error instanceof Unanswered && !session.isBlocked) session.end(error)
  }

  /** The time while the connection was blocked does not count. */
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

  /** A return comes before the confirm of the same letter. Of two letters with one id, the one sent first is returned first. */
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
