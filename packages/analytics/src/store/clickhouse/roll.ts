/**
 * From rows to figures. Whoever rolls lists what a shard has committed since it was last counted, and counts the posts
 * concerned again, a day at a time, from all of their rows. So nothing is added up, and it does not matter how many roll at
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
import { StoreUnavailable } from '../store.ts'
import type { Shard } from './connection.ts'
import { breakdownsOfDay, FIGURES, figuresOfDay, type Sources, SUMS } from './count.ts'
import type { Engine } from './state.ts'

const BLOCK_BITS = 40
/** What was committed so long before a server ended may have been lost with it, and its numbers given anew. */
const LOST_SECONDS = 600

/** What a shard is counted from, and how far it was. */
export interface Rolling extends Sources {
  /** The last settled day; null without any. */
  closed: Day | null
  /** As SQL. */
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
export async function rollShard({ calendar }: Pick<Engine, 'calendar'>, shard: Shard): Promise<boolean> {
  const numbers = await numbersOf(shard)
  const listing = await list(shard, await rolledOf(shard))
  if (listing.hours.length === 0) return false
  const rolling = { calendar, ...numbers, stamp: stampOf(listing) }

  const changed = `hour IN (${listing.hours.join(', ')})${listing.since === null ? '' : ` AND ${listing.since}`}`
  const summary = await shard.all(
    `SELECT day, countIf(post_name != '') AS named, countIf(${IS_STRAY}) AS strays,
            max(committed_at) AS committed, argMax(viewed_at, (committed_at, viewed_at)) AS viewed
     FROM post_view_rows WHERE ${changed} GROUP BY day`,
  )
  if (summary.some(row => Number(row['named']) > 0)) await nameNewPosts(shard, changed)
  const days = new Set(summary.map(row => String(row['day'])))
  const hasStrays = summary.some(row => Number(row['strays']) > 0)
  if (hasStrays) for (const day of await daysOfStrays(shard, changed)) days.add(day)
  for (const day of [...days].sort()) {
    const which = hasStrays ? `(day = '${day}' OR ${IS_STRAY})` : `day = '${day}'`
    const posts = `SELECT DISTINCT post FROM post_view_rows WHERE ${changed} AND ${which}`
    await countDay(shard, rolling, day, `post IN (${posts})`, hasStrays ? posts : undefined)
  }
  await countTotals(shard, rolling, `post IN (SELECT post FROM post_view_rows WHERE ${changed})`)

  // Rows that retention removed meanwhile were not counted.
  if (JSON.stringify(await numbersOf(shard)) !== JSON.stringify(numbers)) return true
  const last = summary.reduce((a, b) => (String(b['committed']) > String(a['committed']) ? b : a))
  await recordRolled(shard, listing, [last['committed'], last['viewed']])
  return true
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

/** Counts posts of a day, and then the site's day, which is the sum of what is stored. `also`: as of `figuresOfDay`. */
export async function countDay(
  shard: Shard,
  rolling: Rolling,
  day: Day,
  posts: string,
  also?: string,
): Promise<void> {
  const { stamp } = rolling
  await shard.run(
    `INSERT INTO post_view_days (post, day, ${FIGURES}, stamp)
     SELECT post, '${day}', ${FIGURES}, ${stamp} FROM (${figuresOfDay(rolling, day, posts, also)})`,
  )
  if (isSettled(rolling, day)) await breakDown(shard, rolling, day, posts, also)
  await shard.run(
    `INSERT INTO post_view_site_days (day, ${FIGURES}, stamp)
     SELECT '${day}', ${SUMS}, ${stamp} FROM (SELECT * FROM post_view_days FINAL WHERE day = '${day}') AS f`,
  )
}

export function isSettled({ closed }: Pick<Rolling, 'closed'>, day: Day): boolean {
  return closed !== null && day <= closed
}

export async function breakDown(
  shard: Shard,
  rolling: Rolling,
  day: Day,
  posts?: string,
  also?: string,
): Promise<void> {
  await shard.run(
    `INSERT INTO post_view_breakdowns (post, day, hosts, host_views, stamp)
     SELECT post, '${day}', hosts, host_views, ${rolling.stamp} FROM (${breakdownsOfDay(rolling, day, posts, also)})`,
  )
}

/** Adds up the days of posts. */
export async function countTotals(
  shard: Shard,
  { stamp }: Pick<Rolling, 'stamp'>,
  posts: string,
): Promise<void> {
  await shard.run(
    `INSERT INTO post_view_totals (post, ${FIGURES}, stamp)
     SELECT post, ${SUMS}, ${stamp} FROM (SELECT * FROM post_view_days FINAL WHERE ${posts}) AS f GROUP BY post`,
  )
}

/** What a shard is counted from now, by somebody who counts more than was committed since. */
export async function rollingOf({ calendar }: Pick<Engine, 'calendar'>, shard: Shard): Promise<Rolling> {
  const numbers = await numbersOf(shard)
  return { calendar, ...numbers, stamp: stampOf(await list(shard, await rolledOf(shard))) }
}

/** What counting depends on but rows. */
async function numbersOf(shard: Shard) {
  const ofName = (name: string) => `(SELECT max(number) FROM post_view_agreed WHERE name = '${name}')`
  const [row] = await shard.all(
    `SELECT ${ofName('cutoff')} AS cutoff, toDate(${ofName('closed')}) AS closed, ${ofName('zones')} AS zones,
            (SELECT max(day) FROM post_view_bases) AS based_to`,
  )
  const day = (text: unknown) => (text === '1970-01-01' ? null : String(text))
  return {
    cutoff: Number(row!['cutoff']),
    closed: day(row!['closed']),
    basedTo: day(row!['based_to']),
    hasOtherZones: Number(row!['zones']) > 0,
  }
}

async function rolledOf(shard: Shard): Promise<Rolled | null> {
  const [row] = await shard.all(
    `SELECT generation, block, table_uuid, started, toUnixTimestamp(as_of) AS as_of
     FROM post_view_rolled ORDER BY generation DESC, block DESC, as_of DESC LIMIT 1`,
  )
  if (row === undefined) return null
  return {
    generation: Number(row['generation']),
    block: Number(row['block']),
    tableUuid: String(row['table_uuid']),
    started: Number(row['started']),
    asOf: Number(row['as_of']),
  }
}

const PARTS = `system.parts WHERE database = currentDatabase() AND table = 'post_view_rows' AND active`

async function list(shard: Shard, rolled: Rolled | null): Promise<Listing> {
  const [now] = await shard.all(
    `SELECT uuid, toUnixTimestamp(now()) AS now, toUnixTimestamp(now()) - uptime() AS started
     FROM system.tables WHERE database = currentDatabase() AND name = 'post_view_rows'`,
  )
  if (now === undefined) throw new StoreUnavailable('ClickHouse: there is no table post_view_rows')
  const [tableUuid, started, asOf] = [String(now['uuid']), Number(now['started']), Number(now['now'])]
  const isSameTable = rolled !== null && rolled.tableUuid === tableUuid
  // Two full seconds are subtracted from each other.
  const isSameStart = isSameTable && Math.abs(rolled.started - started) <= 1
  const isNew = isSameTable
    ? `(max_block_number > ${rolled.block}${isSameStart ? '' : ` OR modification_time >= toDateTime(${rolled.asOf - LOST_SECONDS})`})`
    : 'true'
  const [parts] = await shard.all(
    `SELECT max(max_block_number) AS block, groupUniqArrayIf(toUInt32(partition), ${isNew}) AS hours FROM ${PARTS}`,
  )
  return {
    generation: isSameStart ? rolled.generation : (rolled?.generation ?? 0) + 1,
    block: Number(parts!['block']),
    tableUuid,
    started: isSameStart ? rolled.started : started,
    asOf: Math.max(asOf, isSameStart ? rolled.asOf : 0),
    hours: (parts!['hours'] as unknown[]).map(Number),
    since: isSameStart ? `_block_number > ${rolled.block}` : null,
  }
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
    `SELECT (SELECT max(max_block_number) FROM ${PARTS}) AS block,
            (SELECT (max(block), toUnixTimestamp(max(as_of))) FROM post_view_rolled
             WHERE generation = (SELECT max(generation) FROM post_view_rolled)) AS rolled`,
  )
  const [block, asOf] = row!['rolled'] as [number, number]
  return Number(row!['block']) <= Number(block) ? null : Number(asOf)
}
