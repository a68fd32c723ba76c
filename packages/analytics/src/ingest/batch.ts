/**
 * Commits deliveries: keeps and counts their views in one transaction, and retries it until the store takes it. The caller
 * acknowledges afterwards.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import type { InvalidView, View } from '@postviews/client/src/index.ts'
import type { DeadReason } from '../dead-reason.ts'
import { describeError, type Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import { RowRejected, StoreBroken, StoreRefused, storeProblem } from '../store/failures.ts'
import type { ReceivedView, Recorded, Store } from '../store/store.ts'
import { DEAD_REASONS } from './dead.ts'
import type { DeadLetter } from './dead-letter.ts'
import type { DeadLetters, Sending } from './dead-letters.ts'
import type { ReceivedMessage } from './received.ts'
import { Reopening } from './reopening.ts'

/** A message in hand: read, not yet acknowledged. */
export interface Delivery {
  message: ReceivedMessage
  queue: string
  /** Unix seconds, fractions included. */
  receivedAt: number
  views: View[]
  /** How many more views it held that are the site's own. */
  own: number
  invalid: InvalidView[]
}

/** How many events the message holds. */
export function eventsOf({ views, own, invalid }: Delivery): number {
  return views.length + own + invalid.length
}

export interface BatchOptions {
  store: Store
  deadLetters: DeadLetters
  metrics: Metrics
  log: Log
}

const RETRY_MIN_MS = 250
const RETRY_MAX_MS = 10_000
const LOG_AGAIN_MS = 60_000

/** A view, and the delivery it came in. */
interface Entry extends ReceivedView {
  delivery: Delivery
}

export class Batches {
  readonly #options: BatchOptions
  readonly #reopening: Reopening
  #storeProblem: string | null = null
  /** The views that a broken store refused, only for `rehearse`. Their messages are back in their queues: never count these. */
  #unstored: readonly ReceivedView[] = []
  /** Unix milliseconds: when the problem was last logged. */
  #loggedAt = 0

  constructor(options: BatchOptions) {
    this.#options = options
    this.#reopening = new Reopening(options)
    // A process that has died may have left a day half opened.
    this.#reopening.start()
  }

  /** Stops the reopening of days, which runs beside the batches. */
  stop(): Promise<void> {
    return this.#reopening.stop()
  }

  /**
   * Tries whether the store can now keep what `commit` failed to keep. A rehearsal needs no delivery: every failed one would
   * count against the limit of a queue that has one.
   *
   * @throws {StoreUnavailable} also {@link StoreBroken}
   * @throws {StoreRefused} this process must not write to the store
   */
  async rehearse(): Promise<void> {
    await this.#options.store.rehearse(this.#unstored)
    this.#unstored = []
  }

  /** Why the store takes no batch at present; null when it does. Safe to show to anyone. */
  get storeProblem(): string | null {
    return this.#storeProblem
  }

  /**
   * Resolves once every view of the deliveries is committed. By then, events that cannot be counted are on their way to
   * `postviews.dead`. For each delivery with such events, the map tells when they have arrived.
   *
   * @throws {StoreBroken} no retry would help, so the deliveries must not be held for one
   * @throws {StoreRefused} this process must not write to the store
   * @throws the reason of `signal`, if it is aborted; views not committed by then are not acknowledged
   */
  async commit(deliveries: readonly Delivery[], signal: AbortSignal): Promise<Map<Delivery, Sending>> {
    const sendings = new Map<Delivery, Sending>()
    const taken: DeadLetter[] = []
    const send = (letters: ReadonlyMap<Delivery, DeadLetter[]>) => {
      for (const [delivery, some] of letters) {
        const sending = this.#options.deadLetters.send(some, signal)
        taken.push(...sending.taken)
        const earlier = sendings.get(delivery)
        sendings.set(delivery, earlier === undefined ? sending : both(earlier, sending))
      }
    }
    send(lettersOfInvalid(deliveries))
    const entries: Entry[] = []
    for (const delivery of deliveries) {
      const receivedAt = Math.floor(delivery.receivedAt)
      for (const view of delivery.views) entries.push({ view, receivedAt, delivery })
    }
    const started = performance.now()
    const { counted, duplicates, rejected } = await this.#record(entries, signal)
    send(lettersOfRejected(rejected))
    this.#measure(deliveries, taken, { counted, duplicates }, performance.now() - started)
    return sendings
  }

  /** Records the entries. If the store rejects a row, halves them until that row is alone. */
  async #record(entries: readonly Entry[], signal: AbortSignal): Promise<Recorded & { rejected: Entry[] }> {
    if (entries.length === 0) return { counted: 0, duplicates: 0, rejected: [] }
    try {
      return { ...(await this.#recordWhenPossible(entries, signal)), rejected: [] }
    } catch (error) {
      if (!(error instanceof RowRejected)) throw error
      if (entries.length === 1) return { counted: 0, duplicates: 0, rejected: [...entries] }
    }
    const middle = Math.ceil(entries.length / 2)
    const first = await this.#record(entries.slice(0, middle), signal)
    const second = await this.#record(entries.slice(middle), signal)
    return {
      counted: first.counted + second.counted,
      duplicates: sumOf(first.duplicates, second.duplicates),
      rejected: [...first.rejected, ...second.rejected],
    }
  }

  async #recordWhenPossible(entries: readonly Entry[], signal: AbortSignal): Promise<Recorded> {
    const { log } = this.#options
    for (let failures = 0; ; failures++) {
      if (signal.aborted) {
        // The deliveries are void. The store is asked again before the next ones.
        this.#storeProblem = null
        throw signal.reason
      }
      try {
        const recorded = await this.#recordOnce(entries)
        if (this.#storeProblem !== null) log.info({ failures }, 'store.back')
        this.#storeProblem = null
        return recorded
      } catch (error) {
        if (error instanceof RowRejected || error instanceof StoreRefused) {
          this.#storeProblem = null
          throw error
        }
        // The broker delivers these messages again; the process that receives them learns the state of the store.
        if (signal.aborted) continue
        if (error instanceof StoreBroken) {
          this.#storeProblem = null
          this.#unstored = entries.map(({ view, receivedAt }) => ({ view, receivedAt }))
          throw error
        }
        const isNew = this.#storeProblem === null
        this.#storeProblem = storeProblem(error)
        if (isNew || Date.now() - this.#loggedAt > LOG_AGAIN_MS) {
          this.#loggedAt = Date.now()
          log.error({ error: describeError(error), views: entries.length }, 'store.lost')
        }
        const longestMs = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** failures)
        // Rejects when the signal is aborted, which the loop checks.
        await sleep(longestMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => {})
      }
    }
  }

  async #recordOnce(entries: readonly Entry[]): Promise<Recorded> {
    const { store, log } = this.#options
    try {
      const recorded = await store.recordViews(entries)
      for (const day of recorded.closedMeanwhile ?? []) log.warn({ day }, 'day.key_replaced')
      return recorded
    } finally {
      if (store.mayReopenDays) this.#reopening.start()
    }
  }

  #measure(
    deliveries: readonly Delivery[],
    letters: readonly DeadLetter[],
    recorded: Recorded,
    tookMs: number,
  ): void {
    const { metrics, log } = this.#options
    metrics.events.inc({ outcome: 'counted', reason: '' }, recorded.counted)
    metrics.events.inc({ outcome: 'duplicate', reason: '' }, recorded.duplicates ?? 0)
    metrics.events.inc(
      { outcome: 'excluded', reason: '' },
      deliveries.reduce((sum, { own }) => sum + own, 0),
    )
    metrics.batchEvents.observe(recorded.counted + (recorded.duplicates ?? 0))
    metrics.batchSeconds.observe(tookMs / 1_000)

    const sources = new Map<View['timeSource'], number>()
    for (const { views } of deliveries) {
      for (const { timeSource } of views) sources.set(timeSource, (sources.get(timeSource) ?? 0) + 1)
    }
    for (const [source, count] of sources) metrics.timeSource.inc({ source }, count)
    if (letters.length > 0) {
      const reasons = new Map<DeadReason, number>()
      for (const { reason } of letters) reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
      log.warn(
        { reasons: Object.fromEntries(reasons), meaning: meanings([...reasons.keys()]) },
        'view.dead_lettered',
      )
    }
    log.debug({ ...recorded, tookMs: Math.round(tookMs) }, 'batch.stored')
  }
}

/** If one part is unknown, so is the sum. */
function sumOf(one: number | null, other: number | null): number | null {
  return one === null || other === null ? null : one + other
}

function meanings(reasons: readonly DeadReason[]): string {
  return reasons.map(reason => DEAD_REASONS[reason]).join('; ')
}

function both(one: Sending, other: Sending): Sending {
  return {
    taken: [...one.taken, ...other.taken],
    get hasArrived() {
      return one.hasArrived && other.hasArrived
    },
    arrived: Promise.all([one.arrived, other.arrived]).then(() => {}),
    giveUp() {
      one.giveUp()
      other.giveUp()
    },
  }
}

function lettersOfInvalid(deliveries: readonly Delivery[]): Map<Delivery, DeadLetter[]> {
  const letters = new Map<Delivery, DeadLetter[]>()
  for (const delivery of deliveries) {
    const { message, queue, invalid } = delivery
    if (invalid.length === 0) continue
    letters.set(
      delivery,
      invalid.map(({ reason, index, body }) => {
        const event = index === null ? null : body
        return { message, queue, reason, index, event }
      }),
    )
  }
  return letters
}

function lettersOfRejected(rejected: readonly Entry[]): Map<Delivery, DeadLetter[]> {
  const letters = new Map<Delivery, DeadLetter[]>()
  for (const { view, delivery } of rejected) {
    const { message, queue } = delivery
    const { index } = view
    const event = index === null ? null : Buffer.from(message.texts![index]!)
    const some = letters.get(delivery) ?? []
    some.push({ message, queue, reason: 'unstorable', index, event })
    letters.set(delivery, some)
  }
  return letters
}
