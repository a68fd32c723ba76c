/** What a post's total must say, from its days; and what it does say. */

import type { Day } from '../calendar.ts'
import { type Aggregate, type Pair, sumOf, toAggregate } from './recount.ts'
import { figure, type SqlClient, type SqlRow, type SqlValue } from './sql.ts'

/** A post's sums over its days, by column. */
export interface Total {
  views: number
  detailed_views: number | null
  unique_views: number | null
  logged_in: number | null
  bots: number | null
  first_viewed_at: SqlValue
  last_viewed_at: SqlValue
  unknown_until: Day | null
}

/** The SELECT that a post's total is: `where` narrows the posts. */
export function selectTotals(where: string): string {
  return `
    SELECT post_uuid, SUM(view_count) AS views,
           SUM(CASE WHEN unique_views IS NOT NULL THEN view_count END) AS detailed_views,
           SUM(unique_views) AS unique_views, SUM(logged_in) AS logged_in, SUM(bots) AS bots,
           MIN(first_viewed_at) AS first_viewed_at, MAX(last_viewed_at) AS last_viewed_at,
           MAX(CASE WHEN unique_views IS NULL THEN date END) AS unknown_until
    FROM post_view_aggregates
    WHERE ${where}
    GROUP BY post_uuid`
}

/** So many posts' totals at a time, beginning behind `after`; `last` is null when there are no more. */
export async function totalsAfter(
  client: SqlClient,
  after: string,
  limit: number,
): Promise<{ pairs: Pair<string, Total>[]; last: string | null }> {
  const expected = await client.all(`${selectTotals('post_uuid > ?')} ORDER BY post_uuid LIMIT ${limit}`, [
    after,
  ])
  const last = expected.length < limit ? null : String(expected.at(-1)!['post_uuid'])
  const found = await client.all(
    `SELECT post_uuid, views, detailed_views, unique_views, logged_in, bots,
            first_viewed_at, last_viewed_at, unknown_until
     FROM post_view_totals
     WHERE post_uuid > ? ${last === null ? '' : 'AND post_uuid <= ?'}`,
    last === null ? [after] : [after, last],
  )
  const expectedOf = new Map(expected.map(row => [String(row['post_uuid']), toTotal(row)]))
  const foundOf = new Map(found.map(row => [String(row['post_uuid']), toTotal(row)]))
  const pairs = [...new Set([...expectedOf.keys(), ...foundOf.keys()])].sort().map(post => ({
    key: post,
    expected: expectedOf.get(post) ?? null,
    found: foundOf.get(post) ?? null,
  }))
  return { pairs, last }
}

function toTotal(row: SqlRow): Total {
  return {
    views: Number(row['views']),
    detailed_views: figure(row['detailed_views']),
    unique_views: figure(row['unique_views']),
    logged_in: figure(row['logged_in']),
    bots: figure(row['bots']),
    first_viewed_at: row['first_viewed_at'] as SqlValue,
    last_viewed_at: row['last_viewed_at'] as SqlValue,
    unknown_until: row['unknown_until'] as Day | null,
  }
}

/** A post's sums over its days, where `corrected` says what some of them must be (null: not be there at all). */
export async function totalOf(
  client: SqlClient,
  post: string,
  corrected: ReadonlyMap<Day, Aggregate | null>,
): Promise<Total | null> {
  const rows = await client.all(
    `SELECT date, view_count, unique_views, logged_in, bots, first_viewed_at, last_viewed_at
     FROM post_view_aggregates
     WHERE post_uuid = ?`,
    [post],
  )
  const days = new Map<Day, Aggregate | null>(rows.map(row => [String(row['date']), toAggregate(row)]))
  for (const [day, aggregate] of corrected) days.set(day, aggregate)
  const all = [...days.values()].filter(aggregate => aggregate !== null)
  if (all.length === 0) return null
  const known = all.filter(({ unique_views }) => unique_views !== null)
  const details = sumOf(known)
  const { view_count, first_viewed_at, last_viewed_at } = sumOf(all)
  const unknownDays = [...days]
    .filter(([, aggregate]) => aggregate?.unique_views === null)
    .map(([day]) => day)
  return {
    views: view_count,
    detailed_views: known.length === 0 ? null : details.view_count,
    unique_views: known.length === 0 ? null : details.unique_views,
    logged_in: known.length === 0 ? null : details.logged_in,
    bots: known.length === 0 ? null : details.bots,
    first_viewed_at,
    last_viewed_at,
    unknown_until: unknownDays.sort().at(-1) ?? null,
  }
}
