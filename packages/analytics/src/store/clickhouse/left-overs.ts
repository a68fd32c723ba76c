/** Batches that are committed and were never counted: their consumers died at them. */

import type { Shard } from './connection.ts'
import { completeBatch } from './record.ts'
import { committedByNow, doneBetween, UNDER_WAY_SECONDS } from './recount.ts'
import { receivedDays, receivedOn } from './rederive.ts'
import type { Engine, State } from './state.ts'

export interface LeftOver {
  shard: Shard
  label: string
}

/** Those that nobody is at any more. */
export async function leftOvers(engine: Engine): Promise<LeftOver[]> {
  const found: LeftOver[] = []
  for (const shard of await engine.cluster.shards()) {
    for (const days of await receivedDays(shard)) {
      const received = receivedOn(days)
      const [range] = await shard.all(
        `SELECT UUIDNumToString(min(UUIDToNum(batch))) AS low, UUIDNumToString(max(UUIDToNum(batch))) AS high
         FROM post_view_deliveries WHERE ${received}`,
      )
      const done = doneBetween(engine, await committedByNow(engine), range!)
      const rows = await shard.all(
        `SELECT DISTINCT batch FROM post_view_deliveries
         WHERE ${received} AND UUIDv7ToDateTime(batch) < now() - ${UNDER_WAY_SECONDS} AND batch NOT IN ${done}
         ORDER BY UUIDToNum(batch)`,
      )
      found.push(...rows.map(row => ({ shard, label: String(row['batch']) })))
    }
  }
  return found
}

/** Counts them. Returns how many there were. */
export async function completeLeftOvers(engine: Engine, state: State): Promise<number> {
  const found = await leftOvers(engine)
  for (const { shard, label } of found) await completeBatch(engine, state, shard, label)
  return found.length
}
