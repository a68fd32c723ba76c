/** The embedded store: one file, one writer, WAL with every commit on the disk before it is answered. */

import { mkdirSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { Learned, settingsInUse } from '../agreement.ts'
import { Calendar } from '../calendar.ts'
import { latestViewedAt } from '../counts.ts'
import { applyMigrations, checkVersion } from '../migrate.ts'
import { ownHostsInUse } from '../own-hosts.ts'
import { agreeOnRules, checkAgreement } from '../sql/agreement.ts'
import { dayKey } from '../sql/day-keys.ts'
import { forget } from '../sql/forget.ts'
import { agreeOnHosts, recordedLists } from '../sql/own-hosts.ts'
import { prune } from '../sql/prune.ts'
import { createReads } from '../sql/reads.ts'
import { rebuild } from '../sql/rebuild.ts'
import { SELECT_STATE, type SqlClient, type SqlEngine, toState } from '../sql/sql.ts'
import { verify } from '../sql/verify.ts'
import { type AskedSettings, type Store, StoreUnavailable } from '../store.ts'
import { NEWEST_RULES } from '../zone-rules.ts'
import { toColumns } from './columns.ts'
import { SqliteConnection } from './connection.ts'

/** Opens the file of `sqlite:PATH`, making it and its folder where there is none. */
export async function openSqliteStore(
  url: string,
  asked: AskedSettings,
  rules = NEWEST_RULES,
): Promise<Store> {
  const path = resolve(url.slice('sqlite:'.length))
  try {
    mkdirSync(dirname(path), { recursive: true })
  } catch (cause) {
    throw new StoreUnavailable(`SQLite: the folder of ${path} cannot be made`, { cause })
  }
  const writer = new SqliteConnection(path, { readOnly: false })
  // Waits for the writer to have made the file: a connection that only reads cannot.
  await writer.all('SELECT 1')
  const reader = new SqliteConnection(path, { readOnly: true })
  const own = settingsInUse(asked)
  const { settings } = own
  const calendar = new Calendar(settings.timeZone, settings.windowHours, rules)

  const engine: SqlEngine = {
    calendar,
    ...own,
    reader,
    async snapshot(work) {
      const connection = new SqliteConnection(path, { readOnly: true })
      try {
        return await connection.transaction('BEGIN', work)
      } finally {
        await connection.close()
      }
    },
    exclusive: work =>
      writer.transaction('BEGIN IMMEDIATE', async client =>
        work(client, toState((await client.all(SELECT_STATE))[0]!)),
      ),
    toTime: unixSeconds => unixSeconds,
    fromTime: Number,
  }

  const query = (client: SqlClient) => async (sql: string) => ({ rows: await client.all(sql) })
  const checkVersionOf = () => checkVersion({ engine: 'sqlite', query: query(reader) })
  const learned = new Learned(async () => {
    await checkVersionOf()
    return checkAgreement(engine)
  })

  return {
    engine: 'sqlite',
    settings,
    calendar,
    ...createReads(engine),

    dayKey: day => dayKey(engine, day),

    async recordViews(rows) {
      if (rows.length === 0) return { counted: 0, duplicates: 0 }
      const progress = { committedAt: Math.floor(Date.now() / 1_000), viewedAt: latestViewedAt(rows) }
      return learned.during(agreement => writer.record({ columns: toColumns(rows), agreement, progress }))
    },

    async ping() {
      await writer.run('UPDATE post_view_state SET id = id WHERE id = 1')
    },

    async migrate(progress, hosts) {
      await writer.transaction('BEGIN IMMEDIATE', async client => {
        await applyMigrations({ engine: 'sqlite', query: query(client), script: client.script })
        await client.run(
          `INSERT INTO post_view_state (id, stats_timezone, window_hours, unique_by, bots)
           VALUES (1, ?, ?, ?, ?)
           ON CONFLICT (id) DO NOTHING`,
          [settings.timeZone, settings.windowHours, settings.uniqueBy, settings.bots],
        )
      })
      const { replaced } = await agreeOnRules(engine, progress)
      if (hosts !== undefined) replaced.push(...(await agreeOnHosts(engine, hosts)))
      await learned.checkAfterMigration()
      return { replaced }
    },

    async checkSettings(ownHosts = null) {
      await learned.check()
      // Read after the agreement is learned: a list that is recorded later raises it, and this process is refused.
      return ownHostsInUse(ownHosts, await recordedLists(reader))
    },

    verify: (found, progress) => verify(engine, found, progress),
    async rebuild(options, progress) {
      await checkVersionOf()
      if (options.adoptSettings) learned.forget()
      return rebuild(engine, options, progress)
    },

    prune: (options, progress) => prune(engine, options, progress),
    forget: (who, progress) => forget(engine, who, progress),

    async close() {
      await Promise.all([writer.close(), reader.close()])
    },
  }
}
