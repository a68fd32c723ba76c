/**
 * Readers as they are counted: each once in a window of a post. The list of readers says of each as what it was seen: as a person,
 * as a bot, or as both, because one address may be that of both.
 */

import type { CountingSettings } from './counting-settings.ts'
import type { Day } from './days.ts'
import type { UniqueName } from './figures.ts'
import type { KeptRow } from './kept.ts'

/** As bits of a number: as what a reader was seen. */
export const PERSON = 1
export const BOT = 2
export const BOTH = 3
/** Of a reader who was listed before this was noted. */
export const NOT_NOTED = 0

export function seenAs({ bot }: Pick<KeptRow, 'bot'>): number {
  return bot ? BOT : PERSON
}

/**
 * What is added to unique views when a reader is seen.
 *
 * @param before as what the reader was listed; null: not listed
 * @param seen as what it was seen now
 */
export function newlyUnique(
  before: number | null,
  seen: number,
  { bots }: Pick<CountingSettings, 'bots'>,
): Record<UniqueName, number> | null {
  // Such a reader is counted already. The figures of bots of that day are not known.
  if (before === NOT_NOTED) return null
  const news = seen & ~(before ?? 0)
  if (news === 0) return null
  const isCounted = bots === 'exclude' ? (news & PERSON) !== 0 : before === null
  return {
    unique_views: Number(isCounted),
    bot_unique_views: Number((news & BOT) !== 0),
    shared_unique_views: Number(((before ?? 0) | seen) === BOTH),
  }
}

export type Reader = Pick<KeptRow, 'day' | 'postUuid' | 'slice' | 'visitor'>

/** The readers of one window of a post, and as what each was seen. */
export interface WindowReaders extends Omit<Reader, 'visitor'> {
  visitors: ReadonlyMap<string, number>
}

/** The readers of a batch, for engines that look up all of them at once. */
export class BatchReaders {
  // Nested maps: joining the parts of a key costs more than looking up each part.
  readonly #days = new Map<Day, Map<string, Map<number, Map<string, number>>>>()

  add({ day, postUuid, slice, visitor }: Reader, seen: number): void {
    let posts = this.#days.get(day)
    if (posts === undefined) {
      posts = new Map()
      this.#days.set(day, posts)
    }
    let slices = posts.get(postUuid)
    if (slices === undefined) {
      slices = new Map()
      posts.set(postUuid, slices)
    }
    let visitors = slices.get(slice)
    if (visitors === undefined) {
      visitors = new Map()
      slices.set(slice, visitors)
    }
    visitors.set(visitor, (visitors.get(visitor) ?? 0) | seen)
  }

  /** Takes a reader out, and says as what it was seen; null: it is not in the batch. */
  take({ day, postUuid, slice, visitor }: Reader): number | null {
    const visitors = this.#days.get(day)?.get(postUuid)?.get(slice)
    const seen = visitors?.get(visitor) ?? null
    visitors?.delete(visitor)
    return seen
  }

  deleteDay(day: Day): void {
    this.#days.delete(day)
  }

  /** By day and post, the order in which readers are kept. */
  *windows(): Generator<WindowReaders> {
    for (const day of [...this.#days.keys()].sort()) {
      const posts = this.#days.get(day)!
      for (const postUuid of [...posts.keys()].sort()) {
        for (const [slice, visitors] of posts.get(postUuid)!) yield { day, postUuid, slice, visitors }
      }
    }
  }
}
