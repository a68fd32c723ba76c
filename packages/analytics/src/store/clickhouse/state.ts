/** The counting settings, in `post_view_agreed` under the name `settings`. */

import {
  type Agreed,
  assertAgreed,
  changeOfRules,
  changesFrom,
  changesText,
  type KeptTimes,
  type Own,
  type RecordedRules,
  recordedCalendar,
  rulesOf,
} from '../agreement.ts'
import type { BotsBefore } from '../bots-before.ts'
import type { CountingSettings } from '../counting-settings.ts'
import type { Day } from '../days.ts'
import { StoreRefused } from '../failures.ts'
import type { AskedHosts } from '../own-hosts.ts'
import { type OwnHosts, ownHostsText, recordedOwnHosts, replacementOf } from '../own-hosts.ts'
import type { Migrated } from '../store.ts'
import { agree, type Entry, entriesOf } from './agreed.ts'
import type { Cluster } from './connection.ts'

export interface Engine extends Own {
  cluster: Cluster
}

export interface State extends Agreed {
  rules: RecordedRules
  /** Numbers the settings from 1, and grows with each replacement. A row records the epoch under which it was derived. */
  epoch: number
  /** The site's own hosts, from the list that was recorded last. */
  ownHosts: OwnHosts
  /** The first day counted under `settings`; null when every day is. */
  settingsSince: Day | null
  botsBefore: readonly BotsBefore[]
}

interface Recorded {
  shards: number
  epoch: number
  settings: CountingSettings
  settingsSince: Day | null
  /** Absent where an earlier version recorded it. */
  botsBefore?: readonly BotsBefore[]
  ownHosts: string
  rules: { source: string; release: string; until: number; changes: string }
}

const FOR_EVER = Number.MAX_SAFE_INTEGER

/** @throws {StoreRefused} when nothing was recorded yet, or on another number of shards */
export async function readState(cluster: Cluster): Promise<State> {
  const shards = await cluster.shards()
  const [latest] = await entriesOf(shards[0]!, 'settings', 1)
  if (latest === undefined) throw new StoreRefused('the database is empty: run `postviews migrate`')
  const recorded = JSON.parse(latest.value) as Recorded
  if (recorded.shards !== shards.length) {
    throw new StoreRefused(
      `the database has ${recorded.shards} shards, but this process knows ${shards.length}: all views of a post are on one shard, so the number of shards cannot change; use \`postviews copy\` to fill a new database that has another number`,
    )
  }
  return {
    agreement: latest.number,
    epoch: recorded.epoch,
    settings: recorded.settings,
    settingsSince: recorded.settingsSince,
    botsBefore: recorded.botsBefore ?? [],
    ownHosts: recordedOwnHosts(recorded.ownHosts),
    rules: { ...recorded.rules, changes: changesFrom(recorded.rules.changes) },
  }
}

/** If two processes record the same agreement, the first one counts; returns false for the other. */
export async function recordState(
  cluster: Cluster,
  { agreement, epoch, settings, settingsSince, botsBefore, ownHosts, rules }: State,
): Promise<boolean> {
  const { source, release, until, changes } = rules
  const { timeZone, windowHours, uniqueBy, bots } = settings
  const recorded: Recorded = {
    shards: (await cluster.shards()).length,
    epoch,
    settings: { timeZone, windowHours, uniqueBy, bots },
    settingsSince,
    botsBefore,
    ownHosts: ownHostsText(ownHosts),
    rules: { source, release, until, changes: changesText(changes) },
  }
  const value = JSON.stringify(recorded)
  return (await agree(cluster, 'settings', { number: agreement, value })) === value
}

/** The state of a new database: this process's own settings and rules. */
export function firstState({ settings, calendar }: Engine): State {
  const rules = rulesOf(calendar, FOR_EVER)
  return { agreement: 1, epoch: 1, settings, rules, settingsSince: null, botsBefore: [], ownHosts: [] }
}

/** @throws {StoreRefused} unless this process counts by what is recorded */
export async function checkedState(engine: Engine): Promise<State> {
  const state = await readState(engine.cluster)
  await assertAgreed(state, engine, () => keptTimes(engine.cluster))
  return state
}

export async function keptTimes(cluster: Cluster): Promise<KeptTimes> {
  const shards = await cluster.shards()
  const rows = await Promise.all(
    shards.map(shard =>
      shard.all(
        `SELECT count() AS views, toUnixTimestamp(min(viewed_at)) AS first, toUnixTimestamp(max(viewed_at)) AS last
         FROM post_view_rows`,
      ),
    ),
  )
  const kept = rows.flat().filter(row => Number(row['views']) > 0)
  if (kept.length === 0) return null
  return {
    first: Math.min(...kept.map(row => Number(row['first']))),
    last: Math.max(...kept.map(row => Number(row['last']))),
  }
}

/**
 * Records the zone rules of this process in place of older ones. The list is never just made longer: it reaches as far as the
 * data do.
 *
 * @throws {StoreRefused} where they cannot just be replaced
 */
export async function agreeOnRules(engine: Engine): Promise<Migrated> {
  const { cluster } = engine
  for (;;) {
    const state = await readState(cluster)
    const calendar = recordedCalendar(state, engine)
    if (calendar === null) return { replaced: [] }
    const change = changeOfRules(state.rules, calendar, await keptTimes(cluster), FOR_EVER)
    if (change === null || change.replaces === null) return { replaced: [] }
    const next = { ...state, agreement: state.agreement + 1, rules: change.rules }
    if (await recordState(cluster, next)) return { replaced: [change.replaces] }
  }
}

/** Records the list that a process asks for, unless it is valid already or was replaced before. Returns what it replaced. */
export async function agreeOnHosts({ cluster }: Engine, asked: AskedHosts): Promise<string[]> {
  for (;;) {
    const state = await readState(cluster)
    const replaced = replacementOf(asked, await recordedLists(cluster))
    if (replaced === null) return []
    const next = { ...state, agreement: state.agreement + 1, ownHosts: asked.ownHosts! }
    if (await recordState(cluster, next)) return [replaced]
  }
}

/** Every list that was ever recorded, the latest first, which is the valid one. */
export async function recordedLists(cluster: Cluster): Promise<string[]> {
  const entries = await entriesOf(await cluster.first(), 'settings')
  return entries.map(({ value }: Entry) => (JSON.parse(value) as Recorded).ownHosts)
}

/**
 * As SQL: whether a row still has the epoch of earlier settings. Rows of days that the new settings cannot be applied to get the new
 * epoch as well, with their values unchanged. Otherwise a redelivery, which has the new epoch, would replace them.
 */
export function isOfOther({ epoch }: State): string {
  return `${EPOCH} < ${epoch}`
}

/** Of a row's version; see row.ts. */
export const EPOCH = 'bitAnd(bitShiftRight(version, 48), 32767)'
