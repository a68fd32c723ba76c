/** The store in ClickHouse, on one server or on the shards of a cluster. decisions/0014-clickhouse.md tells how it counts exactly. */

import { Who } from '../../derive/who.ts'
import { Learned, settingsInUse } from '../agreement.ts'
import type { CountedBy } from '../bots-before.ts'
import { Calendar } from '../calendar.ts'
import type { AskedSettings, StoreOptions } from '../counting-settings.ts'
import type { Day } from '../days.ts'
import { ownHostsInUse } from '../own-hosts.ts'
import { RowsOfViews } from '../rows-of-views.ts'
import type { Store } from '../store.ts'
import { NEWEST_RULES } from '../zone-rules.ts'
import { addressOf } from './address.ts'
import { latestEntry } from './agreed.ts'
import { Cluster } from './connection.ts'
import { copySource } from './copy-source.ts'
import { hoursOf } from './count.ts'
import { hashAgain } from './derive.ts'
import { fill } from './fill.ts'
import { forget } from './forget.ts'
import { type DayKey, dayKey } from './keys.ts'
import { checkVersion, migrate } from './migrate.ts'
import { prune } from './prune.ts'
import { createReads } from './reads.ts'
import { recordRows } from './record.ts'
import { rebuild, rollAll, verify } from './recount.ts'
import { sourcesOf } from './roll.ts'
import { siteBreakdowns } from './site-breakdowns.ts'
import { agreeOnHosts, agreeOnRules, checkedState, type Engine, readState, recordedLists } from './state.ts'

/** A server that only reads refuses this; otherwise it changes nothing. */
async function writeNothing(cluster: Cluster): Promise<void> {
  const shards = await cluster.shards()
  await Promise.all(
    ['post_view_rows', 'post_view_agreed'].flatMap(table =>
      shards.map(shard => shard.run(`INSERT INTO ${table} SELECT * FROM ${table} WHERE false`)),
    ),
  )
}

/**
 * Asks no server: they may be away, now and later. Calls then fail with `StoreUnavailable`.
 *
 * @throws {StoreRefused} for a URL that cannot be used
 */
export async function openClickhouseStore(
  url: string,
  asked: AskedSettings,
  { ipStorage = 'full', countries = null, rules = NEWEST_RULES }: StoreOptions = {},
): Promise<Store> {
  const address = addressOf(url)
  const own = settingsInUse(asked)
  const { settings } = own
  const calendar = new Calendar(settings.timeZone, settings.windowHours, rules)
  const ingest: Engine = { calendar, ...own, cluster: new Cluster(address) }
  const housekeeping: Engine = { ...ingest, cluster: new Cluster(address, { long: true }) }
  const batch = <T>(work: () => Promise<T>) => ingest.cluster.during(work)
  const long = <T>(work: () => Promise<T>) => housekeeping.cluster.during(work)

  /** The process that rolled last may have died or failed before it was done. */
  let isSiteBehind = true
  let epoch = 0
  let botsBefore: CountedBy['botsBefore'] = []
  let who = new Who({ countries, ownHosts: [] })
  const learned = new Learned(() =>
    batch(async () => {
      await checkVersion(ingest.cluster)
      const state = await checkedState(ingest)
      epoch = state.epoch
      botsBefore = state.botsBefore
      who = new Who({ countries, ownHosts: state.ownHosts })
      return state.agreement
    }),
  )

  /** The number of each key among its day's keys. */
  const keyNumbers = new Map<string, number>()
  const rowsOfViews = new RowsOfViews({
    settings,
    calendar,
    ipStorage,
    who: () => who,
    async askKey(day) {
      const { secret, number } = await long(() =>
        dayKey(ingest.cluster, day, key => openAgain(housekeeping, day, key)),
      )
      keyNumbers.set(secret, number)
      return secret
    },
  })

  return {
    engine: 'clickhouse',
    batching: { messagesPerEvent: 1 },
    isCutByClose: true,
    settings,
    calendar,
    ...createReads(ingest.cluster, calendar, settings),

    recordViews: views =>
      learned.during(agreement =>
        rowsOfViews.record(views, derived => {
          const numbers = new Map([...derived.keys].map(([day, key]) => [day, keyNumbers.get(key)!]))
          return batch(() =>
            recordRows(ingest, derived, { agreement, epoch, botsBefore, keyNumbers: numbers }),
          )
        }),
      ),
    roll: () =>
      learned.during(agreement =>
        long(async () => {
          // Under replaced settings, a roll would count the wrong rows.
          const latest = await latestEntry(await housekeeping.cluster.first(), 'settings')
          if (latest!.number > agreement) await checkedState(housekeeping)
          const isRolled = await rollAll(housekeeping)
          isSiteBehind ||= isRolled
          if (isSiteBehind) await siteBreakdowns(housekeeping)
          isSiteBehind = false
          return isRolled
        }),
      ),
    // `dayKey` opens a day completely.
    mayReopenDays: false,
    reopenDays: async () => ({ days: [], isDone: true }),

    ping: () => batch(() => writeNothing(ingest.cluster)),
    rehearse: views =>
      learned.during(() => rowsOfViews.rehearse(views, () => batch(() => writeNothing(ingest.cluster)))),

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
        return rebuild(housekeeping, countries, options, progress)
      }),
    prune: (options, progress) => long(() => prune(housekeeping, options, progress)),
    copySource: () => long(() => copySource(housekeeping)),
    fill: (source, progress = () => {}) => long(() => fill(housekeeping, source, progress)),
    forget: (who, progress) => long(() => forget(housekeeping, who, progress)),

    warnings: () => [],

    async close() {
      await Promise.all([ingest.cluster.close(), housekeeping.cluster.close()])
    },
  }
}

/** A reader counted before the day was closed must not count as unique again: all are hashed under the new key. */
async function openAgain(engine: Engine, day: Day, key: DayKey): Promise<void> {
  const { settingsSince } = await readState(engine.cluster)
  // A day counted under other settings stays as it is: a reader who comes back to it counts once more.
  if (settingsSince !== null && day < settingsSince) return
  for (const shard of await engine.cluster.shards()) {
    await shard.catchUp()
    const hours = hoursOf(await sourcesOf(engine, shard), [day])
    await hashAgain(
      engine,
      shard,
      `SELECT * FROM post_view_rows FINAL WHERE ${hours} AND day = '${day}'`,
      key,
    )
  }
}
