/** Splits long work into small steps: each blocks ingest only for a moment, whatever the size of a day or a post. */

import { setTimeout as sleep } from 'node:timers/promises'
import type { SqlClient, SqlEngine, State } from './sql.ts'

/** How long a step should take, because a batch may have to wait for it. */
const STEP_MS = 100
const FEWEST_ROWS = 50
const MOST_ROWS = 5_000

/** How many rows a step takes: more where the last one was quick, fewer where it was slow. */
export class Pace {
  #rows = 500

  get rows(): number {
    return this.#rows
  }

  /** Does a step with the present number of rows, and adjusts that number by the time that the step took. */
  async step<T>(work: (rows: number) => Promise<T>): Promise<T> {
    const started = performance.now()
    const result = await work(this.#rows)
    const tookMs = performance.now() - started
    const factor = Math.min(2, Math.max(0.25, STEP_MS / Math.max(tookMs, 1)))
    this.#rows = Math.round(Math.min(MOST_ROWS, Math.max(FEWEST_ROWS, this.#rows * factor)))
    return result
  }
}

/** Does one exclusive step with about as many rows as the pace says. */
export type Step = <T>(
  work: (client: SqlClient, state: State, rows: number) => Promise<T>,
  pace?: Pace,
) => Promise<T>

/**
 * The same engine, but after every `lookMs` of exclusive work it pauses, so that waiting batches get their turn. Those look again
 * after `lookMs`, perhaps late, so the pause is twice as long.
 */
export function givingWay(engine: SqlEngine, lookMs: number): SqlEngine {
  let heldMs = 0
  return {
    ...engine,
    async exclusive(work) {
      const began = performance.now()
      const result = await engine.exclusive(work)
      heldMs += performance.now() - began
      if (heldMs < lookMs) return result
      heldMs = 0
      await sleep(2 * lookMs)
      return result
    },
  }
}

/** The items in groups of at most `size`. */
export function* groupsOf<T>(items: Iterable<T>, size: number): Generator<T[]> {
  let group: T[] = []
  for (const item of items) {
    group.push(item)
    if (group.length < size) continue
    yield group
    group = []
  }
  if (group.length > 0) yield group
}

/** The same for items that come one by one. */
export async function* inGroups<T>(items: AsyncIterable<T>, size: number): AsyncGenerator<T[]> {
  let group: T[] = []
  for await (const item of items) {
    group.push(item)
    if (group.length < size) continue
    yield group
    group = []
  }
  if (group.length > 0) yield group
}
