/**
 * What the counters must say, and what they do say. `verify` compares the two in one snapshot, `rebuild` makes the second the
 * first; how a day is counted again is in day-recount.ts.
 */

import { type Day, isDay } from '../calendar.ts'
import { DETAILS, type DetailName, eachDetail } from '../figures.ts'
import { DAY_COLUMNS } from './figure-columns.ts'
import { isOpen } from './rows.ts'
import { figure, type SqlClient, type SqlEngine, type SqlRow, type SqlValue, type State } from './sql.ts'

/** A day is looked for among rows of so much time around it: a day counted in another zone is at most that far off. */
export const AROUND_SECONDS = 26 * 3_600

/** Numbers of a post's day, or of a site's, by column. Times as the engine stores them. */
export interface Aggregate extends Record<DetailName, number | null> {
  view_count: number
  first_viewed_at: SqlValue
  last_viewed_at: SqlValue
}

export interface StoredAggregate extends Aggregate {
  baseline: number
}

/** What there is to compare: the key of a thing, what a recount says of it, what is stored of it. */
export interface Pair<K, V> {
  key: K
  expected: V | null
  found: V | null
}

export interface VisitorKey {
  post: string
  slice: number
  /** Hex digits. */
  visitor: string
}

export interface RowsOfDay {
  where: string
  values: SqlValue[]
  /** Unix seconds between which they are looked for. */
  from: number
  to: number
}

/** Unix seconds of the day's first instant, and of the next day's. What somebody wrote that is no day has no moment. */
export function boundsOf({ calendar }: SqlEngine, day: Day): { start: number; end: number } {
  return isDay(day) ? calendar.bounds(day) : { start: 0, end: 0 }
}

/** The condition for the raw rows of a day, in a form that the index on their time serves. */
export function rowsOfDay(engine: SqlEngine, day: Day, table = 'post_views'): RowsOfDay {
  const { toTime } = engine
  const { start, end } = boundsOf(engine, day)
  return {
    from: start - AROUND_SECONDS,
    to: end + AROUND_SECONDS,
    where: `${table}.viewed_at >= ? AND ${table}.viewed_at < ? AND ${table}.day = ?`,
    values: [toTime(start - AROUND_SECONDS), toTime(end + AROUND_SECONDS), day],
  }
}

/** Whether a row takes part in every number, as SQL: 1 or 0. */
export function counted({ settings }: SqlEngine, table = 'post_views'): string {
  return settings.bots === 'exclude' ? `(1 - ${table}.bot)` : '1'
}

export function toStored(row: SqlRow): StoredAggregate {
  return { ...toAggregate(row), baseline: Number(row['baseline']) }
}

export function toAggregate(row: SqlRow): Aggregate {
  return {
    view_count: Number(row['view_count']),
    ...eachDetail(name => figure(row[name])),
    first_viewed_at: row['first_viewed_at'] as SqlValue,
    last_viewed_at: row['last_viewed_at'] as SqlValue,
  }
}

/** Whether the day's list of readers is kept, and complete. */
export function readersAreListed(client: SqlClient, state: State, day: Day): Promise<boolean> {
  return isOpen(client, state.openFrom, day)
}

/** Whether the day's raw rows are complete. */
export function hasRows({ rawFrom }: State, day: Day): boolean {
  return rawFrom === null || day >= rawFrom
}

/** What is stored of the site's day. */
export async function storedSite(client: SqlClient, day: Day): Promise<Aggregate | null> {
  const [found] = await client.all(
    `SELECT ${DAY_COLUMNS.join(', ')}
     FROM site_view_aggregates
     WHERE date = ?`,
    [day],
  )
  return found === undefined ? null : toAggregate(found)
}

/**
 * The sum of what is stored of the day's posts: all there is to go by where the raw rows are gone. A number that one post
 * leaves unknown is unknown.
 */
export async function sumOfStored(client: SqlClient, day: Day): Promise<Aggregate | null> {
  const known = (column: string) =>
    `CASE WHEN COUNT(${column}) = COUNT(*) THEN SUM(${column}) END AS ${column}`
  const [sum] = await client.all(
    `SELECT COUNT(*) AS posts, SUM(view_count) AS view_count,
            ${DETAILS.map(known).join(', ')},
            MIN(first_viewed_at) AS first_viewed_at, MAX(last_viewed_at) AS last_viewed_at
     FROM post_view_aggregates
     WHERE date = ?`,
    [day],
  )
  return Number(sum!['posts']) === 0 ? null : toAggregate(sum!)
}

/** Adds up aggregates, one after the other. A number that one of them leaves unknown is unknown. */
export class SumOfAggregates {
  #sum: Aggregate | null = null

  /** Null where there was none. */
  get value(): Aggregate | null {
    return this.#sum
  }

  add(part: Aggregate): void {
    if (this.#sum === null) {
      const { view_count, first_viewed_at, last_viewed_at } = part
      this.#sum = { view_count, ...eachDetail(name => part[name]), first_viewed_at, last_viewed_at }
      return
    }
    const sum = this.#sum
    sum.view_count += part.view_count
    for (const field of DETAILS) {
      const [a, b] = [sum[field], part[field]]
      sum[field] = a === null || b === null ? null : a + b
    }
    const { first_viewed_at: first, last_viewed_at: last } = part
    if (sum.first_viewed_at === null || (first !== null && first < sum.first_viewed_at)) {
      sum.first_viewed_at = first
    }
    if (sum.last_viewed_at === null || (last !== null && last > sum.last_viewed_at)) {
      sum.last_viewed_at = last
    }
  }
}

export function sumOf(aggregates: readonly Aggregate[]): Aggregate | null {
  const sum = new SumOfAggregates()
  for (const aggregate of aggregates) sum.add(aggregate)
  return sum.value
}

const DAYS_OF_COUNTERS = [
  ['post_view_aggregates', 'date'],
  ['site_view_aggregates', 'date'],
  ['post_view_referrers', 'date'],
  ['site_view_referrers', 'date'],
  ['post_view_visitors', 'day'],
] as const

/** Every day there may be something of, oldest first: those of counters, and those that moments of raw rows lie on. */
export async function allDays(engine: SqlEngine, client: SqlClient): Promise<Day[]> {
  const days = new Set<Day>(await daysOfRows(engine, client))
  for (const [table, column] of DAYS_OF_COUNTERS) {
    // From each to the next by the index: nobody has to look through all that is kept of a day.
    for (let last: Day | null = null; ; ) {
      const [next] = await client.all(
        `SELECT MIN(${column}) AS day FROM ${table} ${last === null ? '' : `WHERE ${column} > ?`}`,
        last === null ? [] : [last],
      )
      last = next!['day'] as Day | null
      if (last === null) break
      days.add(last)
    }
  }
  return [...days].sort()
}

/** The days that the moments of raw rows lie on, oldest first, whatever day they were counted on. */
export async function daysOfRows(engine: SqlEngine, client: SqlClient): Promise<Day[]> {
  const days: Day[] = []
  for (let from: SqlValue = null; ; ) {
    const [next] = await client.all(
      `SELECT MIN(viewed_at) AS time FROM post_views ${from === null ? '' : 'WHERE viewed_at >= ?'}`,
      from === null ? [] : [from],
    )
    if (next!['time'] === null) return days
    const day = engine.calendar.dayOf(engine.fromTime(next!['time']))
    days.push(day)
    from = engine.toTime(engine.calendar.bounds(day).end)
  }
}
