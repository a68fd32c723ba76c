/** Erases what identifies a reader from the raw rows. Every number stays: recounts use the derived columns alone. */

import { PERSONAL_COLUMNS } from '../kept.ts'
import type { Forget, Progress } from '../store.ts'
import { hourGroups, insertChanged } from './derive.ts'
import { IS_FORGOTTEN, KEY_NUMBER, RECEIVED, versionOf } from './row.ts'
import { quoted } from './sql.ts'
import { type Engine, EPOCH } from './state.ts'

const ROUNDS = 5
const FORGOTTEN = Object.fromEntries(PERSONAL_COLUMNS.map(column => [column, 'NULL']))

/**
 * A forgotten row outranks any redelivery. Then the versions that it replaces are deleted; the servers remove the files that
 * held them within minutes (`old_parts_lifetime`).
 */
export async function forget(
  { cluster }: Engine,
  who: Forget,
  progress: Progress = () => {},
): Promise<number> {
  const where = 'userId' in who ? `user_id = ${who.userId}` : `ip = ${quoted([who.ip])}`
  const version = versionOf(EPOCH, KEY_NUMBER, RECEIVED, '1')
  const shards = await cluster.shards()
  let changed = 0
  for (const [index, shard] of shards.entries()) {
    // The reader may be viewing posts meanwhile.
    for (let round = 0; round < ROUNDS; round++) {
      const groups = await hourGroups(shard, where)
      if (groups.length === 0) break
      for (const { hours } of groups) {
        const rows = `SELECT * FROM post_view_rows FINAL WHERE ${hours} AND ${where}`
        const [row] = await shard.all(`SELECT count() AS views FROM (${rows})`)
        if (Number(row!['views']) > 0) await shard.run(insertChanged(rows, { ...FORGOTTEN, version }))
        changed += Number(row!['views'])
      }
      // A row that came meanwhile has no forgotten version yet, so it is not deleted.
      await shard.catchUpAll()
      const hours = groups.map(group => group.hours).join(' OR ')
      const replaced = `SELECT hour, post, id FROM post_view_rows WHERE (${hours}) AND ${IS_FORGOTTEN} = 1`
      await shard.run(
        `ALTER TABLE post_view_rows DELETE WHERE ${where} AND (hour, post, id) IN (${replaced})
         SETTINGS mutations_sync = 2, allow_nondeterministic_mutations = 1`,
      )
    }
    progress('shards', index + 1, shards.length)
  }
  return changed
}
