/** Reads the values of a dimension in a period. */

import { setImmediate as others } from 'node:timers/promises'
import type { DimensionName } from '@postviews/client/src/figures.ts'
import { boundOf, SITE } from '../bounds.ts'
import { type Day, daysFrom } from '../days.ts'
import { columnOf, valueIn } from '../dimensions.ts'
import { Pack, type Views } from '../pack.ts'
import type { ReadDay } from '../read-days.ts'
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

export interface Asked {
  name: DimensionName
  /** Null: the whole site. */
  post: string | null
  from: Day
  to: Day
}

/** Every day that has any. */
export async function* readDays(client: SqlClient, asked: Asked): AsyncGenerator<ReadDay> {
  const { name, post } = asked
  const state = toState((await client.all(SELECT_STATE))[0]!)
  const rows = await rowsOf(client, asked, state)
  for (const [day, some] of Map.groupBy(rows, row => String(row['day']))) {
    const ofKind = (kind: string) => some.filter(row => row['kind'] === kind)
    // The pack first, because it decides whether a value that is not packed yet is kept.
    const [pack] = ofKind('pack')
    const breakdown = Pack.parse(pack && String(pack['text'])).of(name)
    const bound = boundOf(post ?? SITE, isSettled(state, day))
    for (const row of ofKind('row')) {
      const value = valueIn(row['text'], name)
      if (value !== null) breakdown.add(value, viewsIn(row), bound)
    }
    const [all] = ofKind('day')
    yield { day, breakdown, all: all === undefined ? null : viewsIn(all) }
    // A day of the site may have thousands of values: other requests are answered between two days.
    await others()
  }
}

function viewsIn(row: SqlRow): Views {
  return { views: Number(row['views']), bots: figure(row['bots']) }
}

/** One statement, so that packs, rows that are not packed, and figures are read at the same moment. */
function rowsOf(client: SqlClient, { name, post, from, to }: Asked, state: State): Promise<SqlRow[]> {
  const days = daysFrom(from, to)
  const inDays = placeholders(days.length)
  const place = post === null ? [] : [post]
  const parts: { sql: string; values: SqlValue[] }[] = [
    {
      // `NULLIF(0, 0)`: null, but of a type that all parts of the UNION share.
      sql: `
        SELECT 'pack' AS kind, date AS day, counts AS text, NULLIF(0, 0) AS views, NULLIF(0, 0) AS bots
        FROM post_view_breakdowns WHERE post_uuid = ? AND date IN (${inDays})`,
      values: [post ?? SITE, ...days],
    },
    {
      sql: `
        SELECT 'day', date, NULLIF('', ''), view_count, bots
        FROM ${post === null ? 'site_view_aggregates WHERE' : 'post_view_aggregates WHERE post_uuid = ? AND'} date IN (${inDays})`,
      values: [...place, ...days],
    },
  ]
  if (post !== null) {
    // A text, because all parts of a UNION share their types.
    const counted = state.settings.bots === 'exclude' ? '1 - bot' : '1'
    parts.push({
      sql: `
        SELECT 'row', day, CAST(${columnOf(name)} AS ${client.dialect.text}), SUM(${counted}), SUM(bot)
        FROM post_view_unpacked JOIN post_views ON post_views.id = post_view_unpacked.id
        WHERE post_view_unpacked.${client.dialect.post} = ${client.dialect.postKey('?')} AND day IN (${inDays})
        GROUP BY day, ${columnOf(name)}`,
      values: [post, ...days],
    })
  }
  return client.all(
    parts.map(({ sql }) => sql).join(' UNION ALL '),
    parts.flatMap(({ values }) => values),
  )
}
