/**
 * Checks what exact counting depends on in the database itself: unique keys, and no triggers that write as well. A recount does
 * not notice that a key is gone; from then on, redelivered views count again.
 */

import type { Difference } from '../store.ts'
import type { FoundSchema, SqlEngine } from './sql.ts'

/** At most this many duplicate ids are reported. */
const IDS_NAMED = 10_000

/** Reports what is missing, and every id that was counted more than once because of it. */
export async function verifySchema(
  engine: SqlEngine,
  found: (difference: Difference) => void,
): Promise<void> {
  const schema = await engine.schema()
  for (const difference of [...keysThatDiffer(schema), ...schema.differences]) found(difference)
  if (schema.found.has(schema.rows) && !hasIdKey(schema)) await nameRepeatedIds(engine, found)
}

/** Unique keys that are not ours are reported as well: they refuse good rows. */
export function keysThatDiffer({
  expected,
  found,
  adopted,
}: Pick<FoundSchema, 'expected' | 'found' | 'adopted'>): Difference[] {
  const differences: Difference[] = []
  for (const [table, keys] of expected) {
    const there = found.get(table)
    if (there === undefined) {
      differences.push(schemaDifference(table, 'table', 'there', 'missing'))
      continue
    }
    for (const key of keys.difference(there)) {
      differences.push(schemaDifference(`${table} (${key})`, 'unique key', 'there', 'missing'))
    }
    for (const key of adopted.has(table) ? [] : there.difference(keys)) {
      // If some of its columns are already a key of ours, it refuses nothing more.
      if ([...keys.intersection(there)].some(ours => isPartOf(ours, key))) continue
      differences.push(schemaDifference(`${table} (${key})`, 'unique key', null, 'there'))
    }
  }
  return differences
}

export function schemaDifference(
  name: string,
  field: string,
  expected: Difference['expected'],
  found: Difference['found'],
): Difference {
  return { kind: 'schema', name, field, expected, found }
}

/** `date, post_uuid`, in whatever order they are given. */
export function keyOf(columns: readonly string[]): string {
  return [...columns].sort().join(', ')
}

function isPartOf(some: string, key: string): boolean {
  const columns = new Set(key.split(', '))
  return some.split(', ').every(column => columns.has(column))
}

function hasIdKey({ rows, expected, found }: FoundSchema): boolean {
  const ofIds = [...expected.get(rows)!].filter(key => key.startsWith('event_id'))
  return ofIds.every(key => found.get(rows)!.has(key))
}

async function nameRepeatedIds(engine: SqlEngine, found: (difference: Difference) => void): Promise<void> {
  const repeated = await engine.reader.all(
    `SELECT LOWER(${engine.reader.dialect.hex('event_id')}) AS id, COUNT(*) AS times
     FROM post_views
     WHERE event_id IS NOT NULL
     GROUP BY event_id
     HAVING COUNT(*) > 1
     ORDER BY event_id
     LIMIT ${IDS_NAMED}`,
  )
  for (const { id, times } of repeated) {
    found({ kind: 'id', name: `id ${uuidOf(String(id))}`, field: 'rows', expected: 1, found: Number(times) })
  }
}

function uuidOf(hex: string): string {
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
