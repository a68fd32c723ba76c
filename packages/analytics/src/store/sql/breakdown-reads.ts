/** Reads the values of a dimension in a period. */

import { setImmediate as others } from 'node:timers/promises'
import { boundOf, SITE } from '../bounds.ts'
import type { CountingSettings } from '../counting-settings.ts'
import { daysFrom } from '../days.ts'
import { columnOf, valueIn } from '../dimensions.ts'
import { Pack, type Views } from '../pack.ts'
import type { Asked, ReadDay } from '../read-days.ts'
import {
  figure,
  isSettled,
  placeholders,
  SELECT_STATE,
  type SqlClient,
  type SqlRow,
  type SqlValue,
  type State,
  toState,
} from './sql.ts'
import { groupsOf } from './steps.ts'

/** One statement reads the days of this many posts: their packs may be large. */
const POSTS_AT_ONCE = 100
/** Other requests are answered after this many days of posts. A day of the site may have thousands of values. */
const DAYS_BETWEEN_TURNS = { post: 20, site: 1 }

/** Every day that has any. */
export async function* readDays(client: SqlClient, asked: Asked): AsyncGenerator<ReadDay> {
  const { posts } = asked
  const most = DAYS_BETWEEN_TURNS[posts === null ? 'site' : 'post']
  let read = 0
  for (const some of posts === null ? [null] : groupsOf(posts, POSTS_AT_ONCE)) {
    for await (const day of daysOf(client, { ...asked, posts: some })) {
      yield day
      if (++read % most === 0) await others()
    }
  }
}

async function* daysOf(client: SqlClient, asked: Asked): AsyncGenerator<ReadDay> {
  const { name } = asked
  const state = toState((await client.all(SELECT_STATE))[0]!)
  const rows = await rowsOf(client, asked, state)
  for (const some of Map.groupBy(rows, row => `${row['day']} ${row['post']}`).values()) {
    const [post, day] = [String(some[0]!['post']), String(some[0]!['day'])]
    const ofKind = (kind: string) => some.filter(row => row['kind'] === kind)
    // The pack first, because it decides whether a value that is not packed yet is kept.
    const [pack] = ofKind('pack')
    const breakdown = Pack.parse(pack && String(pack['text'])).of(name)
    const bound = boundOf(post, isSettled(state, day))
    for (const row of ofKind('row')) {
      const value = valueIn(row['text'], name)
      if (value !== null) breakdown.add(value, viewsIn(row), bound)
    }
    const [all] = ofKind('day')
    yield { post, day, breakdown, all: all === undefined ? null : viewsIn(all) }
  }
}

function viewsIn(row: SqlRow): Views {
  return { views: Number(row['views']), bots: figure(row['bots']) }
}

/** As SQL: whether a row counts for every figure, by what its day was counted by. */
function countedSql({ settings, botsBefore }: State): string {
  const ofRow = (bots: CountingSettings['bots']) => (bots === 'exclude' ? '1 - bot' : '1')
  const earlier = botsBefore.map(({ bots, before }) => `WHEN day < '${before}' THEN ${ofRow(bots)}`)
  const now = ofRow(settings.bots)
  return earlier.length === 0 ? now : `CASE ${earlier.join(' ')} ELSE ${now} END`
}

/** One statement, so that packs, rows that are not packed, and figures are read at the same moment. */
function rowsOf(client: SqlClient, { name, posts, from, to }: Asked, state: State): Promise<SqlRow[]> {
  const days = daysFrom(from, to)
  const inDays = placeholders(days.length)
  const places = posts ?? [SITE]
  const inPlaces = placeholders(places.length)
  const parts: { sql: string; values: SqlValue[] }[] = [
    {
      // `NULLIF(0, 0)`: null, but of a type that all parts of the UNION share.
      sql: `
        SELECT 'pack' AS kind, date AS day, counts AS text, NULLIF(0, 0) AS views, NULLIF(0, 0) AS bots, post_uuid AS post
        FROM post_view_breakdowns WHERE post_uuid IN (${inPlaces}) AND date IN (${inDays})`,
      values: [...places, ...days],
    },
    posts === null
      ? {
          sql: `
        SELECT 'day', date, NULLIF('', ''), view_count, bots, '${SITE}'
        FROM site_view_aggregates WHERE date IN (${inDays})`,
          values: days,
        }
      : {
          sql: `
        SELECT 'day', date, NULLIF('', ''), view_count, bots, post_uuid
        FROM post_view_aggregates WHERE post_uuid IN (${inPlaces}) AND date IN (${inDays})`,
          values: [...posts, ...days],
        },
  ]
  if (posts !== null) {
    // A text, because all parts of a UNION share their types.
    const counted = countedSql(state)
    const { post, postKey, text } = client.dialect
    parts.push({
      sql: `
        SELECT 'row', day, CAST(${columnOf(name)} AS ${text}), SUM(${counted}), SUM(bot), post_view_unpacked.post_uuid
        FROM post_view_unpacked JOIN post_views ON post_views.id = post_view_unpacked.id
        WHERE post_view_unpacked.${post} IN (${posts.map(() => postKey('?')).join(', ')}) AND day IN (${inDays})
        GROUP BY post_view_unpacked.${post}, day, ${columnOf(name)}`,
      values: [...posts, ...days],
    })
  }
  return client.all(
    parts.map(({ sql }) => sql).join(' UNION ALL '),
    parts.flatMap(({ values }) => values),
  )
}
