/** Retention: raw rows, day keys and visitors go when their time is over; the figures stay for ever, rolled up. */

import { countsByRecorded } from '../agreement.ts'
import { addDays, type Day, latest } from '../calendar.ts'
import { assertClocksAgree } from '../clocks.ts'
import type { Progress, Pruned, PruneOptions } from '../store.ts'
import type { Shard } from './connection.ts'
import { completeLeftOvers } from './left-overs.ts'
import { dropAbandoned, receivedDays } from './rederive.ts'
import { rollUp } from './rollup.ts'
import { COMMITTED, dayKeys, type Engine, readState, recordReach, underLease } from './state.ts'

const DAY_SECONDS = 86_400
const MINUTES_KEPT_SECONDS = 2 * 3_600

export async function prune(
  engine: Engine,
  options: PruneOptions,
  progress: Progress = () => {},
): Promise<Pruned> {
  const first = await engine.cluster.first()
  await assertClocksAgree(async () =>
    Number((await first.all('SELECT toUnixTimestamp(now()) AS now'))[0]!['now']),
  )
  // The clock is the caller's, so that tests may choose it.
  const pruned = await underLease(first, 'prune', options.now, async () => {
    // A batch that was never counted is counted while there is what it takes.
    const state = await readState(engine.cluster)
    if (countsByRecorded(state, engine)) await completeLeftOvers(engine, state)
    const rows = await pruneRows(engine, options, progress)
    const days = await closeDays(engine, options)
    await dropVisitors(engine)
    await dropMinutes(engine, options)
    await rollUp(engine, options.now)
    for (const shard of await engine.cluster.shards()) await dropAbandoned(shard)
    return { ran: true, rows, days }
  })
  return pruned ?? { ran: false, rows: 0, days: 0 }
}

async function pruneRows(
  { cluster }: Engine,
  { now, rawRetentionDays, maxAgeSeconds }: PruneOptions,
  progress: Progress,
): Promise<number> {
  if (rawRetentionDays === 0) return 0
  // A row is also how its id is remembered: at least a day longer than a view that comes again is accepted.
  const keptSeconds = Math.max(rawRetentionDays * DAY_SECONDS, maxAgeSeconds + DAY_SECONDS)
  const cutoff = now - keptSeconds
  const shards = await cluster.shards()
  const over = await Promise.all(shards.map(shard => viewsReceivedBefore(shard, cutoff)))
  const lastDay = over.reduce<Day | null>((last, { lastDay: day }) => latest(last, day), null)
  // First of all: who recounts must not take for complete what loses rows from now on.
  if (lastDay !== null) await recordReach(shards[0]!, 'raw_from', addDays(lastDay, 1))
  let rows = 0
  for (const [index, shard] of shards.entries()) {
    await dropReceivedBefore(shard, cutoff)
    rows += over[index]!.views
    progress('rows', rows, rows)
  }
  return rows
}

/** As SQL: the ids whose first row was received before that. */
function forgottenIds(cutoff: number, columns: string): string {
  return `
    SELECT ${columns} FROM post_view_deliveries
    WHERE UUIDToNum(id) IN (
      SELECT UUIDToNum(id) FROM post_view_deliveries WHERE received_at < toDateTime(${cutoff}, 'UTC')
    )
    GROUP BY id
    HAVING argMin(received_at, ${COMMITTED}) < toDateTime(${cutoff}, 'UTC')`
}

async function viewsReceivedBefore(
  shard: Shard,
  cutoff: number,
): Promise<{ views: number; lastDay: Day | null }> {
  const [row] = await shard.all(
    `SELECT count() AS views, maxOrNull(day_of_view) AS last
     FROM (${forgottenIds(cutoff, `id, argMin(day, ${COMMITTED}) AS day_of_view`)})`,
  )
  return { views: Number(row!['views']), lastDay: row!['last'] as Day | null }
}

async function dropReceivedBefore(shard: Shard, cutoff: number): Promise<void> {
  // Rows of the same ids that came later and did not count: without the first one, one of them would be the first.
  const later = `received_at >= toDateTime(${cutoff}, 'UTC') AND id IN (${forgottenIds(cutoff, 'id')})`
  const [others] = await shard.all(`SELECT count() AS found FROM post_view_deliveries WHERE ${later}`)
  if (Number(others!['found']) > 0) {
    await shard.run(`ALTER TABLE post_view_deliveries DELETE WHERE ${later} SETTINGS mutations_sync = 2`)
  }
  const edge = new Date(cutoff * 1_000).toISOString().slice(0, 10)
  for (const receivedOn of (await receivedDays(shard)).flat()) {
    if (receivedOn < edge) {
      await shard.run(`ALTER TABLE post_view_deliveries DROP PARTITION '${receivedOn}'`)
    } else if (receivedOn === edge) {
      await shard.run(
        `ALTER TABLE post_view_deliveries DELETE IN PARTITION '${receivedOn}'
         WHERE received_at < toDateTime(${cutoff}, 'UTC') SETTINGS mutations_sync = 2`,
      )
    }
  }
}

/** Destroys the keys of the days whose views are not accepted any more. */
async function closeDays(
  { calendar, cluster }: Engine,
  { now, maxAgeSeconds }: PruneOptions,
): Promise<number> {
  const first = await cluster.first()
  // A day longer than views are accepted: a batch that waited for the store may still be on its way.
  const over = (await dayKeys(first))
    .keys()
    .filter(day => calendar.bounds(day).end + maxAgeSeconds + DAY_SECONDS <= now)
    .toArray()
    .sort()
  if (over.length === 0) return 0
  await recordReach(first, 'open_from', addDays(over.at(-1)!, 1))
  await first.run(
    `ALTER TABLE post_view_day_keys DELETE WHERE day IN (${over.map(day => `'${day}'`).join(', ')})
     SETTINGS mutations_sync = 2`,
  )
  return over.length
}

/** Removes the visitors of closed days, also of those that an interrupted run has left. */
async function dropVisitors({ cluster }: Engine): Promise<void> {
  const { openFrom } = await readState(cluster)
  if (openFrom === null) return
  const shards = await cluster.shards()
  // A day with a key has been opened again.
  const keys = await dayKeys(shards[0]!)
  for (const shard of shards) {
    const rows = await shard.all(
      `SELECT DISTINCT partition AS day FROM system.parts
       WHERE database = currentDatabase() AND table = 'post_view_visitors' AND active`,
    )
    for (const day of rows.map(row => String(row['day']))) {
      if (day < openFrom && !keys.has(day)) {
        await shard.run(`ALTER TABLE post_view_visitors DROP PARTITION '${day}'`)
      }
    }
  }
}

async function dropMinutes({ cluster }: Engine, { now }: PruneOptions): Promise<void> {
  const over = `kind = 'minute' AND minute < toDateTime(${now - MINUTES_KEPT_SECONDS}, 'UTC')`
  for (const shard of await cluster.shards()) {
    const [row] = await shard.all(`SELECT count() AS found FROM post_view_figures WHERE ${over}`)
    // Marked as deleted: writing a day's figures anew every hour would be dear.
    if (Number(row!['found']) > 0) {
      await shard.run(`DELETE FROM post_view_figures WHERE ${over} SETTINGS lightweight_deletes_sync = 2`)
    }
  }
}
