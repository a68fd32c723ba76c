/**
 * Loaded before the service (`--import`), in each of its threads: it dies, as of SIGKILL, at a point of its first
 * batch on SQLite that no signal from outside would hit. `DIE_AT` names the point.
 */

import { DatabaseSync, StatementSync } from 'node:sqlite'

export const SQLITE_POINTS = ['after the first insert', 'before the commit', 'after the commit'] as const

const point = process.env['DIE_AT']
let isBatch = false
/** The service tries out what a batch needs before it takes one. */
let isRehearsal = false

StatementSync.prototype.run = new Proxy(StatementSync.prototype.run, {
  apply(run, statement: StatementSync, values) {
    const result: unknown = Reflect.apply(run, statement, values)
    if (/INTO post_view_day_keys[^;]*DO UPDATE/.test(statement.sourceSQL)) isRehearsal = true
    if (!isRehearsal && /INTO post_views\s/.test(statement.sourceSQL)) {
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
  // Signals reach a process when they like: it must not go on meanwhile.
  for (;;);
}
