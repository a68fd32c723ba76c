/**
 * Rollups: what all batches labelled on a day have added, in one row for each number. Numbers stay what they are, and a
 * read sums as many rows as there were days, whatever the number of batches.
 *
 * Each shard does so for itself. A rollup counts from the moment its day is recorded, and the batches' own figures until
 * then; they go afterwards. A batch whose figures come later than that is in no number until it is rolled up as well.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Day } from '../calendar.ts'
import { FIGURE_COLUMNS } from './batch.ts'
import type { Shard } from './connection.ts'
import { homeOfLabel, labelDay, rollupLabel } from './labels.ts'
import { type Engine, latestFigures, onEachShard } from './state.ts'

/** So long after a day is over it is rolled up: what is shown by the minute is not. */
const AFTER_SECONDS = 2 * 3_600
/** So long a query may take from its look at the figures to its look at the days that are rolled up. */
const SETTLED_MS = 1_000
/** So long the figures of batches are kept that are not read any more: it may look at the days first. */
const KEPT_SECONDS = 60
/** Held by the server at a time, of a day whose rollup does not count yet. */
const ROWS_A_PART = 1_000_000

/** Rolls up the days that are over. Under the lease of `prune`. */
export async function rollUp({ cluster }: Engine, now: number): Promise<void> {
  const today = new Date((now - AFTER_SECONDS) * 1_000).toISOString().slice(0, 10)
  await onEachShard(await cluster.shards(), (shard, index) => rollUpShard(shard, index, today))
}

async function rollUpShard(shard: Shard, index: number, today: Day): Promise<void> {
  const unread = await partsUnread(shard)
  const rolledUp = await daysRolledUp(shard)
  const days = (await daysOfBatches(shard)).filter(day => day < today && !rolledUp.has(day))
  for (const day of days) await rollUpDay(shard, index, day, false)
  if (days.length > 0) {
    await sleep(SETTLED_MS)
    const lines = days.map(day => JSON.stringify([day]))
    await shard.insert('post_view_rolled_up', 'day', lines.join('\n'))
    await mergeYears(shard, days)
  }
  await rollUpLate(shard, index)
  for (const part of unread) await dropPart(shard, part)
}

/**
 * A post is looked up in each part: the fewer there are, the faster. The server merges what it thinks worth it; a year's
 * rollups written anew, once a day, are 1.5 s for 3.6 million rows.
 */
async function mergeYears(shard: Shard, days: readonly Day[]): Promise<void> {
  const years = new Set(days.map(day => day.slice(0, 4)))
  for (const year of years) {
    // FINAL waits for merges that the server is at; without it there is nothing to select then, and nothing is said of it.
    await shard.run(
      `OPTIMIZE TABLE post_view_figures PARTITION (true, '${year}-01-01') FINAL
       SETTINGS optimize_skip_merged_partitions = 1`,
    )
  }
}

/** Rolls up batches that came after the rollup of their day. Under the lease of `prune`. */
export async function rollUpLateBatches({ cluster }: Engine): Promise<void> {
  await onEachShard(await cluster.shards(), rollUpLate)
}

async function rollUpLate(shard: Shard, index: number): Promise<void> {
  const rolledUp = await daysRolledUp(shard)
  for (const day of await daysOfBatches(shard)) {
    if (!rolledUp.has(day)) continue
    const [late] = await shard.all(`SELECT count() AS batches FROM (${batchesOf(day, true)})`)
    if (Number(late!['batches']) > 0) await rollUpDay(shard, index, day, true)
  }
}

/** As SQL over a label: the one under which what its batch adds is kept now; whether that is one of a rollup. */
export interface Rollups {
  labelOf(batch: string): string
  isRollup(label: string): string
}

export async function rollupsOf(shards: readonly Shard[]): Promise<Rollups> {
  const rolledUp = await Promise.all(shards.map(daysRolledUp))
  const byHome = (label: string, of: (days: string[], index: number) => string) => {
    const home = homeOfLabel(label, shards.length)
    return rolledUp
      .map((days, index) => of([...days], index))
      .reduceRight((rest, sql, index) => `if(${home} = ${index}, ${sql}, ${rest})`)
  }
  return {
    labelOf: batch =>
      byHome(batch, (days, index) => {
        if (days.length === 0) return batch
        const labels = days.map(day => rollupLabel(day, index))
        const label = `transform(toString(${labelDay(batch)}), ${list(days)}, ${list(labels)}, toString(${batch}))`
        return `toUUID(${label})`
      }),
    isRollup: label =>
      byHome(label, days => (days.length === 0 ? 'false' : `${labelDay(label)} IN ${list(days)}`)),
  }
}

function list(texts: readonly string[]): string {
  return `[${texts.map(text => `'${text}'`).join(', ')}]`
}

/** The days of labels whose rollups count. */
async function daysRolledUp(shard: Shard): Promise<Set<Day>> {
  const rows = await shard.all('SELECT DISTINCT day FROM post_view_rolled_up')
  return new Set(rows.map(row => String(row['day'])))
}

const PARTS = `
  SELECT name, toDate(extract(partition, '\\d+-\\d+-\\d+')) AS labelled FROM system.parts
  WHERE database = currentDatabase() AND table = 'post_view_figures' AND active AND partition LIKE '(false,%'`

/** The days, oldest first, of which there are figures of batches. */
async function daysOfBatches(shard: Shard): Promise<Day[]> {
  const rows = await shard.all(`SELECT DISTINCT labelled FROM (${PARTS}) ORDER BY labelled`)
  return rows.map(row => String(row['labelled']))
}

/**
 * The parts that hold figures of batches of days that are read rolled up. To be dropped when what is late in them is
 * rolled up: by their names, for what comes later is in others.
 */
async function partsUnread(shard: Shard): Promise<string[]> {
  const rows = await shard.all(
    `SELECT name FROM (${PARTS})
     WHERE labelled IN (SELECT day FROM post_view_rolled_up WHERE recorded_at < now() - ${KEPT_SECONDS})`,
  )
  return rows.map(row => String(row['name']))
}

/** As SQL: the batches of a day that are done; only those that are in no rollup. */
function batchesOf(day: Day, areLate: boolean, where = 'true'): string {
  const done = (isRollup: boolean) =>
    `SELECT batch FROM post_view_figures WHERE kind = 'batch' AND is_rollup = ${isRollup} AND labelled = '${day}'`
  return `${done(false)} AND ${where}${areLate ? ` AND batch NOT IN (${done(true)})` : ''}`
}

/**
 * Until the day's rollup counts it may be written any number of times, in any number of parts. From then on batches that
 * are late are added in one insert of one part, or not at all. One that was given up and is committed late is of a lower
 * version than what was written after it, which holds at least as much.
 */
async function rollUpDay(shard: Shard, index: number, day: Day, areLate: boolean): Promise<void> {
  const label = rollupLabel(day, index)
  // One list for both parts of the insert, whatever is committed in between.
  const batches = batchesOf(day, areLate, `_block_number <= ${await latestFigures(shard)}`)
  const isOfThese = `is_rollup = false AND labelled = '${day}' AND batch IN (${batches})`
  const isRollup = areLate
    ? `is_rollup = true AND labelled = '${day}' AND batch = toUUID('${label}')`
    : 'false'
  await shard.run(
    `INSERT INTO post_view_figures (${FIGURE_COLUMNS}, is_rollup)
     SELECT kind, post_uuid, day, host, minute, toUUID('${label}'),
            greatest(maxIf(version, is_rollup) + 1, toUnixTimestamp(now())),
            sum(views), sum(unique_views), sum(logged_in), sum(bots),
            min(first_viewed_at), max(last_viewed_at), max(committed_at), true
     FROM post_view_figures FINAL
     WHERE kind IN ('site', 'site_referrer', 'post', 'referrer') AND (${isOfThese} OR ${isRollup})
     GROUP BY kind, post_uuid, day, host, minute
     HAVING countIf(NOT is_rollup) > 0
     UNION ALL
     SELECT ${FIGURE_COLUMNS}, true FROM post_view_figures FINAL WHERE kind = 'batch' AND ${isOfThese}
     ${areLate ? '' : `SETTINGS min_insert_block_size_rows = ${ROWS_A_PART}`}`,
  )
}

async function dropPart(shard: Shard, name: string): Promise<void> {
  // One that was merged into another meanwhile goes with that one, the next time.
  const [part] = await shard.all(
    `SELECT name FROM system.parts
     WHERE database = currentDatabase() AND table = 'post_view_figures' AND active AND name = {name:String}`,
    { name },
  )
  if (part !== undefined) await shard.run(`ALTER TABLE post_view_figures DROP PART '${name}'`)
}
