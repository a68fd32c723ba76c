/**
 * Loaded before the service (`--import`), in each of its threads. The service dies as by SIGKILL at a point of its first batch on
 * SQLite that no outside signal would hit. `DIE_AT` names the point.
 */

import { DatabaseSync, StatementSync } from 'node:sqlite'

export const SQLITE_POINTS = ['after the first insert', 'before the commit', 'after the commit'] as const

const point = process.env['DIE_AT']
let isBatch = false
/** Before its first batch, the service rehearses the writes of a batch. */
let isRehearsal = false

StatementSync.prototype.run = new Proxy(StatementSync.prototype.run, {
  apply(run, statement: StatementSync, values) {
    const result: unknown = Reflect.apply(run, statement, values)
    if (/INTO post_view_day_keys[^;]*DO UPDATE/.test(statement.sourceSQL)) isRehearsal = true
    if (!isRehearsal && /INTO post_view_rows\s/.test(statement.sourceSQL)) {
      isBatch = true
      dieAt('after the first insert')
    }
    return result
  },
})

DatabaseSync.prototype.exec = new Proxy(DatabaseSync.prototype.exec, {
  apply(exec, database, [sql]) {
    const isCommit = isBatch && sql === 'COMMIT'
    if (isCommit) dieAt('before the commit')
    Reflect.apply(exec, database, [sql])
    if (sql === 'ROLLBACK') isRehearsal = false
    if (isCommit) dieAt('after the commit')
  },
})

function dieAt(here: (typeof SQLITE_POINTS)[number]): void {
  if (point !== here) return
  process.kill(process.pid, 'SIGKILL')
  // A signal may arrive later; the process must not continue until then.
  for (;;);
}
