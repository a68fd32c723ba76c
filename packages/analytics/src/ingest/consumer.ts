/**
 * From the queues to the store, and back with the acknowledgement.
 *
 * | what came of a message | what the broker is told |
 * |---|---|
 * | all its views are committed (counted now, or before) and its bad events confirmed in `postviews.dead` | ack |
 * | the store is away | nothing: it stays in hand, unacknowledged, and its batch is tried again |
 * | its bad events cannot be set aside just now | nothing for this message; its neighbours are acknowledged |
 * | the connection, the channel or a consumer is lost | nothing can be told: the broker delivers it again |
 *
 * Nothing is ever rejected or returned to its queue: that would count against a delivery limit.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { CONSUMED_QUEUES, DEAD_QUEUE, declareTopology, decodeMessage } from '@postviews/client'
import { channelLost } from '@postviews/client/link'
import type { Channel, ChannelModel, ConsumeMessage, Message } from 'amqplib'
import type { BrokerHealth, ConsumerHealth, InHand, QueueDepths } from '../api/health.ts'
import { describeError, type Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { IpStorage } from '../store/row.ts'
import { type Store, StoreRefused } from '../store/store.ts'
import { Batches, type Delivery } from './batch.ts'
import { Connection, type Session } from './connection.ts'
import { Prefetch } from './prefetch.ts'
import { type ReceivedMessage, receivedMessage } from './received.ts'
import { SetAside } from './set-aside.ts'

export interface ConsumerOptions {
  amqpUrl: string
  store: Store
  ipStorage: IpStorage
  maxAgeSeconds: number
  batchEvents: number
  batchWaitMs: number
  metrics: Metrics
  log: Log
  /** The store refuses this process for good; it must end. */
  onRefused(error: StoreRefused): void
}

/** A batch is through in less while the store is well. */
const STUCK_AFTER_MS = 60_000
const SET_ASIDE_PATIENCE_MS = 500
const STORE_RETRY_MS = 2_000

interface ConsumerSession extends Session {
  channel: Channel
  consumerTags: Map<string, string>
  prefetch: Prefetch
  /** Delivered and not yet taken into a batch, in the order of their tags. */
  hand: Delivery[]
  handEvents: number
  /** In the order they began; `since` is Unix milliseconds. */
  underWay: { since: number; deliveries: readonly Delivery[] }[]
  /** Messages whose batch is committed and whose bad events still wait to be set aside. */
  held: Set<ReceivedMessage>
  /** Aborted when the session is over: whatever is in hand will be delivered again. */
  over: AbortController
  /** Called when the broker ends the consumer of a queue. */
  onCancelled(queue: string): void
  wake(): void
}

/**
 * A session lasts from a successful setup to the first loss of anything. In a session two things go on at once:
 * deliveries are read and put in hand as they come, and `#work`, the one loop that takes from the hand, has batches
 * committed, two at a time, and acknowledged in their order. A new session begins only when the store answers.
 */
export class Consumer implements BrokerHealth, ConsumerHealth {
  readonly #options: ConsumerOptions
  readonly #setAside: SetAside
  readonly #batches: Batches
  readonly #connection: Connection<ConsumerSession>
  readonly #batchMessages: number
  #working: Promise<void> = Promise.resolve()
  #isStoreAway = false
  #isStopping = false

  constructor(options: ConsumerOptions) {
    const { amqpUrl, log, store, batchEvents } = options
    this.#options = options
    // In messages of one event each a batch takes most memory; on SQLite, where two threads hold it, too much.
    this.#batchMessages = store.engine === 'sqlite' ? Math.ceil(batchEvents / 2) : batchEvents
    this.#setAside = new SetAside(amqpUrl, log)
    this.#batches = new Batches({ ...options, setAside: this.#setAside })
    this.#connection = new Connection<ConsumerSession>({
      url: amqpUrl,
      ready: signal => this.#storeAnswers(signal),
      setUp: connection => this.#consume(connection),
      onUp: session => {
        log.info({ queues: CONSUMED_QUEUES }, 'broker.connected')
        this.#working = this.#work(session)
      },
      onLost: (error, session) => {
        session?.over.abort(error)
        session?.wake()
        log.warn({ connection: 'consumer', error: describeError(error) }, 'broker.lost')
      },
    })
  }

  depths(): Promise<QueueDepths | null> {
    return this.#setAside.depths()
  }

  problem(): string | null {
    // What its error says, a path perhaps, is for the log.
    if (this.#isStoreAway || this.#batches.isStoreAway) return 'store: does not take views'
    const { session } = this.#connection
    if (session === undefined || !this.#setAside.isConnected()) return 'broker: not connected'
    const [batch] = session.underWay
    const busyMs = batch === undefined ? 0 : Date.now() - batch.since
    return busyMs > STUCK_AFTER_MS
      ? `consumer: its batch is not through after ${Math.round(busyMs / 1_000)} s`
      : null
  }

  inHand(): InHand {
    const { session } = this.#connection
    // What a session that is over had in hand, the broker has taken back.
    if (session === undefined) return { messages: 0, uncommittedSince: null }
    const uncommitted = [...session.underWay.flatMap(({ deliveries }) => deliveries), ...session.hand]
    return {
      messages: uncommitted.length + session.held.size,
      uncommittedSince: uncommitted[0]?.receivedAt ?? null,
    }
  }

  /** Takes no more, commits and acknowledges what is in hand, and leaves what it cannot commit by then to others. */
  async stop(deadlineMs: number): Promise<void> {
    this.#isStopping = true
    const { session } = this.#connection
    if (session !== undefined) {
      const cancelled = [...session.consumerTags.values()].map(async tag => session.channel.cancel(tag))
      const finished = Promise.allSettled(cancelled).then(async () => {
        session.wake()
        await this.#working
        // A channel reads what was acknowledged before it closes; a connection that closes throws it away unread.
        await session.channel.close()
      })
      const late = new AbortController()
      const inTime = finished.catch(() => {
        // The session was lost meanwhile: what is not acknowledged comes again.
      })
      await Promise.race([inTime, sleep(deadlineMs, undefined, { signal: late.signal }).catch(() => {})])
      late.abort()
      session.over.abort(new Error('stopped'))
    }
    await this.#connection.stop()
    await this.#setAside.stop()
  }

  // While the store is away nothing is consumed that would only be held: it waits in the queue, unharmed.
  async #storeAnswers(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#options.store.ping()
        if (this.#isStoreAway) this.#options.log.info('store.back')
        this.#isStoreAway = false
        return
      } catch (error) {
        if (!this.#isStoreAway) this.#options.log.error({ error: describeError(error) }, 'store.lost')
        this.#isStoreAway = true
      }
      // Rejects when the signal comes: then there is nothing to wait for any more.
      await sleep(STORE_RETRY_MS, undefined, { signal }).catch(() => {})
    }
  }

  async #consume(connection: ChannelModel): Promise<ConsumerSession> {
    await declareTopology(connection, [DEAD_QUEUE, ...CONSUMED_QUEUES])
    const channel = await connection.createChannel()
    const over = new AbortController()
    const cancelled = Promise.withResolvers<Error>()
    const session: ConsumerSession = {
      channel,
      consumerTags: new Map(),
      prefetch: new Prefetch(this.#options.batchEvents, this.#batchMessages),
      hand: [],
      handEvents: 0,
      underWay: [],
      held: new Set(),
      over,
      lost: Promise.race([channelLost(channel), cancelled.promise]),
      onCancelled: queue => {
        this.#options.log.warn({ queue }, 'queue.lost')
        cancelled.resolve(new Error(`the broker ended the consumer of ${queue}`))
      },
      wake: () => {},
    }
    for (const queue of CONSUMED_QUEUES) await this.#subscribe(session, queue)
    return session
  }

  async #subscribe(session: ConsumerSession, queue: string): Promise<void> {
    const { channel, prefetch, consumerTags } = session
    await channel.prefetch(prefetch.messages)
    const onMessage = (message: ConsumeMessage | null) =>
      message === null ? session.onCancelled(queue) : this.#onDelivery(session, queue, message)
    const { consumerTag } = await channel.consume(queue, onMessage)
    consumerTags.set(queue, consumerTag)
    // `stop` has cancelled the consumers it knew of.
    if (this.#isStopping) await channel.cancel(consumerTag)
  }

  #onDelivery(session: ConsumerSession, queue: string, message: ConsumeMessage): void {
    const { maxAgeSeconds, metrics } = this.#options
    const receivedAt = Date.now() / 1_000
    const { content, properties } = message
    const decoded = decodeMessage(content, properties, { receivedAt, maxAgeSeconds })
    const { views, invalid, idsIgnored, timesAhead, amqpTimesIgnored } = decoded
    if (idsIgnored > 0) metrics.idsIgnored.inc(idsIgnored)
    if (timesAhead > 0) metrics.timesAhead.inc(timesAhead)
    if (amqpTimesIgnored > 0) metrics.amqpTimesIgnored.inc(amqpTimesIgnored)
    session.hand.push({ message: receivedMessage(message), queue, receivedAt, views, invalid })
    session.handEvents += views.length
    session.wake()
  }

  // While the store commits one batch, the next is made ready and handed over, so that neither waits for the other.
  async #work(session: ConsumerSession): Promise<void> {
    const { signal } = session.over
    let inFront = Promise.resolve()
    try {
      for (;;) {
        const deliveries = await Promise.race([this.#nextBatch(session), failureOf(inFront)])
        if (deliveries === null) return await inFront
        session.underWay.push({ since: Date.now(), deliveries })
        const committed = this.#batches.commit(deliveries, signal)
        // Until it is awaited, its failure is not unheard of.
        committed.catch(() => {})
        await inFront
        inFront = this.#acknowledgeOnce(committed, session, deliveries)
      }
    } catch (error) {
      if (error instanceof StoreRefused) return this.#options.onRefused(error)
      // The session is over: its deliveries come again.
      if (!signal.aborted) session.channel.emit('error', error)
    }
  }

  async #acknowledgeOnce(
    committed: ReturnType<Batches['commit']>,
    session: ConsumerSession,
    deliveries: readonly Delivery[],
  ): Promise<void> {
    await this.#acknowledge(session, deliveries, await committed)
    session.underWay.shift()
    await this.#adaptPrefetch(session, deliveries)
  }

  /** Waits until there is a batch's worth, or the first delivery has waited long enough; null when there is no more. */
  async #nextBatch(session: ConsumerSession): Promise<Delivery[] | null> {
    const { batchEvents, batchWaitMs } = this.#options
    const isFull = () =>
      session.handEvents >= batchEvents ||
      session.hand.length >= this.#batchMessages ||
      session.hand.length >= session.prefetch.messages ||
      session.over.signal.aborted ||
      this.#isStopping
    if (session.hand.length === 0 && !isFull())
      await this.#woken(session, () => session.hand.length > 0 || isFull())
    if (!isFull()) await this.#woken(session, isFull, batchWaitMs)
    if (session.over.signal.aborted || session.hand.length === 0) return null

    let events = 0
    let count = 0
    const most = Math.min(session.hand.length, this.#batchMessages)
    while (count < most && events < batchEvents) events += session.hand[count++]!.views.length
    session.handEvents -= events
    return session.hand.splice(0, count)
  }

  #woken(session: ConsumerSession, condition: () => boolean, timeoutMs?: number): Promise<void> {
    return new Promise(resolve => {
      const done = () => {
        clearTimeout(timer)
        session.wake = () => {}
        resolve()
      }
      const timer = timeoutMs === undefined ? undefined : setTimeout(done, timeoutMs)
      session.wake = () => {
        if (condition()) done()
      }
    })
  }

  async #acknowledge(
    session: ConsumerSession,
    deliveries: readonly Delivery[],
    setAside: ReadonlyMap<Delivery, Promise<unknown>>,
  ): Promise<void> {
    const { held, over } = session
    const waiting = new Set(setAside.keys())
    for (const [delivery, arrived] of setAside) void arrived.then(() => waiting.delete(delivery))
    // As a rule they arrive at once. Otherwise their neighbours do not wait for them.
    if (waiting.size > 0) await Promise.race([Promise.all(setAside.values()), sleep(SET_ASIDE_PATIENCE_MS)])
    if (over.signal.aborted) return

    for (const delivery of waiting) {
      const { message } = delivery
      held.add(message)
      void setAside.get(delivery)!.then(() => {
        held.delete(message)
        acknowledge(session, message)
      })
    }
    // Everything up to a tag can be acknowledged at once only where nothing before it is held.
    if (held.size === 0) return acknowledge(session, deliveries.at(-1)!.message, { allUpTo: true })
    for (const delivery of deliveries) if (!waiting.has(delivery)) acknowledge(session, delivery.message)
  }

  /** Subscribes anew with another prefetch, which holds for new consumers only. What is in hand stays. */
  async #adaptPrefetch(session: ConsumerSession, deliveries: readonly Delivery[]): Promise<void> {
    let events = 0
    let bytes = 0
    for (const { views, invalid, message } of deliveries) {
      events += views.length + invalid.length
      bytes += message.content.length
    }
    if (!session.prefetch.learn(deliveries.length, events, bytes)) return
    for (const [queue, tag] of [...session.consumerTags]) {
      if (this.#isStopping) return
      await session.channel.cancel(tag)
      await this.#subscribe(session, queue)
    }
  }
}

/** Never fulfilled; rejected when the promise is. */
function failureOf(promise: Promise<unknown>): Promise<never> {
  return new Promise((_, reject) => {
    promise.catch(reject)
  })
}

function acknowledge(
  { channel, over }: ConsumerSession,
  { deliveryTag }: ReceivedMessage,
  { allUpTo = false } = {},
): void {
  if (over.signal.aborted) return
  try {
    // The tag is all that amqplib looks at.
    channel.ack({ fields: { deliveryTag } } as Message, allUpTo)
  } catch {
    // The channel has just ended: the broker delivers the message again, and it counts no second time.
  }
}
