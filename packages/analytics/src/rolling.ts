/** Counts what was recorded, every few seconds, where the store does not count views with their batch (`Store.roll`). */

import { setTimeout as sleep } from 'node:timers/promises'
import { describeError, type Log } from './log.ts'
import type { Metrics } from './metrics.ts'
import type { Store } from './store/store.ts'

const EVERY_MS = 2_000
/** A roll is followed by a pause of twice its length: it takes at most a third of a server's time. */
const TIMES_AS_LONG = 2
const LONGEST_MS = 10_000
/** A roll that is still under way ends with the store. */
const STOP_MS = 3_000

export class Rolling {
  readonly #ended = new AbortController()
  readonly #running: Promise<void>

  constructor(store: Store, log: Log, metrics: Pick<Metrics, 'rollsFailed'>) {
    this.#running =
      store.roll === undefined ? Promise.resolve() : this.#run(() => store.roll!(), log, metrics)
  }

  async stop(): Promise<void> {
    this.#ended.abort()
    const over = new AbortController()
    await Promise.race([this.#running, sleep(STOP_MS, undefined, { signal: over.signal }).catch(() => {})])
    over.abort()
  }

  async #run(
    roll: () => Promise<boolean>,
    log: Log,
    { rollsFailed }: Pick<Metrics, 'rollsFailed'>,
  ): Promise<void> {
    const { signal } = this.#ended
    let isLost = false
    while (!signal.aborted) {
      const started = performance.now()
      try {
        await roll()
        if (isLost) log.info('roll.back')
        isLost = false
      } catch (error) {
        if (signal.aborted) return
        // A refusal, too, is only logged: the next batch ends the process.
        rollsFailed.inc()
        if (!isLost) log.error({ error: describeError(error) }, 'roll.lost')
        isLost = true
      }
      const tookMs = performance.now() - started
      // Rejects when it is stopped.
      await sleep(Math.min(LONGEST_MS, Math.max(EVERY_MS, tookMs * TIMES_AS_LONG)), undefined, {
        signal,
      }).catch(() => {})
    }
  }
}
