/** Erases what identifies a reader from the raw rows. Every number stays: recounts use the derived columns alone. */

import { StoreUnavailable } from '../failures.ts'
import { PERSONAL_COLUMNS } from '../kept.ts'
import type { Forget, Progress } from '../store.ts'
import { idRanges } from './id-ranges.ts'
import { untilNoneIsReopened } from './reopen.ts'
import { rowsAbout } from './rows.ts'
import { placeholders, type SqlEngine } from './sql.ts'
import { groupsOf } from './steps.ts'

const ROWS_AT_ONCE = 1_000

export async function forget(engine: SqlEngine, who: Forget, progress: Progress = () => {}): Promise<number> {
  const [column, value] = 'userId' in who ? ['user_id', who.userId] : ['ip', who.ip]
  const total = await rowsAbout(engine.reader)
  const [edge] = await engine.reader.all('SELECT MAX(id) AS last FROM post_views')
  const upTo = Number(edge!['last'] ?? 0)
  let changed = 0
  let done = 0
  const step = () => progress('rows', done, Math.max(done, total))
  for await (const { after, last, rows } of idRanges(engine.reader, { upTo })) {
    const found = await engine.reader.all(
      `SELECT id FROM post_views WHERE id > ? AND id <= ? AND ${column} = ?`,
      [after, last, value],
    )
    for (const some of groupsOf(found, ROWS_AT_ONCE)) {
      const ids = some.map(row => Number(row['id']))
      changed += await untilNoneIsReopened(engine, progress, client =>
        client.run(
          `UPDATE post_views
           SET ${PERSONAL_COLUMNS.map(name => `${name} = NULL`).join(', ')}, viewed_at = viewed_at
           WHERE id IN (${placeholders(ids.length)}) AND ${column} = ?`,
          [...ids, value],
        ),
      )
      step()
    }
    done += rows
    step()
  }
  progress('rows', done, done)
  // Even if no row was changed: an earlier call may have been interrupted at this point.
  if ((await engine.removeUnused?.(work => engine.exclusive(work), progress)) === false) {
    throw new StoreUnavailable(
      'the rows are erased, but their user agents may still be in the file, because other rows were being changed at the same time: run `postviews forget` again',
    )
  }
  return changed
}
