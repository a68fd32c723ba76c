/**
 * What the counters must say, from the raw rows; and what they do say. `verify` compares the two in one snapshot,
 * `rebuild` makes the second the first.
 */

import type { Day } from '../calendar.ts'
import type { Difference } from '../store.ts'
import { isBeingReopened, isOpen } from './rows.ts'
import { figure, type SqlClient, type SqlEngine, type SqlRow, type SqlValue, type State } from './sql.ts'

/** A day is looked for among rows of so much time around it: a day counted in another zone is at most that far off. */
export const AROUND_SECONDS = 26 * 3_600

/** Numbers of a post's day, or of a site's, by column. Times as the engine stores them. */
export interface Aggregate {
  view_count: number
  unique_views: number | null
  logged_in: number | null
  bots: number | null
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
}

/** The condition for the raw rows of a day, in a form that the index on their time serves. */
export function rowsOfDay({ calendar, toTime }: SqlEngine, day: Day, table = 'post_views'): RowsOfDay {
  const { start, end } = calendar.bounds(day)
  return {
    where: `${table}.viewed_at >= ? AND ${table}.viewed_at < ? AND ${table}.day = ?`,
    values: [toTime(start - AROUND_SECONDS), toTime(end + AROUND_SECONDS), day],
  }
}

/** Whether a row takes part in every number, as SQL: 1 or 0. */
export function counted({ settings }: SqlEngine, table = 'post_views'): string {
  return settings.bots === 'exclude' ? `(1 - ${table}.bot)` : '1'
}

/** Every post of the day, with the numbers a recount of its rows gives and those that are stored. */
export async function aggregatesOfDay(
  engine: SqlEngine,
  client: SqlClient,
  day: Day,
): Promise<Pair<string, StoredAggregate>[]> {
  const { where, values } = rowsOfDay(engine, day)
  const counts = counted(engine)
  const rows = await client.all(
    `SELECT post_uuid,
            SUM(CASE WHEN received_at IS NULL THEN 0 ELSE ${counts} END) AS own_views,
            SUM(CASE WHEN received_at IS NULL THEN 1 ELSE 0 END) AS adopted_rows,
            SUM(${counts} * logged_in) AS logged_in,
            SUM(bot) AS bots,
            MIN(CASE WHEN ${counts} = 1 THEN viewed_at END) AS first_viewed_at,
            MAX(CASE WHEN ${counts} = 1 THEN viewed_at END) AS last_viewed_at
     FROM post_views
     WHERE ${where}
     GROUP BY post_uuid`,
    values,
  )
  const uniques = await client.all(
    `SELECT post_uuid, COUNT(*) AS unique_views
     FROM (SELECT DISTINCT post_uuid, slice, visitor FROM post_views WHERE ${where} AND ${counts} = 1) AS visitors
     GROUP BY post_uuid`,
    values,
  )
  const stored = await client.all(
    `SELECT post_uuid, view_count, baseline, unique_views, logged_in, bots, first_viewed_at, last_viewed_at
     FROM post_view_aggregates
     WHERE date = ?`,
    [day],
  )

  // Rows of one reader may be hashed under two keys for now, so what is stored is taken as it is.
  const isReopening = await isBeingReopened(client, day)
  const uniqueOf = new Map(uniques.map(row => [String(row['post_uuid']), Number(row['unique_views'])]))
  const storedOf = new Map(stored.map(row => [String(row['post_uuid']), toStored(row)]))
  const rowOf = new Map(rows.map(row => [String(row['post_uuid']), row]))
  return [...new Set([...rowOf.keys(), ...storedOf.keys()])].sort().map(post => {
    const found = storedOf.get(post) ?? null
    return {
      key: post,
      expected: expectedOf(
        rowOf.get(post),
        (isReopening ? found?.unique_views : null) ?? uniqueOf.get(post) ?? 0,
        found?.baseline ?? 0,
      ),
      found,
    }
  })
}

function expectedOf(row: SqlRow | undefined, unique: number, baseline: number): StoredAggregate | null {
  if (row === undefined && baseline === 0) return null
  // What was adopted is explained by its rows, or everything but its views stays unknown.
  const known = Number(row?.['adopted_rows'] ?? 0) === baseline
  return {
    view_count: baseline + Number(row?.['own_views'] ?? 0),
    baseline,
    unique_views: known ? unique : null,
    logged_in: known ? Number(row?.['logged_in'] ?? 0) : null,
    bots: known ? Number(row?.['bots'] ?? 0) : null,
    first_viewed_at: (row?.['first_viewed_at'] ?? null) as SqlValue,
    last_viewed_at: (row?.['last_viewed_at'] ?? null) as SqlValue,
  }
}

function toStored(row: SqlRow): StoredAggregate {
  return { ...toAggregate(row), baseline: Number(row['baseline']) }
}

export function toAggregate(row: SqlRow): Aggregate {
  return {
    view_count: Number(row['view_count']),
    unique_views: figure(row['unique_views']),
    logged_in: figure(row['logged_in']),
    bots: figure(row['bots']),
    first_viewed_at: row['first_viewed_at'] as SqlValue,
    last_viewed_at: row['last_viewed_at'] as SqlValue,
  }
}

/** Visitors that only the rows of the day name, or only the list of visitors. None where the day is closed. */
export async function visitorsThatDiffer(
  engine: SqlEngine,
  client: SqlClient,
  state: State,
  day: Day,
): Promise<Pair<VisitorKey, 1>[]> {
  if (!(await isOpen(client, state.openFrom, day))) return []
  const { where, values } = rowsOfDay(engine, day)
  const missing = await client.all(
    `SELECT DISTINCT post_views.post_uuid, post_views.slice, HEX(post_views.visitor) AS visitor
     FROM post_views
     LEFT JOIN post_view_visitors AS known
       ON known.day = post_views.day AND known.post_uuid = post_views.post_uuid
       AND known.slice = post_views.slice AND known.visitor = post_views.visitor
     WHERE ${where} AND ${counted(engine)} = 1 AND known.day IS NULL`,
    values,
  )
  const extra = await client.all(
    `SELECT known.post_uuid, known.slice, HEX(known.visitor) AS visitor
     FROM post_view_visitors AS known
     LEFT JOIN (
       SELECT DISTINCT post_uuid, slice, visitor FROM post_views WHERE ${where} AND ${counted(engine)} = 1
     ) AS seen
       ON seen.post_uuid = known.post_uuid AND seen.slice = known.slice AND seen.visitor = known.visitor
     WHERE known.day = ? AND seen.post_uuid IS NULL`,
    [...values, day],
  )
  const keyOf = (row: SqlRow): VisitorKey => ({
    post: String(row['post_uuid']),
    slice: Number(row['slice']),
    visitor: String(row['visitor']),
  })
  return [
    ...missing.map(row => ({ key: keyOf(row), expected: 1 as const, found: null })),
    ...extra.map(row => ({ key: keyOf(row), expected: null, found: 1 as const })),
  ]
}

/** What is stored of each post's day: all there is to go by where the raw rows are gone. */
export async function storedAggregates(client: SqlClient, day: Day): Promise<Aggregate[]> {
  const rows = await client.all(
    `SELECT view_count, unique_views, logged_in, bots, first_viewed_at, last_viewed_at
     FROM post_view_aggregates
     WHERE date = ?`,
    [day],
  )
  return rows.map(toAggregate)
}

/** The site's day: the sum of its posts, and what is stored. A number that one post leaves unknown is unknown. */
export async function siteDay(
  client: SqlClient,
  day: Day,
  posts: readonly Aggregate[],
): Promise<Pair<Day, Aggregate>> {
  const [found] = await client.all(
    `SELECT view_count, unique_views, logged_in, bots, first_viewed_at, last_viewed_at
     FROM site_view_aggregates
     WHERE date = ?`,
    [day],
  )
  return {
    key: day,
    expected: posts.length === 0 ? null : sumOf(posts),
    found: found === undefined ? null : toAggregate(found),
  }
}

export function sumOf(aggregates: readonly Aggregate[]): Aggregate {
  const sum = (field: 'unique_views' | 'logged_in' | 'bots') =>
    aggregates.reduce<number | null>(
      (total, { [field]: value }) => (total === null || value === null ? null : total + value),
      0,
    )
  return {
    view_count: aggregates.reduce((total, { view_count }) => total + view_count, 0),
    unique_views: sum('unique_views'),
    logged_in: sum('logged_in'),
    bots: sum('bots'),
    first_viewed_at: extreme(
      aggregates.map(({ first_viewed_at }) => first_viewed_at),
      (a, b) => a < b,
    ),
    last_viewed_at: extreme(
      aggregates.map(({ last_viewed_at }) => last_viewed_at),
      (a, b) => a > b,
    ),
  }
}

function extreme(times: SqlValue[], isBetter: (a: string | number, b: string | number) => boolean): SqlValue {
  return times.reduce(
    (best, time) => (best === null || (time !== null && isBetter(time, best)) ? time : best),
    null,
  )
}

/** The fields in which the two sides differ; one side missing is a difference of `exists`. */
export function differences<V extends object>(
  kind: Difference['kind'],
  name: string,
  expected: V | null,
  found: V | null,
): Difference[] {
  if (expected === null || found === null) {
    if (expected === found) return []
    return [{ kind, name, field: 'exists', expected: expected && 'yes', found: found && 'yes' }]
  }
  const fields = Object.keys(expected) as (keyof V & string)[]
  return fields
    .filter(field => expected[field] !== found[field])
    .map(field => ({
      kind,
      name,
      field,
      expected: expected[field] as Difference['expected'],
      found: found[field] as Difference['found'],
    }))
}

/** Every day there may be something of, oldest first. */
export async function allDays(client: SqlClient): Promise<Day[]> {
  const days = new Set<Day>()
  for (const table of [
    'post_view_aggregates',
    'site_view_aggregates',
    'post_view_referrers',
    'site_view_referrers',
  ]) {
    for (const row of await client.all(`SELECT DISTINCT date FROM ${table}`)) days.add(String(row['date']))
  }
  for (const row of await client.all('SELECT DISTINCT day FROM post_view_visitors'))
    days.add(String(row['day']))
  for (const day of await daysOfRows(client)) days.add(day)
  return [...days].sort()
}

/** The days that raw rows were counted on. */
export async function daysOfRows(client: SqlClient): Promise<Day[]> {
  const rows = await client.all('SELECT DISTINCT day FROM post_views WHERE day IS NOT NULL')
  return rows.map(row => String(row['day']))
}
