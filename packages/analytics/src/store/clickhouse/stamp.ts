/**
 * The stamps of figures: numbers of a shard, each taken once, a greater one later. A figure is read after its stamp was taken, so it
 * is of all rows that were committed when any lesser stamp was taken.
 */

import { randomUUID } from 'node:crypto'
import { agreeOn, latestNumber, removeClaims, write } from './agreed.ts'
import type { Shard } from './connection.ts'

/** In `post_view_agreed` of each shard. `prune` removes those of before. */
export const STAMP = 'stamp'
const STAMPS_KEPT = 1_000

/** Whatever is read from this shard from now on has all that any of its replicas had committed. */
export async function takeStamp(shard: Shard): Promise<number> {
  const holder = randomUUID()
  // So that a number that was removed is not taken for a new one.
  await shard.catchUp(['post_view_agreed'])
  let number = (await latestNumber(shard, STAMP)) + 1
  while ((await agreeOn(shard, STAMP, { number, value: holder })) !== holder) number++
  await shard.catchUp()
  return number
}

/** Only the latest is ever asked for. */
export async function removeOldStamps(shard: Shard): Promise<void> {
  const last = (await latestNumber(shard, STAMP)) - STAMPS_KEPT
  const [old] = await shard.all(
    `SELECT count() AS stamps FROM post_view_agreed WHERE name = '${STAMP}' AND number < ${last}`,
  )
  if (Number(old!['stamps']) < STAMPS_KEPT) return
  await shard.run(
    `ALTER TABLE post_view_agreed DELETE WHERE name = '${STAMP}' AND number < ${last} SETTINGS mutations_sync = 2`,
  )
  await removeClaims(shard, STAMP, last)
}

/** In tables that were restored, each as of another moment, figures may have stamps that nobody knows to be taken. */
export async function passOldStamps(shard: Shard): Promise<void> {
  const tables = ['days', 'post_totals', 'site_days', 'breakdowns', 'rolled', 'counted']
  const stamps = tables.map(table => `SELECT max(stamp) AS latest FROM post_view_${table}`)
  stamps.push('SELECT max(arrayMax(stamps)) FROM post_view_site_breakdowns')
  const [row] = await shard.all(`SELECT max(latest) AS latest FROM (${stamps.join(' UNION ALL ')})`)
  const latest = Number(row!['latest'])
  if (latest > (await latestNumber(shard, STAMP))) await write(shard, STAMP, latest, '')
}
