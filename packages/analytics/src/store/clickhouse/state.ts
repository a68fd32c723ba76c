/**
 * What all processes must agree on: the settings that are counted under, how far back data reach, the keys of days and
 * who may do what one may do at a time. It is all on the first shard, in tables that are only added to: whatever row of
 * a name was committed first is what holds, and everybody sees the same one first.
 */

import { randomBytes } from 'node:crypto'
import {
  type Agreed,
  assertAgreed,
  changeOfRules,
  changesFrom,
  changesText,
  type KeptTimes,
  type RecordedRules,
  recordedCalendar,
  rulesOf,
} from '../agreement.ts'
import type { Calendar, Day } from '../calendar.ts'
import { type OwnHosts, ownHostsText, recordedOwnHosts } from '../own-hosts.ts'
import { AGREEMENT_REPLACED, type CountingSettings, type Migrated, StoreRefused } from '../store.ts'
import type { Cluster, Row, Shard } from './connection.ts'
import { newLabels } from './labels.ts'

export interface Engine {
  calendar: Calendar
  settings: CountingSettings
  /** `settings.uniqueBy` was not asked for; see agreement.ts. */
  learnsUniqueBy: boolean
  cluster: Cluster
}

export interface State extends Agreed {
  rules: RecordedRules
  /** How many times settings were recorded: what rows were derived under. */
  epoch: number
  /** The site's own, by the list that was recorded last. */
  ownHosts: OwnHosts
  /** The first day counted under `settings`; null when every day is. */
  settingsSince: Day | null
  /** The first day whose raw rows are complete; null when none is incomplete. */
  rawFrom: Day | null
  /** The first day whose key and visitors are kept; null when none was closed. */
  openFrom: Day | null
}

/** In the order of commits on one shard. A merge keeps both numbers, and so does every change of a row. */
export const COMMITTED = '(_block_number, _block_offset)'

/** The block of the figures that a shard has committed last; 0 when there are none. */
export async function latestFigures(shard: Shard): Promise<number> {
  const [row] = await shard.all(
    `SELECT max(max_block_number) AS latest FROM system.parts
     WHERE database = currentDatabase() AND table = 'post_view_figures' AND active`,
  )
  return Number(row!['latest'])
}

/** Over, well or not, only when it is over on all of them: whoever has the lease next must not meet any of it. */
export async function onEachShard<T>(
  shards: readonly Shard[],
  work: (shard: Shard, index: number) => Promise<T>,
): Promise<T[]> {
  const running = shards.map(work)
  await Promise.allSettled(running)
  return Promise.all(running)
}

const SELECT_STATE = `
  SELECT epoch, agreement, site_hosts, rules_source, rules_release, rules_until, rules_changes, time_zone, window_hours, unique_by, bots, settings_since, shards,
         (SELECT maxOrNull(day) FROM post_view_reach WHERE name = 'raw_from') AS raw_from,
         (SELECT maxOrNull(day) FROM post_view_reach WHERE name = 'open_from') AS open_from
  FROM post_view_settings
  ORDER BY epoch DESC, agreement DESC, _block_number, _block_offset
  LIMIT 1`

/** @throws {StoreRefused} when nothing was recorded yet, or on another number of shards */
export async function readState(cluster: Cluster): Promise<State> {
  const shards = await cluster.shards()
  const [row] = await shards[0]!.all(SELECT_STATE)
  if (row === undefined) throw new StoreRefused('the database is empty: run `postviews migrate`')
  if (Number(row['shards']) !== shards.length) {
    throw new StoreRefused(
      `the database is on ${row['shards']} shards, this process knows ${shards.length}: ids are remembered by shard, so their number cannot change`,
    )
  }
  return {
    epoch: Number(row['epoch']),
    agreement: Number(row['agreement']),
    ownHosts: recordedOwnHosts(String(row['site_hosts'])),
    rules: {
      source: String(row['rules_source']),
      release: String(row['rules_release']),
      until: Number(row['rules_until']),
      changes: changesFrom(String(row['rules_changes'])),
    },
    settings: {
      timeZone: String(row['time_zone']),
      windowHours: Number(row['window_hours']),
      uniqueBy: row['unique_by'] as CountingSettings['uniqueBy'],
      bots: row['bots'] as CountingSettings['bots'],
    },
    settingsSince: row['settings_since'] as Day | null,
    rawFrom: row['raw_from'] as Day | null,
    openFrom: row['open_from'] as Day | null,
  }
}

/** @throws {StoreRefused} unless this process counts by what is recorded */
export async function checkedState(engine: Engine): Promise<State> {
  const state = await readState(engine.cluster)
  await assertAgreed(state, engine, () => keptTimes(engine))
  return state
}

/** @throws {StoreRefused} when something was replaced since this process learned the agreement */
export async function agreedState({ cluster }: Engine, agreement: number): Promise<State> {
  const state = await readState(cluster)
  if (state.agreement !== agreement) throw new StoreRefused(AGREEMENT_REPLACED)
  return state
}

export async function keptTimes({ cluster }: Engine): Promise<KeptTimes> {
  const [row] = await cluster.all(
    `SELECT minOrNull(first) AS first, maxOrNull(last) AS last FROM ${cluster.from(
      `SELECT minOrNull(toUnixTimestamp(viewed_at)) AS first, maxOrNull(toUnixTimestamp(viewed_at)) AS last
       FROM post_view_deliveries`,
    )}`,
  )
  if (row!['first'] === null) return null
  return { first: Number(row!['first']), last: Number(row!['last']) }
}

/**
 * Records the zone rules of this process in place of older ones. Of two processes that record the same agreement the
 * first one counts, so the list is never just made longer: it reaches as far as the data do.
 *
 * @throws {StoreRefused} where they cannot just be replaced
 */
export async function agreeOnRules(engine: Engine): Promise<Migrated> {
  const state = await readState(engine.cluster)
  const calendar = recordedCalendar(state, engine)
  if (calendar === null) return { replaced: [] }
  const change = changeOfRules(state.rules, calendar, await keptTimes(engine), FOR_EVER)
  if (change === null || change.replaces === null) return { replaced: [] }
  await recordSettings(engine, { ...state, agreement: state.agreement + 1, rules: change.rules })
  const now = await readState(engine.cluster)
  // Somebody else was first, maybe with other rules.
  if (now.rules.release !== change.rules.release) return agreeOnRules(engine)
  return { replaced: [change.replaces] }
}

const FOR_EVER = Number.MAX_SAFE_INTEGER

/** This process's own settings and rules, as what is to be recorded. */
export function ownState({ settings, calendar }: Engine): Pick<State, 'settings' | 'rules'> {
  return { settings, rules: rulesOf(calendar, FOR_EVER) }
}

/** Of two processes that record the same epoch and agreement the first one counts. */
export async function recordSettings(
  { cluster }: Engine,
  {
    epoch,
    agreement,
    settings: { timeZone, windowHours, uniqueBy, bots },
    rules: { source, release, until, changes },
    settingsSince,
    ownHosts,
  }: Pick<State, 'epoch' | 'agreement' | 'settings' | 'rules' | 'settingsSince' | 'ownHosts'>,
): Promise<void> {
  const shards = await cluster.shards()
  await shards[0]!.insert(
    'post_view_settings',
    'epoch, agreement, time_zone, window_hours, unique_by, bots, settings_since, shards, rules_source, rules_release, rules_until, rules_changes, site_hosts',
    JSON.stringify([
      epoch,
      agreement,
      timeZone,
      windowHours,
      uniqueBy,
      bots,
      settingsSince,
      shards.length,
      source,
      release,
      until,
      changesText(changes),
      ownHostsText(ownHosts),
    ]),
  )
}

export async function recordReach(shard: Shard, name: 'raw_from' | 'open_from', day: Day): Promise<void> {
  await shard.insert('post_view_reach', 'name, day', JSON.stringify([name, day]))
}

/** The keys of the days whose views are still accepted. */
export async function dayKeys(shard: Shard): Promise<Map<Day, string>> {
  const rows = await shard.all(
    `SELECT day, secret FROM post_view_day_keys ORDER BY day, _block_number, _block_offset LIMIT 1 BY day`,
  )
  return new Map(rows.map(row => [String(row['day']), String(row['secret'])]))
}

export async function keyOf(shard: Shard, day: Day): Promise<string | null> {
  const [row] = await shard.all(
    `SELECT secret FROM post_view_day_keys
     WHERE day = {day:Date}
     ORDER BY _block_number, _block_offset
     LIMIT 1`,
    { day },
  )
  return row === undefined ? null : String(row['secret'])
}

/** Makes the day's key, unless somebody else was first; returns the one that holds. */
export async function makeKey(
  shard: Shard,
  day: Day,
  secret = randomBytes(32).toString('hex'),
): Promise<string> {
  await shard.insert('post_view_day_keys', 'day, secret', JSON.stringify([day, secret]))
  return (await keyOf(shard, day))!
}

const LEASE_SECONDS = 120
/** Clocks of two hosts may be so far apart. A lease that runs longer is of a clock that was wrong, and holds nobody up. */
const CLOCKS_DIFFER_SECONDS = 2 * 3_600
const RENEW_MS = (LEASE_SECONDS / 4) * 1_000

/**
 * Does what one may do at a time, under a name; null when another is at it. Whoever dies at it is waited for until the
 * lease runs out.
 *
 * @param now Unix seconds
 */
export async function underLease<T>(
  shard: Shard,
  name: 'prune' | 'reopen',
  now: number,
  work: () => Promise<T>,
): Promise<T | null> {
  const holder = newLabels()(0)
  const started = performance.now()
  const take = () => takeLease(shard, name, holder, now + Math.floor((performance.now() - started) / 1_000))
  if (!(await take())) return null
  let renewing: Promise<unknown> = Promise.resolve()
  // Where a renewal fails there are three more before the lease runs out.
  const renewal = setInterval(() => {
    renewing = take().catch(() => {})
  }, RENEW_MS)
  try {
    return await work()
  } finally {
    clearInterval(renewal)
    await renewing
    // Where this fails, what went wrong before is what tells, and the lease runs out.
    await giveUpLease(shard, name, holder, now).catch(() => {})
  }
}

/** Holds `name` for so long, again and again for the same holder; false when another does. */
async function takeLease(shard: Shard, name: string, holder: string, now: number): Promise<boolean> {
  const current = async (): Promise<Row | undefined> => {
    const [row] = await shard.all(
      `SELECT holder FROM post_view_leases
       WHERE name = {name:String} AND expires_at > {now:UInt64} AND expires_at <= {now:UInt64} + {longest:UInt64}
       ORDER BY _block_number, _block_offset
       LIMIT 1`,
      { name, now, longest: LEASE_SECONDS + CLOCKS_DIFFER_SECONDS },
    )
    return row
  }
  const before = await current()
  if (before !== undefined && before['holder'] !== holder) return false
  await shard.insert(
    'post_view_leases',
    'name, holder, expires_at',
    JSON.stringify([name, holder, now + LEASE_SECONDS]),
  )
  if ((await current())?.['holder'] === holder) return true
  await giveUpLease(shard, name, holder, now)
  return false
}

/** Also removes those that ran out before `now`. */
async function giveUpLease(shard: Shard, name: string, holder: string, now: number): Promise<void> {
  await shard.run(
    `ALTER TABLE post_view_leases
     DELETE WHERE name = {name:String} AND (holder = {holder:String} OR expires_at <= {now:UInt64})
     SETTINGS mutations_sync = 1`,
    { name, holder, now },
  )
}
