/** Finishes the reopening of days, in the background and without delaying batches, until none is left. */

import { setTimeout as sleep } from 'node:timers/promises'
import { describeError, type Log } from '../log.ts'
import { StoreBroken, StoreRefused } from '../store/failures.ts'
import type { Store } from '../store/store.ts'

/** Another process is reopening, and may die; or the store is away. */
const LOOK_AGAIN_MS = 5_000
/** A broken store may be repaired meanwhile. */
const BROKEN_AGAIN_MS = 60_000
/** For a day that another process has left half opened. */
const ASK_AGAIN_MS = 3_600_000
/** A step takes a fraction of it. */
const STEP_LIMIT_MS = 3_000

export class Reopening {
  readonly #store: Store
  readonly #log: Log
  readonly #ended = new AbortController()
  readonly #hourly: NodeJS.Timeout
  #running: Promise<void> | null = null
  #isAskedAgain = false

  constructor({ store, log }: { store: Store; log: Log }) {
    this.#store = store
    this.#log = log
    this.#hourly = setInterval(() => this.start(), ASK_AGAIN_MS).unref()
  }

  /** Looks whether there are days to finish. Returns at once. */
  start(): void {
    this.#isAskedAgain = true
    this.#running ??= this.#run().finally(() => {
      this.#running = null
      // `start` was called just as the run ended.
      if (this.#isAskedAgain && !this.#ended.signal.aborted) this.start()
    })
  }

  /** Ends a run between two steps; a later run continues. Does not wait for a store that does not answer. */
  async stop(): Promise<void> {
    clearInterval(this.#hourly)
    this.#ended.abort()
    const over = new AbortController()
    const late = sleep(STEP_LIMIT_MS, undefined, { signal: over.signal }).catch(() => {})
    await Promise.race([this.#running, late])
    over.abort()
  }

  async #run(): Promise<void> {
    const { signal } = this.#ended
    while (this.#isAskedAgain && !signal.aborted) {
      this.#isAskedAgain = false
      let againMs = LOOK_AGAIN_MS
      try {
        const { days, isDone } = await this.#store.reopenDays(() => signal.throwIfAborted())
        if (days.length > 0) this.#log.info({ days }, 'day.reopened')
        if (isDone) continue
      } catch (error) {
        // A process that is refused is about to end; its batches log why.
        if (signal.aborted || error instanceof StoreRefused) {
          this.#isAskedAgain = false
          return
        }
        if (error instanceof StoreBroken) {
          // No batch runs into this, so nothing else logs it.
          againMs = BROKEN_AGAIN_MS
          this.#log.error({ step: error.step, error: describeError(error) }, 'day.reopening_waits')
        } else this.#log.debug({ error: describeError(error) }, 'day.reopening_waits')
      }
      this.#isAskedAgain = true
      // Rejects when the signal is aborted, which the loop checks.
      await sleep(againMs, undefined, { signal }).catch(() => {})
    }
  }
}
