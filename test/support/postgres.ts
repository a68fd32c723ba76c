/** Databases on PostgreSQL, and statements past the service. */

import type { TestContext } from 'node:test'
import pg from 'pg'
import { type Postgres, queryPostgres, startPostgres } from '../../tools/stack/postgres.ts'
import { ensureParts } from '../../tools/stack/stack-install.ts'
import { chosenStack } from '../../tools/stack/stacks.ts'
import { atEnd } from './at-end.ts'
import type { TestDatabase } from './engines.ts'

/** A database on the test's own server, which the test may harm. */
export async function ownPostgres(t: TestContext): Promise<{ server: Postgres; database: TestDatabase }> {
  await ensureParts(['postgres'], chosenStack(), console.log)
  const server = await startPostgres()
  atEnd(t, () => server.stop())
  const { url } = await server.database()
  // Tests for all engines use this function.
  await queryPostgres(url, "CREATE FUNCTION HEX(bytes BYTEA) RETURNS TEXT RETURN UPPER(ENCODE(bytes, 'hex'))")
  return { server, database: postgresDatabase(url) }
}

export function postgresDatabase(url: string): TestDatabase {
  return { url, query: sql => queryPostgres(url, sql) }
}

/** Runs one statement and returns how many rows it changed. */
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
