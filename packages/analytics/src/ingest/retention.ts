/** Daily housekeeping, done by whichever consumer comes first. */

import { describeError, type Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Progress, Store } from '../store/store.ts'
import { purgeOldDead } from './dead.ts'

const DAY_MS = 86_400_000
// Hourly, so that a restart does not delay it by a day; with nothing to do a run is cheap.
const EVERY_MS = 3_600_000
const FIRST_AFTER_MS = 60_000

export interface RetentionOptions {
  amqpUrls: readonly string[]
  store: Store
  rawRetentionDays: number
  deadRetentionDays: number
  maxAgeSeconds: number
  metrics: Metrics
  log: Log
  /** Ends a run under way: `signal` at its next step, `cut` at once. The next run continues. */
  ending?: { signal: AbortSignal; cut: AbortSignal }
}

export interface Retention {
  /** Dead letters that it is looking at: the broker does not count them meanwhile. */
  readonly deadInHand: number
  stop(): Promise<void>
}

/** Begins after a minute and runs on until `stop`, which waits for a run under way. */
export function scheduleRetention(options: RetentionOptions): Retention {
  let running: Promise<void> = Promise.resolve()
  let deadInHand = 0
  let wholeAt = Number.NEGATIVE_INFINITY
  const run = () => {
    const isWhole = Date.now() - wholeAt >= DAY_MS
    if (isWhole) wholeAt = Date.now()
    running = retain(options, isWhole, messages => {
      deadInHand = messages
    })
  }
  const first = setTimeout(run, FIRST_AFTER_MS)
  const interval = setInterval(run, EVERY_MS)
  return {
    get deadInHand() {
      return deadInHand
    },
    stop() {
      clearTimeout(first)
      clearInterval(interval)
      return running
    },
  }
}

async function retain(
  options: RetentionOptions,
  isWhole: boolean,
  onDeadHeld: (messages: number) => void,
): Promise<void> {
  const { store, metrics, log, amqpUrls, ending } = options
  const progress: Progress = () => ending?.signal.throwIfAborted()
  try {
    const now = Math.floor(Date.now() / 1_000)
    const { ran, rows, days } = await store.prune({ ...options, now }, progress)
    if (!ran) return
    metrics.prunedRows.inc(rows)
    const before = Date.now() - options.deadRetentionDays * DAY_MS
    const followed = { progress, isWhole, ...(ending && { cut: ending.cut }) }
    const dead = await purgeOldDead(amqpUrls, before, onDeadHeld, followed)
    metrics.deadPurged.inc(dead)
    metrics.retentionLastSuccess.set(Math.floor(Date.now() / 1_000))
    if (rows + days + dead > 0) log.info({ rows, days, dead }, 'prune.done')
  } catch (error) {
    if (ending?.signal.aborted) return
    log.warn({ error: describeError(error) }, 'prune.failed')
  }
}
