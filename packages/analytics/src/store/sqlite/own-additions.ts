/** Finds what people have added to the tables that migration 7 replaces. The migration would remove it together with the tables. */

import { StoreRefused } from '../failures.ts'
import type { SqlClient } from '../sql/sql.ts'
import { VIEWS } from './texts.ts'

/** The indexes that versions up to 6 made on these tables. */
const OUR_INDEXES = ['idx_viewed_at', 'uq_event_id']

/**
 * @throws {StoreRefused} if somebody has added a column, an index or a trigger to one of these tables, or if another table has a foreign
 * key to it. With `ON DELETE CASCADE`, the migration would empty that other table.
 */
export async function refuseOwnAdditions(client: Pick<SqlClient, 'all'>): Promise<void> {
  const found = await Promise.all(VIEWS.map(view => additionsTo(view, client)))
  const named = found.flat()
  if (named.length === 0) return
  throw new StoreRefused(
    `this version makes new tables in place of ${VIEWS.map(({ name }) => name).join(', ')}, and would lose what you have added to them: ${named.join(', ')}. Copy what you need to tables of your own, drop the additions, and migrate. Afterwards indexes and triggers belong on ${VIEWS.map(({ of }) => of).join(', ')}`,
  )
}

async function additionsTo(
  { name, columns }: (typeof VIEWS)[number],
  client: Pick<SqlClient, 'all'>,
): Promise<string[]> {
  const [table] = await client.all(`SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '${name}'`)
  if (table === undefined) return []
  // `xinfo` lists generated columns as well.
  const there = await client.all(`SELECT name FROM pragma_table_xinfo('${name}')`)
  const parts = await client.all(
    `SELECT type, name FROM sqlite_schema
     WHERE tbl_name = '${name}' AND type IN ('index', 'trigger') AND name NOT LIKE 'sqlite_autoindex_%'
     ORDER BY name`,
  )
  const referring = await client.all(
    `SELECT DISTINCT tables.name FROM sqlite_schema AS tables JOIN pragma_foreign_key_list(tables.name) AS keys
     WHERE tables.type = 'table' AND keys."table" = '${name}' COLLATE NOCASE
     ORDER BY tables.name`,
  )
  return [
    ...there
      .filter(column => !columns.some(ours => ours.name === column['name']))
      .map(column => `the column ${name}.${column['name']}`),
    ...parts
      .filter(part => !OUR_INDEXES.includes(String(part['name'])))
      .map(part => `the ${part['type']} ${part['name']}`),
    ...referring.map(other => `the foreign key of ${other['name']}`),
  ]
}
