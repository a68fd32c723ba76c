/** Databases on PostgreSQL, and statements behind the service's back. */

import type { TestContext } from 'node:test'
import pg from 'pg'
import { ensureInstalled } from '../../tools/stack/install.ts'
import { type Postgres, queryPostgres, startPostgres } from '../../tools/stack/postgres.ts'
import { atEnd } from './at-end.ts'
import type { TestDatabase } from './engines.ts'

/** A database on a server of the test's own, which may come to harm. */
export async function ownPostgres(t: TestContext): Promise<{ server: Postgres; database: TestDatabase }> {
  await ensureInstalled(['postgres'], console.log)
  const server = await startPostgres()
  atEnd(t, () => server.stop())
  const { url } = await server.database()
  // What the tests of all engines ask for.
  await queryPostgres(url, "CREATE FUNCTION HEX(bytes BYTEA) RETURNS TEXT RETURN UPPER(ENCODE(bytes, 'hex'))")
  return { server, database: postgresDatabase(url) }
}

export function postgresDatabase(url: string): TestDatabase {
  return { url, query: sql => queryPostgres(url, sql) }
}

/** Runs one statement, and tells how many rows it has changed. */
export async function rowsChanged(url: string, sql: string): Promise<number> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(sql)).rowCount ?? 0
  } finally {
    await client.end()
  }
}

export const bytesLiteral = (hex: string) => `'\\x${hex}'::bytea`
