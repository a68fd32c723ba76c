/**
 * Loaded before the service (`--import`), in each of its threads: it dies, as of SIGKILL, at a point of its first
 * batch on SQLite that no signal from outside would hit. `DIE_AT` names the point.
 */

import { DatabaseSync, StatementSync } from 'node:sqlite'

export const SQLITE_POINTS = ['after the first insert', 'before the commit', 'after the commit'] as const

const point = process.env['DIE_AT']
let isBatch = false

const { run } = StatementSync.prototype
StatementSync.prototype.run = function (...values) {
  const result = run.apply(this, values)
  if (/INTO post_views\s/.test(this.sourceSQL)) {
    isBatch = true
    dieAt('after the first insert')
  }
  return result
}

const { exec } = DatabaseSync.prototype
DatabaseSync.prototype.exec = function (sql) {
  const isCommit = isBatch && sql === 'COMMIT'
  if (isCommit) dieAt('before the commit')
  exec.call(this, sql)
  if (isCommit) dieAt('after the commit')
}

function dieAt(here: (typeof SQLITE_POINTS)[number]): void {
  if (point !== here) return
  process.kill(process.pid, 'SIGKILL')
  // Signals reach a process when they like: it must not go on meanwhile.
  for (;;);
}
