/** What a batch adds to each counter: the sum over its new rows, so that a counter is written once a batch. */

import type { Day } from './calendar.ts'
import type { ViewRow } from './row.ts'
import type { CountingSettings } from './store.ts'

/** What a group of rows adds. */
export interface Count {
  views: number
  unique: number
  loggedIn: number
  bots: number
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

export interface RefererCount {
  postUuid: string
  day: Day
  host: string
  views: number
}

export interface MinuteCount {
  /** Unix seconds of the minute's start. */
  minute: number
  views: number
}

// Occurs in no id, day or host.
const SEPARATOR = '\n'

/**
 * Everything one batch adds. Lists come out sorted by key, so that concurrent batches lock counters in one order.
 */
export class BatchCounts {
  readonly #excludesBots: boolean
  readonly #postDays = new Map<string, PostDayCount>()
  readonly #referrers = new Map<string, RefererCount>()
  readonly #minutes = new Map<number, MinuteCount>()
  rows = 0

  constructor(bots: CountingSettings['bots']) {
    this.#excludesBots = bots === 'exclude'
  }

  /** Whether the row takes part in every number, or in `bots` alone. */
  counts(row: ViewRow): boolean {
    return !(row.bot && this.#excludesBots)
  }

  /** Adds a row that was new; `unique` when its visitor was the first in its window. */
  add(row: ViewRow, unique: boolean): void {
    this.rows++

    // The day first: that is the order in which most of them are kept.
    const key = row.day + SEPARATOR + row.postUuid
    let count = this.#postDays.get(key)
    if (count === undefined) {
      count = { postUuid: row.postUuid, day: row.day, ...nothing() }
      this.#postDays.set(key, count)
    }
    if (row.bot) count.bots++
    if (!this.counts(row)) return
    count.views++
    if (unique) count.unique++
    if (row.loggedIn) count.loggedIn++
    if (count.first === null || row.viewedAt < count.first) count.first = row.viewedAt
    if (count.last === null || row.viewedAt > count.last) count.last = row.viewedAt

    const refererKey = key + SEPARATOR + row.refererHost
    const referer = this.#referrers.get(refererKey)
    if (referer !== undefined) referer.views++
    else {
      const { postUuid, day, refererHost: host } = row
      this.#referrers.set(refererKey, { postUuid, day, host, views: 1 })
    }

    const minute = row.viewedAt - (row.viewedAt % 60)
    const perMinute = this.#minutes.get(minute)
    if (perMinute === undefined) this.#minutes.set(minute, { minute, views: 1 })
    else perMinute.views++
  }

  /** Makes so many of a post's views of a day unique, for an engine that learns how many were, not which. */
  addUnique(postUuid: string, day: Day, count: number): void {
    this.#postDays.get(day + SEPARATOR + postUuid)!.unique += count
  }

  postDays(): PostDayCount[] {
    return sortedValues(this.#postDays)
  }

  /**
   * A post's sums over its days. Of a day that `isKnown` denies, the views and their times count and nothing else:
   * adopted rows leave the rest unknown for ever.
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
          addTo(sum, { ...count, unique: 0, loggedIn: 0, bots: 0 })
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

  referrers(): RefererCount[] {
    return sortedValues(this.#referrers)
  }

  siteReferrers(): Omit<RefererCount, 'postUuid'>[] {
    return groupBy(
      this.referrers(),
      count => count.day + SEPARATOR + count.host,
      ({ day, host }) => ({ day, host, views: 0 }),
      (sum, count) => {
        sum.views += count.views
      },
    )
  }

  minutes(): MinuteCount[] {
    return [...this.#minutes.values()].sort((a, b) => a.minute - b.minute)
  }
}

/** The time of the latest view among the rows, new or not: views that come again from a queue tell its age as well. */
export function latestViewedAt(rows: readonly ViewRow[]): number {
  return rows.reduce((latest, { viewedAt }) => Math.max(latest, viewedAt), 0)
}

function nothing(): Count {
  return { views: 0, unique: 0, loggedIn: 0, bots: 0, first: null, last: null }
}

function addTo(sum: Count, count: Count): void {
  sum.views += count.views
  sum.unique += count.unique
  sum.loggedIn += count.loggedIn
  sum.bots += count.bots
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

function sortedValues<T>(map: Map<string, T>): T[] {
  return [...map.keys()].sort().map(key => map.get(key)!)
}
