/** Databases on PostgreSQL, and statements behind the service's back. */

import type { TestContext } from 'node:test'
import pg from 'pg'
import { ensureInstalled } from '../../tools/stack/install.ts'
import { type Postgres, startPostgres } from '../../tools/stack/postgres.ts'
import { atEnd } from './at-end.ts'
import type { TestDatabase } from './engines.ts'

/** A database on a server of the test's own, which may come to harm. */
export async function ownPostgres(t: TestContext): Promise<{ server: Postgres; database: TestDatabase }> {
  await ensureInstalled(['postgres'], console.log)
  const server = await startPostgres()
  atEnd(t, () => server.stop())
  const { url } = await server.database()
  // What the tests of all engines ask for.
  await ask(url, "CREATE FUNCTION HEX(bytes BYTEA) RETURNS TEXT RETURN UPPER(ENCODE(bytes, 'hex'))")
  return { server, database: postgresDatabase(url) }
}

export function postgresDatabase(url: string): TestDatabase {
  return { url, query: async sql => (await ask(url, sql)).rows }
}

/** Runs one statement, and tells how many rows it has changed. */
export async function rowsChanged(url: string, sql: string): Promise<number> {
  return (await ask(url, sql)).rowCount ?? 0
}

export const bytesLiteral = (hex: string) => `'\\x${hex}'::bytea`

const NUMBERS = [pg.types.builtins.INT8, pg.types.builtins.NUMERIC]
const getTypeParser = ((oid: number, format?: 'text') =>
  NUMBERS.includes(oid) ? Number : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser

async function ask(url: string, sql: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url, types: { getTypeParser } })
  // Its server may be killed.
  client.on('error', () => {})
  try {
    await client.connect()
    return await client.query(sql)
  } finally {
    await client.end().catch(() => {})
  }
}
