/** The statements that add a batch to its counters, of which one batch has its turn at a time. */

import type { BatchCounts, PostDayCount } from '../counts.ts'
import { DETAILS } from '../figures.ts'
import { DAY_COLUMNS, dayValues, isDetail, TOTAL_COLUMNS, totalValues } from '../sql/figure-columns.ts'
import type { KeptHosts } from '../sql/kept-hosts.ts'
import type { MysqlClient } from './connection.ts'
import { partsOf, postDay, quoted, statement, time } from './text.ts'
import { type Spelling, spelling, upsert } from './upsert.ts'

const COUNTERS_AT_ONCE = 2_000
// Below 1,000, from which on MariaDB turns a list into a table that it joins.
const KEYS_AT_ONCE = 900

type Added = (column: string) => string

const addViews = (added: Added) => `view_count = view_count + ${added('view_count')}`

const ADD_TO_REFERRERS = upsert('post_view_referrers', ['post_uuid', 'date', 'host', 'view_count'], addViews)

const extreme = (of: 'LEAST' | 'GREATEST', column: string, added: string) =>
  `${column} = COALESCE(${of}(${column}, ${added}), ${column}, ${added})`

const addColumns =
  (columns: readonly string[], addNumber: (column: string, added: string) => string) => (added: Added) =>
    columns
      .map(column => {
        if (column === 'first_viewed_at') return extreme('LEAST', column, added(column))
        if (column === 'last_viewed_at') return extreme('GREATEST', column, added(column))
        return addNumber(column, added(column))
      })
      .join(', ')

// Null, where adopted rows leave a day's numbers unknown, stays null.
const addDay = addColumns(DAY_COLUMNS, (column, added) => `${column} = ${column} + ${added}`)

const ADD_TO_POST_DAYS = upsert('post_view_aggregates', ['id', 'post_uuid', 'date', ...DAY_COLUMNS], addDay)

// Null stands for no known day, on either side: then the other side tells. A detail of which known days do not tell stays null.
// What is assigned later sees what was assigned before: `detailed_views` of before is needed, so it comes last.
const addTotal = addColumns(
  [...DETAILS, ...TOTAL_COLUMNS.filter(column => !isDetail(column))],
  (column, added) =>
    isDetail(column)
      ? `${column} = CASE WHEN ${added} IS NULL THEN ${column} WHEN detailed_views IS NULL THEN ${added} ELSE ${column} + ${added} END`
      : `${column} = COALESCE(${column} + ${added}, ${column}, ${added})`,
)

const ADD_TO_POSTS = upsert('post_view_totals', ['post_uuid', ...TOTAL_COLUMNS], addTotal)

const ADD_TO_SITE_REFERRERS = upsert('site_view_referrers', ['date', 'host', 'view_count'], addViews)

const ADD_TO_MINUTES = upsert('site_view_minutes', ['minute', 'view_count'], addViews)

const ADD_TO_SITE_DAYS = upsert('site_view_aggregates', ['date', ...DAY_COLUMNS], addDay)

/** For `postviews schema`; `…` stands for rows. */
export function printedCounters(server: { isMysql: boolean }): string[] {
  const all = [
    ADD_TO_POST_DAYS,
    ADD_TO_POSTS,
    ADD_TO_REFERRERS,
    ADD_TO_SITE_DAYS,
    ADD_TO_SITE_REFERRERS,
    ADD_TO_MINUTES,
  ]
  return all.map(one => {
    const { insert, update } = spelling(one, server)
    return `${insert}…${update}`
  })
}

/** Waits until no other batch has its turn, and keeps them waiting until the transaction is over: all write this row. */
export function takeTurn({ committedAt, viewedAt }: { committedAt: number; viewedAt: number }): string {
  return `
    INSERT INTO post_view_progress (id, last_committed_at, last_viewed_at)
    VALUES (1, ${committedAt}, ${viewedAt})
    ON DUPLICATE KEY UPDATE
      last_committed_at = ${committedAt},
      last_viewed_at    = ${viewedAt}`
}

/** Each is made when asked for. */
export function* counterStatements(
  server: { isMysql: boolean },
  counts: BatchCounts,
  { idOf, isKnown }: KnownPostDays,
  { ofPost, ofSite }: KeptHosts,
): Generator<string> {
  yield* upserts(
    spelling(ADD_TO_REFERRERS, server),
    counts.referrers(),
    count => `(${postDay(count)},${quoted(ofPost(count))},${count.views})`,
  )
  yield* upserts(
    spelling(ADD_TO_POST_DAYS, server),
    counts.postDays(),
    count => `(${idOf(count)},${postDay(count)},${texts(dayValues(count))})`,
  )
  yield* upserts(
    spelling(ADD_TO_POSTS, server),
    counts.posts(isKnown),
    count => `(${quoted(count.postUuid)},${texts(totalValues(count))})`,
  )
  yield* upserts(
    spelling(ADD_TO_SITE_REFERRERS, server),
    counts.siteReferrers(),
    count => `('${count.day}',${quoted(ofSite(count))},${count.views})`,
  )
  yield* upserts(
    spelling(ADD_TO_MINUTES, server),
    counts.minutes(),
    ({ minute, views }) => `(${minute},${views})`,
  )
  yield* upserts(
    spelling(ADD_TO_SITE_DAYS, server),
    counts.siteDays(),
    count => `('${count.day}',${texts(dayValues(count))})`,
  )
}

/** Values of figures, of which the last two are times. */
function texts(values: (number | null)[]): string {
  const [first, last] = values.splice(-2)
  return `${values.map(value => value ?? 'NULL').join()},${time(first!)},${time(last!)}`
}

function* upserts<T>(
  { insert, update }: Spelling,
  items: readonly T[],
  textOf: (item: T) => string,
): Generator<string> {
  for (const { texts } of partsOf(items, COUNTERS_AT_ONCE, textOf)) yield statement(insert, texts, update)
}

export interface KnownPostDays {
  /** The number of its row of `post_view_aggregates`, or NULL: written by its number a row is found at once. */
  idOf(count: PostDayCount): string
  /** Whether all is known of a day. */
  isKnown(count: PostDayCount): boolean
}

/** Asked before the turn: a row that another batch adds meanwhile is found by its unique key, a little later. */
export async function knownPostDays(
  client: MysqlClient,
  postDays: readonly PostDayCount[],
): Promise<KnownPostDays> {
  const ids = new Map<string, string>()
  const unknown = new Set<string>()
  for (const { texts } of partsOf(postDays, KEYS_AT_ONCE, count => `(${postDay(count)})`)) {
    const found = await client.all(
      `SELECT id, post_uuid, date, unique_views IS NULL AS is_unknown
       FROM post_view_aggregates
       WHERE (post_uuid, date) IN (${texts.join()})`,
    )
    for (const row of found) {
      const key = postDay({ postUuid: String(row['post_uuid']), day: String(row['date']) })
      ids.set(key, String(row['id']))
      if (Number(row['is_unknown']) === 1) unknown.add(key)
    }
  }
  return {
    idOf: count => ids.get(postDay(count)) ?? 'NULL',
    isKnown: count => !unknown.has(postDay(count)),
  }
}
