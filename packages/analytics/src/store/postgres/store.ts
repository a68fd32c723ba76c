/** The store on PostgreSQL. Its tables are ours from the start: none is adopted. */

import { Learned, settingsInUse } from '../agreement.ts'
import { Calendar } from '../calendar.ts'
import type { AskedSettings, StoreOptions } from '../counting-settings.ts'
import { StoreRefused } from '../failures.ts'
import { applyMigrations, checkVersion } from '../migrate.ts'
import { ownHostsInUse } from '../own-hosts.ts'
import { RowsOfViews } from '../rows-of-views.ts'
import { agreeOnRules, checkAgreement } from '../sql/agreement.ts'
import { copySource } from '../sql/copy-source.ts'
import { dayKey } from '../sql/day-keys.ts'
import { forget } from '../sql/forget.ts'
import { agreeOnHosts, recordedLists } from '../sql/own-hosts.ts'
import { prune } from '../sql/prune.ts'
import { Rankings } from '../sql/rankings.ts'
import { createReads } from '../sql/reads.ts'
import { rebuild, whileAgreed } from '../sql/rebuild.ts'
import { reopenDays } from '../sql/reopen.ts'
import { nameOf, serverOf } from '../sql/server-address.ts'
import { SELECT_STATE, type SqlEngine, toState } from '../sql/sql.ts'
import { verify } from '../sql/verify.ts'
import type { Store } from '../store.ts'
import { NEWEST_RULES } from '../zone-rules.ts'
import { PostgresConnections } from './connection.ts'
import { SNAPSHOT } from './ranking-source.ts'
import { recordViews, rehearseViews } from './record.ts'
import { findSchema } from './schema.ts'

// Two batches are under way at a time. A batch is through in a fraction of this.
const BATCH = { most: 2, statementLimitMs: 10_000 }
const READ = { most: 4, statementLimitMs: 10_000 }
// Retention runs in consumers, and may keep one that is to stop no longer than this.
const HOUSEKEEPING = { most: 1, statementLimitMs: 60_000 }
// Recounting a big day takes what it takes, and so does a migration.
const RECOUNT = { most: 3, statementLimitMs: 3_600_000 }

/** Whoever migrates holds this lock of the database, until the transaction is over. Any number that nobody else takes. */
const MIGRATION_LOCK = 7_067_834

/**
 * Touches nothing: the server may be away, now and later. Whatever is asked of it then fails as `StoreUnavailable`.
 *
 * @throws {StoreRefused} for a URL that says what cannot be done
 */
export async function openPostgresStore(
  url: string,
  asked: AskedSettings,
  { ipStorage = 'full', rules = NEWEST_RULES, rankingBytes }: StoreOptions = {},
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
        const [state] = await client.all(`${SELECT_STATE} FOR UPDATE`)
        if (state === undefined) throw new StoreRefused(`there are no tables of ours in ${name}`)
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

  const version = {
    engine: 'postgres' as const,
    query: async (sql: string) => ({ rows: await reader.all(sql) }),
  }
  const learned = new Learned(async () => {
    await checkVersion(version, name)
    return checkAgreement(ingest)
  })
  const rowsOfViews = new RowsOfViews({
    settings,
    calendar,
    ipStorage,
    askKey: day => learned.during(agreement => dayKey(whileAgreed(ingest, agreement), day)),
  })
  const now = () => Math.floor(Date.now() / 1_000)

  return {
    engine: 'postgres',
    batching: { messagesPerEvent: 1 },
    isCutByClose: true,
    settings,
    calendar,
    ...createReads(ingest, rankings),

    recordViews: views =>
      learned.during(agreement =>
        rowsOfViews.record(views, derived => recordViews(writer, { ...derived, agreement, now: now() })),
      ),
    rehearse: views =>
      learned.during(agreement =>
        rowsOfViews.rehearse(views, derived => rehearseViews(writer, { ...derived, agreement, now: now() })),
      ),

    get mayReopenDays() {
      return rowsOfViews.hasAskedKeys
    },
    reopenDays(progress) {
      rowsOfViews.hasAskedKeys = false
      return learned.during(agreement => reopenDays(whileAgreed(housekeeping, agreement), progress))
    },

    // Refused by a server that only reads, and no batch waits for it.
    async ping() {
      await writer.run('UPDATE post_view_rebuilds SET id = id WHERE id = 1')
    },

    async migrate(progress, hosts) {
      await recounter.transaction(async client => {
        await client.all(`SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})`)
        await applyMigrations({
          engine: 'postgres',
          query: async sql => ({ rows: await client.all(sql) }),
          script: async sql => {
            // Interrupted here, all of it is rolled back.
            progress?.('schema', 0, 1)
            await client.run(sql)
          },
        })
        const { timeZone, windowHours, uniqueBy, bots } = settings
        await client.run(
          `INSERT INTO post_view_state (id, stats_timezone, window_hours, unique_by, bots)
           VALUES (1, ?, ?, ?, ?)
           ON CONFLICT (id) DO NOTHING`,
          [timeZone, windowHours, uniqueBy, bots],
        )
      })
      const { replaced } = await agreeOnRules(ingest, progress)
      if (hosts !== undefined) replaced.push(...(await agreeOnHosts(ingest, hosts)))
      await learned.checkAfterMigration()
      return { replaced }
    },

    async checkSettings(ownHosts = null) {
      await learned.check()
      // Read after the agreement is learned: a list that is recorded later raises it, and this process is refused.
      return ownHostsInUse(ownHosts, await recordedLists(reader))
    },

    verify: (found, progress) => verify(recount, found, progress),
    async rebuild(options, progress) {
      await checkVersion(version, name)
      if (options.adoptSettings) learned.forget()
      return rebuild(recount, options, progress)
    },
    prune: (options, progress) => prune(housekeeping, options, progress),
    copySource: () => copySource(recount),
    forget: (who, progress) => forget(housekeeping, who, progress),
    warnings: () => [],

    async close() {
      await Promise.all([rankings, writer, reader, keeper, recounter].map(each => each.close()))
    },
  }
}
