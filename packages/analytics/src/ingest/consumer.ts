/**
 * From the queues to the store, and back with the acknowledgement.
 *
 * | what happened to a message | what the broker is told |
 * |---|---|
 * | all its views are committed (counted now, or earlier) and its bad events confirmed in `postviews.dead` | ack |
 * | the store is away | nothing: the message stays unacknowledged, and its batch is retried |
 * | the store is broken: no retry helps | the consumer ends, so the broker gets it back; a new one begins once the store can keep it |
 * | its dead letters are not confirmed yet | nothing for this message; the messages around it are acknowledged |
 * | its dead letters are refused for long, and such messages fill a quarter of the prefetch | ack; they are counted as discarded |
 * | there is no room for its dead letters within `DEAD_MAX_BYTES` | ack; they are counted as discarded |
 * | the connection, the channel or a consumer is lost | nothing: the broker delivers the message again |
 *
 * No message is ever rejected, or returned to its queue while that is consumed: both would count against a delivery limit.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { CONSUMED_QUEUES, DEAD_QUEUE, decodeMessage } from '@postviews/client/src/index.ts'
import { channelLost } from '@postviews/client/src/link.ts'
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib'
import type { BrokerHealth, ConsumerHealth, InHand, QueueDepths } from '../api/health.ts'
import { describeError, type Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import { StoreBroken, StoreRefused } from '../store/failures.ts'
import type { Store } from '../store/store.ts'
import { zoneTime } from '../store/zone-rules.ts'
import { Acknowledgements } from './acknowledgements.ts'
import { answered } from './answer.ts'
import { Batches, type Delivery, eventsOf } from './batch.ts'
import { Connection, type Session } from './connection.ts'
import { DeadLetters } from './dead-letters.ts'
import { Hand } from './hand.ts'
import type { OwnViews } from './own-views.ts'
import { Prefetch } from './prefetch.ts'
import { propertiesOf } from './properties.ts'
import { findQueues, type LeftAlone, lookAtQueues, type Queues, returnAll, settleOnQueue } from './queues.ts'
import { QuietQueues } from './quiet-queues.ts'
import { ReceivedMessage } from './received.ts'
import { StoreGate } from './store-gate.ts'

export interface ConsumerOptions {
  amqpUrls: readonly string[]
  store: Store
  maxAgeSeconds: number
  ownViews: OwnViews
  deadMaxBytes: number
  batchEvents: number
  batchWaitMs: number
  metrics: Metrics
  log: Log
  /** The store refuses this process for good; it must end. */
  onRefused(error: StoreRefused): void
}

/** While the store works, a batch is committed sooner than this. */
const STUCK_AFTER_MS = 60_000
const GIVE_BACK_MS = 2_000
const WATCH_MS = 1_000
const LOOK_AGAIN_MS = 15_000
/** The broker delivers waiting messages to a new consumer sooner than this. */
const IDLE_AFTER_MS = 5_000

interface ConsumerSession extends Session {
  channel: Channel
  queues: Queues
  connection: ChannelModel
  /** Unix milliseconds. */
  startedAt: number
  /** Unix milliseconds: when the queues were looked at. */
  lookedAt: number
  consumerTags: Map<string, string>
  quiet: QuietQueues
  /** All messages are being returned to the broker: no new consumer may start. */
  isGivingBack: boolean
  prefetch: Prefetch
  hand: Hand
  /** Batches in the order they began. */
  underWay: (readonly Delivery[])[]
  acknowledgements: Acknowledgements
  /** Settles when no change of the prefetch is under way. */
  subscribing: Promise<void>
  /** Aborted when the session is over: whatever is in hand will be delivered again. */
  over: AbortController
  /** Ends this session; a new one begins. */
  end(error: Error): void
}

/**
 * A session lasts from a successful setup until its connection, its channel or a consumer is lost. Two things run in it at the same
 * time: deliveries are decoded and put in hand as they arrive, and `#work` takes batches from the hand, commits two at a time, and
 * acknowledges them in order. A new session begins only when the store answers.
 */
export class Consumer implements BrokerHealth, ConsumerHealth {
  readonly #options: ConsumerOptions
  readonly #deadLetters: DeadLetters
  readonly #batches: Batches
  readonly #gate: StoreGate
  readonly #connection: Connection<ConsumerSession>
  readonly #batchMessages: number
  readonly #watch: NodeJS.Timeout
  /** The queues found last; their depths are asked for even without a session. */
  #queues: Queues = { consumed: CONSUMED_QUEUES, leftAlone: new Map(), quorum: new Set() }
  /** Unix milliseconds: since when batches are under way without any commit, across sessions. */
  #stuckSince: number | undefined
  /** A session ended with batches under way, and nothing has been committed since. */
  #isUnproven = false
  #working: Promise<void> = Promise.resolve()
  #isStopping = false

  constructor(options: ConsumerOptions) {
    const { amqpUrls, log, store, batchEvents } = options
    this.#options = options
    this.#batchMessages = Math.ceil(batchEvents * store.batching.messagesPerEvent)
    this.#deadLetters = new DeadLetters(options)
    this.#batches = new Batches({ ...options, deadLetters: this.#deadLetters })
    this.#gate = new StoreGate({ ...options, rehearse: () => this.#batches.rehearse() })
    this.#connection = new Connection<ConsumerSession>({
      urls: amqpUrls,
      ready: signal => this.#gate.passes(signal),
      setUp: connection => this.#consume(connection),
      onUp: (session, broker) => {
        log.info({ broker, queues: session.queues.consumed }, 'broker.connected')
        for (const [queue, why] of session.queues.leftAlone) log.warn({ queue, why }, 'queue.left_alone')
        this.#working = this.#work(session)
      },
      onLost: (error, session, broker) => {
        if (session !== undefined && session.underWay.length > 0) this.#isUnproven = true
        session?.over.abort(error)
        session?.hand.wake()
        // `store.broken` was logged already, and says why the session ended.
        if (this.#gate.isBroken) return
        log.warn({ connection: 'consumer', broker, error: describeError(error) }, 'broker.lost')
      },
    })
    this.#watch = setInterval(() => this.#look(), WATCH_MS)
  }

  depths(): Promise<QueueDepths | null> {
    // A queue without a majority reports that it is empty, and cannot be consumed: without a session the depths may be wrong.
    const isUnproven = this.#connection.session === undefined && this.#gate.problem === null
    if (isUnproven) return Promise.resolve(null)
    return this.#deadLetters.depths(this.#queues)
  }

  problem(): string | null {
    const storeProblem = this.#batches.storeProblem ?? this.#gate.problem
    if (storeProblem !== null) return storeProblem
    const { session } = this.#connection
    if (session === undefined || !this.#deadLetters.isConnected()) return 'broker: not connected'
    if (this.#isUnproven)
      return 'consumer: the broker took back its messages, and nothing has been committed since'
    const stuckMs = this.#stuckSince === undefined ? 0 : Date.now() - this.#stuckSince
    return stuckMs > STUCK_AFTER_MS
      ? `consumer: its batch is not committed after ${Math.round(stuckMs / 1_000)} s`
      : null
  }

  storeIsBroken(): boolean {
    return this.#gate.isBroken
  }

  warnings(): string[] {
    const { session } = this.#connection
    const warnings = [...(session?.queues.leftAlone ?? [])].map(
      ([queue, why]) => `queue: ${queue} is ${LEFT_ALONE[why]}, and is not consumed`,
    )
    if (this.#deadLetters.isRefusing)
      warnings.push(`dead letters: ${DEAD_QUEUE} refuses them; bad events may be discarded`)
    if (this.#deadLetters.isFull)
      warnings.push(`dead letters: ${DEAD_QUEUE} has reached DEAD_MAX_BYTES; bad events are discarded`)
    return warnings
  }

  deadInHand(): number {
    return this.#deadLetters.inHand
  }

  deadBytes(): number | null {
    return this.#deadLetters.bytes
  }

  inHand(): InHand {
    const { session } = this.#connection
    // The broker has taken back the messages of a session that is over.
    if (session === undefined) return { messages: 0, uncommittedSince: null }
    const uncommitted = [...session.underWay.flat(), ...session.hand.deliveries]
    return {
      messages: uncommitted.length + session.acknowledgements.heldCount,
      uncommittedSince: uncommitted[0]?.receivedAt ?? null,
    }
  }

  /** Stops consuming, and commits and acknowledges what is in hand. After the deadline, the rest goes to others. */
  async stop(deadlineMs: number): Promise<void> {
    this.#isStopping = true
    clearInterval(this.#watch)
    const { session } = this.#connection
    if (session !== undefined) {
      const cancelled = [...session.consumerTags.values()].map(async tag => session.channel.cancel(tag))
      const settled = [...cancelled, session.subscribing, session.quiet.settled()]
      const finished = Promise.allSettled(settled).then(async () => {
        session.hand.wake()
        await this.#working
        if (session.acknowledgements.hasSingle) await this.#settleOnQueues(session)
        returnAll(session.channel)
        // A channel that closes handles the acknowledgements sent before; a connection that closes drops them unread.
        await session.channel.close()
      })
      const late = new AbortController()
      const inTime = finished.catch(() => {
        // The session was lost meanwhile: unacknowledged messages are delivered again.
      })
      await Promise.race([inTime, sleep(deadlineMs, undefined, { signal: late.signal }).catch(() => {})])
      late.abort()
      session.over.abort(new Error('stopped'))
    }
    // Each may wait for a server that does not answer. Stopped at the same time, they take only as long as the slowest.
    await Promise.all([this.#connection.stop(), this.#batches.stop(), this.#deadLetters.stop()])
  }

  /** RabbitMQ may buffer single acknowledgements, and loses them when the channel closes. */
  async #settleOnQueues({ channel, queues }: ConsumerSession): Promise<void> {
    for (const queue of queues.consumed) await settleOnQueue(channel, queue)
  }

  /** Ends the session in order: acknowledgements arrive, and the broker gets all other messages back for other consumers. */
  async #giveBack(session: ConsumerSession, error: StoreBroken): Promise<void> {
    this.#gate.shut(error)
    const timer = new AbortController()
    const { channel, consumerTags } = session
    session.isGivingBack = true
    const closed = (async () => {
      // Otherwise a consumer that is just starting, or a probe of a quiet queue, would receive the returned messages.
      await session.subscribing
      await session.quiet.settled()
      for (const tag of consumerTags.values()) await channel.cancel(tag)
      returnAll(channel)
      await channel.close()
    })().catch(() => {
      // It is lost already.
    })
    await Promise.race([closed, sleep(GIVE_BACK_MS, undefined, { signal: timer.signal }).catch(() => {})])
    timer.abort()
    session.end(error)
  }

  async #consume(connection: ChannelModel): Promise<ConsumerSession> {
    const queues = await findQueues(connection)
    this.#queues = queues
    const channel = await connection.createChannel()
    const over = new AbortController()
    const ended = Promise.withResolvers<Error>()
    const { batchEvents, batchWaitMs } = this.#options
    const batchMessages = this.#batchMessages
    const prefetch = new Prefetch(batchEvents, batchMessages)
    const isOver = () => over.signal.aborted || this.#isStopping
    const session: ConsumerSession = {
      channel,
      queues,
      connection,
      startedAt: Date.now(),
      lookedAt: Date.now(),
      consumerTags: new Map(),
      quiet: new QuietQueues({
        channel,
        taker: queue => this.#taker(session, queue),
        isFull: queue => heldOf(session, queue) > prefetch.messages / 2,
        onSilent: ended.resolve,
      }),
      isGivingBack: false,
      prefetch,
      hand: new Hand({ batchEvents, batchMessages, batchWaitMs, prefetch, isOver }),
      underWay: [],
      acknowledgements: new Acknowledgements({
        channel,
        deadLetters: this.#deadLetters,
        prefetch,
        signal: over.signal,
      }),
      subscribing: Promise.resolve(),
      over,
      lost: Promise.race([channelLost(channel), ended.promise]),
      end: ended.resolve,
    }
    for (const queue of queues.consumed) await this.#subscribe(session, queue)
    return session
  }

  async #subscribe(session: ConsumerSession, queue: string): Promise<void> {
    const { channel, prefetch, consumerTags, quiet } = session
    await answered(channel.prefetch(prefetch.messages), 'set the prefetch')
    const { consumerTag } = await answered(
      channel.consume(queue, this.#taker(session, queue)),
      `consume ${queue}`,
    )
    consumerTags.set(queue, consumerTag)
    quiet.hear(queue)
    // `stop` cancelled only the consumers that it knew of.
    if (this.#isStopping) await channel.cancel(consumerTag)
  }

  #taker(session: ConsumerSession, queue: string): (message: ConsumeMessage | null) => void {
    return message =>
      message === null ? this.#onCancelled(session, queue) : this.#onDelivery(session, queue, message)
  }

  #onCancelled(session: ConsumerSession, queue: string): void {
    this.#options.log.warn({ queue }, 'queue.lost')
    session.end(new Error(`the broker ended the consumer of ${queue}`))
  }

  #onDelivery(session: ConsumerSession, queue: string, message: ConsumeMessage): void {
    const { maxAgeSeconds, ownViews, metrics } = this.#options
    const receivedAt = Date.now() / 1_000
    const properties = propertiesOf(message)
    const decoded = decodeMessage(message.content, properties, { receivedAt, maxAgeSeconds, zoneTime })
    const { views, invalid, idsIgnored, timesAhead, amqpTimesIgnored } = decoded
    if (idsIgnored > 0) metrics.idsIgnored.inc(idsIgnored)
    if (timesAhead > 0) metrics.timesAhead.inc(timesAhead)
    if (amqpTimesIgnored > 0) metrics.amqpTimesIgnored.inc(amqpTimesIgnored)
    if (properties.allHeaders.unread.length > 0) metrics.headersUnread.inc()
    session.quiet.hear(queue)
    const others = views.filter(view => !ownViews.has(view))
    session.hand.put({
      message: new ReceivedMessage(message, receivedAt),
      queue,
      receivedAt,
      views: others,
      own: views.length - others.length,
      invalid,
    })
  }

  // While the store commits one batch, the next one is prepared and submitted, so that neither waits for the other.
  async #work(session: ConsumerSession): Promise<void> {
    const { signal } = session.over
    let inFront = Promise.resolve()
    try {
      for (;;) {
        const deliveries = await Promise.race([session.hand.take(), failureOf(inFront)])
        if (signal.aborted || deliveries.length === 0) return await inFront
        session.underWay.push(deliveries)
        this.#stuckSince ??= Date.now()
        const committed = this.#batches.commit(deliveries, signal)
        // A failure before it is awaited must not be an unhandled rejection.
        committed.catch(() => {})
        await inFront
        inFront = this.#acknowledgeOnce(committed, session, deliveries)
      }
    } catch (error) {
      if (error instanceof StoreRefused) return this.#options.onRefused(error)
      if (error instanceof StoreBroken) return await this.#giveBack(session, error)
      // The broker delivers these messages again.
      if (!signal.aborted) session.end(error instanceof Error ? error : new Error(String(error)))
    }
  }

  async #acknowledgeOnce(
    committed: ReturnType<Batches['commit']>,
    session: ConsumerSession,
    deliveries: readonly Delivery[],
  ): Promise<void> {
    const sendings = await committed
    this.#isUnproven = false
    this.#stuckSince = session.underWay.length > 1 ? Date.now() : undefined
    await session.acknowledgements.acknowledge(deliveries, sendings)
    session.underWay.shift()
    this.#adaptPrefetch(session, deliveries)
  }

  #look(): void {
    const { session } = this.#connection
    if (session === undefined || session.isGivingBack) return
    session.acknowledgements.discardBeyondQuarter()
    const isIdle = session.underWay.length === 0 && session.hand.deliveries.length === 0
    // No message came back to this consumer: another consumer has it, or it was committed after all.
    if (isIdle && Date.now() - session.startedAt > IDLE_AFTER_MS) {
      this.#isUnproven = false
      this.#stuckSince = undefined
    }
    if (session.queues.leftAlone.size > 0 && Date.now() - session.lookedAt > LOOK_AGAIN_MS)
      void this.#lookAtQueues(session)
    session.quiet.look(session.queues.consumed.filter(queue => session.queues.quorum.has(queue)))
  }

  /** A queue that was left alone may have been deleted and declared again. */
  async #lookAtQueues(session: ConsumerSession): Promise<void> {
    session.lookedAt = Date.now()
    // If this fails, the connection is lost, or the next look asks again.
    const queues = await lookAtQueues(session.connection).catch(() => session.queues)
    if (queues.consumed.some(queue => session.queues.leftAlone.has(queue)))
      return session.end(new Error('a queue that was not consumed can be consumed now'))
    session.queues = queues
    this.#queues = queues
  }

  #adaptPrefetch(session: ConsumerSession, deliveries: readonly Delivery[]): void {
    let events = 0
    let bytes = 0
    for (const delivery of deliveries) {
      events += eventsOf(delivery)
      bytes += delivery.message.content.length
    }
    if (!session.prefetch.learn(deliveries.length, events, bytes)) return
    // Not awaited: acknowledgements go on meanwhile.
    session.subscribing = session.subscribing.then(() => this.#subscribeAnew(session)).catch(session.end)
  }

  /** A new prefetch applies only to new consumers. What is in hand stays. */
  async #subscribeAnew(session: ConsumerSession): Promise<void> {
    for (const [queue, tag] of [...session.consumerTags]) {
      if (this.#isStopping || session.isGivingBack || session.over.signal.aborted) return
      await answered(session.channel.cancel(tag), `cancel ${queue}`)
      await this.#subscribe(session, queue)
    }
  }
}

/** Messages of the queue that were delivered, and not acknowledged. */
function heldOf({ hand, underWay, acknowledgements }: ConsumerSession, queue: string): number {
  let count = 0
  for (const delivery of [...hand.deliveries, ...underWay.flat(), ...acknowledgements.held])
    if (delivery.queue === queue) count++
  return count
}

const LEFT_ALONE = {
  stream: 'a stream, which cannot be emptied',
  exclusive: "somebody's exclusive queue",
  down: 'a queue on a node that is down',
  silent: 'a queue that does not answer',
} as const satisfies Record<LeftAlone, string>

/** Never fulfilled; rejected when the promise is. */
function failureOf(promise: Promise<unknown>): Promise<never> {
  return new Promise((_, reject) => {
    promise.catch(reject)
  })
}
