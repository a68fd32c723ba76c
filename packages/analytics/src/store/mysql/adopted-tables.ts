/** Changes the second article's tables, if they exist, to the shape that new tables have. Keeps their data. */

import { RowRejected, StoreRefused } from '../failures.ts'
import { MIGRATIONS_TABLE } from '../sql/migrate.ts'
import type { Progress } from '../store.ts'
import type { MysqlClient } from './connection.ts'
import { HeldByForeignKey, NotAllowed } from './errors.ts'
import { quoted } from './text.ts'

/** What a column of the article must be like to be adopted. */
interface Needed {
  types: readonly string[]
  isNullable?: false
}

/** The shape that a column gets if it has another; a longer column of the users' keeps its length. */
interface Wanted {
  type: string
  /** Characters that fit. */
  length: number
  collation: string
  isNullable: boolean
}

interface ArticleTable {
  needed: Record<string, Needed>
  texts: Record<string, Wanted>
  /** What 001 gives a new table. */
  own: Record<string, string>
  /** What later migrations add: here as well, so that one statement is all that a user without privileges must ask for. */
  later: Record<string, string>
  /** Created unless there is one that begins with the column. */
  indexes: Record<string, string>
}

const INTEGER: Needed = { types: ['tinyint', 'smallint', 'mediumint', 'int', 'bigint'] }
const TEXT: Needed = { types: ['char', 'varchar', 'tinytext', 'text', 'mediumtext', 'longtext'] }

/** `uuid`: what Laravel's `$table->uuid()` is on MariaDB from 10.7 on. Such a column can hold only UUIDs. */
const POST_ID: Needed = { types: ['char', 'varchar', 'uuid'], isNullable: false }

const POST_UUID: Wanted = { type: 'CHAR(36)', length: 36, collation: 'utf8mb4_bin', isNullable: false }
const SEARCHED = { collation: 'utf8mb4_unicode_ci', isNullable: true }

const TABLES: Record<string, ArticleTable> = {
  post_views: {
    needed: {
      id: INTEGER,
      post_uuid: POST_ID,
      user_id: INTEGER,
      ip: TEXT,
      user_agent: TEXT,
      referer: TEXT,
      viewed_at: { types: ['timestamp'], isNullable: false },
    },
    texts: {
      post_uuid: POST_UUID,
      ip: { type: 'VARCHAR(45)', length: 45, ...SEARCHED },
      user_agent: { type: 'TEXT', length: 2_000, ...SEARCHED },
      referer: { type: 'VARCHAR(500)', length: 500, ...SEARCHED },
    },
    own: {
      event_id: 'BINARY(16) NULL',
      received_at: 'TIMESTAMP NULL DEFAULT NULL',
      day: 'DATE NULL',
      slice: 'TINYINT UNSIGNED NULL',
      logged_in: 'TINYINT UNSIGNED NULL',
      bot: 'TINYINT UNSIGNED NULL',
      visitor: 'BINARY(16) NULL',
      referer_host: 'VARCHAR(253) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL',
    },
    later: {
      hour_of_day: 'SMALLINT NULL',
      utm: 'VARCHAR(500) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL',
      origin: 'VARCHAR(400) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL',
      agent: 'VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL',
      country: 'VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL',
    },
    indexes: {
      post_uuid: 'INDEX idx_post_uuid (post_uuid)',
      viewed_at: 'INDEX idx_viewed_at (viewed_at)',
      event_id: 'UNIQUE INDEX uq_event_id (event_id)',
    },
  },
  post_view_aggregates: {
    needed: {
      id: INTEGER,
      post_uuid: POST_ID,
      date: { types: ['date'], isNullable: false },
      view_count: { ...INTEGER, isNullable: false },
    },
    texts: { post_uuid: POST_UUID },
    own: {
      baseline: 'INT UNSIGNED NOT NULL DEFAULT 0',
      unique_views: 'INT UNSIGNED NULL',
      logged_in: 'INT UNSIGNED NULL',
      bots: 'INT UNSIGNED NULL',
      first_viewed_at: 'TIMESTAMP NULL DEFAULT NULL',
      last_viewed_at: 'TIMESTAMP NULL DEFAULT NULL',
    },
    later: {
      bot_unique_views: 'INT UNSIGNED NULL',
      shared_unique_views: 'INT UNSIGNED NULL',
      bot_logged_in: 'INT UNSIGNED NULL',
    },
    indexes: { date: 'INDEX idx_date (date)' },
  },
}

interface Column {
  type: string
  fullType: string
  isNullable: boolean
  hasDefault: boolean
  extra: string
  length: number
  collation: string | null
  precision: number
  comment: string
}

interface Table {
  engine: string
  columns: Map<string, Column>
  /** The columns of each index, by its name. */
  indexes: Map<string, { isUnique: boolean; columns: string[] }>
}

/** @throws {StoreRefused} naming every way in which the tables differ from the article's */
export async function reshapeAdoptedTables(
  client: MysqlClient,
  database: string,
  progress: Progress,
): Promise<void> {
  if (await isMigrated(client, database)) return
  const found = new Map<string, Table>()
  for (const name of Object.keys(TABLES)) {
    const table = await inspect(client, database, name)
    if (table !== null) found.set(name, table)
  }
  const problems = [...found].flatMap(([name, table]) => problemsOf(name, table))
  if (problems.length === 0) {
    for (const name of found.keys()) problems.push(...(await impossibleTimes(client, name)))
  }
  if (problems.length > 0) {
    throw new StoreRefused(`the existing tables cannot be adopted: ${problems.join('; ')}`)
  }

  const statements = [...found].flatMap(([name, table]) => {
    const changes = changesTo(name, table)
    return changes.length === 0 ? [] : [{ name, sql: `ALTER TABLE ${name} ${changes.join(', ')}` }]
  })
  for (const [done, { name, sql }] of statements.entries()) {
    progress('tables', done, statements.length)
    try {
      // One statement, so that a server that dies meanwhile leaves the table as it was.
      await client.write(sql)
    } catch (error) {
      const left = statements.slice(done).map(statement => statement.sql)
      throw await refusal(error, { client, database, name, left })
    }
    progress('tables', done + 1, statements.length)
  }
}

async function isMigrated(client: MysqlClient, database: string): Promise<boolean> {
  const tables = await client.all(
    'SELECT 1 FROM information_schema.tables WHERE table_schema = ? AND table_name = ?',
    [database, MIGRATIONS_TABLE],
  )
  if (tables.length === 0) return false
  const versions = await client.all(`SELECT version FROM ${MIGRATIONS_TABLE} WHERE version > 0`)
  return versions.length > 0
}

async function inspect(client: MysqlClient, database: string, name: string): Promise<Table | null> {
  const [table] = await client.all(
    'SELECT engine AS engine FROM information_schema.tables WHERE table_schema = ? AND table_name = ?',
    [database, name],
  )
  if (table === undefined) return null
  const columns = await client.all(
    `SELECT column_name AS name, data_type AS type, column_type AS full_type, is_nullable = 'YES' AS is_nullable,
            column_default IS NOT NULL AS has_default, extra AS extra, character_maximum_length AS length,
            collation_name AS collation, datetime_precision AS time_precision, column_comment AS comment
     FROM information_schema.columns
     WHERE table_schema = ? AND table_name = ?
     ORDER BY ordinal_position`,
    [database, name],
  )
  const parts = await client.all(
    `SELECT index_name AS name, non_unique AS non_unique, column_name AS column_name
     FROM information_schema.statistics
     WHERE table_schema = ? AND table_name = ?
     ORDER BY index_name, seq_in_index`,
    [database, name],
  )
  const indexes: Table['indexes'] = new Map()
  for (const part of parts) {
    const index = indexes.get(String(part['name'])) ?? {
      isUnique: Number(part['non_unique']) === 0,
      columns: [],
    }
    index.columns.push(String(part['column_name']).toLowerCase())
    indexes.set(String(part['name']), index)
  }
  return {
    engine: String(table['engine']),
    columns: new Map(columns.map(row => [String(row['name']).toLowerCase(), toColumn(row)])),
    indexes,
  }
}

function toColumn(row: Record<string, unknown>): Column {
  return {
    type: String(row['type']),
    // MariaDB includes the display width of integers, MySQL 8 does not.
    fullType: String(row['full_type']).replace(/int\(\d+\)/, 'int'),
    isNullable: Number(row['is_nullable']) === 1,
    hasDefault: Number(row['has_default']) === 1,
    extra: String(row['extra']).toLowerCase(),
    length: Number(row['length'] ?? 0),
    collation: row['collation'] === null ? null : String(row['collation']),
    precision: Number(row['time_precision'] ?? 0),
    comment: String(row['comment']),
  }
}

function problemsOf(name: string, { columns, indexes }: Table): string[] {
  const { needed, own, later } = TABLES[name]!
  const problems: string[] = []
  for (const [column, { types, isNullable }] of Object.entries(needed)) {
    const found = columns.get(column)
    if (found === undefined) problems.push(`${name} has no column ${column}`)
    else if (!types.includes(found.type)) problems.push(`${name}.${column} is ${found.fullType}`)
    else if (isNullable === false && found.isNullable) problems.push(`${name}.${column} may be null`)
    else if (found.precision > 0) problems.push(`${name}.${column} keeps fractions of a second`)
  }
  const ownThere = Object.keys({ ...own, ...later }).filter(column => columns.has(column))
  // If all of 001 are there, an earlier run made them, in one statement.
  if (ownThere.length > 0 && !Object.keys(own).every(column => columns.has(column))) {
    problems.push(`${name} already has other columns named ${ownThere.join(', ')}`)
  }
  for (const [column, { isNullable, hasDefault, extra }] of columns) {
    const isOthers = [needed, own, later].every(names => names[column] === undefined)
    if (isOthers && !isNullable && !hasDefault && !/auto_increment|generated/.test(extra)) {
      problems.push(`${name}.${column} is NOT NULL without a default, so rows cannot be inserted without it`)
    }
  }
  if (columns.get('id')?.extra.includes('auto_increment') === false) {
    problems.push(`${name}.id is not AUTO_INCREMENT`)
  }
  const isKey = (key: string) =>
    [...indexes.values()].some(index => index.isUnique && [...index.columns].sort().join() === key)
  if (columns.has('id') && !isKey('id')) problems.push(`${name} has no unique key on id`)
  if (columns.has('date') && !isKey('date,post_uuid')) {
    problems.push(`${name} has no unique key on post_uuid and date`)
  }
  return problems
}

// Times that a server without strict mode stored for values that it did not understand.
async function impossibleTimes(client: MysqlClient, name: string): Promise<string[]> {
  const [column, earliest] =
    name === 'post_views' ? ['viewed_at', '1970-01-01 00:00:01'] : ['date', '1000-01-01']
  const [row] = await client.all(`SELECT COUNT(*) AS count FROM ${name} WHERE ${column} < ?`, [earliest])
  const count = Number(row!['count'])
  return count === 0 ? [] : [`${name} has ${count} rows whose ${column} is not a valid time (0000-00-00)`]
}

function changesTo(name: string, { engine, columns, indexes }: Table): string[] {
  const { texts, own, later, indexes: wantedIndexes } = TABLES[name]!
  const changes: string[] = []
  if (engine !== 'InnoDB') changes.push('ENGINE = InnoDB')
  for (const [column, wanted] of Object.entries(texts)) {
    const change = textChange(column, columns.get(column)!, wanted)
    if (change !== null) changes.push(change)
  }
  const userId = columns.get('user_id')
  if (userId !== undefined && !(userId.fullType === 'bigint unsigned' && userId.isNullable)) {
    changes.push('MODIFY user_id BIGINT UNSIGNED NULL')
  }
  for (const [column, definition] of Object.entries({ ...own, ...later })) {
    if (!columns.has(column)) changes.push(`ADD COLUMN ${column} ${definition}`)
  }
  for (const [column, definition] of Object.entries(wantedIndexes)) {
    const isThere = [...indexes.values()].some(index => index.columns[0] === column)
    if (!isThere) changes.push(`ADD ${definition}`)
  }
  return changes
}

function textChange(name: string, column: Column, wanted: Wanted): string | null {
  // The length of these types is in bytes, and a character takes up to four.
  const length = column.type.endsWith('text') ? Math.floor(column.length / 4) : column.length
  const isAsWanted =
    length >= wanted.length &&
    column.collation === wanted.collation &&
    column.isNullable === wanted.isNullable
  if (isAsWanted) return null
  const type = length >= wanted.length ? column.fullType : wanted.type
  const comment = column.comment === '' ? '' : ` COMMENT ${quoted(column.comment)}`
  return `MODIFY ${name} ${type} CHARACTER SET utf8mb4 COLLATE ${wanted.collation} ${wanted.isNullable ? 'NULL' : 'NOT NULL'}${comment}`
}

interface Attempt {
  client: MysqlClient
  database: string
  name: string
  /** The statement that failed, and those after it. */
  left: readonly string[]
}

/** The error of a failed attempt to change a table; if somebody can help, with the statements to run. */
async function refusal(error: unknown, { client, database, name, left }: Attempt): Promise<unknown> {
  if (error instanceof RowRejected) {
    return new StoreRefused(
      `a row of ${name} does not fit into the columns that this program needs: ${error.message}`,
    )
  }
  if (error instanceof NotAllowed) {
    const { message } = error
    return new StoreRefused(
      `${name} must be altered, but the user of DATABASE_URL lacks the privilege (${message}): have an administrator run these statements, then \`postviews migrate\` again: ${left.join('; ')}`,
    )
  }
  if (error instanceof HeldByForeignKey) {
    const columns = [...left[0]!.matchAll(/ MODIFY (\w+) /g)].map(([, column]) => column!)
    const keys = await foreignKeysOf(client, database, name, columns)
    return new StoreRefused(
      `${name} must be altered, but a foreign key prevents it (${error.message}): run these statements, then \`postviews migrate\` again: ${keys.join('; ')}`,
    )
  }
  return error
}

/** The statements that drop the foreign keys of these columns of a table, and those of other tables that refer to them. */
async function foreignKeysOf(
  client: MysqlClient,
  database: string,
  name: string,
  columns: readonly string[],
): Promise<string[]> {
  const these = columns.map(quoted).join()
  const keys = await client.all(
    `SELECT DISTINCT table_schema AS other, table_name AS name, constraint_name AS foreign_key
     FROM information_schema.key_column_usage
     WHERE referenced_table_schema IS NOT NULL
       AND ((table_schema = ? AND table_name = ? AND column_name IN (${these}))
         OR (referenced_table_schema = ? AND referenced_table_name = ? AND referenced_column_name IN (${these})))
     ORDER BY table_schema, table_name, constraint_name`,
    [database, name, database, name],
  )
  return keys.map(({ other, name, foreign_key }) => {
    const table = other === database ? [name] : [other, name]
    return `ALTER TABLE ${table.map(asName).join('.')} DROP FOREIGN KEY ${asName(foreign_key)}`
  })
}

/** The users' own names may hold characters that must be quoted. */
function asName(name: unknown): string {
  return `\`${String(name).replaceAll('`', '``')}\``
}
