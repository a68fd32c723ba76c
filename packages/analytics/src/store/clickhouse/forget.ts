/** Erases what identifies a reader from the raw rows. Every number stays: recounts use the derived columns alone. */

import type { Forget, Progress } from '../store.ts'
import type { Engine } from './state.ts'

/**
 * Deliveries that were not counted are erased as well. The servers remove the files that held the rows before within
 * minutes (`old_parts_lifetime`).
 */
export async function forget(
  { cluster }: Engine,
  who: Forget,
  progress: Progress = () => {},
): Promise<number> {
  const [where, value] =
    'userId' in who ? ['user_id = {value:UInt64}', who.userId] : ['ip = {value:String}', who.ip]
  const shards = await cluster.shards()
  let changed = 0
  for (const [index, shard] of shards.entries()) {
    const [row] = await shard.all(`SELECT uniqExact(id) AS views FROM post_view_deliveries WHERE ${where}`, {
      value,
    })
    const views = Number(row!['views'])
    if (views > 0) {
      await shard.run(
        `ALTER TABLE post_view_deliveries
         UPDATE user_id = NULL, ip = NULL, user_agent = NULL, referer = NULL
         WHERE ${where}
         SETTINGS mutations_sync = 2`,
        { value },
      )
    }
    changed += views
    progress('shards', index + 1, shards.length)
  }
  return changed
}
