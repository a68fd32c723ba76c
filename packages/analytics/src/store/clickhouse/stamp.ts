/**
 * Stamps are numbers that put figures in order. Each shard has its own. One roller takes a number, and no other roller gets it;
 * a later number is greater. A roller takes its number first and reads the rows afterwards. So a figure includes every row
 * that was there when an earlier number was taken.
 */

import { randomUUID } from 'node:crypto'
import { agreeOn, latestNumber, removeClaims, write } from './agreed.ts'
import type { Shard } from './connection.ts'

/** Each shard keeps its stamps in `post_view_agreed`, under this name. `prune` removes old ones. */
export const STAMP = 'stamp'
const STAMPS_KEPT = 1_000

/** From now on, a read of this shard sees everything that any of its replicas has committed before. */
export async function takeStamp(shard: Shard): Promise<number> {
  const holder = randomUUID()
  // A replica that is behind would start from an old number, which may have been removed and could be taken twice.
  await shard.catchUp(['post_view_agreed'])
  let number = (await latestNumber(shard, STAMP)) + 1
  while ((await agreeOn(shard, STAMP, { number, value: holder })) !== holder) number++
  await shard.catchUp()
  return number
}

/** Removes stamps that nobody needs: only the latest number is ever read. */
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

/** Raises the stamp above all in the tables: a backup has its tables as of different moments, so they may have later ones. */
export async function passOldStamps(shard: Shard): Promise<void> {
  const tables = ['days', 'post_totals', 'site_days', 'breakdowns', 'rolled', 'counted']
  const stamps = tables.map(table => `SELECT max(stamp) AS latest FROM post_view_${table}`)
  stamps.push('SELECT max(arrayMax(stamps)) FROM post_view_site_breakdowns')
  const [row] = await shard.all(`SELECT max(latest) AS latest FROM (${stamps.join(' UNION ALL ')})`)
  const latest = Number(row!['latest'])
  if (latest > (await latestNumber(shard, STAMP))) await write(shard, STAMP, latest, '')
}
