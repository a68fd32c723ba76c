/** The values of a dimension with the most views, as the internal API answers them. */

import { setImmediate as others } from 'node:timers/promises'
import type { DimensionName } from '@postviews/client/src/figures.ts'
import { boundOf, SITE } from '../bounds.ts'
import { type Day, daysFrom } from '../days.ts'
import { asValue, columnOf } from '../dimensions.ts'
import { byViews, Pack, type Views } from '../pack.ts'
import type { BreakdownOfPeriod } from '../store.ts'
import {
  isSettled,
  placeholders,
  SELECT_STATE,
  type SqlClient,
  type SqlRow,
  type SqlValue,
  type State,
  toState,
} from './sql.ts'

// `NULLIF(0, 0)`: null, but of a type that all parts of the UNION share.
const PACKS = `
  SELECT date AS day, counts, NULLIF('', '') AS value, NULLIF(0, 0) AS views, NULLIF(0, 0) AS bots
  FROM post_view_breakdowns`
export interface Asked {
  name: DimensionName
  post: string | null
  from: Day
  to: Day
  limit: number
  offset: number
}

/** Most views first, then by value. */
export async function breakdownOf(client: SqlClient, asked: Asked): Promise<BreakdownOfPeriod> {
  const { name, post, from, to, limit, offset } = asked
  const state = toState((await client.all(SELECT_STATE))[0]!)
  const days = daysFrom(from, to)
  const inDays = placeholders(days.length)
  const parts: { sql: string; values: SqlValue[] }[] = [
    { sql: `${PACKS} WHERE post_uuid = ? AND date IN (${inDays})`, values: [post ?? SITE, ...days] },
  ]
  // One statement, so that packs and unpacked rows are read at the same moment.
  if (post !== null) {
    const counted = state.settings.bots === 'exclude' ? '1 - bot' : '1'
    parts.push({
      sql: `
        SELECT day, NULLIF('', ''), ${columnOf(name)}, SUM(${counted}), SUM(bot)
        FROM post_view_unpacked JOIN post_views ON post_views.id = post_view_unpacked.id
        WHERE post_view_unpacked.${client.dialect.post} = ${client.dialect.postKey('?')} AND day IN (${inDays})
        GROUP BY day, ${columnOf(name)}`,
      values: [post, ...days],
    })
  }
  const rows = await client.all(
    parts.map(({ sql }) => sql).join(' UNION ALL '),
    parts.flatMap(({ values }) => values),
  )
  return pageOf(await summedUp(rows, asked, state), limit, offset)
}

interface Sum {
  values: Map<string, Views>
  others: number
}

async function summedUp(rows: readonly SqlRow[], { name, post }: Asked, state: State): Promise<Sum> {
  const sum: Sum = { values: new Map(), others: 0 }
  for (const [day, some] of Map.groupBy(rows, row => String(row['day']))) {
    // The pack first, because it decides whether a value that is not packed yet is kept.
    const text = some.find(row => row['counts'] !== null)?.['counts']
    const breakdown = Pack.parse(text === undefined ? undefined : String(text)).of(name)
    const bound = boundOf(post ?? SITE, isSettled(state, day))
    for (const { counts, value, views, bots } of some) {
      if (counts !== null) continue
      breakdown.add(asValue(value), { views: Number(views), bots: Number(bots) }, bound)
    }
    for (const [value, { views, bots }] of breakdown.values) {
      const before = sum.values.get(value)
      if (before === undefined) sum.values.set(value, { views, bots })
      else before.views += views
    }
    sum.others += breakdown.others?.views ?? 0
    // A day of the site may have thousands of values: other requests are answered between two days.
    await others()
  }
  return sum
}

function pageOf({ values, others }: Sum, limit: number, offset: number): BreakdownOfPeriod {
  const seen = [...values].filter(([, { views }]) => views > 0)
  const total = seen.reduce((sum, [, { views }]) => sum + views, others)
  const page = seen.sort(byViews).slice(offset, offset + limit)
  const listed = page.reduce((sum, [, { views }]) => sum + views, 0)
  return {
    values: page.map(([value, { views }]) => ({ value, views })),
    other: { views: total - listed },
  }
}
