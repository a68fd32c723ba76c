/**
 * Work on the database that is written once for the synchronous thread of SQLite and the asynchronous clients of servers: a
 * generator that yields statements, and receives the rows of each.
 */

import type { Dialect, SqlClient, SqlRow, SqlValue } from './sql.ts'

/** A statement, or one that each engine spells differently. */
export type Spelling = string | ((dialect: Dialect) => string)

export interface Statement {
  sql: Spelling
  values: readonly SqlValue[]
}

export type Statements<T> = Generator<Statement, T, SqlRow[]>

/** One statement within others: `const rows = yield* ask(sql, values)`. */
export function* ask(sql: Spelling, values: readonly SqlValue[] = []): Statements<SqlRow[]> {
  return yield { sql, values }
}

export async function runOn<T>(
  client: Pick<SqlClient, 'all' | 'dialect'>,
  statements: Statements<T>,
): Promise<T> {
  let next = statements.next()
  while (!next.done) {
    const { sql, values } = next.value
    next = statements.next(await client.all(spelled(sql, client.dialect), values))
  }
  return next.value
}

export function runNow<T>(
  rowsOf: (sql: string, values: readonly SqlValue[]) => SqlRow[],
  dialect: Dialect,
  statements: Statements<T>,
): T {
  let next = statements.next()
  while (!next.done) {
    const { sql, values } = next.value
    next = statements.next(rowsOf(spelled(sql, dialect), values))
  }
  return next.value
}

function spelled(sql: Spelling, dialect: Dialect): string {
  return typeof sql === 'string' ? sql : sql(dialect)
}
