/**
 * Compares the keys of a SQLite database with those that `schema.sql` makes, and its views and triggers with ours: a SQLite file
 * is ours alone.
 */

import { readFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { idRanges } from '../sql/id-ranges.ts'
import { keyOf, schemaDifference } from '../sql/schema-check.ts'
import type { FoundSchema, Keys, SqlClient, SqlRow } from '../sql/sql.ts'
import type { Difference } from '../store.ts'
import { isShown, NUMBER_COLUMNS, ROWS, SHOWN, TEXTS } from './texts.ts'

const SCHEMA = new URL('./schema.sql', import.meta.url)

type Ask = (sql: string) => Promise<SqlRow[]>

export async function findSchema(reader: SqlClient): Promise<FoundSchema> {
  const ask: Ask = sql => reader.all(sql)
  const expected = await expectedKeys()
  const found = await keysOf(ask)
  const shown = await ask(
    "SELECT type, name, tbl_name AS tbl, sql FROM sqlite_schema WHERE type IN ('view', 'trigger') ORDER BY name",
  )
  const isOurs = (name: unknown) => expected.has(String(name)) || SHOWN.has(String(name))
  const others = shown.filter(
    ({ type, name, tbl }) => type === 'trigger' && isOurs(tbl) && !SHOWN.has(String(name)),
  )
  const differing = [...SHOWN].filter(([name, sql]) => !shown.some(row => isShown(row, name, sql)))
  return {
    rows: ROWS,
    expected,
    found,
    adopted: new Set(),
    differences: [
      ...others.map(({ name, tbl }) =>
        schemaDifference(`trigger ${name} on ${tbl}`, 'trigger', null, 'there'),
      ),
      ...differing.map(([name]) =>
        schemaDifference(
          name,
          'definition',
          'as made by migrate',
          shown.some(row => row['name'] === name) ? 'another' : 'missing',
        ),
      ),
      ...(await missingTexts(reader)),
    ],
  }
}

/** Finds rows that have the number of a text which somebody has removed. */
async function missingTexts(reader: SqlClient): Promise<Difference[]> {
  const rowsOf = new Map<string, number>()
  for await (const { after, last } of idRanges(reader, { after: Number.MIN_SAFE_INTEGER })) {
    for (const column of NUMBER_COLUMNS) {
      const missing = await reader.all(
        `SELECT ${column} AS number, COUNT(*) AS count FROM ${ROWS}
         WHERE id > ? AND id <= ? AND ${column} IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM ${TEXTS} WHERE number = ${ROWS}.${column})
         GROUP BY number`,
        [after, last],
      )
      for (const { number, count } of missing) {
        const name = `${TEXTS} ${number}, ${column}`
        rowsOf.set(name, (rowsOf.get(name) ?? 0) + Number(count))
      }
    }
  }
  return [...rowsOf].map(([name, rows]) => schemaDifference(name, 'rows without their text', 0, rows))
}

/** The keys of a new database. */
export async function expectedKeys(): Promise<Keys> {
  using empty = new DatabaseSync(':memory:')
  empty.exec(readFileSync(SCHEMA, 'utf8'))
  return await keysOf(async sql => empty.prepare(sql).all())
}

async function keysOf(ask: Ask): Promise<Keys> {
  const keys = new Map<string, Set<string>>()
  for (const { name } of await ask("SELECT name FROM sqlite_schema WHERE type = 'table'")) {
    keys.set(String(name), new Set())
  }
  // A primary key that is the rowid has no index of its own: only the columns show it.
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
    // An index of some rows, or one whose collation takes two texts for the same, is another key.
    const where = /\bWHERE\b.*$/is.exec(String(made ?? ''))?.[0].replace(/\s+/g, ' ') ?? ''
    const column = collation === 'BINARY' ? String(col) : `${col} COLLATE ${collation}`
    add(String(idx), String(tbl), where, column)
  }
  for (const { table, where, names } of columns.values()) {
    keys.get(table)?.add(`${keyOf(names)} ${where}`.trim())
  }
  return keys
}
