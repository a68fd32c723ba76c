/** The parts of a store that are the same for SQLite, MySQL and PostgreSQL. What differs is passed in as `SqlStoreParts`. */

import { Who } from '../../derive/who.ts'
import { Learned } from '../agreement.ts'
import type { StoreOptions } from '../counting-settings.ts'
import { type OwnHosts, ownHostsInUse } from '../own-hosts.ts'
import { type DerivedRows, RowsOfViews } from '../rows-of-views.ts'
import type { Progress, Recorded, Store } from '../store.ts'
import { agreeOnRules, checkAgreement } from './agreement.ts'
import { copySource } from './copy-source.ts'
import { dayKey } from './day-keys.ts'
import { forget } from './forget.ts'
import { checkVersion, type MigrationTarget } from './migrate.ts'
import { agreeOnHosts, ownHosts, recordedLists } from './own-hosts.ts'
import { prune } from './prune.ts'
import type { Rankings } from './rankings.ts'
import { createReads } from './reads.ts'
import { rebuild, whileAgreed } from './rebuild.ts'
import { reopenDays } from './reopen.ts'
import type { SqlEngine } from './sql.ts'
import { verify } from './verify.ts'

/** At least one row. */
export interface Batch extends DerivedRows {
  /** The number of the agreement that this process read last. If the database has a newer one, the batch is refused. */
  agreement: number
  /** Unix seconds. */
  now: number
  isRehearsal: boolean
}

export interface SqlStoreParts
  extends Pick<Store, 'engine' | 'batching' | 'isCutByClose' | 'ping' | 'warnings' | 'close'> {
  /** Connections that write batches and answer questions. */
  ingest: SqlEngine
  /** Connections for retention and similar work that runs while batches are written. */
  housekeeping: SqlEngine
  /** Connections for `verify` and `rebuild`, which run for long. */
  recount: SqlEngine
  rankings: Rankings
  ipStorage: StoreOptions['ipStorage']
  countries: StoreOptions['countries']
  version: Omit<MigrationTarget, 'script'>
  /** The database's name for messages. Left out where the database is a file of ours, which cannot exist without our tables. */
  name?: string
  /** Opens the database, if that has to be done before the first statement. */
  open?(): Promise<void>
  /** Writes a batch. A rehearsal does the same work and rolls it back. */
  record(batch: Batch): Promise<Recorded>
  /**
   * Creates or migrates the tables, and writes the first row of the state.
   *
   * @param hosts the site's own hosts by which adopted rows are derived; null: there are none
   */
  makeTables(progress: Progress | undefined, hosts: OwnHosts | null): Promise<void>
}

export function createSqlStore(parts: SqlStoreParts): Store {
  const { ingest, housekeeping, recount, rankings, ipStorage = 'full', countries = null } = parts
  const { version, name, makeTables } = parts
  const { engine, batching, isCutByClose, ping, warnings, close, record, open = async () => {} } = parts
  const { settings, calendar, reader } = ingest
  const keep = (derived: DerivedRows, agreement: number, isRehearsal: boolean) =>
    record({ ...derived, agreement, now: Math.floor(Date.now() / 1_000), isRehearsal })
  const checkVersionOf = () => checkVersion(version, name)
  let who = new Who({ countries, ownHosts: [] })
  const learned = new Learned(async () => {
    await checkVersionOf()
    const agreement = await checkAgreement(ingest)
    // Read after the agreement: a list that is recorded later raises it, and batches under the earlier list are refused.
    who = new Who({ countries, ownHosts: await ownHosts(reader) })
    return agreement
  })
  const rowsOfViews = new RowsOfViews({
    settings,
    calendar,
    ipStorage,
    who: () => who,
    askKey: day => learned.during(agreement => dayKey(whileAgreed(ingest, agreement), day)),
  })

  return {
    engine,
    batching,
    isCutByClose,
    settings,
    calendar,
    ...createReads(ingest, rankings),

    recordViews: views =>
      learned.during(agreement => rowsOfViews.record(views, derived => keep(derived, agreement, false))),
    rehearse: views =>
      learned.during(agreement => rowsOfViews.rehearse(views, derived => keep(derived, agreement, true))),

    get mayReopenDays() {
      return rowsOfViews.hasAskedKeys
    },
    reopenDays(progress) {
      rowsOfViews.hasAskedKeys = false
      return learned.during(agreement => reopenDays(whileAgreed(housekeeping, agreement), progress))
    },

    ping,
    async migrate(progress, hosts) {
      await makeTables(progress, hosts?.ownHosts ?? null)
      const { replaced } = await agreeOnRules(ingest, progress)
      if (hosts !== undefined) replaced.push(...(await agreeOnHosts(ingest, hosts)))
      await learned.checkAfterMigration()
      return { replaced }
    },

    async checkSettings(asked = null) {
      await open()
      await learned.check()
      // Read after the agreement is learned: a list that is recorded later raises it, and this process is refused.
      return ownHostsInUse(asked, await recordedLists(reader))
    },

    verify: (found, progress) => verify(recount, found, progress),
    async rebuild(options, progress) {
      await open()
      await checkVersionOf()
      if (options.adoptSettings) learned.forget()
      return rebuild(recount, countries, options, progress)
    },
    prune: (options, progress) => prune(housekeeping, options, progress),
    copySource: () => copySource(recount),
    forget: (who, progress) => forget(housekeeping, who, progress),
    warnings,
    close,
  }
}
