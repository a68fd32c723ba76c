/** Dead letters that could not be kept: counted at once, and logged together once a minute. */

import { DEAD_QUEUE } from '@postviews/client/src/index.ts'
import type { DeadReason } from '../dead-reason.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { DeadLetter } from './dead-letter.ts'

/** Why: `postviews.dead` refuses the letter, or there is no room within `DEAD_MAX_BYTES`. */
export type Discarded = 'refused' | 'full'

const LOG_EVERY_MS = 60_000

export class DiscardedLetters {
  readonly #metrics: Metrics
  readonly #log: Log
  readonly #counts: Record<Discarded, Map<DeadReason, number>> = { refused: new Map(), full: new Map() }
  /** By `performance.now()`. */
  #toldMs = Number.NEGATIVE_INFINITY

  constructor({ metrics, log }: { metrics: Metrics; log: Log }) {
    this.#metrics = metrics
    this.#log = log
  }

  count({ reason }: DeadLetter, why: Discarded): void {
    this.#metrics.events.inc({ outcome: 'discarded', reason })
    const reasons = this.#counts[why]
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
  }

  /** Logs what was discarded since it was last logged, if that is a minute ago. To be called every second or so. */
  tellSometimes(): void {
    if (performance.now() - this.#toldMs > LOG_EVERY_MS) this.tell()
  }

  tell(): void {
    for (const [why, reasons] of Object.entries(this.#counts)) {
      if (reasons.size === 0) continue
      this.#toldMs = performance.now()
      this.#log.error({ queue: DEAD_QUEUE, why, reasons: Object.fromEntries(reasons) }, 'view.discarded')
      reasons.clear()
    }
  }
}
