/** Brings a database to this version: one process at a time, from nothing or from the second article's tables. */

import { applyMigrations } from '../migrate.ts'
import { SELECT_STATE, type SqlEngine } from '../sql/sql.ts'
import type { Progress } from '../store.ts'
import { adopt } from './adopt.ts'
import { reshapeAdoptedTables } from './adopted-tables.ts'
import { type MysqlClient, MysqlConnection } from './connection.ts'
import type { Server } from './session.ts'

// Rewriting a big table takes hours; a connection that is lost meanwhile is found out by the network's keepalive.
const NO_LIMIT_MS = 2 ** 31 - 1
const LOCK_WAIT_SECONDS = 2

/**
 * May be interrupted at any moment, and run again: each step finds out by itself what is left to do.
 *
 * @throws {StoreRefused} for a newer database, and for tables that cannot be adopted
 */
export async function migrate(
  server: Server,
  engine: SqlEngine,
  progress: Progress = () => {},
): Promise<void> {
  const { database } = server
  const connection = new MysqlConnection(server, { statementLimitMs: NO_LIMIT_MS })
  try {
    // All of it on one session: the lock is gone when that is.
    await connection.session(async client => {
      await takeLock(client, database, progress)
      await reshapeAdoptedTables(client, database, progress)
      await applyMigrations({
        engine: 'mysql',
        database,
        query: async sql => ({ rows: await client.all(sql) }),
        script: sql => runScript(client, sql),
      })
      const [state] = await client.all(SELECT_STATE)
      if (state === undefined) await adopt(client, engine, progress)
    })
  } finally {
    await connection.close()
  }
}

// Held until the session ends. Its name is the server's, not the database's, and at most 64 characters.
async function takeLock(client: MysqlClient, database: string, progress: Progress): Promise<void> {
  for (;;) {
    const [row] = await client.all("SELECT GET_LOCK(CONCAT('postviews ', MD5(?)), ?) AS taken", [
      database,
      LOCK_WAIT_SECONDS,
    ])
    if (Number(row!['taken']) === 1) return
    progress('waiting for another migration', 0, 1)
  }
}

async function runScript(client: MysqlClient, sql: string): Promise<void> {
  for (const statement of sql.split(/;\s*$/m)) {
    if (statement.trim() !== '') await client.write(statement)
  }
}
