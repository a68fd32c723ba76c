/** Reads the values of a dimension in a period: of settled days as they are kept, of others from their rows. */

import type { DimensionName } from '@postviews/client/src/figures.ts'
import type { Calendar } from '../calendar.ts'
import type { Day } from '../days.ts'
import { addViews, Breakdown, type Views } from '../pack.ts'
import type { ReadDay } from '../read-days.ts'
import { ALL, countedOf, keptOf, valuesOf } from './breakdowns.ts'
import type { Cluster, Row, Shard } from './connection.ts'
import { dayIn } from './count.ts'
import { shardOf } from './record.ts'
import { sourcesOf } from './roll.ts'
import { addValue } from './site-breakdowns.ts'
import { postKey, within } from './sql.ts'

export interface Asked {
  name: DimensionName
  /** Null: the whole site. */
  post: string | null
  from: Day
  to: Day
}

/** Every day that has any. */
export async function* readDays(cluster: Cluster, calendar: Calendar, asked: Asked): AsyncGenerator<ReadDay> {
  const { rows, unknown } = await cluster.during(async () => {
    const shards = await cluster.shards()
    return asked.post === null
      ? readSite(calendar, shards, asked)
      : readPost(calendar, shards[shardOf(asked.post, shards.length)]!, asked.post, asked)
  })
  const days = new Map<Day, { breakdown: Breakdown; all: Views }>()
  for (const row of rows) {
    const day = days.get(String(row['day'])) ?? { breakdown: new Breakdown(), all: { views: 0, bots: 0 } }
    days.set(String(row['day']), day)
    addViews(day.all, { views: Number(row['all_views']), bots: numberOf(row['all_bots']) })
    const [views, bots] = [row['views_of'] as unknown[], row['bots_of'] as unknown[]]
    for (const [nth, value] of (row['told'] as string[]).entries())
      addValue(day.breakdown, value, { views: Number(views[nth]), bots: numberOf(bots[nth]) })
  }
  for (const [day, views] of unknown) {
    const breakdown = days.get(day)?.breakdown ?? new Breakdown()
    days.set(day, { breakdown, all: { views, bots: null } })
  }
  for (const [day, read] of days) yield { day, ...read }
}

function numberOf(value: unknown): number | null {
  return value === null ? null : Number(value)
}

interface Read {
  rows: Row[]
  /** The views of days of which nothing else is known. */
  unknown: Map<Day, number>
}

const DAYS = 'day, views, unknown_until > toDate(0) AS is_unknown'

/** Days that are not settled are two or three, where retention runs. */
async function readPost(
  calendar: Calendar,
  shard: Shard,
  post: string,
  { name, from, to }: Asked,
): Promise<Read> {
  const [of, period] = [`post = '${postKey(post)}'`, within(from, to)]
  const [sources, days] = await Promise.all([
    sourcesOf({ calendar }, shard),
    shard.all(`SELECT ${DAYS} FROM post_view_days FINAL WHERE ${of} AND ${period}`),
  ])
  const closed = sources.closed ?? '1970-01-01'
  const open = days.map(row => String(row['day'])).filter(day => day > closed)
  const parts = [
    `SELECT day, ${keptOf(name)} FROM post_view_breakdowns FINAL WHERE ${of} AND ${period} AND day <= '${closed}'`,
  ]
  if (open.length > 0) parts.push(countedOf(name, valuesOf(sources, open, { posts: of, names: [name, ALL] })))
  return { rows: await shard.all(parts.join(' UNION ALL ')), unknown: unknownIn(days) }
}

/** When every shard has settled a day, it is still read from the shards until it is added up for all of them. */
async function readSite(
  calendar: Calendar,
  shards: readonly Shard[],
  { name, from, to }: Asked,
): Promise<Read> {
  const period = within(from, to)
  const kept = await shards[0]!.all(`SELECT DISTINCT day FROM post_view_site_breakdowns WHERE ${period}`)
  const isKept = new Set(kept.map(row => String(row['day'])))
  const reads = shards.map(async shard => {
    const days = await shard.all(`SELECT ${DAYS} FROM post_view_site_days FINAL WHERE ${period}`)
    const open = days.map(row => String(row['day'])).filter(day => !isKept.has(day))
    if (open.length === 0) return { days, rows: [] }
    const values = valuesOf(await sourcesOf({ calendar }, shard), open, { of: 'site', names: [name, ALL] })
    return { days, rows: await shard.all(countedOf(name, values)) }
  })
  const settled =
    isKept.size === 0
      ? []
      : shards[0]!.all(
          `SELECT day, ${keptOf(name)} FROM post_view_site_breakdowns FINAL WHERE ${dayIn([...isKept])}`,
        )
  const ofShards = await Promise.all(reads)
  return {
    rows: [...(await settled), ...ofShards.flatMap(({ rows }) => rows)],
    unknown: unknownIn(ofShards.flatMap(({ days }) => days)),
  }
}

/** A day that is unknown on one shard is unknown. */
function unknownIn(days: readonly Row[]): Map<Day, number> {
  const unknown = new Map<Day, number>()
  for (const [day, rows] of Map.groupBy(days, row => String(row['day']))) {
    if (rows.some(row => Number(row['is_unknown']) === 1))
      unknown.set(
        day,
        rows.reduce((sum, row) => sum + Number(row['views']), 0),
      )
  }
  return unknown
}
