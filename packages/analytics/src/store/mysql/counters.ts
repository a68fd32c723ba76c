/** The statements that add a batch to the counters. One batch at a time may run them. */

import type { BatchCounts, PostDayCount } from '../counts.ts'
import { DETAILS } from '../figures.ts'
import { DAY_COLUMNS, dayValues, isDetail, TOTAL_COLUMNS, totalValues } from '../sql/figure-columns.ts'
import type { MysqlClient } from './connection.ts'
import { partsOf, postDay, quoted, statement, time } from './text.ts'
import { type Spelling, spelling, upsert } from './upsert.ts'

const COUNTERS_AT_ONCE = 2_000
// Below 1,000: from that length on, MariaDB turns a list into a table that it joins.
const KEYS_AT_ONCE = 900

type Added = (column: string) => string

const addViews = (added: Added) => `view_count = view_count + ${added('view_count')}`

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

// A number of a day that is unknown, because the day was adopted, is null and stays null: null + 1 is null.
const addDay = addColumns(DAY_COLUMNS, (column, added) => `${column} = ${column} + ${added}`)

const ADD_TO_POST_DAYS = upsert('post_view_aggregates', ['id', 'post_uuid', 'date', ...DAY_COLUMNS], addDay)

// `detailed_views` is null if no day of the post is known yet, and an added detail is null if no day of the batch is: the sum is then
// the other number alone. MySQL runs the assignments from left to right, and later ones see the new values. The assignments of
// details need the old `detailed_views`, so that column is assigned after them.
const addTotal = addColumns(
  [...DETAILS, ...TOTAL_COLUMNS.filter(column => !isDetail(column))],
  (column, added) =>
    isDetail(column)
      ? `${column} = CASE WHEN ${added} IS NULL THEN ${column} WHEN detailed_views IS NULL THEN ${added} ELSE ${column} + ${added} END`
      : `${column} = COALESCE(${column} + ${added}, ${column}, ${added})`,
)

const ADD_TO_POSTS = upsert('post_view_totals', ['post_uuid', ...TOTAL_COLUMNS], addTotal)

const ADD_TO_MINUTES = upsert('site_view_minutes', ['minute', 'view_count'], addViews)

const ADD_TO_SITE_DAYS = upsert('site_view_aggregates', ['date', ...DAY_COLUMNS], addDay)

/** The statements as `postviews schema` prints them, with `…` in place of the rows. */
export function printedCounters(server: { isMysql: boolean }): string[] {
  const all = [ADD_TO_POST_DAYS, ADD_TO_POSTS, ADD_TO_SITE_DAYS, ADD_TO_MINUTES]
  return all.map(one => {
    const { insert, update } = spelling(one, server)
    return `${insert}…${update}`
  })
}

/** Locks the counters: every batch updates this one row first, and holds its lock until the transaction ends. */
export function takeTurn({ committedAt, viewedAt }: { committedAt: number; viewedAt: number }): string {
  return `
    INSERT INTO post_view_progress (id, last_committed_at, last_viewed_at)
    VALUES (1, ${committedAt}, ${viewedAt})
    ON DUPLICATE KEY UPDATE
      last_committed_at = ${committedAt},
      last_viewed_at    = ${viewedAt}`
}

/** A generator, so that only one of these long texts is in memory at a time. */
export function* counterStatements(
  server: { isMysql: boolean },
  counts: BatchCounts,
  { idOf, isKnown }: KnownPostDays,
): Generator<string> {
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

/** The values of the figures' columns as SQL. The last two are times. */
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
  /** The id of its row in `post_view_aggregates`, or `NULL`. An upsert with the id finds the row faster than by its unique key. */
  idOf(count: PostDayCount): string
  /** False for a stored day with numbers that are unknown. */
  isKnown(count: PostDayCount): boolean
}

/** Runs before the counters are locked. If another batch adds a row in between, the upsert finds it by its unique key. */
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
