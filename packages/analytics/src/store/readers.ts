/** The readers of a batch, each once in a window of a post, for engines that look up all of them at once. */

import type { Day } from './days.ts'
import type { KeptRow } from './kept.ts'

export type Reader = Pick<KeptRow, 'day' | 'postUuid' | 'slice' | 'visitor'>

/** The readers of one window of a post. */
export interface WindowReaders extends Omit<Reader, 'visitor'> {
  visitors: ReadonlySet<string>
}

export class BatchReaders {
  // Nested maps: joining the parts of a key costs more than looking up each part.
  readonly #days = new Map<Day, Map<string, Map<number, Set<string>>>>()

  add({ day, postUuid, slice, visitor }: Reader): void {
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
    const visitors = slices.get(slice)
    if (visitors === undefined) slices.set(slice, new Set([visitor]))
    else visitors.add(visitor)
  }

  delete({ day, postUuid, slice, visitor }: Reader): void {
    this.#days.get(day)?.get(postUuid)?.get(slice)?.delete(visitor)
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
