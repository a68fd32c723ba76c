/**
 * Where events go that cannot be counted: whole, with the reason, into `postviews.dead`. The original is
 * acknowledged only after the broker has confirmed them there.
 */

import { createHash } from 'node:crypto'
import { CONSUMED_QUEUES, DEAD_QUEUE, declareTopology, type InvalidReason } from '@postviews/client'
import { channelLost } from '@postviews/client/link'
import type { ChannelModel, ConfirmChannel } from 'amqplib'
import type { QueueDepths } from '../api/health.ts'
import { describeError, type Log } from '../log.ts'
import { Connection, type Session } from './connection.ts'
import { depthsOf } from './depths.ts'
import type { ReceivedMessage } from './received.ts'

/** Why an event is in `postviews.dead`: what is wrong with it, or that no store keeps its row. */
export type SetAsideReason = InvalidReason | 'unstorable'

export interface SetAsideEvent {
  /** The message it came in. */
  message: ReceivedMessage
  queue: string
  reason: SetAsideReason
  /** Its place in the message's array; null when the message is set aside whole. */
  index: number | null
  body: Buffer
  /** Unix seconds. */
  receivedAt: number
}

interface Waiting {
  event: SetAsideEvent
  id: string
  isReturned: boolean
  /** By `performance.now()`, the last time. */
  sentAtMs: number
  done(): void
}

interface PublisherSession extends Session {
  connection: ChannelModel
  channel: ConfirmChannel
  end(error: Error): void
}

const REDECLARE_MS = 60_000
const RETRY_MS = 1_000
/** Longer than any confirm should take. */
const ANSWER_MS = 10_000

/**
 * Publishes on a connection of its own: memory and disk alarms block publishing connections, and must not stop
 * consuming. What cannot be published now waits here, and its delivery with it; the prefetch bounds both.
 */
export class SetAside {
  readonly #log: Log
  readonly #connection: Connection<PublisherSession>
  readonly #housekeeping: NodeJS.Timeout
  readonly #watch: NodeJS.Timeout
  /** Not confirmed yet, by set-aside-id: sent in this session or to be sent. */
  readonly #waiting = new Map<string, Waiting[]>()
  /** Refused or returned, and published again together when the timer fires. */
  readonly #refused = new Set<Waiting>()
  #retryTimer: NodeJS.Timeout | undefined
  #isStopping = false

  constructor(url: string, log: Log) {
    this.#log = log
    this.#connection = new Connection<PublisherSession>({
      url,
      setUp: async connection => {
        await declareTopology(connection, [DEAD_QUEUE, ...CONSUMED_QUEUES])
        const channel = await connection.createConfirmChannel()
        const over = Promise.withResolvers<Error>()
        const session = { connection, channel, lost: over.promise, end: over.resolve }
        this.#attend(session)
        return session
      },
      onUp: session => {
        for (const waiting of [...this.#waiting.values()].flat()) this.#publish(session, waiting)
      },
      onLost: error => log.warn({ connection: 'publisher', error: describeError(error) }, 'broker.lost'),
    })
    // A binding or a queue that somebody removed would leave us silently idle.
    this.#housekeeping = setInterval(() => {
      const { session } = this.#connection
      if (session !== undefined) void this.#declare(session)
    }, REDECLARE_MS)
    this.#watch = setInterval(() => this.#tellWhatWaits(), ANSWER_MS)
  }

  /**
   * Fulfilled once the broker has confirmed the event in `postviews.dead`. Never rejects. `signal` is aborted when the
   * delivery is void: the broker will hand the message out again, so nobody waits for this any more.
   */
  put(event: SetAsideEvent, signal: AbortSignal): Promise<void> {
    return new Promise(resolve => {
      const id = setAsideId(event)
      const onVoid = () => this.#settle(waiting)
      const done = () => {
        // The signal lives as long as the session: left there, this would keep the message as long.
        signal.removeEventListener('abort', onVoid)
        resolve()
      }
      const waiting: Waiting = { event, id, isReturned: false, sentAtMs: performance.now(), done }
      this.#waiting.set(id, [...(this.#waiting.get(id) ?? []), waiting])
      signal.addEventListener('abort', onVoid, { once: true })
      const { session } = this.#connection
      if (session !== undefined) this.#publish(session, waiting)
    })
  }

  /** Messages that wait in each queue; null when the broker does not say. */
  async depths(): Promise<QueueDepths | null> {
    const { session } = this.#connection
    return session === undefined ? null : depthsOf(session.connection)
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

  #attend(session: PublisherSession): void {
    const { channel } = session
    channel.on('return', message => this.#onReturn(message.properties.headers?.['set-aside-id']))
    void channelLost(channel).then(error => {
      if (session.channel === channel) session.end(error)
    })
  }

  #publish(session: PublisherSession, waiting: Waiting): void {
    waiting.isReturned = false
    waiting.sentAtMs = performance.now()
    try {
      session.channel.publish('', DEAD_QUEUE, waiting.event.body, setAsideProperties(waiting), error => {
        if (error === null && !waiting.isReturned) this.#settle(waiting)
        else this.#publishLater(session, waiting)
      })
    } catch {
      // The channel has just ended; the next session publishes whatever waits.
    }
  }

  #publishLater(session: PublisherSession, waiting: Waiting): void {
    // A session that is over fails all that was in flight; the next one publishes whatever waits.
    if (this.#connection.session !== session) return
    this.#refused.add(waiting)
    this.#retryTimer ??= setTimeout(() => void this.#retry(session), RETRY_MS)
  }

  async #retry(session: PublisherSession): Promise<void> {
    await Promise.race([this.#declare(session), session.lost])
    await Promise.race([this.#renewChannel(session), session.lost])
    this.#retryTimer = undefined
    this.#tellWhatWaits()
    const refused = [...this.#refused]
    this.#refused.clear()
    const { session: current } = this.#connection
    if (current !== undefined) for (const waiting of refused) this.#publish(current, waiting)
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
  #tellWhatWaits(): void {
    // Without a connection `broker.lost` says it.
    if (!this.isConnected()) return
    const late = performance.now() - ANSWER_MS
    const waiting = [...this.#waiting.values()].flat()
    const refused = this.#refused.size
    const unanswered = waiting.filter(each => each.sentAtMs < late && !this.#refused.has(each)).length
    if (refused + unanswered > 0)
      this.#log.warn({ queue: DEAD_QUEUE, refused, unanswered }, 'view.set_aside_waits')
  }

  #settle(waiting: Waiting): void {
    this.#refused.delete(waiting)
    const others = (this.#waiting.get(waiting.id) ?? []).filter(other => other !== waiting)
    if (others.length === 0) this.#waiting.delete(waiting.id)
    else this.#waiting.set(waiting.id, others)
    waiting.done()
  }

  #onReturn(id: unknown): void {
    const waiting = this.#waiting.get(String(id))?.find(({ isReturned }) => !isReturned)
    if (waiting !== undefined) waiting.isReturned = true
  }

  async #declare({ connection }: PublisherSession): Promise<void> {
    try {
      await declareTopology(connection, [DEAD_QUEUE, ...CONSUMED_QUEUES])
    } catch (error) {
      if (!this.#isStopping)
        this.#log.warn({ connection: 'publisher', error: describeError(error) }, 'broker.lost')
    }
  }
}

/** The same whenever the same message is delivered again, so that what a crash published twice can be told. */
function setAsideId({ message, index }: SetAsideEvent): string {
  const { messageId, timestamp } = message
  return createHash('sha256')
    .update(JSON.stringify([messageId ?? null, timestamp ?? null, index]))
    .update(message.content)
    .digest('hex')
    .slice(0, 32)
}

function setAsideProperties({ event, id }: Waiting) {
  const { message, queue, reason, index, receivedAt } = event
  const { messageId, timestamp, contentType, type, appId, stampedAtMs } = message
  return {
    mandatory: true,
    persistent: true,
    // The message's id is an event's id only where the message is one event.
    messageId: index === null ? messageId : undefined,
    timestamp,
    contentType,
    type,
    appId,
    headers: {
      // Without a time of its own a replayed event would count as of its replay.
      timestamp_in_ms: stampedAtMs ?? Math.floor(receivedAt * 1_000),
      reason,
      'set-aside-id': id,
      'set-aside-at': new Date().toISOString(),
      'source-queue': queue,
      ...(index === null ? {} : { index }),
    },
  }
}
