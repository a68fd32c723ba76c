/**
 * What all processes of a database must agree on, since numbers counted under different ones do not add up: the counting
 * settings and the zone rules. Both are recorded in the database. Whenever something of it is replaced there, a number,
 * the *agreement*, is raised: a process learns it at its start, and each of its batches is held against it.
 */

import { addDays, Calendar, type Day } from './calendar.ts'
import { AGREEMENT_REPLACED, type CountingSettings, StoreRefused } from './store.ts'
import {
  changeAt,
  firstAgreement,
  firstDifference,
  isNewer,
  isSameTimeZone,
  type OffsetChange,
} from './zone-rules.ts'

/** Further ahead than anybody waits with an update. */
const YEARS_AHEAD_SECONDS = 2 * 366 * 86_400

/** The rules of the recorded zone, as a list of its changes. */
export interface RecordedRules {
  source: string
  release: string
  /** Unix seconds: the list says nothing of later moments. */
  until: number
  /** From 1970 on: a view that comes late may be of any day. */
  changes: readonly OffsetChange[]
}

/** What a database has recorded. */
export interface Agreed {
  agreement: number
  settings: CountingSettings
  /** Null in a database that a version before wrote: whose rules its days were counted by is not known. */
  rules: RecordedRules | null
}

/** What a process counts by. */
export interface Own {
  settings: CountingSettings
  calendar: Calendar
}

/** Unix seconds of the first and the last view of which there are raw rows; null where there are none. */
export type KeptTimes = { first: number; last: number } | null

const SETTING_NAMES: Record<keyof CountingSettings, string> = {
  timeZone: 'STATS_TIMEZONE',
  windowHours: 'UNIQUE_WINDOW',
  uniqueBy: 'UNIQUE_BY',
  bots: 'BOTS',
}

/** What differs between recorded settings and a process's own, and what to do about it; null when nothing does. */
export function settingsDiffer(recorded: CountingSettings, { settings, calendar }: Own): string | null {
  const keys = Object.keys(SETTING_NAMES) as (keyof CountingSettings)[]
  const differing = keys
    .filter(key => recorded[key] !== settings[key])
    .filter(key => key !== 'timeZone' || !isSameTimeZone(recorded[key], settings[key], calendar.rules))
    .map(
      key =>
        `${SETTING_NAMES[key]} is ${shown(key, settings)}, recorded in the database is ${shown(key, recorded)}`,
    )
  if (differing.length === 0) return null
  return `${differing.join('; ')}: set what is recorded, or run \`postviews rebuild --adopt-settings\``
}

function shown(key: keyof CountingSettings, settings: CountingSettings): string {
  return key === 'windowHours' ? `${settings[key]}h` : settings[key]
}

/** The calendar of the recorded settings by this process's rules; null where these do not know the zone. */
export function recordedCalendar(
  { settings: { timeZone, windowHours } }: Agreed,
  { calendar }: Own,
): Calendar | null {
  const { rules } = calendar
  return rules.zone(timeZone) === null ? null : new Calendar(timeZone, windowHours, rules)
}

/** What is to be recorded of the calendar's zone: two years ahead, or as far as the list before reached. */
export function rulesOf({ rules, changes }: Calendar, now: number, reachedBefore = 0): RecordedRules {
  const until = Math.min(rules.until, Math.max(reachedBefore, now + YEARS_AHEAD_SECONDS))
  const first = changeAt(changes, 0)
  const listed = changes.slice(first).filter(({ from }) => from < until)
  return {
    source: rules.source,
    release: rules.release,
    until,
    changes: listed.map(({ from, offset }) => ({ from: Math.max(0, from), offset })),
  }
}

/** The first moment at which the clocks of the two differ, where both lists reach; null when none does. */
export function rulesDifferAt(
  recorded: RecordedRules,
  { changes, rules }: Calendar,
  from = 0,
): number | null {
  return firstDifference(recorded.changes, changes, {
    from,
    until: Math.min(recorded.until, rules.until),
  })
}

/** A view's window is counted from the first instant of its day, so what the clocks did before may concern it. */
const DAY_BEFORE_SECONDS = 2 * 86_400

/**
 * Since when the clocks differ on which the day or the window of a kept view depends: a moment that may lie before the
 * first of these views. Null when they do not.
 */
export function keptDiffersAt(recorded: RecordedRules, calendar: Calendar, kept: KeptTimes): number | null {
  if (kept === null) return null
  const first = kept.first - DAY_BEFORE_SECONDS
  let differsAt = rulesDifferAt(recorded, calendar)
  while (differsAt !== null && differsAt < first) {
    const agreesAt = firstAgreement(recorded.changes, calendar.changes, {
      from: differsAt,
      until: first + 1,
    })
    if (agreesAt === null) return differsAt
    differsAt = rulesDifferAt(recorded, calendar, agreesAt)
  }
  return differsAt === null || differsAt > kept.last ? null : differsAt
}

/** Whether this process counts by what is recorded. */
export function countsByRecorded(agreed: Agreed, own: Own): boolean {
  return (
    settingsDiffer(agreed.settings, own) === null &&
    agreed.rules !== null &&
    rulesDifferAt(agreed.rules, recordedCalendar(agreed, own)!) === null
  )
}

/** @throws {StoreRefused} unless this process counts by what is recorded */
export async function assertAgreed(
  agreed: Agreed,
  own: Own,
  keptTimes: () => Promise<KeptTimes>,
): Promise<void> {
  const differing = settingsDiffer(agreed.settings, own)
  if (differing !== null) throw new StoreRefused(differing)
  const calendar = recordedCalendar(agreed, own)!
  if (agreed.rules === null) {
    throw new StoreRefused(
      'the zone rules that the days in the database were counted by are not recorded: run `postviews migrate`',
    )
  }
  const differsAt = rulesDifferAt(agreed.rules, calendar)
  if (differsAt === null) return
  refuseOlder(agreed.rules, calendar, differsAt)
  refuseKept(agreed.rules, calendar, await keptTimes())
  throw new StoreRefused(
    `${counted(agreed.rules)}, this program has ${named(calendar.rules)}; they differ from ${iso(differsAt)} on: run \`postviews migrate\``,
  )
}

/** What to record in place of the recorded rules; null when they are to stay. */
export interface Change {
  rules: RecordedRules
  /** What is replaced by what, in words; null where the list only reaches further. */
  replaces: string | null
}

/**
 * What a process that may record makes of the rules that are.
 *
 * @throws {StoreRefused} where they cannot just be replaced: by an older release, or while views that are kept differ
 */
export function changeOfRules(
  recorded: RecordedRules,
  calendar: Calendar,
  kept: KeptTimes,
  now: number,
): Change | null {
  const rules = rulesOf(calendar, now, recorded.until)
  const differsAt = rulesDifferAt(recorded, calendar)
  if (differsAt === null) {
    const isOlder = isNewer(recorded.release, rules.release)
    const isSame = rules.release === recorded.release && rules.until <= recorded.until
    return isOlder || isSame ? null : { rules, replaces: null }
  }
  refuseOlder(recorded, calendar, differsAt)
  refuseKept(recorded, calendar, kept)
  if (!isNewer(rules.release, recorded.release)) {
    throw new StoreRefused(
      `${counted(recorded)}, this program has others that claim the same release (${named(rules)}); they differ from ${iso(differsAt)} on: ${ADOPT}`,
    )
  }
  return {
    rules,
    replaces: `zone rules ${named(recorded)} by ${named(rules)}: the clocks of ${calendar.timeZone} differ from ${iso(differsAt)} on`,
  }
}

const ADOPT = 'run `postviews rebuild --adopt-settings`'

/** @throws {StoreRefused} An older release never replaces a newer one. */
function refuseOlder(recorded: RecordedRules, { rules, timeZone }: Calendar, differsAt: number | null): void {
  if (!isNewer(recorded.release, rules.release)) return
  const from = differsAt === null ? '' : `; the clocks of ${timeZone} differ from ${iso(differsAt)} on`
  throw new StoreRefused(
    `${counted(recorded)}, this program has the older ${named(rules)}${from}: run a newer program`,
  )
}

function refuseKept(recorded: RecordedRules, calendar: Calendar, kept: KeptTimes): void {
  const differsAt = keptDiffersAt(recorded, calendar, kept)
  if (differsAt === null) return
  throw new StoreRefused(
    `${counted(recorded)}, this program has ${named(calendar.rules)}; days that are kept differ, from ${iso(differsAt)} on: ${ADOPT}`,
  )
}

/** What to say of a database from before whose rows are not where these rules put them. */
export function unrecordedDiffer({ rules }: Calendar, viewedAt: number): StoreRefused {
  return new StoreRefused(
    `the zone rules that the days in the database were counted by are not recorded, and days that are kept differ from those of this program (${named(rules)}): the first is of a view at ${iso(viewedAt)}: ${ADOPT}`,
  )
}

function counted(recorded: RecordedRules): string {
  return `the days in the database were counted by zone rules ${named(recorded)}`
}

function named({ source, release }: { source: string; release: string }): string {
  return `${release} (${source})`
}

function iso(unixSeconds: number): string {
  return new Date(unixSeconds * 1_000).toISOString().replace('.000Z', 'Z')
}

/** What adopting a process's settings does to the clocks that days are counted by. */
export interface ClockChange {
  /** Whether it is another zone, or another list of the same one. */
  clocks: boolean
  /** The first day of a kept view that it concerns; null when it concerns none. */
  from: Day | null
}

export const EVERY_DAY: Day = '0000-01-01'

/** @throws {StoreRefused} An older release never replaces a newer one. */
export async function clockChange(
  { settings, rules }: Agreed,
  own: Own,
  keptTimes: () => Promise<KeptTimes>,
): Promise<ClockChange> {
  const { calendar } = own
  if (rules === null) return { clocks: true, from: EVERY_DAY }
  if (!isSameTimeZone(own.settings.timeZone, settings.timeZone, calendar.rules)) {
    refuseOlder(rules, calendar, null)
    return { clocks: true, from: EVERY_DAY }
  }
  const differsAt = rulesDifferAt(rules, calendar)
  if (differsAt === null) return { clocks: false, from: null }
  refuseOlder(rules, calendar, differsAt)
  const keptAt = keptDiffersAt(rules, calendar, await keptTimes())
  // By the rules of before it may have been the day before.
  return { clocks: true, from: keptAt === null ? null : addDays(calendar.dayOf(keptAt), -1) }
}

/** `[[0,3600],…]`: Unix seconds from which an offset holds, in seconds. */
export function changesText(changes: readonly OffsetChange[]): string {
  return JSON.stringify(changes.map(({ from, offset }) => [from, offset]))
}

export function changesFrom(text: string): OffsetChange[] {
  return (JSON.parse(text) as [number, number][]).map(([from, offset]) => ({ from, offset }))
}

/** The agreement that a process has learned. */
export class Learned {
  readonly #check: () => Promise<number>
  #agreement: number | null = null

  /** @param check compares everything, and returns the agreement; throws `StoreRefused` */
  constructor(check: () => Promise<number>) {
    this.#check = check
  }

  async check(): Promise<void> {
    this.#agreement = null
    this.#agreement = await this.#check()
  }

  /** Learns it after a migration. A process of other settings may bring a database to this version, and not count in it. */
  async checkAfterMigration(): Promise<void> {
    await this.check().catch((error: unknown) => {
      if (!(error instanceof StoreRefused)) throw error
    })
  }

  /** This process has replaced what it had learned. */
  forget(): void {
    this.#agreement = null
  }

  /** Does work under the agreement. Where it was replaced meanwhile, the error says by what, if that differs. */
  async during<T>(work: (agreement: number) => Promise<T>): Promise<T> {
    if (this.#agreement === null) await this.check()
    try {
      return await work(this.#agreement!)
    } catch (error) {
      if (error instanceof StoreRefused && error.message === AGREEMENT_REPLACED) await this.#check()
      throw error
    }
  }
}
