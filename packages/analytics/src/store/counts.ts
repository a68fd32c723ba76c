/** What a batch adds to each counter: the sum over its new rows, so that a counter is written once a batch. */

import type { Day } from './calendar.ts'
import type { CountingSettings } from './counting-settings.ts'
import { DETAILS, type DetailName, eachDetail, SUMMED, SUMMED_NAMES } from './figures.ts'
import type { KeptRow } from './row.ts'

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

/** What is added to a post's day, and how many of its views each host sent. */
interface PostDay {
  count: PostDayCount
  hosts: Map<string, number>
}

/**
 * Everything one batch adds. Lists come out sorted by key, the day first: that is the order in which most of them are
 * kept.
 */
export class BatchCounts {
  readonly #excludesBots: boolean
  // One in the other: joining the parts of a key costs more than looking each of them up.
  readonly #days = new Map<Day, Map<string, PostDay>>()
  readonly #minutes = new Map<number, MinuteCount>()
  #inOrder: PostDay[] | null = null
  rows = 0

  constructor(bots: CountingSettings['bots']) {
    this.#excludesBots = bots === 'exclude'
  }

  /** Whether the row takes part in every number, or in `bots` alone. */
  counts(row: KeptRow): boolean {
    return !(row.bot && this.#excludesBots)
  }

  /** Adds a row that was new; `unique` when its visitor was the first in its window. */
  add(row: KeptRow, unique: boolean): void {
    this.rows++
    const { count, hosts } = this.#postDayOf(row)
    const isExcluded = !this.counts(row)
    for (const name of SUMMED_NAMES) {
      const { of, isOfExcluded } = SUMMED[name]
      if (isOfExcluded || !isExcluded) count[name] += of(row)
    }
    if (isExcluded) return
    count.views++
    if (unique) count.unique_views++
    if (count.first === null || row.viewedAt < count.first) count.first = row.viewedAt
    if (count.last === null || row.viewedAt > count.last) count.last = row.viewedAt
    hosts.set(row.refererHost, (hosts.get(row.refererHost) ?? 0) + 1)

    const minute = row.viewedAt - (row.viewedAt % 60)
    const perMinute = this.#minutes.get(minute)
    if (perMinute === undefined) this.#minutes.set(minute, { minute, views: 1 })
    else perMinute.views++
  }

  #postDayOf({ postUuid, day }: KeptRow): PostDay {
    let posts = this.#days.get(day)
    if (posts === undefined) {
      posts = new Map()
      this.#days.set(day, posts)
    }
    let postDay = posts.get(postUuid)
    if (postDay === undefined) {
      postDay = { count: { postUuid, day, ...nothing() }, hosts: new Map() }
      posts.set(postUuid, postDay)
      this.#inOrder = null
    }
    return postDay
  }

  #postDays(): PostDay[] {
    this.#inOrder ??= sortedValues(this.#days).flatMap(sortedValues)
    return this.#inOrder
  }

  /** Makes so many of a post's views of a day unique, for an engine that learns how many were, not which. */
  addUnique(postUuid: string, day: Day, count: number): void {
    this.#days.get(day)!.get(postUuid)!.count.unique_views += count
  }

  postDays(): PostDayCount[] {
    return this.#postDays().map(({ count }) => count)
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

  referrers(): RefererCount[] {
    return this.#postDays().flatMap(({ count: { postUuid, day }, hosts }) =>
      sortedEntries(hosts).map(([host, views]) => ({ postUuid, day, host, views })),
    )
  }

  siteReferrers(): Omit<RefererCount, 'postUuid'>[] {
    return [...this.#days.keys()].sort().flatMap(day => {
      const hosts = new Map<string, number>()
      for (const postDay of this.#days.get(day)!.values()) {
        for (const [host, views] of postDay.hosts) hosts.set(host, (hosts.get(host) ?? 0) + views)
      }
      return sortedEntries(hosts).map(([host, views]) => ({ day, host, views }))
    })
  }

  minutes(): MinuteCount[] {
    return [...this.#minutes.values()].sort((a, b) => a.minute - b.minute)
  }
}

/** The time of the latest view among the rows, new or not: views that come again from a queue tell its age as well. */
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
