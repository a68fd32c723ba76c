/** Reads the values of a dimension in a period: of settled days as they are kept, of others from their rows. */

import type { Calendar } from '../calendar.ts'
import { addViews, Breakdown, type Views } from '../pack.ts'
import type { Asked, ReadDay } from '../read-days.ts'
import { ALL, countedOf, keptOf, valuesOf } from './breakdowns.ts'
import type { Cluster, Row, Shard } from './connection.ts'
import { dayIn, postIn } from './count.ts'
import { shardOf } from './record.ts'
import { sourcesOf } from './roll.ts'
import { addValue } from './site-breakdowns.ts'
import { postKey, SITE, within } from './sql.ts'

/** Every day that has any. */
export async function* readDays(
  cluster: Cluster,
  calendar: Calendar,
  { posts, ...asked }: Asked,
): AsyncGenerator<ReadDay> {
  const reads = await cluster.during(async () => {
    const shards = await cluster.shards()
    if (posts === null) return [await readSite(calendar, shards, asked)]
    const onShards = Map.groupBy(posts, post => shardOf(post, shards.length))
    return Promise.all(
      [...onShards].map(([shard, some]) => readPosts(calendar, shards[shard]!, some.map(postKey), asked)),
    )
  })
  const textOf = new Map((posts ?? []).map(post => [postKey(post), post]))
  for (const read of reads)
    for (const day of daysIn(read)) yield { ...day, post: textOf.get(day.post) ?? day.post }
}

/** By their keys in place of posts. */
function daysIn({ rows, days: known }: Read): Iterable<ReadDay> {
  const days = new Map<string, ReadDay & { all: Views }>()
  for (const row of rows) {
    const [post, day] = [String(row['post']), String(row['day'])]
    const key = `${post} ${day}`
    const read = days.get(key) ?? { post, day, breakdown: new Breakdown(), all: { views: 0, bots: 0 } }
    days.set(key, read)
    addViews(read.all, { views: Number(row['all_views']), bots: numberOf(row['all_bots']) })
    const [views, bots] = [row['views_of'] as unknown[], row['bots_of'] as unknown[]]
    for (const [nth, value] of (row['told'] as string[]).entries())
      addValue(read.breakdown, value, { views: Number(views[nth]), bots: numberOf(bots[nth]) })
  }
  for (const [key, some] of Map.groupBy(known, row => `${row['post']} ${row['day']}`)) {
    // A day that is unknown on one shard is unknown.
    if (!some.some(row => Number(row['is_unknown']) === 1)) continue
    const views = some.reduce((sum, row) => sum + Number(row['views']), 0)
    const [post, day] = [String(some[0]!['post']), String(some[0]!['day'])]
    const breakdown = days.get(key)?.breakdown ?? new Breakdown()
    days.set(key, { post, day, breakdown, all: { views, bots: null } })
  }
  return days.values()
}

function numberOf(value: unknown): number | null {
  return value === null ? null : Number(value)
}

interface Read {
  rows: Row[]
  /** Their views; of some, nothing else is known. */
  days: Row[]
}

type Question = Omit<Asked, 'posts'>

const OF_SITE = `toUUID('${SITE}') AS post`
const DAYS = 'day, views, unknown_until > toDate(0) AS is_unknown'

/** Days that are not settled are two or three, where retention runs. */
async function readPosts(
  calendar: Calendar,
  shard: Shard,
  keys: readonly string[],
  { name, from, to }: Question,
): Promise<Read> {
  const [of, period] = [postIn(keys), within(from, to)]
  const [sources, days] = await Promise.all([
    sourcesOf({ calendar }, shard),
    shard.all(`SELECT post, ${DAYS} FROM post_view_days FINAL WHERE ${of} AND ${period}`),
  ])
  const closed = sources.closed ?? '1970-01-01'
  const open = new Set(days.map(row => String(row['day'])).filter(day => day > closed))
  const parts = [
    `SELECT post, day, ${keptOf(name)} FROM post_view_breakdowns FINAL WHERE ${of} AND ${period} AND day <= '${closed}'`,
  ]
  if (open.size > 0)
    parts.push(countedOf(name, valuesOf(sources, [...open], { posts: of, names: [name, ALL] })))
  return { rows: await shard.all(parts.join(' UNION ALL ')), days }
}

/** When every shard has settled a day, it is still read from the shards until it is added up for all of them. */
async function readSite(
  calendar: Calendar,
  shards: readonly Shard[],
  { name, from, to }: Question,
): Promise<Read> {
  const period = within(from, to)
  const kept = await shards[0]!.all(`SELECT DISTINCT day FROM post_view_site_breakdowns WHERE ${period}`)
  const isKept = new Set(kept.map(row => String(row['day'])))
  const reads = shards.map(async shard => {
    const days = await shard.all(`SELECT ${OF_SITE}, ${DAYS} FROM post_view_site_days FINAL WHERE ${period}`)
    const open = days.map(row => String(row['day'])).filter(day => !isKept.has(day))
    if (open.length === 0) return { days, rows: [] }
    const values = valuesOf(await sourcesOf({ calendar }, shard), open, { of: 'site', names: [name, ALL] })
    return { days, rows: await shard.all(countedOf(name, values)) }
  })
  const settled =
    isKept.size === 0
      ? []
      : shards[0]!.all(
          `SELECT ${OF_SITE}, day, ${keptOf(name)} FROM post_view_site_breakdowns FINAL WHERE ${dayIn([...isKept])}`,
        )
  const ofShards = await Promise.all(reads)
  return {
    rows: [...(await settled), ...ofShards.flatMap(({ rows }) => rows)],
    days: ofShards.flatMap(({ days }) => days),
  }
}
