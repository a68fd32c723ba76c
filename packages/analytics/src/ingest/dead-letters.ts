/**
 * Where events go that cannot be counted: each whole, with the reason, as a dead letter in `postviews.dead`. The message
 * that it came in is acknowledged only after the broker has confirmed it there, or after it was given up.
 */

import { hash } from 'node:crypto'
import { DEAD_QUEUE, type InvalidReason, readMessageTime } from '@postviews/client'
import { amqpCode, channelLost } from '@postviews/client/link'
import { type ChannelModel, type ConfirmChannel, IllegalOperationError, type Options } from 'amqplib'
import type { QueueDepths } from '../api/health.ts'
import { describeError, type Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import { carryOver, namesOf, OWN_HEADERS } from './carry-over.ts'
import { Connection, type Session } from './connection.ts'
import { depthsOf } from './depths.ts'
import { propertiesOf } from './properties.ts'
import { declareQueues, findQueues, type Queues } from './queues.ts'
import type { ReceivedMessage } from './received.ts'

/** Why an event is a dead letter: what is wrong with it, or that no store keeps its row. */
export type DeadReason = InvalidReason | 'unstorable'

export interface DeadLetter {
  /** The message it came in. */
  message: ReceivedMessage
  queue: string
  reason: DeadReason
  /** Its place in the message's array; null when it is the whole message. */
  index: number | null
  body: Buffer
  /** Unix seconds. */
  receivedAt: number
}

/** The dead letters of one message. */
export interface Sending {
  /** Fulfilled once each of them is confirmed, or given up, or void. Never rejects. */
  readonly arrived: Promise<void>
  /** Counts those that have not arrived as discarded, and waits for them no longer. */
  giveUp(): void
}

interface Waiting {
  letter: DeadLetter
  id: string
  signal: AbortSignal
  isReturned: boolean
  /** Without anything of its message's properties, after the broker or amqplib refused them. */
  isBare: boolean
  /** By `performance.now()`, the last time; undefined before the first. */
  sentAtMs: number | undefined
  done(): void
}

interface PublisherSession extends Session {
  connection: ChannelModel
  channel: ConfirmChannel
  queues: Queues
  /** Letters sent on it that the broker has not answered. */
  inFlight: number
  end(error: Error): void
}

/** Sending more at once makes nothing faster, and thousands of letters would keep the process from all else. */
const MAX_IN_FLIGHT = 500
const REDECLARE_MS = 60_000
const RETRY_MS = 1_000
const WATCH_MS = 1_000
/** Longer than any confirm should take. */
const ANSWER_MS = 10_000
/** A queue that was deleted, or that somebody is emptying, takes letters again sooner than this. */
const REFUSING_AFTER_MS = 5_000
const LOG_WAITING_MS = 10_000
const LOG_DISCARDED_MS = 60_000
/** The broker ends connections with it when it is stopped: it says nothing of what was sent. */
const CONNECTION_FORCED = 320

/**
 * Publishes on a connection of its own: memory and disk alarms block publishing connections, and must not stop
 * consuming. What cannot be published now waits here, and its message with it, until the consumer gives it up.
 */
export class DeadLetters {
  readonly #log: Log
  readonly #metrics: Metrics
  readonly #connection: Connection<PublisherSession>
  readonly #housekeeping: NodeJS.Timeout
  readonly #watch: NodeJS.Timeout
  /** Not confirmed yet, by set-aside-id: sent in this session or to be sent. */
  readonly #waiting = new Map<string, Set<Waiting>>()
  /** Those of them that are to be sent, in their order. */
  readonly #unsent = new Set<Waiting>()
  /** Refused or returned, and published again together when the timer fires. */
  readonly #refused = new Set<Waiting>()
  readonly #watched = new WeakSet<AbortSignal>()
  readonly #discarded = new Map<DeadReason, number>()
  #retryTimer: NodeJS.Timeout | undefined
  /** By `performance.now()`: the first refusal since the last confirm. */
  #refusedSinceMs: number | undefined
  #unanswered = 0
  #toldWaitingMs = Number.NEGATIVE_INFINITY
  #toldDiscardedMs = Number.NEGATIVE_INFINITY
  #isStopping = false

  constructor(url: string, metrics: Metrics, log: Log) {
    this.#metrics = metrics
    this.#log = log
    this.#connection = new Connection<PublisherSession>({
      url,
      setUp: async connection => {
        const queues = await findQueues(connection)
        const channel = await connection.createConfirmChannel()
        const over = Promise.withResolvers<Error>()
        const session = { connection, channel, queues, inFlight: 0, lost: over.promise, end: over.resolve }
        this.#attend(session)
        return session
      },
      onUp: session => {
        for (const waiting of this.#all()) this.#unsent.add(waiting)
        this.#sendOn(session)
      },
      onLost: (error, session) => {
        if (session !== undefined) this.#sendBare(error)
        log.warn({ connection: 'publisher', error: describeError(error) }, 'broker.lost')
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
    if (signal.aborted) return { arrived: Promise.resolve(), giveUp: () => {} }
    this.#settleWhenVoid(signal)
    const { promise: arrived, resolve } = Promise.withResolvers<void>()
    const left = new Set<Waiting>()
    for (const letter of letters) {
      const waiting: Waiting = {
        letter,
        id: setAsideId(letter),
        signal,
        isReturned: false,
        isBare: false,
        sentAtMs: undefined,
        done: () => {
          left.delete(waiting)
          if (left.size === 0) resolve()
        },
      }
      left.add(waiting)
      this.#unsent.add(waiting)
      const others = this.#waiting.get(waiting.id)
      if (others === undefined) this.#waiting.set(waiting.id, new Set([waiting]))
      else others.add(waiting)
    }
    const { session } = this.#connection
    if (session !== undefined) this.#sendOn(session)
    return {
      arrived,
      giveUp: () => {
        for (const waiting of [...left]) this.#discard(waiting)
      },
    }
  }

  /** Whether `postviews.dead` has refused everything, or has not answered, for longer than passes by itself. */
  get isRefusing(): boolean {
    const refusedMs = this.#refusedSinceMs === undefined ? 0 : performance.now() - this.#refusedSinceMs
    return refusedMs > REFUSING_AFTER_MS || this.#unanswered > 0
  }

  /** The queues as they were last found; undefined while the broker is away. */
  get queues(): Queues | undefined {
    return this.#connection.session?.queues
  }

  /** Messages that wait in each queue; null when the broker does not say. */
  async depths(): Promise<QueueDepths | null> {
    const { session } = this.#connection
    return session === undefined ? null : depthsOf(session.connection, session.queues)
  }

  isConnected(): boolean {
    return this.#connection.session !== undefined
  }

  stop(): Promise<void> {
    this.#isStopping = true
    clearInterval(this.#housekeeping)
    clearInterval(this.#watch)
    clearTimeout(this.#retryTimer)
    return this.#connection.stop()
  }

  #all(): Waiting[] {
    return [...this.#waiting.values()].flatMap(waiting => [...waiting])
  }

  #attend(session: PublisherSession): void {
    const { channel } = session
    channel.on('return', message => this.#onReturn(propertiesOf(message).allHeaders.fields['set-aside-id']))
    void channelLost(channel).then(error => {
      if (session.channel === channel) session.end(error)
    })
  }

  #sendOn(session: PublisherSession): void {
    for (const waiting of this.#unsent) {
      if (session.inFlight >= MAX_IN_FLIGHT || session !== this.#connection.session) return
      this.#unsent.delete(waiting)
      this.#publish(session, waiting)
    }
  }

  #publish(session: PublisherSession, waiting: Waiting): void {
    waiting.isReturned = false
    waiting.sentAtMs = performance.now()
    try {
      this.#put(session, waiting)
    } catch (error) {
      // The channel has just ended: the next session sends whatever waits. Anything else is what the message said of
      // itself, which amqplib cannot write.
      if (error instanceof IllegalOperationError || waiting.isBare) return
      waiting.isBare = true
      this.#log.warn({ error: describeError(error) }, 'view.properties_left_out')
      this.#publish(session, waiting)
    }
  }

  #put(session: PublisherSession, waiting: Waiting): void {
    const { letter, id, isBare } = waiting
    session.channel.publish('', DEAD_QUEUE, letter.body, optionsOf(letter, id, isBare), error => {
      session.inFlight--
      if (error === null && !waiting.isReturned) this.#confirm(waiting)
      else this.#publishLater(session, waiting)
      this.#sendOn(session)
    })
    session.inFlight++
  }

  /** The broker closes the channel, or the connection, on a property it does not take, and names none. */
  #sendBare(error: Error): void {
    const code = amqpCode(error)
    if (code === undefined || code === CONNECTION_FORCED) return
    for (const waiting of this.#all()) waiting.isBare = true
  }

  #publishLater(session: PublisherSession, waiting: Waiting): void {
    // A session that is over fails all that was in flight; the next one publishes whatever waits.
    if (this.#connection.session !== session || !this.#isWaiting(waiting)) return
    this.#refusedSinceMs ??= performance.now()
    this.#refused.add(waiting)
    this.#retryTimer ??= setTimeout(() => void this.#retry(session), RETRY_MS)
  }

  async #retry(session: PublisherSession): Promise<void> {
    await Promise.race([this.#declare(session), session.lost])
    await Promise.race([this.#renewChannel(session), session.lost])
    this.#retryTimer = undefined
    for (const waiting of this.#refused) this.#unsent.add(waiting)
    this.#refused.clear()
    const { session: current } = this.#connection
    if (current !== undefined) this.#sendOn(current)
  }

  /** A channel that once heard that a queue is full may never hear that it no longer is (3.10, where a policy goes). */
  async #renewChannel(session: PublisherSession): Promise<void> {
    const { connection, channel: deaf } = session
    try {
      session.channel = await connection.createConfirmChannel()
      this.#attend(session)
      // What is still in flight on it fails, and is published again.
      await deaf.close()
    } catch {
      // The connection has just ended: then so has the session.
    }
  }

  /** A queue without a leader neither confirms nor refuses: without this nobody would know what its messages wait for. */
  #look(): void {
    const now = performance.now()
    if (this.#discarded.size > 0 && now - this.#toldDiscardedMs > LOG_DISCARDED_MS) {
      this.#toldDiscardedMs = now
      this.#log.error({ queue: DEAD_QUEUE, reasons: Object.fromEntries(this.#discarded) }, 'view.discarded')
      this.#discarded.clear()
    }
    // Without a connection `broker.lost` says it.
    const sent = this.isConnected() ? this.#all() : []
    const isLate = (each: Waiting) =>
      each.sentAtMs !== undefined && each.sentAtMs < now - ANSWER_MS && !this.#refused.has(each)
    this.#unanswered = sent.filter(isLate).length
    const unanswered = this.#unanswered
    const refused = this.#refusedSinceMs === undefined ? 0 : sent.length - unanswered
    if (refused + unanswered > 0 && now - this.#toldWaitingMs > LOG_WAITING_MS) {
      this.#toldWaitingMs = now
      this.#log.warn({ queue: DEAD_QUEUE, refused, unanswered }, 'view.dead_letter_waits')
    }
  }

  #settleWhenVoid(signal: AbortSignal): void {
    if (this.#watched.has(signal)) return
    this.#watched.add(signal)
    const settle = () => {
      for (const waiting of this.#all()) if (waiting.signal === signal) this.#settle(waiting)
    }
    // One listener for all letters of a session: taking one of thousands off a signal takes longer the more there are.
    signal.addEventListener('abort', settle, { once: true })
  }

  #confirm(waiting: Waiting): void {
    this.#refusedSinceMs = undefined
    if (!this.#isWaiting(waiting)) return
    this.#metrics.events.inc({ outcome: 'dead_lettered', reason: waiting.letter.reason })
    this.#settle(waiting)
  }

  #discard(waiting: Waiting): void {
    const { reason } = waiting.letter
    this.#metrics.events.inc({ outcome: 'discarded', reason })
    this.#discarded.set(reason, (this.#discarded.get(reason) ?? 0) + 1)
    this.#settle(waiting)
  }

  #isWaiting(waiting: Waiting): boolean {
    return this.#waiting.get(waiting.id)?.has(waiting) ?? false
  }

  #settle(waiting: Waiting): void {
    this.#refused.delete(waiting)
    this.#unsent.delete(waiting)
    const others = this.#waiting.get(waiting.id)
    others?.delete(waiting)
    if (others?.size === 0) this.#waiting.delete(waiting.id)
    if (this.#waiting.size === 0) this.#refusedSinceMs = undefined
    waiting.done()
  }

  #onReturn(id: unknown): void {
    const waiting = this.#waiting
      .get(String(id))
      ?.values()
      .find(({ isReturned }) => !isReturned)
    if (waiting !== undefined) waiting.isReturned = true
  }

  async #declare(session: PublisherSession): Promise<void> {
    try {
      session.queues = await declareQueues(session.connection, session.queues)
    } catch (error) {
      if (!this.#isStopping)
        this.#log.warn({ connection: 'publisher', error: describeError(error) }, 'broker.lost')
    }
  }
}

/** The same whenever the same message is delivered again, so that what a crash published twice can be told. */
function setAsideId({ message, index }: DeadLetter): string {
  return hash('sha256', `${message.digest}\0${index}`).slice(0, 32)
}

function optionsOf(letter: DeadLetter, id: string, isBare: boolean): Options.Publish {
  const { message, queue, reason, index, receivedAt } = letter
  const headers = {
    reason,
    'set-aside-id': id,
    'set-aside-at': new Date().toISOString(),
    'source-queue': queue,
    ...(index === null ? {} : { index }),
  }
  // Without a time of its own a replayed event would count as of its replay.
  const receivedAtMs = Math.floor(receivedAt * 1_000)
  if (isBare) {
    const bare = { timestamp_in_ms: receivedAtMs, 'left-out': ['all properties'] }
    return { mandatory: true, persistent: true, headers: { ...headers, ...bare } }
  }
  const { options, leftOut } = carryOver(message.properties, OWN_HEADERS)
  const stamped = message.properties.headers
  if (readMessageTime({ headers: stamped }, receivedAt).source === 'receipt') {
    if (stamped.timestamp_in_ms !== undefined) leftOut.push('headers.timestamp_in_ms')
    options.headers['timestamp_in_ms'] = { '!': 'int64', value: receivedAtMs }
  }
  // The message's id is an event's id only where the message is one event.
  if (index !== null) delete options.messageId
  return {
    ...options,
    mandatory: true,
    persistent: true,
    headers: {
      ...options.headers,
      ...headers,
      ...(leftOut.length === 0 ? {} : { 'left-out': namesOf(leftOut) }),
    },
  }
}
