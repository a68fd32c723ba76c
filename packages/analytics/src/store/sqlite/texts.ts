/**
 * Texts that many rows share (posts, user agents, hosts) are kept once, in `post_view_texts`. The tables of rows hold their numbers,
 * which are smaller, and quicker to compare. Views show these tables with the texts, under the names that they have on every
 * engine, and triggers change them through the views. So only batches, which must be fast, know the numbers.
 *
 * A number is never given again, so nobody can take the number of a removed text for that of another.
 *
 * People may change rows by any statement, also by `INSERT OR REPLACE` or `UPDATE OR ABORT`. SQLite then handles conflicts in that
 * way within the triggers as well, even where a trigger says `OR IGNORE`. So no statement of a trigger may lead to a conflict.
 */

import { KEPT, KEPT_NAMES } from '../kept.ts'
import type { Dialect, SqlClient, SqlRow } from '../sql/sql.ts'

/** The tables that hold numbers, and that the views `post_views`, `post_view_visitors` and `post_view_unpacked` show. */
export const TEXTS = 'post_view_texts'
export const TEXT_CHANGES = 'post_view_text_changes'
/** Reads how often a text was removed or changed. */
export const SELECT_REMOVALS = `SELECT removals FROM ${TEXT_CHANGES}`
export const ROWS = 'post_view_rows'
export const VISITOR_ROWS = 'post_view_visitor_rows'
export const UNPACKED_ROWS = 'post_view_unpacked_rows'

/** The column of a table that holds the numbers of a column's texts. */
export function numberOf(column: string): string {
  return `${column}_number`
}

export const POST = numberOf('post_uuid')

/** The columns of `post_view_rows` that hold the numbers of texts. */
export const NUMBER_COLUMNS = KEPT_NAMES.filter(name => KEPT[name].isRepeated).map(name =>
  numberOf(KEPT[name].column),
)

export const SQLITE_DIALECT: Dialect = {
  bytes: hex => `x'${hex}'`,
  hex: column => `HEX(${column})`,
  unhex: digits => `UNHEX(${digits})`,
  post: POST,
  postKey: numberOfText,
  text: 'TEXT',
}

function numberOfText(text: string): string {
  return `(SELECT number FROM ${TEXTS} WHERE text = ${text})`
}

interface View {
  name: string
  /** The table that it shows. */
  of: string
  /** What identifies a row of the table. */
  key: readonly string[]
  columns: readonly ViewColumn[]
}

interface ViewColumn {
  name: string
  /** Whether the table holds the numbers of its texts. */
  isRepeated: boolean
}

const plain = (name: string) => ({ name, isRepeated: false })
const repeated = (name: string) => ({ name, isRepeated: true })

export const VIEWS: readonly View[] = [
  {
    name: 'post_views',
    of: ROWS,
    key: ['id'],
    columns: [
      plain('id'),
      ...KEPT_NAMES.map(name => ({ name: KEPT[name].column, isRepeated: KEPT[name].isRepeated === true })),
    ],
  },
  {
    name: 'post_view_visitors',
    of: VISITOR_ROWS,
    key: ['day', POST, 'slice', 'visitor'],
    columns: [plain('day'), repeated('post_uuid'), plain('slice'), plain('visitor'), plain('seen')],
  },
  {
    name: 'post_view_unpacked',
    of: UNPACKED_ROWS,
    key: [POST, 'id'],
    columns: [repeated('post_uuid'), plain('id')],
  },
]

/** These columns are in indexes. When a statement sets such a column, SQLite writes its index, even if the value stays the same. */
const INDEXED = ['viewed_at', 'event_id']

export const VIEW_NAMES = VIEWS.map(({ name }) => name)

export const COUNT_CHANGE = `UPDATE ${TEXT_CHANGES} SET by_views = by_views + 1`

const COUNT_REMOVAL = `UPDATE ${TEXT_CHANGES} SET removals = removals + 1`

/** The views and triggers, by name, as statements that make them. */
export const SHOWN: ReadonlyMap<string, string> = new Map([
  ...VIEWS.flatMap(view => [viewText(view), ...triggers(view)]),
  // A process may no longer use the numbers that it remembers then. REPLACE fires no trigger for the DELETE that it does.
  ...['UPDATE', 'DELETE'].map(event => triggerText(TEXTS, 'AFTER', event, [COUNT_REMOVAL])),
  triggerText(TEXTS, 'BEFORE', 'INSERT', [COUNT_REMOVAL], {
    only: `EXISTS (SELECT 1 FROM ${TEXTS} WHERE number = NEW.number OR text = NEW.text)`,
  }),
])

function triggers(view: View): [name: string, sql: string][] {
  const { name, of, key, columns } = view
  const oldRow = key.map(column => `${column} = OLD.${column}`).join(' AND ')
  const insert = `INSERT INTO ${of} (${columns.map(columnOf).join(', ')})
  VALUES (${columns.map(assigned).join(', ')})`
  return [
    triggerText(name, 'INSTEAD OF', 'INSERT', [
      ...columns.filter(({ isRepeated }) => isRepeated).map(addText),
      COUNT_CHANGE,
      insert,
    ]),
    ...updates(view, oldRow),
    triggerText(name, 'INSTEAD OF', 'DELETE', [
      `DELETE FROM ${of} WHERE ${oldRow}`,
      // A batch that packs rows removes them from this list. The rows themselves stay, so no text becomes unused.
      ...(of === UNPACKED_ROWS ? [] : [COUNT_CHANGE]),
    ]),
  ]
}

/**
 * A trigger for each text and for each column that an index has, which does nothing unless that changes, and one for all other
 * columns: most changes look up no text and write no index.
 */
function updates({ name, of, key, columns }: View, oldRow: string): [name: string, sql: string][] {
  const changed = columns.filter(column => !key.includes(columnOf(column)))
  // Where all columns are the key, no row is ever changed.
  if (changed.length === 0) return []
  const set = (...some: readonly ViewColumn[]) =>
    `UPDATE ${of} SET ${some.map(column => `${columnOf(column)} = ${assigned(column)}`).join(', ')}\n  WHERE ${oldRow}`
  const trigger = (column: string, statements: readonly string[]) =>
    triggerText(name, 'INSTEAD OF', 'UPDATE', statements, {
      of: [column],
      only: `NEW.${column} IS NOT OLD.${column}`,
    })
  const texts = changed.filter(({ isRepeated }) => isRepeated)
  const indexed = changed.filter(column => INDEXED.includes(column.name))
  const others = changed.filter(column => !texts.includes(column) && !indexed.includes(column))
  return [
    ...texts.map(text => trigger(text.name, [addText(text), COUNT_CHANGE, set(text)])),
    // Under OR REPLACE, another row that has the new value is removed, so its texts may be unused.
    ...indexed.map(column => trigger(column.name, [set(column), COUNT_CHANGE])),
    triggerText(name, 'INSTEAD OF', 'UPDATE', [set(...others)], { of: others.map(({ name }) => name) }),
    ...[...key, POST].map(column =>
      trigger(column, [`SELECT RAISE(ABORT, '${column} of ${name} cannot be changed')`]),
    ),
  ]
}

// A subquery for each text, and not a join: what asks for no text does not look one up, and MIN, MAX and COUNT of a column are
// found as quickly as in the table.
function viewText({ name, of, columns }: View): [name: string, sql: string] {
  const shown = columns.map(({ name, isRepeated }) =>
    isRepeated ? `(SELECT text FROM ${TEXTS} WHERE number = ${numberOf(name)}) AS ${name}` : name,
  )
  return [name, `CREATE VIEW ${name} AS\nSELECT ${[...shown, POST].join(',\n       ')}\nFROM ${of}`]
}

interface Limits {
  /** The trigger fires only for statements that set one of these columns; by default for all statements. */
  of?: readonly string[]
  /** The trigger fires only for rows that meet this condition, which is SQL. */
  only?: string
}

function triggerText(
  table: string,
  when: 'INSTEAD OF' | 'BEFORE' | 'AFTER',
  event: string,
  statements: readonly string[],
  { of = [], only }: Limits = {},
): [name: string, sql: string] {
  const name = [table, event.toLowerCase(), ...(of.length === 1 ? of : [])].join('_')
  const columns = of.length === 0 ? '' : ` OF ${of.join(', ')}`
  const condition = only === undefined ? '' : `\nWHEN ${only}`
  const body = statements.map(one => `  ${one};\n`).join('')
  return [
    name,
    `CREATE TRIGGER ${name} ${when} ${event}${columns} ON ${table}${condition}\nBEGIN\n${body}END`,
  ]
}

/** Not `OR IGNORE`: a row that is ignored takes a number all the same. */
function addText({ name }: ViewColumn): string {
  const text = `NEW.${name}`
  return `INSERT INTO ${TEXTS} (text) SELECT ${text} WHERE ${text} IS NOT NULL AND ${numberOfText(text)} IS NULL`
}

function columnOf({ name, isRepeated }: ViewColumn): string {
  return isRepeated ? numberOf(name) : name
}

function assigned({ name, isRepeated }: ViewColumn): string {
  return isRepeated ? numberOfText(`NEW.${name}`) : `NEW.${name}`
}

type Client = Pick<SqlClient, 'all'> & { script(sql: string): Promise<void> }

/** Whether a row of `sqlite_schema` is this view or trigger. SQLite puts names in quotes when a table was renamed. */
export function isShown(row: SqlRow, name: string, sql: string): boolean {
  return row['name'] === name && String(row['sql']).replaceAll('"', '') === sql
}

/** Makes the views and triggers, or makes them again if they have changed. */
export async function showTexts(client: Client): Promise<void> {
  const rows = await client.all(
    "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE type IN ('view', 'trigger')",
  )
  const isThere = [...SHOWN].every(([name, sql]) => rows.some(row => isShown(row, name, sql)))
  if (isThere) return
  // The triggers of a view go with it.
  for (const name of VIEW_NAMES) await client.script(`DROP VIEW IF EXISTS ${name}`)
  for (const { name } of rows.filter(row => row['tbl_name'] === TEXTS && SHOWN.has(String(row['name']))))
    await client.script(`DROP TRIGGER ${name}`)
  for (const sql of SHOWN.values()) await client.script(sql)
}
