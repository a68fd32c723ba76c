/** The keys of a SQLite database, compared with those that `schema.sql` makes; and triggers: a SQLite file is ours alone. */

import { readFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { keyOf, schemaDifference } from '../sql/schema-check.ts'
import type { FoundSchema, Keys, SqlRow } from '../sql/sql.ts'

const SCHEMA = new URL('./schema.sql', import.meta.url)

type Ask = (sql: string) => Promise<SqlRow[]>

export async function findSchema(ask: Ask): Promise<FoundSchema> {
  const expected = await expectedKeys()
  const found = await keysOf(ask)
  const triggers = await ask("SELECT name, tbl_name FROM sqlite_schema WHERE type = 'trigger' ORDER BY name")
  return {
    expected,
    found,
    adopted: new Set(),
    differences: triggers
      .filter(({ tbl_name: table }) => expected.has(String(table)))
      .map(({ name, tbl_name: table }) =>
        schemaDifference(`trigger ${name} on ${table}`, 'trigger', null, 'there'),
      ),
  }
}

async function expectedKeys(): Promise<Keys> {
  using empty = new DatabaseSync(':memory:')
  empty.exec(readFileSync(SCHEMA, 'utf8'))
  return await keysOf(async sql => empty.prepare(sql).all())
}

async function keysOf(ask: Ask): Promise<Keys> {
  const keys = new Map<string, Set<string>>()
  for (const { name } of await ask("SELECT name FROM sqlite_schema WHERE type = 'table'")) {
    keys.set(String(name), new Set())
  }
  // What is no index of its own, the number of a row, is told by the columns alone.
  const primary = await ask(
    `SELECT tables.name AS tbl, columns.name AS col
     FROM sqlite_schema AS tables JOIN pragma_table_info(tables.name) AS columns
     WHERE tables.type = 'table' AND columns.pk > 0`,
  )
  const indexed = await ask(
    `SELECT tables.name AS tbl, indexes.name AS idx, columns.name AS col, columns.coll AS collation, made.sql AS made
     FROM sqlite_schema AS tables
     JOIN pragma_index_list(tables.name) AS indexes
     JOIN pragma_index_xinfo(indexes.name) AS columns
     LEFT JOIN sqlite_schema AS made ON made.type = 'index' AND made.name = indexes.name
     WHERE tables.type = 'table' AND indexes."unique" = 1 AND columns.key = 1`,
  )
  const columns = new Map<string, { table: string; where: string; names: string[] }>()
  const add = (index: string, table: string, where: string, column: string) => {
    const known = columns.get(index) ?? { table, where, names: [] }
    known.names.push(column)
    columns.set(index, known)
  }
  for (const { tbl, col } of primary) add(`primary key of ${tbl}`, String(tbl), '', String(col))
  for (const { tbl, idx, col, collation, made } of indexed) {
    // A key of some rows, or one that takes two texts for one, is another key.
    const where = /\bWHERE\b.*$/is.exec(String(made ?? ''))?.[0].replace(/\s+/g, ' ') ?? ''
    const column = collation === 'BINARY' ? String(col) : `${col} COLLATE ${collation}`
    add(String(idx), String(tbl), where, column)
  }
  for (const { table, where, names } of columns.values()) {
    keys.get(table)?.add(`${keyOf(names)} ${where}`.trim())
  }
  return keys
}
