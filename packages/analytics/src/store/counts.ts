/** What a batch adds to each counter: the sum over its new rows, so that a counter is written once a batch. */

import { type CountedBy, settingsOn } from './bots-before.ts'
import type { Day } from './days.ts'
import {
  DETAILS,
  type DetailName,
  eachDetail,
  SUMMED,
  SUMMED_NAMES,
  UNIQUE_NAMES,
  type UniqueName,
} from './figures.ts'
import type { CountableRow, KeptRow } from './kept.ts'

/** What a group of rows adds. */
export interface Count extends Record<DetailName, number> {
  views: number
  /** Unix seconds; null when no row of the group counts (bots that are excluded). */
  first: number | null
  last: number | null
}

export interface PostDayCount extends Count {
  postUuid: string
  day: Day
}

export interface PostCount extends Count {
  postUuid: string
  /** The views of those days whose other numbers are known; null when there is no such day. */
  detailedViews: number | null
}

export interface SiteDayCount extends Count {
  day: Day
}

export interface MinuteCount {
  /** Unix seconds of the minute's start. */
  minute: number
  views: number
}

/** Everything one batch adds. Lists are sorted by key, the day first, because most tables are stored in that order. */
export class BatchCounts {
  readonly #by: CountedBy
  // Nested maps: joining the parts of a key costs more than looking up each part.
  readonly #days = new Map<Day, Map<string, PostDayCount>>()
  readonly #minutes = new Map<number, MinuteCount>()
  #inOrder: PostDayCount[] | null = null
  rows = 0

  constructor(by: CountedBy) {
    this.#by = by
  }

  /** Whether the row counts for every figure, or only for `bots`. */
  counts(row: CountableRow): boolean {
    return !(row.bot && settingsOn(this.#by, row.day).bots === 'exclude')
  }

  /** Adds a new row. Whether its reader was unique is told by `addUnique`. */
  add(row: CountableRow): void {
    this.rows++
    const count = this.#postDayOf(row)
    const isExcluded = !this.counts(row)
    for (const name of SUMMED_NAMES) {
      const { of, isOfExcluded } = SUMMED[name]
      if (isOfExcluded || !isExcluded) count[name] += of(row)
    }
    if (isExcluded) return
    count.views++
    if (count.first === null || row.viewedAt < count.first) count.first = row.viewedAt
    if (count.last === null || row.viewedAt > count.last) count.last = row.viewedAt

    const minute = row.viewedAt - (row.viewedAt % 60)
    const perMinute = this.#minutes.get(minute)
    if (perMinute === undefined) this.#minutes.set(minute, { minute, views: 1 })
    else perMinute.views++
  }

  #postDayOf({ postUuid, day }: CountableRow): PostDayCount {
    let posts = this.#days.get(day)
    if (posts === undefined) {
      posts = new Map()
      this.#days.set(day, posts)
    }
    let postDay = posts.get(postUuid)
    if (postDay === undefined) {
      postDay = { postUuid, day, ...nothing() }
      posts.set(postUuid, postDay)
      this.#inOrder = null
    }
    return postDay
  }

  /** Adds readers of a post on a day that were not counted before; it must have rows of that day already. */
  addUnique(postUuid: string, day: Day, readers: Record<UniqueName, number>): void {
    const count = this.#days.get(day)!.get(postUuid)!
    for (const name of UNIQUE_NAMES) count[name] += readers[name]
  }

  postDays(): PostDayCount[] {
    this.#inOrder ??= sortedValues(this.#days).flatMap(sortedValues)
    return this.#inOrder
  }

  /**
   * Each post's sums over its days. If `isKnown` is false for a day, only its views and their times count: adopted rows leave the
   * rest unknown for ever.
   */
  posts(isKnown: (count: PostDayCount) => boolean = () => true): PostCount[] {
    return groupBy(
      this.postDays(),
      count => count.postUuid,
      (count): PostCount => ({ postUuid: count.postUuid, detailedViews: null, ...nothing() }),
      (sum, count) => {
        if (isKnown(count)) {
          addTo(sum, count)
          sum.detailedViews = (sum.detailedViews ?? 0) + count.views
        } else {
          addTo(sum, { ...count, ...NO_DETAILS })
        }
      },
    )
  }

  siteDays(): SiteDayCount[] {
    return groupBy(
      this.postDays(),
      count => count.day,
      count => ({ day: count.day, ...nothing() }),
      addTo,
    )
  }

  minutes(): MinuteCount[] {
    return [...this.#minutes.values()].sort((a, b) => a.minute - b.minute)
  }
}

/** The time of the latest view among the rows, new or not: redelivered views show the age of the queue as well. */
export function latestViewedAt(rows: readonly KeptRow[]): number {
  return rows.reduce((latest, { viewedAt }) => Math.max(latest, viewedAt), 0)
}

const NO_DETAILS = eachDetail(() => 0)

function nothing(): Count {
  return { views: 0, ...NO_DETAILS, first: null, last: null }
}

function addTo(sum: Count, count: Count): void {
  sum.views += count.views
  for (const name of DETAILS) sum[name] += count[name]
  if (count.first !== null && (sum.first === null || count.first < sum.first)) sum.first = count.first
  if (count.last !== null && (sum.last === null || count.last > sum.last)) sum.last = count.last
}

function groupBy<T, S>(
  items: T[],
  keyOf: (item: T) => string,
  start: (item: T) => S,
  add: (sum: S, item: T) => void,
): S[] {
  const sums = new Map<string, S>()
  for (const item of items) {
    const key = keyOf(item)
    let sum = sums.get(key)
    if (sum === undefined) {
      sum = start(item)
      sums.set(key, sum)
    }
    add(sum, item)
  }
  return sortedValues(sums)
}

function sortedValues<T>(map: ReadonlyMap<string, T>): T[] {
  return sortedEntries(map).map(([, value]) => value)
}

function sortedEntries<T>(map: ReadonlyMap<string, T>): [string, T][] {
  return [...map.keys()].sort().map(key => [key, map.get(key)!])
}
