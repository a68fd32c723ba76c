/** Migrates a database to this version, from nothing or from the second article's tables; one process at a time. */

import { createHash } from 'node:crypto'
import type { Who } from '../../derive/who.ts'
import { StoreBroken } from '../failures.ts'
import { applyMigrations } from '../sql/migrate.ts'
import { SELECT_STATE, type SqlEngine } from '../sql/sql.ts'
import type { Progress } from '../store.ts'
import { adopt } from './adopt.ts'
import { reshapeAdoptedTables } from './adopted-tables.ts'
import type { MysqlClient } from './connection.ts'

const LOCK_WAIT_SECONDS = 2

/**
 * May be interrupted at any moment, and run again: each step finds out by itself what is left to do.
 *
 * @param client one session: the lock is its own
 * @param who derives what adopted rows say of their readers
 * @throws {StoreRefused} for a newer database, and for tables that cannot be adopted
 */
export async function migrate(
  client: MysqlClient,
  database: string,
  engine: SqlEngine,
  who: Who,
  progress: Progress = () => {},
): Promise<void> {
  await takeLock(client, database, progress)
  await reshapeAdoptedTables(client, database, progress)
  await applyMigrations({
    engine: 'mysql',
    database,
    query: async sql => ({ rows: await client.all(sql) }),
    script: sql => runScript(client, sql, progress),
  })
  await dropReplaced(client)
  const [state] = await client.all(SELECT_STATE)
  if (state === undefined) await adopt(client, engine, who, progress)
}

/**
 * The name of the lock that a migration holds. Such names belong to the server, not to a database, and have at most 64
 * characters. MD5, because earlier versions take the same lock; computed here, because MySQL 9 no longer has such a function.
 */
export function migrationLock(database: string): string {
  return `postviews ${createHash('md5').update(database).digest('hex')}`
}

// Held until the session ends.
async function takeLock(client: MysqlClient, database: string, progress: Progress): Promise<void> {
  const lock = migrationLock(database)
  for (;;) {
    const [row] = await client.all('SELECT GET_LOCK(?, ?) AS taken', [lock, LOCK_WAIT_SECONDS])
    if (Number(row!['taken']) === 1) return
    progress('waiting for another migration', 0, 1)
  }
}

/** Migrations have emptied these tables. A user without the privilege to drop tables leaves them there. */
async function dropReplaced(client: MysqlClient): Promise<void> {
  try {
    await client.write('DROP TABLE IF EXISTS post_view_referrers, site_view_referrers')
  } catch (error) {
    if (!(error instanceof StoreBroken)) throw error
  }
}

// Each statement may run twice, so it can be interrupted between two of them.
async function runScript(client: MysqlClient, sql: string, progress: Progress): Promise<void> {
  const statements = sql.split(/;\s*$/m).filter(statement => statement.trim() !== '')
  for (const [index, statement] of statements.entries()) {
    progress('schema', index, statements.length)
    await client.write(statement)
  }
}
