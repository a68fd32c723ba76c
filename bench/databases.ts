/** The measured engines, and direct access to each database, past the service. */

import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createConnection, type RowDataPacket } from 'mysql2/promise'
import { openStore } from '../packages/analytics/src/store/open.ts'
import { type Clickhouse, queryClickhouse } from '../tools/stack/clickhouse.ts'
import type { Mysql } from '../tools/stack/mysql.ts'
import { type Postgres, queryPostgres } from '../tools/stack/postgres.ts'

export type Row = Record<string, unknown>

/** On SQLite and ClickHouse: a plain table that `bare-insert.ts` creates. */
export const BARE_TABLE = 'bare_rows'

/** The service's defaults; `null` accepts whatever setting the database already has. */
const SETTINGS = { timeZone: 'UTC', windowHours: 24, uniqueBy: null, bots: 'count' } as const

/** For engines where rows and counters are one transaction. */
const COUNTED_AT_ONCE = {
  bareTable: 'post_views',
  viewsRecorded: 'SELECT SUM(view_count) AS views FROM site_view_aggregates',
  countAll: async () => {},
} as const

export interface BenchDatabase {
  /** The service's `DATABASE_URL`. */
  url: string
  /** The server's pid; undefined when there is no server. */
  serverPid: number | undefined
  /** The table for a bare insert's rows. */
  bareTable: 'post_views' | typeof BARE_TABLE
  /** SQL that selects the number of recorded views as `views`. */
  viewsRecorded: string
  /** Counts rows that are only recorded so far. */
  countAll(): Promise<void>
  /** Runs statements in order on one connection; returns the rows of the last. */
  query(...statements: string[]): Promise<Row[]>
}

export interface BenchEngine {
  name: 'SQLite' | 'MariaDB' | 'MySQL' | 'PostgreSQL' | 'ClickHouse'
  /** A new, empty database. */
  create(): Promise<BenchDatabase & { drop(): Promise<void> }>
}

export function sqliteEngine(folder: string): BenchEngine {
  return {
    name: 'SQLite',
    async create() {
      const own = mkdtempSync(join(folder, 'sqlite-'))
      return { ...sqliteDatabase(join(own, 'views.db')), drop: async () => rmSync(own, { recursive: true }) }
    },
  }
}

export function mysqlEngine(server: Mysql): BenchEngine {
  return {
    name: server.isMysql ? 'MySQL' : 'MariaDB',
    async create() {
      const { url, drop } = await server.database()
      return { ...mysqlDatabase(url, server.pid), drop }
    },
  }
}

export function postgresEngine(server: Postgres): BenchEngine {
  return {
    name: 'PostgreSQL',
    async create() {
      const { url, drop } = await server.database()
      const query = async (...statements: string[]) => {
        let rows: Row[] = []
        for (const statement of statements) rows = await queryPostgres(url, statement)
        return rows
      }
      return { url, serverPid: server.pid, ...COUNTED_AT_ONCE, query, drop }
    },
  }
}

export function clickhouseEngine(server: Clickhouse): BenchEngine {
  let made = 0
  return {
    name: 'ClickHouse',
    async create() {
      const name = `bench_${process.pid}_${++made}`
      await server.query(`CREATE DATABASE ${name}`)
      return {
        ...clickhouseDatabase(server, name),
        drop: async () => void (await server.query(`DROP DATABASE ${name}`)),
      }
    },
  }
}

export function sqliteDatabase(path: string): BenchDatabase {
  return {
    url: `sqlite:${path}`,
    serverPid: undefined,
    ...COUNTED_AT_ONCE,
    bareTable: BARE_TABLE,
    async query(...statements) {
      using database = new DatabaseSync(path, { timeout: 10_000 })
      return statements.map(sql => database.prepare(sql).all()).at(-1) ?? []
    },
  }
}

export function clickhouseDatabase(server: Clickhouse, name: string): BenchDatabase {
  const url = `clickhouse://default@127.0.0.1:${server.port}/${name}`
  return {
    url,
    serverPid: server.pid,
    bareTable: BARE_TABLE,
    viewsRecorded: 'SELECT count() AS views FROM post_view_rows',
    async countAll() {
      const store = await openStore(url, SETTINGS)
      await store.roll!().finally(() => store.close())
    },
    async query(...statements) {
      let last = ''
      for (const sql of statements) last = await queryClickhouse(server, `${sql} FORMAT JSONEachRow`, name)
      return last
        .split('\n')
        .filter(line => line !== '')
        .map(line => JSON.parse(line) as Row)
    },
  }
}

export function mysqlDatabase(url: string, serverPid: number): BenchDatabase {
  return { url, serverPid, ...COUNTED_AT_ONCE, query: (...statements) => queryMysql(url, statements) }
}

/** Creates a database, and drops it when the work is done. */
export async function withDatabase<T>(
  engine: BenchEngine,
  work: (database: BenchDatabase) => Promise<T>,
): Promise<T> {
  const database = await engine.create()
  try {
    return await work(database)
  } finally {
    await database.drop()
  }
}

async function queryMysql(url: string, statements: readonly string[]): Promise<Row[]> {
  const connection = await createConnection({ uri: url, timezone: 'Z', dateStrings: true })
  try {
    let last: Row[] = []
    for (const sql of statements) {
      const [rows] = await connection.query<RowDataPacket[]>(sql)
      last = rows
    }
    return last
  } finally {
    await connection.end()
  }
}

/** The counts that the tables must hold, whatever the order of events. */
export type ExpectedViews = ReadonlyMap<string, number>

export function expectedViews(events: readonly { post_uuid: string }[]): ExpectedViews {
  const views = new Map<string, number>()
  for (const { post_uuid } of events) views.set(post_uuid, (views.get(post_uuid) ?? 0) + 1)
  return views
}

/** What is wrong with the counts in the articles' two tables; null when they are right. */
export async function wrongCounts(database: BenchDatabase, expected: ExpectedViews): Promise<string | null> {
  await database.countAll()
  return (
    differing('raw rows', await countsOf(database, SELECT_ROWS), expected) ??
    differing('views', await countsOf(database, SELECT_VIEWS), expected)
  )
}

const SELECT_ROWS = 'SELECT post_uuid, COUNT(*) AS views FROM post_views GROUP BY post_uuid'
const SELECT_VIEWS = 'SELECT post_uuid, SUM(view_count) AS views FROM post_view_aggregates GROUP BY post_uuid'

async function countsOf(database: BenchDatabase, sql: string): Promise<ExpectedViews> {
  const rows = await database.query(sql)
  return new Map(rows.map(({ post_uuid, views }) => [String(post_uuid), Number(views)]))
}

function differing(what: string, found: ExpectedViews, expected: ExpectedViews): string | null {
  const sum = (views: ExpectedViews) => [...views.values()].reduce((total, count) => total + count, 0)
  if (sum(found) !== sum(expected)) return `${sum(found)} ${what} of ${sum(expected)}`
  const posts = [...expected].filter(([post, views]) => found.get(post) !== views).length
  return posts === 0 && found.size === expected.size ? null : `${what} of ${posts} posts are wrong`
}
