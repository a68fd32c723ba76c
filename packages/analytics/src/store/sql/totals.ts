/** What a post's total must be, from its days; and what is stored. */

import type { Day } from '../days.ts'
import { DETAILS, type DetailName, eachDetail } from '../figures.ts'
import { corrected } from './corrected.ts'
import { DAY_COLUMNS, KNOWN_VIEWS, sumOfKnown, TOTAL_COLUMNS } from './figure-columns.ts'
import { type Pair, type StoredAggregate, sumOf, toStored } from './recount.ts'
import { figure, placeholders, type SqlClient, type SqlEngine, type SqlRow, type SqlValue } from './sql.ts'
import { groupsOf } from './steps.ts'

const TOTALS_AT_ONCE = 2_000
// Below 1,000: from that length on, MariaDB turns a list into a table that it joins.
const POSTS_AT_ONCE = 900

/** A post's sums over its days, by column. */
export interface Total extends Record<DetailName, number | null> {
  views: number
  detailed_views: number | null
  first_viewed_at: SqlValue
  last_viewed_at: SqlValue
  unknown_until: Day | null
}

/** The SELECT that computes totals: `where` narrows the posts; `from` is how the engine finds the days of a few posts. */
export function selectTotals(where: string, from: string): string {
  return `
    SELECT post_uuid, SUM(view_count) AS views,
           SUM(${KNOWN_VIEWS}) AS detailed_views,
           ${DETAILS.map(sumOfKnown).join(', ')},
           MIN(first_viewed_at) AS first_viewed_at, MAX(last_viewed_at) AS last_viewed_at,
           MAX(CASE WHEN unique_views IS NULL THEN date END) AS unknown_until
    FROM ${from}
    WHERE ${where}
    GROUP BY post_uuid`
}

/** The INSERT of totals of posts; arguments as for `selectTotals`. */
export function insertTotals(where: string, from: string): string {
  return `INSERT INTO post_view_totals (post_uuid, ${TOTAL_COLUMNS.join(', ')}, unknown_until)
    ${selectTotals(where, from)}`
}

/** The totals of `TOTALS_AT_ONCE` posts after `after`; `last` is null when there are no more. */
export async function totalsAfter(
  { daysOfPosts }: SqlEngine,
  client: SqlClient,
  after: string,
): Promise<{ pairs: Pair<string, Total>[]; last: string | null }> {
  // Finds the end of the chunk first, so that not all days of later posts are summed up for each chunk.
  const [edge] = await client.all(
    `SELECT post_uuid FROM post_view_totals
     WHERE post_uuid > ?
     ORDER BY post_uuid
     LIMIT 1 OFFSET ${TOTALS_AT_ONCE - 1}`,
    [after],
  )
  const upTo = edge === undefined ? null : String(edge['post_uuid'])
  const sums = await client.all(
    `${selectTotals(`post_uuid > ? ${upTo === null ? '' : 'AND post_uuid <= ?'}`, daysOfPosts)}
     ORDER BY post_uuid
     LIMIT ${TOTALS_AT_ONCE}`,
    upTo === null ? [after] : [after, upTo],
  )
  const last = sums.length < TOTALS_AT_ONCE ? upTo : String(sums.at(-1)!['post_uuid'])
  const found = await client.all(
    `SELECT post_uuid, ${TOTAL_COLUMNS.join(', ')}, unknown_until
     FROM post_view_totals
     WHERE post_uuid > ? ${last === null ? '' : 'AND post_uuid <= ?'}`,
    last === null ? [after] : [after, last],
  )
  const expectedOf = new Map(sums.map(row => [String(row['post_uuid']), toTotal(row)]))
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
    ...eachDetail(name => figure(row[name])),
    first_viewed_at: row['first_viewed_at'] as SqlValue,
    last_viewed_at: row['last_viewed_at'] as SqlValue,
    unknown_until: row['unknown_until'] as Day | null,
  }
}

/** The wrong days of a post: what must be stored, and what was found. */
export type WrongDays = Map<Day, Pick<Pair<string, StoredAggregate>, 'expected' | 'found'>>

/**
 * What the totals must be for posts with wrong days: sums over their corrected days. Null if no day is left. A post is left out
 * if batches added to a missing value: its total is known only after the correction.
 */
export async function correctedTotals(
  { daysOfPosts }: SqlEngine,
  client: SqlClient,
  wrong: ReadonlyMap<string, WrongDays>,
): Promise<Map<string, Total | null>> {
  const totals = new Map<string, Total | null>()
  for (const posts of groupsOf(wrong.keys(), POSTS_AT_ONCE)) {
    const rows = await client.all(
      `SELECT post_uuid, date, baseline, ${DAY_COLUMNS.join(', ')}
       FROM ${daysOfPosts}
       WHERE post_uuid IN (${placeholders(posts.length)})`,
      posts,
    )
    const daysOf = new Map(posts.map(post => [post, new Map<Day, StoredAggregate | null>()]))
    for (const row of rows) daysOf.get(String(row['post_uuid']))!.set(String(row['date']), toStored(row))
    for (const [post, days] of daysOf) {
      let isCertain = true
      for (const [day, pair] of wrong.get(post)!) {
        const right = corrected(days.get(day) ?? null, pair)
        days.set(day, right.value)
        isCertain &&= right.isCertain
      }
      if (isCertain) totals.set(post, totalOf(days))
    }
  }
  return totals
}

function totalOf(days: ReadonlyMap<Day, StoredAggregate | null>): Total | null {
  const all = [...days.values()].filter(aggregate => aggregate !== null)
  const sum = sumOf(all)
  if (sum === null) return null
  const details = sumOf(all.filter(({ unique_views }) => unique_views !== null))
  const unknownDays = [...days]
    .filter(([, aggregate]) => aggregate?.unique_views === null)
    .map(([day]) => day)
  return {
    views: sum.view_count,
    detailed_views: details?.view_count ?? null,
    ...eachDetail(name => details?.[name] ?? null),
    first_viewed_at: sum.first_viewed_at,
    last_viewed_at: sum.last_viewed_at,
    unknown_until: unknownDays.sort().at(-1) ?? null,
  }
}

/** Sums up the days of a few posts again. */
export async function writeTotals(
  { daysOfPosts }: SqlEngine,
  client: SqlClient,
  posts: readonly string[],
): Promise<void> {
  const those = `post_uuid IN (${placeholders(posts.length)})`
  await client.run(`DELETE FROM post_view_totals WHERE ${those}`, posts)
  await client.run(insertTotals(those, daysOfPosts), posts)
}
