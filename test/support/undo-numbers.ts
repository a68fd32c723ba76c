/** Takes a SQLite database back to the previous version's tables of rows, which hold the texts themselves. */

import { readFileSync } from 'node:fs'
import type { TestDatabase } from './engines.ts'
import { undoWho } from './undo-who.ts'

const TABLES = [
  { name: 'post_views', behind: 'post_view_rows', migration: '001.do.initial' },
  { name: 'post_view_visitors', behind: 'post_view_visitor_rows', migration: '001.do.initial' },
  { name: 'post_view_unpacked', behind: 'post_view_unpacked_rows', migration: '006.do.breakdowns' },
]

export async function undoNumbers(database: Pick<TestDatabase, 'url' | 'query'>): Promise<void> {
  const { query } = database
  await undoWho(database)
  const ids = await query("SELECT seq FROM sqlite_sequence WHERE name = 'post_view_rows'")
  for (const { name, behind, migration } of TABLES) {
    const statements = statementsOf(migration, name)
    await query(statements[0]!.replace(`TABLE ${name} `, 'TABLE undone '))
    const columns = (await query("SELECT name FROM pragma_table_info('undone')")).map(({ name }) => name)
    await query(`INSERT INTO undone SELECT ${columns.join(', ')} FROM ${name}`)
    await query(`DROP VIEW ${name}`)
    await query(`DROP TABLE ${behind}`)
    await query(`ALTER TABLE undone RENAME TO ${name}`)
    for (const index of statements.slice(1)) await query(index)
  }
  for (const { seq } of ids) await query(`UPDATE sqlite_sequence SET seq = ${seq} WHERE name = 'post_views'`)
  for (const table of ['post_view_texts', 'post_view_text_changes']) await query(`DROP TABLE ${table}`)
  await query('DELETE FROM post_view_migrations WHERE version >= 7')
}

/** The statements of a migration that create the table and its indexes. */
function statementsOf(migration: string, table: string): string[] {
  const file = new URL(
    `../../packages/analytics/src/store/sqlite/migrations/${migration}.sql`,
    import.meta.url,
  )
  const sql = readFileSync(file, 'utf8')
  return [
    ...sql.matchAll(
      new RegExp(`^CREATE TABLE ${table} .*?;$|^CREATE [A-Z ]*INDEX \\w+ ON ${table} .*?;$`, 'gms'),
    ),
  ].map(([statement]) => statement)
}
