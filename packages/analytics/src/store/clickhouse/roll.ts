/**
 * From rows to figures. Whoever rolls lists what a shard has committed since it was last counted, and counts the posts
 * concerned again, a few days at a time, from all of their rows. So nothing is added up, and it does not matter how many roll at
 * once, or where one of them dies:
 *
 * - A server numbers the blocks that it commits, of all partitions of a table, under the lock that makes them visible.
 *   Whoever has seen block n sees all before it.
 * - What is counted bears the number that was listed before its rows were read, as its stamp. Of two figures of a post's day
 *   the one with the greater stamp is of all rows that the other is of, and it is the one that holds.
 * - How far a shard is counted is recorded last. Who dies before has changed nothing that the next one does not count again.
 *
 * A server that was started again may give numbers anew (those of dropped parts, or of what a power cut took), and a restored
 * table begins with 1. Both begin a new *generation*, which is the higher part of a stamp.
 */

import type { Day } from '../calendar.ts'
import { write } from './agreed.ts'
import type { Row, Shard } from './connection.ts'
import {
  breakdownsOf,
  dayIn,
  eachDay,
  FIGURES,
  figuresOf,
  hoursOf,
  NOTHING,
  type Sources,
  SUMS,
  SUMS_OF_DAY,
} from './count.ts'
import { NO_HOUR } from './row.ts'
import { STEP_PARTITIONS, STEP_ROWS } from './sql.ts'
import type { Engine } from './state.ts'

const BLOCK_BITS = 40
/** What was committed so long before a server ended may have been lost with it, and its numbers given anew. */
const LOST_SECONDS = 600

export interface Rolling extends Sources {
  /** As SQL: up to where it was committed. */
  stamp: string
}

interface Rolled {
  generation: number
  block: number
  tableUuid: string
  /** Unix seconds. */
  started: number
  asOf: number
}

interface Listing extends Rolled {
  /** The partitions with something that is not counted yet. */
  hours: number[]
  /** As SQL over the rows: committed since; null where whole partitions are. */
  since: string | null
}

/** Counts what this shard has committed. Returns whether there was anything. */
export async function rollShard(engine: Pick<Engine, 'calendar'>, shard: Shard): Promise<boolean> {
  const listing = await list(shard)
  if (listing.hours.length === 0) {
    if (listing.since === null) await recordRolled(shard, listing, [null, null])
    return false
  }
  // Retention may move rows into bases, or settle days, while they are counted: then what was written may be too little.
  let counted = await countListed(shard, listing, await sourcesOf(engine, shard))
  for (;;) {
    const now = await sourcesOf(engine, shard)
    const { sources } = counted
    if (now.cutoff === sources.cutoff && now.based === sources.based && now.closed === sources.closed) break
    counted = await countListed(shard, listing, now, counted.days)
  }
  await recordRolled(shard, listing, counted.latest)
  return true
}

/**
 * @param before the days of an earlier try: whatever it has written is counted once more, also where the rows are gone
 * @returns with what was committed last; null where all rows are gone
 */
async function countListed(
  shard: Shard,
  listing: Listing,
  sources: Sources,
  before?: ReadonlySet<Day>,
): Promise<{ sources: Sources; days: Set<Day>; latest: unknown[] }> {
  const changed = `hour IN (${listing.hours.join(', ')})${listing.since === null ? '' : ` AND ${listing.since}`}`
  const summary = await shard.all(
    `SELECT day, countIf(post_name != '') AS named, countIf(${IS_STRAY}) AS strays,
            groupUniqArrayIf(hour, ${IS_STRAY} AND hour != ${NO_HOUR}) AS ahead,
            max(committed_at) AS committed, argMax(viewed_at, (committed_at, viewed_at)) AS viewed
     FROM post_view_rows WHERE ${changed} GROUP BY day`,
  )
  if (summary.some(row => Number(row['named']) > 0)) await nameNewPosts(shard, changed)
  const stamp = stampOf(listing)
  const rolling = { ...sources, ahead: await aheadWith(shard, sources, summary), stamp }
  const days = new Set([...(before ?? []), ...summary.map(row => String(row['day']))])
  const hasStrays = summary.some(row => Number(row['strays']) > 0)
  if (hasStrays) for (const day of await daysOfStrays(shard, changed)) days.add(day)
  const written = (where: string) =>
    before === undefined
      ? ''
      : ` UNION DISTINCT SELECT post FROM post_view_days WHERE ${where}stamp = ${stamp}`
  for (const some of await inSteps(shard, rolling, days)) {
    const which = hasStrays
      ? `(${dayIn(some)} OR ${IS_STRAY})`
      : `${hoursOf(rolling, some)} AND ${dayIn(some)}`
    const posts = `SELECT DISTINCT post FROM post_view_rows WHERE ${changed} AND ${which}${written(`${dayIn(some)} AND `)}`
    await countPosts(shard, rolling, some, `post IN (${posts})`, hasStrays ? posts : undefined)
  }
  await countSite(shard, rolling, [...days])
  await countTotals(
    shard,
    rolling,
    `post IN (SELECT post FROM post_view_rows WHERE ${changed}${written('')})`,
  )
  const last = summary.toSorted((a, b) => (String(a['committed']) < String(b['committed']) ? 1 : -1))[0]
  return { sources, days, latest: [last?.['committed'] ?? null, last?.['viewed'] ?? null] }
}

/** Hours of views that are ahead, with those that are new; they are written down before anything is counted. */
async function aheadWith(
  shard: Shard,
  { ahead }: Sources,
  summary: readonly Row[],
): Promise<Sources['ahead']> {
  const all = new Map(ahead)
  for (const row of summary) {
    const day = String(row['day'])
    for (const hour of row['ahead'] as number[]) {
      const known = all.get(day) ?? []
      if (known.includes(hour)) continue
      await write(shard, AHEAD + day, hour, '')
      all.set(day, [...known, hour])
    }
  }
  return all
}

/** A view that does not lie in the hour of its row: of a clock that is ahead, or without a time of its own. */
const IS_STRAY = 'intDiv(toUnixTimestamp(viewed_at), 3600) != hour'

/** When such a view comes again it may be of another day; the earlier receipt holds, whichever was counted first. */
async function daysOfStrays(shard: Shard, changed: string): Promise<Day[]> {
  const rows = await shard.all(
    `SELECT DISTINCT day FROM post_view_rows
     WHERE (hour, post, id) IN (SELECT hour, post, id FROM post_view_rows WHERE ${changed} AND ${IS_STRAY})`,
  )
  return rows.map(row => String(row['day']))
}

async function nameNewPosts(shard: Shard, changed: string): Promise<void> {
  await shard.run(
    `INSERT INTO post_view_names
     SELECT DISTINCT post, post_name FROM post_view_rows
     WHERE ${changed} AND post_name != '' AND post NOT IN (SELECT post FROM post_view_names)`,
  )
}

/** Counts posts of days. `also`: as of `figuresOf`. */
export async function countPosts(
  shard: Shard,
  rolling: Rolling,
  days: readonly Day[],
  posts: string,
  also?: string,
): Promise<void> {
  await shard.run(
    `INSERT INTO post_view_days (post, day, ${FIGURES}, stamp)
     SELECT post, day, ${FIGURES}, ${rolling.stamp} FROM (${figuresOf(rolling, days, posts, also)})`,
  )
  await breakDown(
    shard,
    rolling,
    days.filter(day => isSettled(rolling, day)),
    posts,
    also,
  )
}

/** Adds up what is stored of the posts of days; a day without any has a row of nothing. */
export async function countSite(
  shard: Shard,
  { stamp }: Pick<Rolling, 'stamp'>,
  days: readonly Day[],
): Promise<void> {
  if (days.length === 0) return
  await shard.run(
    `INSERT INTO post_view_site_days (day, ${FIGURES}, stamp)
     SELECT day, ${FIGURES}, ${stamp} FROM (
       SELECT day, ${SUMS_OF_DAY}
     FROM (SELECT day, ${FIGURES} FROM post_view_days FINAL WHERE ${dayIn(days)}
           UNION ALL SELECT day, ${NOTHING} FROM (${eachDay('SELECT 1', days)})) AS f
       GROUP BY day)`,
  )
}

export function isSettled({ closed }: Pick<Sources, 'closed'>, day: Day): boolean {
  return closed !== null && day <= closed
}

export async function breakDown(
  shard: Shard,
  rolling: Rolling,
  days: readonly Day[],
  posts?: string,
  also?: string,
): Promise<void> {
  if (days.length === 0) return
  await shard.run(
    `INSERT INTO post_view_breakdowns (post, day, hosts, host_views, stamp)
     SELECT post, day, hosts, host_views, ${rolling.stamp} FROM (${breakdownsOf(rolling, days, posts, also)})`,
  )
}

/** Adds up the days of posts. */
export async function countTotals(
  shard: Shard,
  { stamp }: Pick<Rolling, 'stamp'>,
  posts: string,
): Promise<void> {
  await shard.run(
    `INSERT INTO post_view_post_totals (post, ${FIGURES}, stamp)
     SELECT post, ${SUMS}, ${stamp} FROM (SELECT * FROM post_view_days FINAL WHERE ${posts}) AS f GROUP BY post`,
  )
}

/** For somebody who counts more than was committed since. */
export async function rollingOf(engine: Pick<Engine, 'calendar'>, shard: Shard): Promise<Rolling> {
  const stamp = stampOf(await list(shard))
  return { ...(await sourcesOf(engine, shard)), stamp }
}

/** Before the day, as a name in `post_view_agreed` of this shard; the numbers are the hours of `Sources.ahead`. */
export const AHEAD = 'ahead '

export async function sourcesOf({ calendar }: Pick<Engine, 'calendar'>, shard: Shard): Promise<Sources> {
  const latest = (name: string) => `maxIf(number, name = '${name}')`
  const [row] = await shard.all(
    `SELECT ${latest('cutoff')} AS cutoff, ${latest('based')} AS based, toDate(${latest('closed')}) AS closed, toDate(${latest('zones until')}) AS zones_until,
            ${latest('zones left')} > ${latest('zones applied')} AS is_moving, (SELECT max(day) FROM post_view_bases) AS based_to,
            groupUniqArrayIf((substring(name, ${AHEAD.length + 1}), number), startsWith(name, '${AHEAD}')) AS ahead
     FROM post_view_agreed`,
  )
  const day = (text: unknown) => (text === '1970-01-01' ? null : String(text))
  return {
    calendar,
    cutoff: Number(row!['cutoff']),
    based: Number(row!['based']),
    otherZonesTo: Number(row!['is_moving']) === 1 ? '9999-12-31' : day(row!['zones_until']),
    closed: day(row!['closed']),
    basedTo: day(row!['based_to']),
    ahead: hoursByDay(row!['ahead'] as [Day, number][]),
  }
}

/** Of all shards. */
export async function allSources(engine: Engine): Promise<Sources[]> {
  const shards = await engine.cluster.shards()
  return Promise.all(shards.map(shard => sourcesOf(engine, shard)))
}

const PARTS = `system.parts WHERE database = currentDatabase() AND table = 'post_view_rows' AND active`
const TABLE = `system.tables WHERE database = currentDatabase() AND name = 'post_view_rows'`

/** Of days whose rows are gone there are figures and bases. */
const STEP_DAYS = 31

/** Days that are counted together, the earliest first: many small ones, or a big one. */
export async function inSteps(
  shard: Shard,
  { calendar }: Pick<Engine, 'calendar'>,
  days: Iterable<Day>,
): Promise<Day[][]> {
  const sorted = [...days].sort()
  if (sorted.length < 2) return sorted.map(day => [day])
  const found = await shard.all(
    `SELECT toUInt32(partition) AS hour, sum(rows) AS rows FROM ${PARTS} GROUP BY hour`,
  )
  const rowsOfHour = new Map(found.map(row => [Number(row['hour']), Number(row['rows'])]))
  const steps: Day[][] = []
  let [partitions, rows] = [Number.POSITIVE_INFINITY, 0]
  for (const day of sorted) {
    const { start, end } = calendar.bounds(day)
    const sizes: number[] = []
    for (let hour = Math.floor(start / 3_600); hour * 3_600 < end; hour++) {
      if (rowsOfHour.has(hour)) sizes.push(rowsOfHour.get(hour)!)
    }
    partitions += sizes.length
    rows += sizes.reduce((sum, size) => sum + size, 0)
    if (partitions <= STEP_PARTITIONS && rows <= STEP_ROWS && steps.at(-1)!.length < STEP_DAYS) {
      steps.at(-1)!.push(day)
      continue
    }
    steps.push([day])
    partitions = sizes.length
    rows = sizes.reduce((sum, size) => sum + size, 0)
  }
  return steps
}

/** As SQL: the last roll, and whether its numbers still hold. In two full seconds that are subtracted there is one of doubt. */
const LAST_ROLL = `(SELECT argMax((generation, block, table_uuid, started, toUnixTimestamp(as_of)), (generation, block, as_of)) FROM post_view_rolled) AS rolled,
  (SELECT any(uuid) FROM ${TABLE}) AS table_uuid,
  toUnixTimestamp(now()) - uptime() AS started,
  rolled.3 = table_uuid AS is_same_table,
  is_same_table AND abs(toInt64(rolled.4) - started) <= 1 AS is_same_start`

/** What a shard has committed by now, and what of it is not counted. */
async function list(shard: Shard): Promise<Listing> {
  const [row] = await shard.all(
    `WITH ${LAST_ROLL}
     SELECT rolled.1 AS generation, rolled.2 AS rolled_block, rolled.4 AS rolled_started, rolled.5 AS rolled_as_of, table_uuid,
            toUnixTimestamp(now()) AS now, started, is_same_start, max(max_block_number) AS block,
            groupUniqArrayIf(toUInt32(partition), NOT is_same_table OR max_block_number > rolled.2
              OR NOT is_same_start AND toUnixTimestamp(modification_time) + ${LOST_SECONDS} >= rolled.5) AS hours
     FROM ${PARTS}`,
  )
  const isSameStart = Number(row!['is_same_start']) === 1
  const rolledBlock = Number(row!['rolled_block'])
  return {
    generation: Number(row!['generation']) + (isSameStart ? 0 : 1),
    // The part with the greatest may have been dropped.
    block: Math.max(Number(row!['block']), isSameStart ? rolledBlock : 0),
    tableUuid: String(row!['table_uuid']),
    started: Number(row![isSameStart ? 'rolled_started' : 'started']),
    asOf: isSameStart ? Math.max(Number(row!['now']), Number(row!['rolled_as_of'])) : Number(row!['now']),
    hours: (row!['hours'] as unknown[]).map(Number),
    since: isSameStart ? `_block_number > ${rolledBlock}` : null,
  }
}

function hoursByDay(pairs: readonly [Day, number][]): ReadonlyMap<Day, number[]> {
  const hours = new Map<Day, number[]>()
  for (const [day, hour] of pairs) hours.set(day, [...(hours.get(day) ?? []), Number(hour)])
  return hours
}

function stampOf({ generation, block }: Rolled): string {
  return String((BigInt(generation) << BigInt(BLOCK_BITS)) + BigInt(block))
}

async function recordRolled(
  shard: Shard,
  { generation, block, tableUuid, started, asOf }: Rolled,
  [committed, viewed]: unknown[],
): Promise<void> {
  await shard.insert(
    'post_view_rolled',
    'generation, block, table_uuid, started, as_of, committed_at, viewed_at',
    JSON.stringify([generation, block, tableUuid, started, asOf, committed, viewed]),
  )
}

/**
 * The moment up to which all that this shard has committed is counted; Unix seconds. Null: all that there is, now.
 */
export async function countedUntil(shard: Shard): Promise<number | null> {
  const [row] = await shard.all(
    `WITH ${LAST_ROLL}
     SELECT count() = 0 OR is_same_start AND max(max_block_number) <= rolled.2 AS is_all,
            if(rolled.5 > 0, rolled.5, toUnixTimestamp(min(modification_time))) AS moment
     FROM ${PARTS}`,
  )
  return Number(row!['is_all']) === 1 ? null : Number(row!['moment'])
}
