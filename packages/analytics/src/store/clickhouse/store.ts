/** The store in ClickHouse, on one server or on the shards of a cluster. decisions/0014-clickhouse.md tells how it counts exactly. */

import { Learned, settingsInUse } from '../agreement.ts'
import { Calendar } from '../calendar.ts'
import type { StoreOptions } from '../open.ts'
import { ownHostsInUse } from '../own-hosts.ts'
import { RowsOfViews } from '../rows-of-views.ts'
import type { AskedSettings, Store } from '../store.ts'
import { NEWEST_RULES } from '../zone-rules.ts'
import { addressOf } from './address.ts'
import { Cluster } from './connection.ts'
import { dayKey } from './day-keys.ts'
import { forget } from './forget.ts'
import { checkVersion, migrate } from './migrate.ts'
import { agreeOnHosts, recordedLists } from './own-hosts.ts'
import { prune } from './prune.ts'
import { createReads } from './reads.ts'
import { rebuild } from './rebuild.ts'
import { Failed, recordViews } from './record.ts'
import { agreeOnRules, checkedState, type Engine } from './state.ts'
import { verify } from './verify.ts'

const TABLES_OF_BATCH = ['post_view_deliveries', 'post_view_visitors', 'post_view_figures'] as const

/** Refused by a server that only reads, and leaves nothing behind. */
async function writeNothing(cluster: Cluster, tables: readonly string[]): Promise<void> {
  const shards = await cluster.shards()
  await Promise.all(
    shards.flatMap(shard =>
      tables.map(table => shard.run(`INSERT INTO ${table} SELECT * FROM ${table} WHERE false`)),
    ),
  )
}

/**
 * Touches nothing: the servers may be away, now and later. Whatever is asked of them then fails as `StoreUnavailable`.
 *
 * @throws {StoreRefused} for a URL that says what cannot be done
 */
export async function openClickhouseStore(
  url: string,
  asked: AskedSettings,
  { ipStorage = 'full', rules = NEWEST_RULES }: StoreOptions = {},
): Promise<Store> {
  const address = addressOf(url)
  const own = settingsInUse(asked)
  const { settings } = own
  const calendar = new Calendar(settings.timeZone, settings.windowHours, rules)
  const ingest: Engine = { calendar, ...own, cluster: new Cluster(address) }
  const housekeeping: Engine = { ...ingest, cluster: new Cluster(address, { long: true }) }
  const failed = new Failed()
  const batch = <T>(work: () => Promise<T>) => ingest.cluster.during(work)
  const long = <T>(work: () => Promise<T>) => housekeeping.cluster.during(work)

  const learned = new Learned(() =>
    batch(async () => {
      await checkVersion(ingest.cluster)
      return (await checkedState(ingest)).agreement
    }),
  )

  const rowsOfViews = new RowsOfViews({
    settings,
    calendar,
    ipStorage,
    askKey: day => batch(() => dayKey(ingest, day)),
  })

  return {
    engine: 'clickhouse',
    settings,
    calendar,
    ...createReads(ingest.cluster),

    recordViews: views =>
      learned.during(agreement =>
        rowsOfViews.record(views, derived => batch(() => recordViews(ingest, failed, derived, agreement))),
      ),
    // `dayKey` has opened them to the end.
    mayReopenDays: false,
    reopenDays: async () => ({ days: [], isDone: true }),

    ping: () => batch(() => writeNothing(ingest.cluster, ['post_view_deliveries'])),
    rehearse: views =>
      learned.during(() =>
        rowsOfViews.rehearse(views, () => batch(() => writeNothing(ingest.cluster, TABLES_OF_BATCH))),
      ),

    async migrate(progress, hosts) {
      const { replaced } = await long(async () => {
        await migrate(housekeeping, progress)
        return agreeOnRules(housekeeping)
      })
      if (hosts !== undefined) replaced.push(...(await long(() => agreeOnHosts(housekeeping, hosts))))
      await learned.checkAfterMigration()
      return { replaced }
    },

    async checkSettings(ownHosts = null) {
      await learned.check()
      // Read after the agreement is learned: a list that is recorded later raises it, and this process is refused.
      return ownHostsInUse(ownHosts, await batch(() => recordedLists(ingest.cluster)))
    },

    verify: (found, progress) => long(() => verify(housekeeping, found, progress)),
    rebuild: (options, progress) =>
      long(async () => {
        await checkVersion(housekeeping.cluster)
        if (options.adoptSettings) learned.forget()
        return rebuild(housekeeping, options, progress)
      }),
    prune: (options, progress) => long(() => prune(housekeeping, options, progress)),
    forget: (who, progress) => long(() => forget(housekeeping, who, progress)),

    warnings: () => [],

    async close() {
      await Promise.all([ingest.cluster.close(), housekeeping.cluster.close()])
    },
  }
}
