/** Compares the unique keys of a PostgreSQL database with those of `schema.sql`; finds triggers, and settings that lose commits. */

import { readFileSync } from 'node:fs'
import { keyOf, schemaDifference } from '../sql/schema-check.ts'
import type { FoundSchema, Keys, SqlClient } from '../sql/sql.ts'

const SCHEMA = new URL('./schema.sql', import.meta.url)

const TABLES = `
  SELECT relname AS tbl FROM pg_class
  WHERE relkind IN ('r', 'p') AND relnamespace = CURRENT_SCHEMA()::regnamespace`

const KEYS = `
  SELECT c.relname AS tbl, STRING_AGG(a.attname, ', ' ORDER BY k.place) AS columns,
         COALESCE(' WHERE ' || PG_GET_EXPR(i.indpred, i.indrelid), '') AS rows
  FROM pg_index AS i
  JOIN pg_class AS c ON c.oid = i.indrelid
  CROSS JOIN LATERAL UNNEST(i.indkey) WITH ORDINALITY AS k(number, place)
  LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number
  WHERE i.indisunique AND i.indisvalid AND c.relnamespace = CURRENT_SCHEMA()::regnamespace
  GROUP BY c.relname, i.indexrelid, i.indpred, i.indrelid`

const TRIGGERS = `
  SELECT t.tgname AS name, c.relname AS tbl FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
  WHERE NOT t.tgisinternal AND c.relnamespace = CURRENT_SCHEMA()::regnamespace ORDER BY t.tgname`

/** If one of these is off, an acknowledged commit may be lost in a crash. */
const UNSAFE = `
  SELECT name FROM pg_settings
  WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off' ORDER BY name`

export async function findSchema(client: SqlClient): Promise<FoundSchema> {
  const expected = expectedKeys(readFileSync(SCHEMA, 'utf8'))
  const found = new Map<string, Set<string>>()
  for (const { tbl } of await client.all(TABLES)) found.set(String(tbl), new Set())
  for (const { tbl, columns, rows } of await client.all(KEYS))
    found.get(String(tbl))?.add(`${keyOf(String(columns).split(', '))}${rows}`)
  const triggers = await client.all(TRIGGERS)
  return {
    rows: 'post_views',
    expected,
    found,
    adopted: new Set(),
    differences: [
      ...triggers
        .filter(({ tbl }) => expected.has(String(tbl)))
        .map(({ name, tbl }) => schemaDifference(`trigger ${name} on ${tbl}`, 'trigger', null, 'there')),
      ...(await client.all(UNSAFE)).map(({ name }) => schemaDifference(String(name), 'setting', 'on', 'off')),
    ],
  }
}

/** Reads what `schema-dump.ts` has written. */
function expectedKeys(schema: string): Keys {
  const keys = new Map<string, Set<string>>()
  for (const [, table, columns] of schema.matchAll(/^CREATE TABLE (\w+) \(\n.*?PRIMARY KEY \(([^)]*)\)/gms))
    keys.set(table!, new Set([keyOf(columns!.split(', '))]))
  for (const [, table, columns] of schema.matchAll(
    /^CREATE UNIQUE INDEX \w+ ON (\w+) USING btree \(([^)]*)\)/gm,
  ))
    keys.get(table!)!.add(keyOf(columns!.split(', ')))
  return keys
}
