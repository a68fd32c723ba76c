/** Erases what identifies a reader from the raw rows. Every number stays: recounts use the derived columns alone. */

import type { Forget, Progress } from '../store.ts'
import { untilNoneIsReopened } from './reopen.ts'
import { marks, type SqlClient, type SqlEngine } from './sql.ts'

const ROWS_AT_ONCE = 20_000

export async function forget(engine: SqlEngine, who: Forget, progress: Progress = () => {}): Promise<number> {
  const [column, value] = 'userId' in who ? ['user_id', who.userId] : ['ip', who.ip]
  const [range] = await engine.reader.all('SELECT MIN(id) AS first, MAX(id) AS last FROM post_views')
  if (range === undefined || range['first'] === null) return 0
  const first = Number(range['first'])
  const last = Number(range['last'])
  let changed = 0
  for (let from = first; from <= last; from += ROWS_AT_ONCE) {
    const to = Math.min(from + ROWS_AT_ONCE - 1, last)
    const found = await engine.reader.all(
      `SELECT id FROM post_views WHERE id BETWEEN ? AND ? AND ${column} = ?`,
      [from, to, value],
    )
    const ids = found.map(row => Number(row['id']))
    if (ids.length > 0) {
      const erase = (client: SqlClient) =>
        client.run(
          `UPDATE post_views
           SET user_id = NULL, ip = NULL, user_agent = NULL, referer = NULL, viewed_at = viewed_at
           WHERE id IN (${marks(ids.length)}) AND ${column} = ?`,
          [...ids, value],
        )
      changed += await untilNoneIsReopened(engine, progress, erase)
    }
    progress('rows', to - first + 1, last - first + 1)
  }
  return changed
}
