/** The embedded store: one file, one writer, WAL with every commit on the disk before it is answered. */

import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { settingsInUse } from '../agreement.ts'
import { Calendar } from '../calendar.ts'
import type { AskedSettings, StoreOptions } from '../counting-settings.ts'
import { latestViewedAt } from '../counts.ts'
import { applyMigrations } from '../sql/migrate.ts'
import { Rankings } from '../sql/rankings.ts'
import { FIRST_STATE, firstState, SELECT_STATE, type SqlClient, type SqlEngine, toState } from '../sql/sql.ts'
import { createSqlStore } from '../sql/sql-store.ts'
import { givingWay } from '../sql/steps.ts'
import type { Store } from '../store.ts'
import { NEWEST_RULES } from '../zone-rules.ts'
import { toColumns } from './columns.ts'
import type { SqliteConnection } from './connection.ts'
import { SqliteFile } from './file.ts'
import { LOG_KEPT_BYTES } from './journal.ts'
import { refuseOwnAdditions } from './own-additions.ts'
import { findSchema } from './schema.ts'
import { SQLITE_DIALECT, showTexts } from './texts.ts'
import { removeUnusedTexts } from './unused-texts.ts'

/** SQLite's busy handler checks at least this often whether another process has released the file. */
const BUSY_LOOKS_EVERY_MS = 100

/**
 * No snapshot begins while the log is longer, but only for `LOG_PATIENCE_MS`: a backup or a shell may keep the log long, and a
 * signal waits for the step.
 */
const LOG_READ_BESIDE_BYTES = 2 * LOG_KEPT_BYTES
const LOG_PATIENCE_MS = 15_000
const LOG_LOOKS_EVERY_MS = 200

// Aggregates are stored by day, then by post, so each day is asked for in turn.
const DAYS_OF_POSTS = `
  (
    WITH RECURSIVE days(date) AS (
      SELECT MIN(date) FROM post_view_aggregates
      UNION ALL
      SELECT (SELECT MIN(later.date) FROM post_view_aggregates AS later WHERE later.date > days.date)
      FROM days
      WHERE days.date IS NOT NULL
    )
    SELECT date FROM days WHERE date IS NOT NULL
  ) AS days
  CROSS JOIN post_view_aggregates USING (date)`

/**
 * SQLite can cut its log only while no snapshot is open. Where two commands read day after day, one snapshot always is, and the
 * log grows until both have finished. So no snapshot begins while the log is long: the open ones end, and the log is cut.
 */
async function untilLogIsShort(writer: SqliteConnection): Promise<void> {
  const deadline = performance.now() + LOG_PATIENCE_MS
  while ((await writer.shortenLog()) > LOG_READ_BESIDE_BYTES && performance.now() < deadline) {
    await sleep(LOG_LOOKS_EVERY_MS)
  }
}

/** Does not open the file of `sqlite:PATH`: that happens when it is first used. Only `migrate` creates it. */
export async function openSqliteStore(
  url: string,
  asked: AskedSettings,
  { ipStorage, countries, rules = NEWEST_RULES, rankingBytes }: StoreOptions = {},
): Promise<Store> {
  const file = new SqliteFile(resolve(url.slice('sqlite:'.length)))
  const reader: SqlClient = {
    dialect: SQLITE_DIALECT,
    all: (sql, values) => file.use(({ reader }) => reader().all(sql, values)),
    run: (sql, values) => file.use(({ writer }) => writer.run(sql, values)),
  }
  const rankings = new Rankings(
    () =>
      file.use(async ({ inUse }) => ({
        module: new URL('./ranking-source.ts', import.meta.url).href,
        options: inUse,
      })),
    rankingBytes,
  )
  const own = settingsInUse(asked)
  const { settings } = own
  const calendar = new Calendar(settings.timeZone, settings.windowHours, rules)

  const engine: SqlEngine = {
    calendar,
    ...own,
    reader,
    snapshot: work =>
      file.use(async ({ writer, lend }) => {
        // The writer refuses if another file is at the path now: that one must not be read.
        await writer.all('SELECT 1')
        await untilLogIsShort(writer)
        const read = await lend(connection => connection.transaction('BEGIN', work))
        // While a snapshot is open, no space of the log can be reused.
        await writer.shortenLog()
        return read
      }),
    exclusive: work =>
      file.use(({ writer }) =>
        writer.transaction('BEGIN IMMEDIATE', async client =>
          work(client, toState((await client.all(SELECT_STATE))[0]!)),
        ),
      ),
    schema: () => findSchema(reader),
    toTime: unixSeconds => unixSeconds,
    fromTime: Number,
    serverClock: null,
    removeUnused: (exclusive, progress, now) => removeUnusedTexts(reader, exclusive, progress, now),
    aggregatesAreKeptBy: 'post_uuid',
    daysOfPosts: DAYS_OF_POSTS,
  }

  /** For long work. */
  const patient = givingWay(engine, BUSY_LOOKS_EVERY_MS)

  const query = (client: SqlClient) => async (sql: string) => ({ rows: await client.all(sql) })

  return createSqlStore({
    engine: 'sqlite',
    // Two threads hold a batch, and a batch of many messages takes the most memory.
    batching: { messagesPerEvent: 0.5 },
    isCutByClose: false,
    ingest: engine,
    housekeeping: patient,
    recount: patient,
    rankings,
    ipStorage,
    countries,
    version: { engine: 'sqlite', query: query(reader) },
    open: () => file.open(),

    record: ({ rows, keys, agreement, now, isRehearsal }) => {
      const progress = { committedAt: now, viewedAt: latestViewedAt(rows) }
      return file.use(({ writer }) =>
        writer.record({ columns: toColumns(rows), keys, agreement, progress, isRehearsal }),
      )
    },

    makeTables: progress =>
      file.migrate(writer =>
        writer.transaction('BEGIN IMMEDIATE', async client => {
          const script = (sql: string) => {
            // If `progress` throws here, everything is rolled back.
            progress?.('schema', 0, 1)
            return client.script(sql)
          }
          await refuseOwnAdditions(client)
          await applyMigrations({ engine: 'sqlite', query: query(client), script })
          await showTexts(client)
          await client.run(FIRST_STATE, firstState(settings))
        }),
      ),

    async ping() {
      await file.use(({ writer }) => writer.run('UPDATE post_view_state SET id = id WHERE id = 1'))
    },
    warnings: () => file.warnings,
    async close() {
      // Before the file: the last to close it is one that writes.
      await rankings.close()
      await file.close()
    },
  })
}
