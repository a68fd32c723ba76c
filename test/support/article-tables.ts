/** The second article's database as its users have it: its two tables, and its consumer, statement by statement. */

import type { TestContext } from 'node:test'
import { createConnection, type ResultSetHeader, type RowDataPacket } from 'mysql2/promise'
import type { CountingSettings } from '../../packages/analytics/src/store/counting-settings.ts'
import { addDays } from '../../packages/analytics/src/store/days.ts'
import { openStore } from '../../packages/analytics/src/store/open.ts'
import type { Store } from '../../packages/analytics/src/store/store.ts'
import { testMysql } from '../../tools/stack/for-tests.ts'
import type { Database, DatabaseOptions } from '../../tools/stack/mysql.ts'
import { COUNT_VIEW, INSERT_VIEW, POST_VIEW_AGGREGATES, POST_VIEWS } from './article-sql.ts'
import { SETTINGS } from './mysql.ts'
import { POST, unix } from './views.ts'

export const TODAY = new Date().toISOString().slice(0, 10)
/** So long ago that views of this day are no longer accepted. */
export const OLD = addDays(TODAY, -100)
/** Views of this day may still arrive. */
export const RECENT = addDays(TODAY, -3)

/** A view as the article's consumer gets it; missing fields get defaults. */
export interface OldView {
  post_uuid?: string
  user_id?: number | null
  ip?: string | null
  user_agent?: string | null
  referer?: string | null
  /** `YYYY-MM-DD HH:MM:SS` */
  timestamp: string
}

export interface OldConsumer {
  sql(statement: string, values?: unknown[]): Promise<RowDataPacket[]>
  /** Stores the view and counts it. `at` is the server's time; by default the time of the view. */
  consume(view: OldView, at?: string): Promise<void>
  /** Only the first half: as if the consumer was killed before the second. */
  keep(view: OldView): Promise<void>
  /** Only the second half: as if somebody has deleted the old rows since. */
  count(post: string, at: string, times?: number): Promise<void>
}

/** Connects as the article's consumer would, in UTC; disconnects when the test ends. */
export async function oldConsumer(
  t: TestContext,
  url: string,
  { tables = [POST_VIEWS, POST_VIEW_AGGREGATES] }: { tables?: readonly string[] } = {},
): Promise<OldConsumer> {
  const connection = await createConnection({ uri: url, dateStrings: true, supportBigNumbers: true })
  t.after(() => connection.end())
  await connection.query("SET SESSION time_zone = '+00:00'")
  for (const table of tables) await connection.query(table)

  const keep = async (view: OldView) => {
    const { post_uuid, user_id, ip, user_agent, referer, timestamp } = { ...DULL, ...view }
    await connection.query(INSERT_VIEW, [post_uuid, user_id, ip, user_agent, referer, timestamp])
  }
  const count = async (post: string, at: string, times = 1) => {
    // Sets NOW() and CURDATE() on this connection.
    await connection.query('SET timestamp = ?', [unix(`${at.replace(' ', 'T')}Z`)])
    for (let time = 0; time < times; time++) await connection.query<ResultSetHeader>(COUNT_VIEW, [post])
  }
  return {
    async sql(statement, values = []) {
      const [rows] = await connection.query<RowDataPacket[]>(statement, values)
      return rows
    },
    keep,
    count,
    async consume(view, at = view.timestamp) {
      await keep(view)
      await count(view.post_uuid ?? DULL.post_uuid, at)
    },
  }
}

const DULL = {
  post_uuid: POST,
  user_id: null,
  ip: '192.0.2.1',
  user_agent: 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
  referer: null,
}

export interface Adoption {
  database: Database
  old: OldConsumer
  /** Adopts the existing tables. */
  adopt(settings?: Partial<CountingSettings>): Promise<Store>
}

/** A database with the article's two tables, or with the given ones. */
export async function oldTables(
  t: TestContext,
  options: DatabaseOptions & { tables?: readonly string[] } = {},
): Promise<Adoption> {
  const database = await testMysql(options)
  const old = await oldConsumer(t, database.url, options)
  return { database, old, adopt: settings => migratedStore(t, database.url, settings) }
}

/** A migrated store on that database; closed when the test ends. */
export async function migratedStore(
  t: TestContext,
  url: string,
  settings: Partial<CountingSettings> = {},
): Promise<Store> {
  const store = await openStore(url, { ...SETTINGS, ...settings })
  t.after(() => store.close())
  await store.migrate()
  await store.checkSettings()
  return store
}
