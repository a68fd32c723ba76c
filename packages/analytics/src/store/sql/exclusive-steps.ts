/** Long work beside ingest: short steps, and a pause after each. */

import { setTimeout as sleep } from 'node:timers/promises'
import type { SqlEngine } from './sql.ts'

/**
 * The same engine, that leaves batches the time to have their turn whenever its exclusive steps have taken as much: twice the time,
 * as who waits for SQLite's writer may look late.
 */
export function givingWay(engine: SqlEngine): SqlEngine {
  let heldMs = 0
  return {
    ...engine,
    async exclusive(work) {
      const began = performance.now()
      const result = await engine.exclusive(work)
      heldMs += performance.now() - began
      if (heldMs < engine.giveWayMs || engine.giveWayMs === 0) return result
      heldMs = 0
      await sleep(2 * engine.giveWayMs)
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
