/** What `postviews schema` prints: the tables of a new database, and the statements by which a batch is kept and counted. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { BREAKDOWN_STATEMENTS } from './sql/breakdowns.ts'
import { insertTotals } from './sql/totals.ts'

export const ENGINES = ['sqlite', 'mysql', 'postgres', 'clickhouse'] as const

interface SchemaText {
  tables: string
  /** With `?` for each value, or `…` for rows. */
  statements: readonly string[]
}

/** Needs no database. */
export async function schemaText(engine: (typeof ENGINES)[number]): Promise<SchemaText> {
  if (engine === 'clickhouse') return ofClickhouse()
  const { STATEMENTS }: { STATEMENTS: readonly string[] } = await import(`./${engine}/record.ts`)
  return {
    tables: readFileSync(join(import.meta.dirname, engine, 'schema.sql'), 'utf8'),
    statements: [
      ...STATEMENTS,
      ...BREAKDOWN_STATEMENTS,
      insertTotals('post_uuid = ?', 'post_view_aggregates'),
    ],
  }
}

async function ofClickhouse(): Promise<SchemaText> {
  const { tablesText } = await import('./clickhouse/migrate.ts')
  const { insertOfRows } = await import('./clickhouse/row.ts')
  const { statements } = await import('./clickhouse/count.ts')
  return {
    tables: await tablesText(),
    statements: [insertOfRows({ settings: { bots: 'count' }, botsBefore: [] }, 1, '0'), ...statements()],
  }
}

export function printed({ tables, statements }: SchemaText): string {
  const texts = statements.map(statement => `${statement.trim().replaceAll(/\n\s*/g, '\n  ')};`)
  return `${tables.trimEnd()}\n\n-- A batch, and the sums of a recount:\n\n${texts.join('\n\n')}\n`
}
