/**
 * Counts figures from rows. A roller lists what a shard has committed since it was last counted, and counts the posts concerned
 * again from all of their rows, a few days at a time. So nothing is added up, and it does not matter how many rollers run at once,
 * or where one of them dies:
 *
 * - A roller lists the new rows, then takes a stamp (stamp.ts), then reads the rows and writes figures with that stamp. Of two
 *   figures of a post's day, the one with the greater stamp is used.
 * - A greater stamp is taken later, so after this list was made. A figure with a greater stamp therefore includes the listed rows.
 * - The roller records last that the listed rows are counted. If it dies before that, the next roller counts them again.
 */

import type { Day } from '../days.ts'
import { write } from './agreed.ts'
import { breakdownsOf, COUNTS } from './breakdowns.ts'
import type { Row, Shard } from './connection.ts'
import {
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
import { PARTS, STEP_PARTITIONS, STEP_ROWS } from './sql.ts'
import { takeStamp } from './stamp.ts'
import type { Engine } from './state.ts'
import { type Listing, list, recordRolled } from './uncounted.ts'

export interface Rolling extends Sources {
  stamp: number
}

/** Counts what this shard has committed. Returns whether there was anything. */
export async function rollShard(engine: Pick<Engine, 'calendar'>, shard: Shard): Promise<boolean> {
  await shard.catchUp()
  const listing = await list(shard)
  if (listing.hours.length === 0 && !listing.isRestart) return false
  const stamp = await takeStamp(shard)
  if (listing.hours.length === 0) {
    await recordRolled(shard, listing, stamp, [null, null])
    return false
  }
  // If retention moves rows into bases or settles days meanwhile, the figures written may be too low.
  let counted = await countListed(shard, listing, { ...(await sourcesOf(engine, shard)), stamp })
  for (;;) {
    await shard.catchUp()
    const now = await sourcesOf(engine, shard)
    const { sources } = counted
    if (now.cutoff === sources.cutoff && now.based === sources.based && now.closed === sources.closed) break
    counted = await countListed(shard, listing, { ...now, stamp }, counted.days)
  }
  await recordRolled(shard, listing, stamp, counted.latest)
  return true
}

/**
 * @param before the days of an earlier try: all that it has written is counted again, even if the rows are gone
 * @returns also the latest commit; null if all rows are gone
 */
async function countListed(
  shard: Shard,
  listing: Listing,
  { stamp, ...sources }: Rolling,
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
  // The sums are read from the days that were just written, and get a newer stamp than those days. With the same stamp, another
  // roller might have read the days before they were written, and have stored its sums with a greater stamp. ClickHouse keeps
  // the row with the greatest stamp, so its older sums would win.
  const sums = { stamp: await takeStamp(shard) }
  await countSite(shard, sums, [...days])
  await countTotals(shard, sums, `post IN (SELECT post FROM post_view_rows WHERE ${changed}${written('')})`)
  const last = summary.toSorted((a, b) => (String(a['committed']) < String(b['committed']) ? 1 : -1))[0]
  return { sources, days, latest: [last?.['committed'] ?? null, last?.['viewed'] ?? null] }
}

/** The hours of views that are ahead, with new ones, which are recorded before anything is counted. */
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

/** A view outside the hour of its row: from a clock that is ahead, or without a time of its own. */
const IS_STRAY = 'intDiv(toUnixTimestamp(viewed_at), 3600) != hour'

/** A redelivery of such a view may be of another day. The row received earlier is valid, whichever was counted first. */
async function daysOfStrays(shard: Shard, changed: string): Promise<Day[]> {
  const strays = `FROM post_view_rows WHERE ${changed} AND ${IS_STRAY}`
  // A merge may have removed the other row, which was received later. The figure of its day is still there, and has to be counted again.
  const rows = await shard.all(
    `SELECT DISTINCT day FROM post_view_rows WHERE (hour, post, id) IN (SELECT hour, post, id ${strays})
     UNION DISTINCT
     SELECT DISTINCT day FROM post_view_days WHERE post IN (SELECT post ${strays}) AND day >= (SELECT min(day) ${strays})`,
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

/** Counts posts of days. `also`: as in `figuresOf`. */
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

/** Adds up the stored figures of the posts of days; a day without any gets an empty row. */
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
    `INSERT INTO post_view_breakdowns (post, day, ${COUNTS}, stamp)
     SELECT post, day, ${COUNTS}, ${rolling.stamp} FROM (${breakdownsOf(rolling, days, posts, also)})`,
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

/** For callers that count more than the new rows. */
export async function rollingOf(engine: Pick<Engine, 'calendar'>, shard: Shard): Promise<Rolling> {
  const stamp = await takeStamp(shard)
  return { ...(await sourcesOf(engine, shard)), stamp }
}

/** Prefix of the day, as a name in `post_view_agreed` of this shard; the numbers are the hours of `Sources.ahead`. */
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

/** Limits steps of days whose rows are gone: they have no partitions, but figures and bases. */
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

function hoursByDay(pairs: readonly [Day, number][]): ReadonlyMap<Day, number[]> {
  const hours = new Map<Day, number[]>()
  for (const [day, hour] of pairs) hours.set(day, [...(hours.get(day) ?? []), Number(hour)])
  return hours
}
