/**
 * Compares the tables of a MySQL database with those of `schema.sql`: keys, engine, collations, and triggers that affect what is
 * counted. Other changes that users made to adopted tables are allowed.
 */

import { readFileSync } from 'node:fs'
import { keyOf, schemaDifference } from '../sql/schema-check.ts'
import type { FoundSchema, Keys, SqlClient, SqlRow } from '../sql/sql.ts'
import type { Difference } from '../store.ts'

const SCHEMA = new URL('./schema.sql', import.meta.url)
const ADOPTED = new Set(['post_views', 'post_view_aggregates'])
/** With these values, a commit is on the disk before it is answered; 3 is MariaDB's, and does more. */
const DURABLE = [1, 3]

interface Expected {
  keys: Keys
  columns: ReadonlyMap<string, readonly string[]>
}

export async function findSchema(client: SqlClient, database: string): Promise<FoundSchema> {
  const { keys, columns } = expectedTables(readFileSync(SCHEMA, 'utf8'))
  return {
    rows: 'post_views',
    expected: keys,
    found: await foundKeys(client, database),
    adopted: ADOPTED,
    differences: [
      ...(await otherEngines(client, database, keys)),
      ...(await otherCollations(client, database, keys)),
      ...(await triggers(client, database, columns)),
      ...(await durability(client)),
    ],
  }
}

/** Reads what `schema-dump.ts` has written. */
function expectedTables(schema: string): Expected {
  const keys = new Map<string, Set<string>>()
  const columns = new Map<string, string[]>()
  for (const [, table, body] of schema.matchAll(/^CREATE TABLE (\w+) \(\n(.*?)\n\) ENGINE/gms)) {
    const unique = body!.matchAll(/^ {2}(?:PRIMARY KEY|UNIQUE INDEX \w+) \(([^)]*)\)/gm)
    keys.set(table!, new Set(unique.map(([, names]) => keyOf(names!.split(', ')))))
    columns.set(
      table!,
      [...body!.matchAll(/^ {2}([a-z]\w*) /gm)].map(([, column]) => column!),
    )
  }
  return { keys, columns }
}

async function foundKeys(client: SqlClient, database: string): Promise<Keys> {
  const keys = new Map<string, Set<string>>()
  for (const { name } of await client.all(
    'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = ?',
    [database],
  )) {
    keys.set(String(name), new Set())
  }
  const rows = await client.all(
    `SELECT table_name AS tbl, index_name AS idx, column_name AS col, sub_part AS characters
     FROM information_schema.statistics
     WHERE table_schema = ? AND non_unique = 0
     ORDER BY table_name, index_name, seq_in_index`,
    [database],
  )
  const byIndex = Map.groupBy(rows, ({ tbl, idx }) => `${tbl}/${idx}`)
  for (const columns of byIndex.values()) {
    // A key on the first characters of a column is another key.
    const names = columns.map(({ col, characters }) =>
      characters === null ? `${col}` : `${col}(${characters})`,
    )
    keys.get(String(columns[0]!['tbl']))?.add(keyOf(names))
  }
  return keys
}

async function otherEngines(client: SqlClient, database: string, expected: Keys): Promise<Difference[]> {
  const rows = await client.all(
    `SELECT table_name AS name, engine AS engine FROM information_schema.tables
     WHERE table_schema = ? AND engine <> 'InnoDB' ORDER BY table_name`,
    [database],
  )
  return rows
    .filter(({ name }) => expected.has(String(name)))
    .map(({ name, engine }) => schemaDifference(String(name), 'engine', 'InnoDB', String(engine)))
}

/** Ids must be compared by their bytes: under any other collation, a key takes two of them for one. */
async function otherCollations(client: SqlClient, database: string, expected: Keys): Promise<Difference[]> {
  const rows = await client.all(
    `SELECT table_name AS tbl, column_name AS col, collation_name AS collation
     FROM information_schema.columns
     WHERE table_schema = ? AND collation_name IS NOT NULL AND collation_name NOT LIKE '%!_bin' ESCAPE '!'
     ORDER BY table_name, ordinal_position`,
    [database],
  )
  const isInKey = ({ tbl, col }: SqlRow) =>
    [...(expected.get(String(tbl)) ?? [])].some(key => key.split(', ').includes(String(col)))
  return rows
    .filter(isInKey)
    .map(({ tbl, col, collation }) =>
      schemaDifference(`${tbl}.${col}`, 'collation', 'utf8mb4_bin', String(collation)),
    )
}

/**
 * Users may have triggers of their own on adopted tables, unless these set a column of ours or name a table of ours. (A user
 * without the privilege TRIGGER sees none.)
 */
async function triggers(
  client: SqlClient,
  database: string,
  columns: Expected['columns'],
): Promise<Difference[]> {
  const rows = await client.all(
    `SELECT trigger_name AS name, event_object_table AS tbl, action_statement AS body
     FROM information_schema.triggers
     WHERE event_object_schema = ?
     ORDER BY trigger_name`,
    [database],
  )
  const tables = new RegExp(`\\b(?:${[...columns.keys()].join('|')})\\b`, 'i')
  return rows
    .filter(({ tbl, body }) => {
      const ours = columns.get(String(tbl))
      if (ours === undefined) return false
      if (!ADOPTED.has(String(tbl)) || tables.test(String(body))) return true
      return new RegExp(`\\bNEW\\s*\\.\\s*\`?(?:${ours.join('|')})\`?\\s*:?=`, 'i').test(String(body))
    })
    .map(({ name, tbl }) => schemaDifference(`trigger ${name} on ${tbl}`, 'trigger', null, 'there'))
}

/** Nothing may be acknowledged before it is durable, which depends on this setting of the server. */
async function durability(client: SqlClient): Promise<Difference[]> {
  const [row] = await client.all('SELECT @@innodb_flush_log_at_trx_commit AS flushes')
  const flushes = Number(row!['flushes'])
  return DURABLE.includes(flushes)
    ? []
    : [schemaDifference('the server', 'innodb_flush_log_at_trx_commit', 1, flushes)]
}
