/** Retention: removes old raw rows and day keys, and settles days that are over. The figures stay for ever. */

import { KEPT_OF_POST, KEPT_OF_SITE, lastSettled, NO_VALUE, REMAINDER } from '../bounds.ts'
import { assertClocksAgree } from '../clocks.ts'
import { addDays, type Day, daysBetween } from '../days.ts'
import { DETAILS, type UniqueName } from '../figures.ts'
import type { Pack } from '../pack.ts'
import type { Progress, Pruned, PruneOptions } from '../store.ts'
import { raise } from './agreed.ts'
import { COUNTS, keptCounts, summed, valuesOf } from './breakdowns.ts'
import type { Shard } from './connection.ts'
import {
  addsTo,
  basesOf,
  EACH_READER,
  eachSummed,
  eachUnique,
  KIND,
  OF_BASE,
  READER,
  rowsOf,
  sumOf,
  uniquesOf,
} from './count.ts'
import { isServers } from './errors.ts'
import { closeDays, dayKeys } from './keys.ts'
import { underLease } from './lease.ts'
import { rollAll } from './recount.ts'
import { AHEAD, breakDown, type Rolling, rollingOf } from './roll.ts'
import { NO_HOUR } from './row.ts'
import { keptOfSite, siteBreakdowns } from './site-breakdowns.ts'
import { quoted, SITE } from './sql.ts'
import { removeOldStamps } from './stamp.ts'
import { checkedState, type Engine } from './state.ts'

const DAY_SECONDS = 86_400
const HOUR_SECONDS = 3_600
const MINUTES_KEPT_SECONDS = 2 * HOUR_SECONDS
/** Days whose breakdowns may be older than their figures, because a process died in between. */
const LOOKED_AT_AGAIN = 3

export async function prune(
  engine: Engine,
  options: PruneOptions,
  progress: Progress = () => {},
): Promise<Pruned> {
  const { cluster } = engine
  const first = await cluster.first()
  await assertClocksAgree(async () =>
    Number((await first.all('SELECT toUnixTimestamp(now()) AS now'))[0]!['now']),
  )
  await checkedState(engine)
  // The clock is the caller's, so that tests may choose it.
  const pruned = await underLease(cluster, options.now, async () => {
    await rollAll(engine)
    await settle(engine, options, progress)
    const days = await closeOld(engine, options)
    const rows = await pruneRows(engine, options, progress)
    await raise(cluster, 'minutes', Math.max(0, options.now - MINUTES_KEPT_SECONDS))
    for (const shard of await cluster.shards()) await removeOldStamps(shard)
    return { ran: true, rows, days }
  })
  return pruned ?? { ran: false, rows: 0, days: 0 }
}

/** First, breaks down the days that are over for good. From then on, rollers break down such a day when they count it. */
async function settle(engine: Engine, { now }: PruneOptions, progress: Progress): Promise<void> {
  const shards = await engine.cluster.shards()
  const rollings = await Promise.all(shards.map(shard => rollingOf(engine, shard)))
  const last = lastSettled(engine.calendar, now)
  const before = rollings[0]!.closed
  const from = before === null ? '1970-01-01' : addDays(before, 1 - LOOKED_AT_AGAIN)
  const breakDownAll = async () => {
    for (const [index, shard] of shards.entries()) {
      const rows = await shard.all(
        `SELECT day FROM post_view_site_days FINAL WHERE day BETWEEN '${from}' AND '${last}' ORDER BY day`,
      )
      for (const [done, row] of rows.entries()) {
        progress('hosts', done, rows.length)
        await breakDownChanged(shard, rollings[index]!, String(row['day']))
      }
    }
  }
  await breakDownAll()
  if (before === null || last > before) {
    await raise(engine.cluster, 'closed', Math.max(0, daysBetween('1970-01-01', last)))
    // Again, for days that others counted meanwhile without knowing that they are settled.
    await breakDownAll()
  }
  await siteBreakdowns(engine)
}

/** Breaks down those posts of a day that were counted since, or never were broken down. */
async function breakDownChanged(shard: Shard, rolling: Rolling, day: Day): Promise<void> {
  const changed = `SELECT d.post FROM (SELECT post, stamp FROM post_view_days FINAL WHERE day = '${day}') AS d
    LEFT ANY JOIN (SELECT post, stamp FROM post_view_breakdowns FINAL WHERE day = '${day}') AS b ON d.post = b.post
    WHERE d.stamp > b.stamp`
  const [row] = await shard.all(`SELECT count() AS posts FROM (${changed})`)
  if (Number(row!['posts']) > 0) await breakDown(shard, rolling, [day], `post IN (${changed})`)
}

/** Destroys the keys of the days whose views are not accepted any more. */
async function closeOld(
  { calendar, cluster }: Engine,
  { now, maxAgeSeconds }: PruneOptions,
): Promise<number> {
  // A day longer than views are accepted: a batch that waited for the store may still be on its way.
  const over = [...(await dayKeys(cluster))].filter(
    ([day]) => calendar.bounds(day).end + maxAgeSeconds + DAY_SECONDS <= now,
  )
  await closeDays(cluster, new Map(over))
  return over.length
}

async function pruneRows(
  engine: Engine,
  { now, rawRetentionDays, maxAgeSeconds }: PruneOptions,
  progress: Progress,
): Promise<number> {
  if (rawRetentionDays === 0) return 0
  const { cluster } = engine
  // A row also keeps the id of its view known: at least a day longer than a redelivery is accepted.
  const cutoff = now - Math.max(rawRetentionDays * DAY_SECONDS, maxAgeSeconds + DAY_SECONDS)
  const shards = await cluster.shards()
  const isOld = `received_at < toDateTime(${cutoff}, 'UTC')`
  const daysOf = await Promise.all(
    shards.map(async shard => {
      const rows = await shard.all(
        `SELECT DISTINCT day FROM (SELECT day FROM post_view_rows WHERE ${isOld}
         UNION ALL SELECT day FROM post_view_bases FINAL WHERE notEmpty(readers)) ORDER BY day`,
      )
      return rows.map(row => String(row['day']))
    }),
  )
  if (daysOf.flat().length === 0) return 0
  // From here on, no new row gets an earlier time of receipt.
  await raise(cluster, 'cutoff', cutoff)
  const open = await dayKeys(cluster)
  const total = daysOf.flat().length
  let [done, rows] = [0, 0]
  for (const [index, shard] of shards.entries()) {
    for (const day of daysOf[index]!) {
      // As if every day had a base, so that it is joined from now on.
      const rolling = { ...(await rollingOf(engine, shard)), basedTo: '9999-12-31' }
      await shard.run(baseOf(rolling, day, cutoff, open.has(day)))
      const kept = await keptOfSite(engine, [day])
      await shard.run(baseOfSite(rolling, day, cutoff, kept.get(day) ?? null))
      progress('rows', ++done, 2 * total)
    }
  }
  await raise(cluster, 'based', cutoff)
  for (const shard of shards) {
    rows += await removeRows(shard, cutoff, isOld)
    progress('rows', Math.min(++done, 2 * total), 2 * total)
  }
  return rows
}

/**
 * As SQL: the bases for the rows of a day received before the cutoff, including the bases that there were. A closed day keeps no
 * readers: its unique views leave out readers who are still counted from rows.
 */
function baseOf(rolling: Rolling, day: Day, cutoff: number, isOpen: boolean): string {
  const goes = `r.received_at < toDateTime(${cutoff}, 'UTC')`
  const rows = rowsOf(
    rolling,
    [day],
    'true',
    `r.post AS post, toUInt64(counts = 1) AS n, toDate(0) AS unknown, ${READER} AS reader, ${KIND} AS kind,
     ${eachUnique(name => `toUInt64(0) AS known_${name}`)}, ${eachSummed(name => `toUInt64(${addsTo(name)}) AS adds_${name}`)}, if(counts = 1, viewed_at, NULL) AS first_at, if(counts = 1, viewed_at, NULL) AS last_at,
     ${goes} AS goes, ${goes} AS is_removed, toUInt32(0) AS base_cutoff, false AS has_readers`,
  )
  const bases = basesOf([day], `post != '${SITE}'`)
  const noDetails = DETAILS.map(() => 'toUInt64(0)').join(', ')
  const union = [
    rows,
    `SELECT post, views, unknown_until, toUInt64(0), toUInt8(0), ${DETAILS.join(', ')}, first_viewed_at, last_viewed_at, true, false, cutoff, notEmpty(readers) FROM (${bases})`,
    `SELECT post, toUInt64(0), toDate(0), reader, kind, ${noDetails}, NULL, NULL, true, false, cutoff, true FROM (${bases}) ${EACH_READER}`,
  ].join(' UNION ALL ')
  const [all, left] = [uniquesOf(), uniquesOf('NOT goes')]
  // Those of an open day follow from its readers.
  const uniqueOf = isOpen
    ? () => 'toUInt64(0)'
    : (name: UniqueName) => `toUInt64(${all[name]} - ${left[name]})`
  const readers = `groupUniqArrayIf((reader, kind), ${isOpen ? 'goes AND kind > 0' : 'false'})`
  const values = valuesOf(rolling, [day], { rows: goesBefore(cutoff) })
  return `INSERT INTO post_view_bases (${OF_BASE})
    SELECT '${day}', f.post, cutoff_of, views_of, ${DETAILS.map(name => `${name}_of`).join(', ')}, first_of, last_of, unknown_of,
           arrayMap(r -> r.1, readers_of), arrayMap(r -> r.2, readers_of), ${COUNTS}
    FROM (
      SELECT post, greatest(if(countIf(is_removed) > 0, toUInt32(${cutoff}), 0), max(base_cutoff)) AS cutoff_of, sumIf(n, goes) AS views_of, max(unknown) AS unknown_of,
             ${eachUnique(name => `${uniqueOf(name)} + ${sumOf(`known_${name}`)} AS ${name}_of`)}, ${readers} AS readers_of,
             ${eachSummed(name => `${sumOf(`adds_${name}`, 'goes')} AS ${name}_of`)}, minIf(first_at, goes) AS first_of, maxIf(last_at, goes) AS last_of
      FROM (${union})
      GROUP BY post
      HAVING countIf(is_removed) > 0 OR ${isOpen ? 'false' : 'max(has_readers)'}
    ) AS f
    LEFT ANY JOIN (${keptCounts(values, KEPT_OF_POST)}) AS v ON f.post = v.post`
}

function goesBefore(cutoff: number): string {
  return `received_at < toDateTime(${cutoff}, 'UTC')`
}

/** The same for the site's values: only those that the settled day keeps. */
function baseOfSite(rolling: Rolling, day: Day, cutoff: number, kept: Pack | null): string {
  const values = valuesOf(rolling, [day], { of: 'site', rows: goesBefore(cutoff) })
  // Where the day has no others, it keeps every value.
  const cut = [...(kept?.breakdowns ?? [])]
    .filter(([, { others }]) => others !== null)
    .map(
      ([name, { values }]) =>
        `dimension = '${name}' AND value NOT IN (${quoted([...values.keys(), NO_VALUE])}), '${REMAINDER}', `,
    )
  const ofKept = `SELECT post, day, dimension, multiIf(${cut.join('')}false, '', value) AS value, n, n_bots FROM (${values})`
  return `INSERT INTO post_view_bases (${OF_BASE})
    SELECT day, post, ${cutoff}, 0, ${DETAILS.map(() => 0).join(', ')}, NULL, NULL, toDate(0), [], [], ${COUNTS}
    FROM (${keptCounts(cut.length > 0 ? summed(ofKept) : values, KEPT_OF_SITE)})`
}

const NO_SUCH_DATA_PART = 232

async function dropPart(shard: Shard, part: string): Promise<void> {
  try {
    await shard.run(`ALTER TABLE post_view_rows DROP PART '${part}'`)
  } catch (error) {
    if (!isServers(error) || error.code !== NO_SUCH_DATA_PART) throw error
  }
}

/** Removes rows that a base stands for, with all their redeliveries. Returns how many views they were. */
async function removeRows(shard: Shard, cutoff: number, isOld: string): Promise<number> {
  const last = Math.floor((cutoff + DAY_SECONDS) / HOUR_SECONDS)
  const hours = await shard.all(
    `SELECT hour, groupUniqArray(_part) AS parts FROM post_view_rows
     WHERE (hour <= ${last} OR hour = ${NO_HOUR}
       OR hour IN (SELECT number FROM post_view_agreed WHERE startsWith(name, '${AHEAD}')))
     GROUP BY hour HAVING countIf(${isOld}) > 0 ORDER BY hour`,
  )
  let removed = 0
  for (const { hour, parts } of hours) {
    const [row] = await shard.all(
      `SELECT countIf(${isOld}) AS old, count() AS views FROM post_view_rows FINAL WHERE hour = ${hour}`,
    )
    const old = Number(row!['old'])
    if (old === 0) continue
    if (old === Number(row!['views'])) {
      // By part, so that rows committed meanwhile stay. A part that was merged meanwhile goes with the next run.
      for (const part of parts as string[]) await dropPart(shard, part)
    } else {
      // Each replica selects the rows by itself, so all must have caught up.
      await shard.catchUpAll()
      await shard.run(
        `ALTER TABLE post_view_rows DELETE IN PARTITION ${hour}
         WHERE (post, id) IN (SELECT post, id FROM post_view_rows FINAL WHERE hour = ${hour} AND ${isOld})
         SETTINGS mutations_sync = 2, allow_nondeterministic_mutations = 1`,
      )
    }
    removed += old
  }
  return removed
}
