/** Statements behind the service's back, on PostgreSQL. */

import pg from 'pg'
import type { TestDatabase } from './engines.ts'

export function postgresDatabase(url: string): TestDatabase {
  return { url, query: async sql => (await ask(url, sql)).rows }
}

/** Runs one statement, and tells how many rows it has changed. */
export async function rowsChanged(url: string, sql: string): Promise<number> {
  return (await ask(url, sql)).rowCount ?? 0
}

export const bytesLiteral = (hex: string) => `'\\x${hex}'::bytea`

async function ask(url: string, sql: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await client.query(sql)
  } finally {
    await client.end()
  }
}
