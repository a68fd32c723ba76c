/** Whether the service does its work, and how far behind it is: for probes, for Prometheus and for `/status`. */

import { type Metrics, setKnown } from '../metrics.ts'
import { storeProblem } from '../store/failures.ts'
import type { Reads, Store } from '../store/store.ts'

/** How long a part may take to answer before it counts as away. */
const ANSWER_LIMIT_MS = 3_000
/** How long an answer is used again: each part is asked at most once in this time, however often a probe comes. */
const ANSWER_HOLDS_MS = 1_000
/** Messages in hand for longer count as lag. A batch may wait to fill for 5 s, and its commit takes a while. */
const IN_HAND_LIMIT_SECONDS = 10
const CONSUMING_PARTS = ['store', 'broker', 'consumer']

/** What the broker says of the queues. Implemented by the consumer. */
export interface BrokerHealth {
  /** Messages that wait in each consumed queue, and dead letters; null: the broker is away. */
  depths(): Promise<QueueDepths | null>
}

export interface QueueDepths {
  /** By the name of the queue. */
  queues: Record<string, number>
  /** Dead letters. Null if that queue cannot be asked, for example because it is exclusive to a connection. */
  dead: number | null
}

/** The state of the consumer. */
export interface ConsumerHealth {
  /**
   * The part that does not work, as `broker: …`, `consumer: …` or `store: …`; null when all is well. Safe to show to
   * anyone: no address, no credential, no text of an error.
   */
  problem(): string | null
  /** Whether the store is broken: no retry helps. */
  storeIsBroken(): boolean
  /** Problems that need attention but do not stop the counting: as safe to show as `problem`. */
  warnings(): string[]
  /** Messages that the broker has delivered to this process and that are not acknowledged yet. */
  inHand(): InHand
  /** Dead letters that this process has taken from their queue to look at: the broker does not count them as waiting. */
  deadInHand(): number
  /** Estimated bytes of the dead letters, bodies and headers; null if unknown. */
  deadBytes(): number | null
}

export interface InHand {
  /** Messages without an acknowledgement. */
  messages: number
  /** Unix seconds: when the first uncommitted message came; null when all are committed. */
  uncommittedSince: number | null
}

/** How far behind the numbers are; null if unknown. */
export interface Backlog {
  /** Messages in the queues; what a consumer has in hand is not among them. */
  queued: number | null
  dead: number | null
  lagSeconds: number | null
  /** Unix seconds. */
  lastCommittedAt: number | null
}

export interface Health {
  /** Each names a part; none when the service does its work. */
  problems(): Promise<string[]>
  warnings(): string[]
  /** @throws {StoreUnavailable} */
  backlog(): Promise<Backlog>
  /** The metrics as text, with the gauges as they are now. */
  exposition(): Promise<string>
}

export interface HealthOptions {
  store: Pick<Store, 'ping'> & Pick<Reads, 'progress' | 'asOf'>
  /** Null in a process that does not talk to the broker. */
  broker: BrokerHealth | null
  /** Null in a process that consumes nothing. */
  consumer: ConsumerHealth | null
  /** Whether the process is about to end: it does no new work then. */
  isStopping: () => boolean
  metrics: Metrics
  /** Unix milliseconds. */
  now: () => number
}

export function createHealth({ store, broker, consumer, isStopping, metrics, now }: HealthOptions): Health {
  const problemOfStore = sparing(
    () =>
      store.ping().then(
        () => null,
        error => storeProblem(error, 'store: does not take writes'),
      ),
    `store: does not answer within ${ANSWER_LIMIT_MS / 1_000} s`,
  )
  const depths = sparing(
    () => (broker === null ? Promise.resolve(null) : broker.depths().then(withHeld, () => null)),
    null,
  )

  function withHeld(found: QueueDepths | null): QueueDepths | null {
    if (found === null || found.dead === null) return found
    return { ...found, dead: found.dead + (consumer?.deadInHand() ?? 0) }
  }

  async function problems(): Promise<string[]> {
    if (isStopping()) return ['service: stopping']
    const consuming = consumer?.problem() ?? null
    // The consumer has already found the problem of the store.
    if (consuming?.startsWith('store:')) return [consuming]
    return [await problemOfStore(), consuming].filter(problem => problem !== null)
  }

  async function backlog(): Promise<Backlog> {
    const [found, { lastCommittedAt, lastViewedAt }] = await Promise.all([depths(), store.progress()])
    const queued = found === null ? null : Object.values(found.queues).reduce((sum, depth) => sum + depth, 0)
    return {
      queued,
      dead: found?.dead ?? null,
      lagSeconds: lag(queued, consumer?.inHand() ?? null, lastViewedAt, now()),
      lastCommittedAt,
    }
  }

  /** Seconds. */
  async function countedAge(): Promise<number> {
    const nowMs = now()
    return Math.max(0, nowMs - (await store.asOf(nowMs))) / 1_000
  }

  return {
    problems,
    warnings: () => consumer?.warnings() ?? [],
    backlog,

    async exposition() {
      const [found, problem, named, lagSeconds, countedAgeSeconds] = await Promise.all([
        depths(),
        problemOfStore(),
        problems(),
        // While the store is away, the lag is unknown; another metric shows that.
        within(backlog(), ANSWER_LIMIT_MS, null).then(
          state => state?.lagSeconds ?? null,
          () => null,
        ),
        within(countedAge(), ANSWER_LIMIT_MS, null).catch(() => null),
      ])
      metrics.storeUp.set(Number(problem === null))
      setKnown(metrics.storeBroken, consumer === null ? null : Number(consumer.storeIsBroken()))
      setKnown(metrics.brokerUp, broker === null ? null : Number(found !== null))
      setKnown(metrics.dead, found?.dead ?? null)
      setKnown(metrics.deadBytes, consumer?.deadBytes() ?? null)
      setKnown(metrics.lagSeconds, lagSeconds)
      setKnown(metrics.countedAgeSeconds, countedAgeSeconds)
      setKnown(metrics.unacknowledged, consumer?.inHand().messages ?? null)
      for (const part of consumer === null ? ['store'] : CONSUMING_PARTS)
        metrics.ready.set({ part }, Number(!named.some(each => each.startsWith(`${part}:`))))
      metrics.queueDepth.reset()
      for (const [queue, depth] of Object.entries(found?.queues ?? {}))
        metrics.queueDepth.set({ queue }, depth)
      return metrics.registry.metrics()
    },
  }
}

function lag(
  queued: number | null,
  inHand: InHand | null,
  lastViewedAt: number | null,
  nowMs: number,
): number | null {
  if (queued === null) return null
  const seconds = nowMs / 1_000
  const waits = queued > 0 || seconds - (inHand?.uncommittedSince ?? seconds) > IN_HAND_LIMIT_SECONDS
  if (!waits) return 0
  return lastViewedAt === null ? null : Math.max(0, Math.floor(seconds) - lastViewedAt)
}

/**
 * Asks one question at a time, and shares each answer for a while among all callers. A part that hangs counts as
 * `late`, and is not asked again until it has answered. `ask` must not reject.
 */
function sparing<T>(ask: () => Promise<T>, late: T): () => Promise<T> {
  let answer: Promise<T> | undefined
  let staleAt = 0
  return () => {
    if (answer === undefined || performance.now() > staleAt) {
      const asked = ask()
      answer = within(asked, ANSWER_LIMIT_MS, late)
      staleAt = Number.POSITIVE_INFINITY
      void asked.then(() => {
        staleAt = performance.now() + ANSWER_HOLDS_MS
      })
    }
    return answer
  }
}

function within<T, L>(promise: Promise<T>, limitMs: number, late: L): Promise<T | L> {
  const { promise: first, resolve, reject } = Promise.withResolvers<T | L>()
  const timer = setTimeout(resolve, limitMs, late)
  promise.then(resolve, reject).finally(() => clearTimeout(timer))
  return first
}
