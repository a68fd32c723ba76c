/** Stores on MariaDB or MySQL, and a second session that blocks them. */

import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Connection, createConnection, type ResultSetHeader, type RowDataPacket } from 'mysql2/promise'
import type { CountingSettings } from '../../packages/analytics/src/store/counting-settings.ts'
import { openStore } from '../../packages/analytics/src/store/open.ts'
import type { Store } from '../../packages/analytics/src/store/store.ts'
import { atEnd } from './at-end.ts'
import { until } from './until.ts'

export const SETTINGS: CountingSettings = { timeZone: 'UTC', windowHours: 24, uniqueBy: 'ip', bots: 'count' }

/** A store with the settings of these tests, closed when the test ends. */
export async function storeOn(t: TestContext, url: string): Promise<Store> {
  const store = await openStore(url, SETTINGS)
  atEnd(t, () => store.close())
  return store
}

export interface OtherSession {
  connection: Connection
  sql(statement: string): Promise<RowDataPacket[]>
}

/** A session of another client, ended when the test ends. */
export async function otherSession(t: TestContext, url: string): Promise<OtherSession> {
  const connection = await createConnection({ uri: url, dateStrings: true })
  // A test may kill its server.
  connection.on('error', () => {})
  atEnd(t, () => connection.destroy())
  return {
    connection,
    async sql(statement) {
      const [rows] = await connection.query<RowDataPacket[]>(statement)
      return rows
    },
  }
}

/** Runs one statement on its own connection. Returns how many rows it has changed or found unchanged. */
export async function rowsChanged(url: string, statement: string): Promise<number> {
  const connection = await createConnection(url)
  try {
    const [{ affectedRows }] = await connection.query<ResultSetHeader>(statement)
    return affectedRows
  } finally {
    await connection.end()
  }
}

/** A table `numbers` with the column `seq` from 1 to `count`, in SQL that every server supports. */
export function numbersTo(count: number): string {
  return `JSON_TABLE(CONCAT('[0', REPEAT(',0', ${count - 1}), ']'), '$[*]' COLUMNS (seq FOR ORDINALITY)) AS numbers`
}

/** Whether a client's message to the server is just that statement. MySQL has query attributes before the text. */
export function isCommit(bytes: Buffer): boolean {
  return bytes[4] === COM_QUERY && bytes.toString('latin1').endsWith('COMMIT')
}

const COM_QUERY = 3

/** A new user without privileges; an existing one of that name is replaced. */
export async function createUser(
  run: (sql: string) => Promise<unknown>,
  user: string,
  identified = '',
): Promise<void> {
  await run(`DROP USER IF EXISTS ${user}`)
  await run(`CREATE USER ${user} ${identified}`)
}

/** Locks the table that batches write last, until the session's transaction ends. */
export async function holdBatches({ sql }: OtherSession): Promise<void> {
  await sql('START TRANSACTION')
  await sql('SELECT * FROM site_view_aggregates FOR UPDATE')
}

/** The start times of the database's transactions that wait for a lock. */
export async function waitingSince({ sql }: OtherSession): Promise<string[]> {
  // The server caches this answer for a while.
  await sleep(120)
  const waiting = await sql(
    `SELECT trx_started FROM information_schema.innodb_trx
     JOIN information_schema.processlist ON id = trx_mysql_thread_id
     WHERE db = DATABASE() AND trx_state = 'LOCK WAIT'`,
  )
  return waiting.map(row => String(row['trx_started']))
}

/** Waits until that many transactions of the database wait for a lock. */
export function untilWaiting(other: OtherSession, count: number): Promise<void> {
  return until(`${count} wait for a lock`, async () => (await waitingSince(other)).length === count)
}
