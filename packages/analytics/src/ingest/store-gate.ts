/**
 * Lets the consumer through once the store takes views. While the store is away nothing is consumed, because it would only be
 * held: it waits in the queue. While the store is broken, a rehearsal tries it once a minute until somebody repairs it: a
 * failed delivery would count against the limit of a queue that has one.
 */

import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { describeError, type Log } from '../log.ts'
import { StoreBroken, StoreRefused, storeProblem } from '../store/failures.ts'
import type { Store } from '../store/store.ts'

export interface StoreGateOptions {
  store: Pick<Store, 'ping'>
  /** Tries whether the store can now keep what it failed to keep. @throws as `Batches.rehearse` */
  rehearse(): Promise<void>
  /** How often a store that is broken is tried. */
  brokenRetryMs?: number
  log: Log
  /** The store refuses this process for good; it must end. */
  onRefused(error: StoreRefused): void
}

const AWAY_RETRY_MS = 2_000
const BROKEN_RETRY_MS = 60_000

export class StoreGate {
  readonly #options: StoreGateOptions
  #problem: string | null = null
  #broken: StoreBroken | null = null

  constructor(options: StoreGateOptions) {
    this.#options = options
  }

  /** Why the gate is shut; null when it is open. Safe to show: the error's text, perhaps a path, is only for the log. */
  get problem(): string | null {
    return this.#broken === null ? this.#problem : storeProblem(this.#broken)
  }

  get isBroken(): boolean {
    return this.#broken !== null
  }

  /** The store has just been found broken. */
  shut(error: StoreBroken): void {
    this.#broken = error
    this.#problem = null
    this.#options.log.error({ step: error.step, error: describeError(error) }, 'store.broken')
  }

  /** Fulfilled when the store takes views, or nobody waits any more. */
  async passes(signal: AbortSignal): Promise<void> {
    const { store, rehearse, log, onRefused, brokenRetryMs = BROKEN_RETRY_MS } = this.#options
    const pause = (ms: number) => sleep(ms, undefined, { signal }).catch(() => {})
    if (this.#broken !== null) await pause(brokenRetryMs)
    while (!signal.aborted) {
      try {
        await (this.#broken === null ? store.ping() : rehearse())
        if (this.problem !== null) log.info('store.back')
        this.#problem = null
        this.#broken = null
        return
      } catch (error) {
        // Most likely the store was closed, because the process is about to end.
        if (signal.aborted) return
        if (error instanceof StoreRefused) {
          onRefused(error)
          // The process ends; until then nobody is let through.
          if (!signal.aborted) await once(signal, 'abort')
          return
        }
        if (error instanceof StoreBroken) this.shut(error)
        else {
          if (this.#problem === null) log.error({ error: describeError(error) }, 'store.lost')
          this.#problem = storeProblem(error)
        }
      }
      await pause(this.#broken === null ? AWAY_RETRY_MS : brokenRetryMs)
    }
  }
}
