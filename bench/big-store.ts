/** A store after years of use: filled once for all parts that need one, and kept for later runs on request. */

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Clickhouse } from '../tools/stack/clickhouse.ts'
import type { Bench } from './bench.ts'
import type { Filled, FillOptions } from './contenders/fill.ts'
import { type BenchDatabase, clickhouseDatabase, mysqlDatabase, sqliteDatabase } from './databases.ts'
import type { EventsOptions } from './events.ts'
import { linesOf } from './processes.ts'

export const BIG_POSTS = 100_000
export const BIG_DAYS = 365
/** All rows are older than this; what a part publishes is newer. */
const AGE_MS = 3 * 86_400_000

/** Server options that keep the indexes of ten million rows in memory. */
export const BIG_POOL = ['--innodb-buffer-pool-size=4G', '--innodb-log-file-size=1G']

export interface BigStore {
  rows: number
  /** The filling speed, hundredth by hundredth. */
  filled: Filled[]
}

const MARIADB_NAME = 'big'

/** The SQLite file, filled at the first call. */
export async function bigSqlite(bench: Bench, rows: number): Promise<BenchDatabase & BigStore> {
  const folder = join(bench.stores, `sqlite-${rows}`)
  begin(folder)
  const database = sqliteDatabase(join(folder, 'views.db'))
  const filled = await fillOnce(bench, folder, database, rows)
  return { ...database, rows, filled }
}

/** A MariaDB with these arguments, on the one data directory that all servers with this many rows use in turn. */
export async function bigMariadb(
  bench: Bench,
  rows: number,
  args: readonly string[],
): Promise<BenchDatabase & BigStore & { stop(): Promise<void> }> {
  const folder = join(bench.stores, `mariadb-${rows}`)
  begin(folder)
  if (!existsSync(marker(folder))) await fillMariadb(bench, folder, rows)
  const server = await bench.mariadbIn(folder, args)
  const database = mysqlDatabase(new URL(MARIADB_NAME, server.url).href, server.pid)
  return { ...database, rows, filled: filledOf(folder), stop: () => server.stop({ keep: true }) }
}

async function fillMariadb(bench: Bench, folder: string, rows: number): Promise<void> {
  const server = await bench.mariadbIn(folder, BIG_POOL)
  try {
    const { url } = await server.database(MARIADB_NAME)
    const database = mysqlDatabase(url, server.pid)
    // A crash of the machine loses nothing that matters: the store would be filled again.
    await database.query('SET GLOBAL innodb_flush_log_at_trx_commit = 0')
    await fillOnce(bench, folder, database, rows)
  } finally {
    await server.stop({ keep: true })
  }
}

/** A database on the ClickHouse that all parts share. Its days are settled, except for those of what a part publishes. */
export async function bigClickhouse(
  bench: Bench,
  server: Clickhouse,
  rows: number,
): Promise<BenchDatabase & BigStore> {
  const name = `big_${rows}`
  await server.query(`CREATE DATABASE ${name}`)
  const database = clickhouseDatabase(server, name)
  return { ...database, rows, filled: await fill(bench, database, rows, { settle: true }) }
}

async function fillOnce(
  bench: Bench,
  folder: string,
  database: BenchDatabase,
  rows: number,
): Promise<Filled[]> {
  if (existsSync(marker(folder))) return filledOf(folder)
  const filled = await fill(bench, database, rows)
  writeFileSync(marker(folder), JSON.stringify(filled))
  return filled
}

function fill(
  bench: Bench,
  database: BenchDatabase,
  rows: number,
  options: Pick<FillOptions, 'settle'> = {},
): Promise<Filled[]> {
  const events: EventsOptions = {
    seed: 'big',
    count: rows,
    untilMs: Date.now() - AGE_MS,
    posts: BIG_POSTS,
    days: BIG_DAYS,
  }
  const argument: FillOptions = { databaseUrl: database.url, events, ...options }
  return linesOf<Filled>('fill', argument, bench.folder, line => bench.progress('fill', line.rows, rows))
}

/** Deletes a store that was started but never completed. */
function begin(folder: string): void {
  if (!existsSync(marker(folder))) rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
}

/** Written when a store is complete; holds the filling speed. */
function marker(folder: string): string {
  return join(folder, 'filled.json')
}

function filledOf(folder: string): Filled[] {
  return JSON.parse(readFileSync(marker(folder), 'utf8')) as Filled[]
}
