/** The engines that every test of the whole system runs on, with direct access to each database, past the service. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { TestContext } from 'node:test'
import { createConnection, type RowDataPacket } from 'mysql2/promise'
import { type ClickhouseCluster, startClickhouseCluster } from '../../tools/stack/clickhouse.ts'
import { testMysql } from '../../tools/stack/for-tests.ts'
import { type Mysql, type MysqlOptions, startMysql } from '../../tools/stack/mysql.ts'
import { chosenStack } from '../../tools/stack/stacks.ts'
import { atEnd, hasPassed } from './at-end.ts'
import { clickhouseUrl, queryShard } from './clickhouse.ts'

export type Row = Record<string, unknown>

export interface TestDatabase {
  /** The service's `DATABASE_URL`. */
  url: string
  /** Runs one statement on its own connection. */
  query(sql: string): Promise<Row[]>
}

export interface TestEngine {
  kind: 'sqlite' | 'mysql'
  /** Depends on the server that this run uses. */
  name: 'SQLite' | 'MariaDB' | 'MySQL'
  /** A new, empty database. If the test fails, the database is kept. */
  create(t: TestContext): Promise<TestDatabase>
}

export const SQLITE: TestEngine = {
  kind: 'sqlite',
  name: 'SQLite',
  async create(t) {
    const folder = await mkdtemp(join(tmpdir(), 'postviews-sqlite-'))
    atEnd(t, () =>
      hasPassed(t) ? rm(folder, { recursive: true }) : t.diagnostic(`the database is kept in ${folder}`),
    )
    return sqliteDatabase(join(folder, 'views.db'))
  },
}

export const MYSQL: TestEngine = {
  kind: 'mysql',
  name: chosenStack()?.sqlName ?? 'MariaDB',
  create: async () => mysqlDatabase((await testMysql()).url),
}

export const ENGINES: readonly TestEngine[] = [SQLITE, MYSQL]

/** A database on the test's own server, which the test may harm. */
export async function ownMysql(
  t: TestContext,
  options?: MysqlOptions,
): Promise<{ server: Mysql; database: TestDatabase }> {
  const server = await startMysql(options)
  atEnd(t, () => server.stop())
  return { server, database: mysqlDatabase((await server.database()).url) }
}

/** A database on the test's own cluster, which the test may harm. */
export async function ownClickhouse(
  t: TestContext,
  { shards = 2 } = {},
): Promise<{ cluster: ClickhouseCluster; database: TestDatabase }> {
  const cluster = await startClickhouseCluster({ shards })
  atEnd(t, () => cluster.stop())
  const name = await cluster.database()
  // Tests query views that cover all shards.
  const query = (sql: string) => queryShard(cluster.shards[0]!, name, sql)
  return { cluster, database: { url: clickhouseUrl(cluster, name), query } }
}

export function sqliteDatabase(path: string): TestDatabase {
  return {
    url: `sqlite:${path}`,
    async query(sql) {
      using database = new DatabaseSync(path, { timeout: 10_000 })
      return database.prepare(sql).all()
    },
  }
}

export function mysqlDatabase(url: string): TestDatabase {
  return {
    url,
    async query(sql) {
      const connection = await createConnection({
        uri: url,
        timezone: 'Z',
        dateStrings: true,
        supportBigNumbers: true,
      })
      try {
        const [rows] = await connection.query<RowDataPacket[]>(sql)
        return rows
      } finally {
        await connection.end()
      }
    },
  }
}
