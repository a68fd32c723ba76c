/**
 * Prints a database's tables as text that can be compared. Each engine's `schema.sql` is this text for the tables that its
 * migrations make, so that the whole effect of a change to them can be seen. To write it again, migrate an empty database, then run
 * `node packages/analytics/src/store/schema-dump.ts DATABASE_URL > packages/analytics/src/store/ENGINE/schema.sql`.
 */

import { DatabaseSync } from 'node:sqlite'
import { MysqlConnection } from './mysql/connection.ts'
import { PostgresConnections } from './postgres/connection.ts'
import { MIGRATIONS_TABLE } from './sql/migrate.ts'
import { serverOf } from './sql/server-address.ts'
import type { SqlClient, SqlRow } from './sql/sql.ts'

export function dumpSchema(databaseUrl: string): Promise<string> {
  if (databaseUrl.startsWith('sqlite:')) return dumpSqlite(databaseUrl)
  return databaseUrl.startsWith('mysql:') ? dumpMysql(databaseUrl) : dumpPostgres(databaseUrl)
}

async function dumpSqlite(url: string): Promise<string> {
  using database = new DatabaseSync(url.slice('sqlite:'.length), { readOnly: true })
  const rows = database
    .prepare('SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND tbl_name <> ? ORDER BY tbl_name, rowid')
    .all(MIGRATIONS_TABLE)
  return rows
    .map(({ sql }) => `${sql};\n`)
    .filter(statement => !statement.startsWith('CREATE TABLE sqlite_'))
    .join('\n')
}

async function dumpPostgres(url: string): Promise<string> {
  const connections = new PostgresConnections(serverOf(url), { most: 1, statementLimitMs: 30_000 })
  try {
    const tables = await connections.all(
      `SELECT c.oid AS oid, c.relname AS name,
              STRING_AGG(
                a.attname || ' ' || FORMAT_TYPE(a.atttypid, a.atttypmod) ||
                CASE WHEN l.collname = 'C' THEN ' COLLATE "C"' ELSE '' END ||
                CASE WHEN a.attidentity = 'a' THEN ' GENERATED ALWAYS AS IDENTITY' WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END ||
                COALESCE(' DEFAULT ' || PG_GET_EXPR(d.adbin, d.adrelid), ''),
                E',\\n  ' ORDER BY a.attnum
              ) AS columns
       FROM pg_class AS c
       JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
       LEFT JOIN pg_collation AS l ON l.oid = a.attcollation
       LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
       WHERE c.relkind = 'r' AND c.relnamespace = CURRENT_SCHEMA()::regnamespace AND c.relname <> ?
       GROUP BY c.oid, c.relname ORDER BY c.relname COLLATE "C"`,
      [MIGRATIONS_TABLE],
    )
    const dumps = []
    for (const { oid, name, columns } of tables) {
      const constraints = await connections.all(
        `SELECT PG_GET_CONSTRAINTDEF(oid) AS text FROM pg_constraint WHERE conrelid = ? AND contype IN ('p', 'c') ORDER BY contype DESC, conname`,
        [Number(oid)],
      )
      const indexes = await connections.all(
        `SELECT REPLACE(PG_GET_INDEXDEF(indexrelid), ' ON ' || CURRENT_SCHEMA() || '.', ' ON ') AS text
         FROM pg_index WHERE indrelid = ? AND NOT indisprimary ORDER BY 1`,
        [Number(oid)],
      )
      const lines = [String(columns), ...constraints.map(({ text }) => String(text))]
      dumps.push(
        [
          `CREATE TABLE ${name} (\n  ${lines.join(',\n  ')}\n);\n`,
          ...indexes.map(({ text }) => `${text};\n`),
        ].join('\n'),
      )
    }
    return dumps.join('\n')
  } finally {
    await connections.close()
  }
}

async function dumpMysql(url: string): Promise<string> {
  const server = serverOf(url)
  const connection = new MysqlConnection(server, { statementLimitMs: 30_000 })
  try {
    const tables = await connection.all(
      `SELECT table_name AS name
       FROM information_schema.tables
       WHERE table_schema = ? AND table_name <> ?`,
      [server.database, MIGRATIONS_TABLE],
    )
    // Sorted here, because servers sort table names under different collations.
    const names = tables.map(({ name }) => String(name)).sort()
    const dumps = []
    for (const name of names) dumps.push(await dumpTable(connection, server.database, name))
    return dumps.join('\n')
  } finally {
    await connection.close()
  }
}

async function dumpTable(client: SqlClient, database: string, table: string): Promise<string> {
  const columns = await client.all(
    `SELECT column_name AS name, column_type AS type, collation_name AS collation, is_nullable AS is_nullable,
            column_default AS default_value, extra AS extra
     FROM information_schema.columns
     WHERE table_schema = ? AND table_name = ?
     ORDER BY ordinal_position`,
    [database, table],
  )
  const indexes = await client.all(
    `SELECT index_name AS name, MIN(non_unique) AS non_unique,
            GROUP_CONCAT(column_name ORDER BY seq_in_index SEPARATOR ', ') AS columns
     FROM information_schema.statistics
     WHERE table_schema = ? AND table_name = ?
     GROUP BY index_name`,
    [database, table],
  )
  const [about] = await client.all(
    'SELECT engine AS engine FROM information_schema.tables WHERE table_schema = ? AND table_name = ?',
    [database, table],
  )
  const lines = [...columns.map(columnText), ...indexes.map(indexText).sort()]
  return `CREATE TABLE ${table} (\n${lines.map(line => `  ${line}`).join(',\n')}\n) ENGINE = ${about!['engine']};\n`
}

// Servers describe the same column differently: widths of integers, a missing default, the name of the current time.
function columnText(column: SqlRow): string {
  const type = String(column['type']).replace(/int\(\d+\)/, 'int')
  const collation = column['collation'] === null ? '' : ` COLLATE ${column['collation']}`
  const isNullable = column['is_nullable'] === 'YES'
  const fallback = String(column['default_value'] ?? 'NULL').replace(
    /current_timestamp\(\)/i,
    'CURRENT_TIMESTAMP',
  )
  const hasDefault = fallback !== 'NULL'
  const numbers = /auto_increment/i.test(String(column['extra'])) ? ' AUTO_INCREMENT' : ''
  return `${column['name']} ${type}${collation}${isNullable ? ' NULL' : ' NOT NULL'}${hasDefault ? ` DEFAULT ${fallback}` : ''}${numbers}`
}

function indexText(index: SqlRow): string {
  if (index['name'] === 'PRIMARY') return `PRIMARY KEY (${index['columns']})`
  return `${Number(index['non_unique']) === 0 ? 'UNIQUE INDEX' : 'INDEX'} ${index['name']} (${index['columns']})`
}

if (import.meta.main) {
  const [url] = process.argv.slice(2)
  if (url === undefined) {
    console.error('usage: schema-dump.ts DATABASE_URL')
    process.exitCode = 2
  } else {
    process.stdout.write(await dumpSchema(url))
  }
}
