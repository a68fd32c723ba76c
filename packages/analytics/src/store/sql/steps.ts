/** Long work in small steps: each holds what ingest needs for a moment only, whatever the size of a day or a post. */

import { setTimeout as sleep } from 'node:timers/promises'
import type { SqlEngine } from './sql.ts'

/** What a step should take of the time that a batch may have to wait. */
const STEP_MS = 100
/** Steps follow each other for so long before others are given their turn. */
const TURN_MS = 400
const FEWEST_ROWS = 50
const MOST_ROWS = 5_000

/** How many rows a step takes: more where the last one was quick, fewer where it was slow. */
export class Pace {
  #rows = 500

  get rows(): number {
    return this.#rows
  }

  /** Does a step with as many rows as are right now, and learns from how long it takes. */
  async step<T>(work: (rows: number) => Promise<T>): Promise<T> {
    const started = performance.now()
    const result = await work(this.#rows)
    const tookMs = performance.now() - started
    const factor = Math.min(2, Math.max(0.25, STEP_MS / Math.max(tookMs, 1)))
    this.#rows = Math.round(Math.min(MOST_ROWS, Math.max(FEWEST_ROWS, this.#rows * factor)))
    return result
  }
}

/** Makes what is to be called between two steps: it lets whoever waits for the same have its turn. */
export function turnsOf({ giveWayMs }: SqlEngine): () => Promise<void> {
  let since = performance.now()
  return async () => {
    if (giveWayMs === 0 || performance.now() - since < TURN_MS) return
    await sleep(giveWayMs)
    since = performance.now()
  }
}

/** Items, so many at a time. */
export function chunksOf<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, chunk) =>
    items.slice(chunk * size, (chunk + 1) * size),
  )
}
