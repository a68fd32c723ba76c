/** Keeps expensive answers from blocking all others: few run at once, and none holds the event loop for long. */

import { Problem } from './problem.ts'

export interface TurnsOptions {
  /** How many work at the same time. */
  atOnce: number
  /** How many more may wait for a turn. */
  maxWaiting: number
  maxWaitMs: number
}

const RETRY_AFTER_SECONDS = 2

/** Work that waits for its turn, first come first served. */
export class Turns {
  readonly #options: TurnsOptions
  readonly #waiting = new Set<() => void>()
  #working = 0

  constructor(options: TurnsOptions) {
    this.#options = options
  }

  /**
   * @param signal aborted when nobody waits for the result any more
   * @throws {Problem} 503 when too many wait already, or for too long; 408 when nobody waits for the result
   */
  async take<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    if (this.#working >= this.#options.atOnce) await this.#turn(signal)
    else this.#working++
    try {
      return await work()
    } finally {
      const [next] = this.#waiting
      // The turn is passed on directly, so a newcomer cannot overtake.
      if (next === undefined) this.#working--
      else next()
    }
  }

  async #turn(signal: AbortSignal): Promise<void> {
    if (this.#waiting.size >= this.#options.maxWaiting) throw busy()
    assertAwaited(signal)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    // A caller that gives up leaves the line at once, so no turn is passed to one that is gone.
    const leave = (problem: Problem) => {
      this.#waiting.delete(take)
      reject(problem)
    }
    const take = () => {
      this.#waiting.delete(take)
      resolve()
    }
    const onGone = () => leave(nobodyWaits())
    const timer = setTimeout(() => leave(busy()), this.#options.maxWaitMs)
    signal.addEventListener('abort', onGone, { once: true })
    this.#waiting.add(take)
    try {
      await promise
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', onGone)
    }
  }
}

/** @throws {Problem} 408 when nobody waits for the result any more, so that no more is done for it */
export function assertAwaited(signal: AbortSignal): void {
  if (signal.aborted) throw nobodyWaits()
}

function nobodyWaits(): Problem {
  return new Problem(408, 'the client did not wait for the answer')
}

function busy(): Problem {
  return new Problem(503, 'too many large requests at once; try again later', {
    headers: { 'Retry-After': String(RETRY_AFTER_SECONDS) },
  })
}
