/** What a post's total must say, from its days; and what it does say. */

import type { Day } from '../calendar.ts'
import { type Aggregate, type Pair, sumOf, toAggregate } from './recount.ts'
import { figure, marks, type SqlClient, type SqlRow, type SqlValue } from './sql.ts'

/** So many at a time, since the days of a post are not kept together: each time all of them are looked through. */
const TOTALS_AT_ONCE = 20_000
// Below 1,000, from which on MariaDB turns a list into a table that it joins.
const POSTS_AT_ONCE = 900

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

/** `TOTALS_AT_ONCE` posts' totals, beginning behind `after`; `last` is null when there are no more. */
export async function totalsAfter(
  client: SqlClient,
  after: string,
): Promise<{ pairs: Pair<string, Total>[]; last: string | null }> {
  const expected = await client.all(
    `${selectTotals('post_uuid > ?')} ORDER BY post_uuid LIMIT ${TOTALS_AT_ONCE}`,
    [after],
  )
  const last = expected.length < TOTALS_AT_ONCE ? null : String(expected.at(-1)!['post_uuid'])
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

/** What some of a post's days must say; null: not be there at all. */
export type Corrected = ReadonlyMap<Day, Aggregate | null>

/** Sums over the days of posts, of which some must say what `corrected` has for them. Null where no day is left. */
export async function correctedTotals(
  client: SqlClient,
  corrected: ReadonlyMap<string, Corrected>,
): Promise<Map<string, Total | null>> {
  const daysOf = new Map([...corrected.keys()].map(post => [post, new Map<Day, Aggregate | null>()]))
  for (const posts of chunksOf([...corrected.keys()], POSTS_AT_ONCE)) {
    const rows = await client.all(
      `SELECT post_uuid, date, view_count, unique_views, logged_in, bots, first_viewed_at, last_viewed_at
       FROM post_view_aggregates
       WHERE post_uuid IN (${marks(posts.length)})`,
      posts,
    )
    for (const row of rows) daysOf.get(String(row['post_uuid']))!.set(String(row['date']), toAggregate(row))
  }
  return new Map(
    [...corrected].map(([post, days]) => [post, totalOf(new Map([...daysOf.get(post)!, ...days]))]),
  )
}

function totalOf(days: ReadonlyMap<Day, Aggregate | null>): Total | null {
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

/** Sums up the posts' days again. */
export async function writeTotals(client: SqlClient, posts: readonly string[]): Promise<void> {
  for (const some of chunksOf(posts, POSTS_AT_ONCE)) {
    const those = `post_uuid IN (${marks(some.length)})`
    await client.run(`DELETE FROM post_view_totals WHERE ${those}`, some)
    await client.run(
      `INSERT INTO post_view_totals
         (post_uuid, views, detailed_views, unique_views, logged_in, bots, first_viewed_at, last_viewed_at, unknown_until)
       ${selectTotals(those)}`,
      some,
    )
  }
}

function chunksOf<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, chunk) =>
    items.slice(chunk * size, (chunk + 1) * size),
  )
}
