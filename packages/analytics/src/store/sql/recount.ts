/**
 * What the counters must be, and what is stored. `verify` compares the two in one snapshot, `rebuild` corrects what is stored;
 * day-recount.ts counts a day again.
 */

import { type Day, isDay } from '../days.ts'
import { DETAILS, type DetailName, eachDetail } from '../figures.ts'
import { DAY_COLUMNS } from './figure-columns.ts'
import { isOpen } from './rows.ts'
import { figure, type SqlClient, type SqlEngine, type SqlRow, type SqlValue, type State } from './sql.ts'

/** Rows of a day are looked for within this time around it: in another zone, a day is shifted by at most this much. */
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

/** Two values to compare, with their key: what a recount says, and what is stored. */
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
  /** The rows are looked for between these times, in Unix seconds. */
  from: number
  to: number
}

/** Unix seconds of the day's first instant, and of the next day's. A text that is no day has no moments. */
export function boundsOf({ calendar }: SqlEngine, day: Day): { start: number; end: number } {
  return isDay(day) ? calendar.bounds(day) : { start: 0, end: 0 }
}

/** The condition for the raw rows of a day, in a form that can use the index on their time. */
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

/** As SQL, 1 or 0: whether a row counts for every figure. */
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

/** The sum of the day's posts as stored, for days whose raw rows are gone. A number is unknown if it is unknown for any post. */
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

/** Adds up aggregates. A number is unknown if it is unknown in any of them. */
export class SumOfAggregates {
  #sum: Aggregate | null = null

  /** Null if none was added. */
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
  ['post_view_breakdowns', 'date'],
  ['post_view_visitors', 'day'],
] as const

/** Every day that may have data, oldest first: the days of counters, and the days of the raw rows' moments. */
export async function allDays(engine: SqlEngine, client: SqlClient): Promise<Day[]> {
  const days = new Set<Day>(await daysOfRows(engine, client))
  for (const [table, column] of DAYS_OF_COUNTERS) {
    // Goes from each day to the next by the index, without reading all rows of a day.
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

/** The days of the raw rows' moments, oldest first, whichever days the rows were counted on. */
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
