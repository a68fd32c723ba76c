/** The store on PostgreSQL. Its tables are ours from the start: none is adopted. */

import { settingsInUse } from '../agreement.ts'
import { Calendar } from '../calendar.ts'
import type { AskedSettings, StoreOptions } from '../counting-settings.ts'
import { StoreRefused } from '../failures.ts'
import { applyMigrations } from '../sql/migrate.ts'
import { Rankings } from '../sql/rankings.ts'
import { nameOf, serverOf } from '../sql/server-address.ts'
import { FIRST_STATE, firstState, SELECT_STATE, type SqlEngine, toState } from '../sql/sql.ts'
import { createSqlStore } from '../sql/sql-store.ts'
import type { Store } from '../store.ts'
import { NEWEST_RULES } from '../zone-rules.ts'
import { PostgresConnections } from './connection.ts'
import { SNAPSHOT } from './ranking-source.ts'
import { recordViews } from './record.ts'
import { findSchema } from './schema.ts'

// Two batches are under way at a time. A batch takes a fraction of this.
const BATCH = { most: 2, statementLimitMs: 10_000 }
const READ = { most: 4, statementLimitMs: 10_000 }
// Retention runs in consumers, and may delay the stop of one by at most this. Days are reopened at the same time.
const HOUSEKEEPING = { most: 2, statementLimitMs: 60_000 }
// Recounting a big day may take long, and so may a migration.
const RECOUNT = { most: 3, statementLimitMs: 3_600_000 }

/** The advisory lock that a migration holds until its transaction is over. Any number that nobody else uses. */
const MIGRATION_LOCK = 7_067_834

/**
 * Does not connect: the server may be away, now and later. While it is, every call fails with `StoreUnavailable`.
 *
 * @throws {StoreRefused} for a URL that cannot be used
 */
export async function openPostgresStore(
  url: string,
  asked: AskedSettings,
  { ipStorage, countries, rules = NEWEST_RULES, rankingBytes }: StoreOptions = {},
): Promise<Store> {
  const server = serverOf(url)
  const name = `the database ${server.database} on ${nameOf(server)}`
  const writer = new PostgresConnections(server, BATCH)
  const reader = new PostgresConnections(server, READ)
  const keeper = new PostgresConnections(server, HOUSEKEEPING)
  const recounter = new PostgresConnections(server, RECOUNT)
  const rankings = new Rankings(
    async () => ({ module: new URL('./ranking-source.ts', import.meta.url).href, options: server }),
    rankingBytes,
  )
  const own = settingsInUse(asked)
  const { settings } = own
  const calendar = new Calendar(settings.timeZone, settings.windowHours, rules)

  const exclusiveOn =
    (connections: PostgresConnections): SqlEngine['exclusive'] =>
    work =>
      connections.transaction(async client => {
        // While consumers work through a backlog, a lock of the row may never be granted: PostgreSQL lets new batches share the
        // row while this one waits. Table locks are granted in the order in which they were asked for.
        await client.run('LOCK TABLE post_view_state IN EXCLUSIVE MODE')
        const [state] = await client.all(SELECT_STATE)
        if (state === undefined) throw new StoreRefused(`${name} has no tables of postviews`)
        return work(client, toState(state))
      })

  const ingest: SqlEngine = {
    calendar,
    ...own,
    reader,
    snapshot: work => recounter.transaction(work, SNAPSHOT),
    exclusive: exclusiveOn(writer),
    schema: () => findSchema(recounter),
    toTime: unixSeconds => unixSeconds,
    fromTime: Number,
    serverClock: async () =>
      Number((await reader.all('SELECT EXTRACT(EPOCH FROM now())::bigint AS now'))[0]!['now']),
    aggregatesAreKeptBy: 'post_uuid',
    daysOfPosts: 'post_view_aggregates',
  }
  const housekeeping: SqlEngine = { ...ingest, reader: keeper, exclusive: exclusiveOn(keeper) }
  const recount: SqlEngine = { ...ingest, reader: recounter, exclusive: exclusiveOn(recounter) }

  return createSqlStore({
    engine: 'postgres',
    batching: { messagesPerEvent: 1 },
    isCutByClose: true,
    ingest,
    housekeeping,
    recount,
    rankings,
    ipStorage,
    countries,
    version: { engine: 'postgres', query: async sql => ({ rows: await reader.all(sql) }) },
    name,

    record: batch => recordViews(writer, batch),

    makeTables: progress =>
      recounter.transaction(async client => {
        await client.all(`SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})`)
        await applyMigrations({
          engine: 'postgres',
          query: async sql => ({ rows: await client.all(sql) }),
          script: async sql => {
            // If `progress` throws here, everything is rolled back.
            progress?.('schema', 0, 1)
            await client.run(sql)
          },
        })
        await client.run(FIRST_STATE, firstState(settings))
      }),

    // A read-only server refuses this, and no batch waits for it.
    async ping() {
      await writer.run('UPDATE post_view_rebuilds SET id = id WHERE id = 1')
    },
    warnings: () => [],
    async close() {
      await Promise.all([rankings, writer, reader, keeper, recounter].map(each => each.close()))
    },
  })
}
