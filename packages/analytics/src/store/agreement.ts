/**
 * What all processes of a database must agree on, because numbers counted in different ways do not add up: the counting
 * settings and the zone rules. Both are recorded in the database. Whenever either is replaced there, a number, the
 * *agreement*, is raised. A process learns the number when it starts, and the store refuses its batches once the number
 * in the database is another.
 */

import { Calendar } from './calendar.ts'
import type { AskedSettings, CountingSettings } from './counting-settings.ts'
import { addDays, type Day } from './days.ts'
import { AGREEMENT_REPLACED, StoreRefused } from './failures.ts'
import type { UniqueBy } from './row.ts'
import {
  changeAt,
  firstAgreement,
  firstDifference,
  isNewer,
  isSameTimeZone,
  type OffsetChange,
} from './zone-rules.ts'

/** How far ahead rules are recorded: longer than anybody delays an update. */
const AHEAD_SECONDS = 2 * 366 * 86_400

/** The rules of the recorded zone, as a list of its changes. */
export interface RecordedRules {
  source: string
  release: string
  /** Unix seconds: the list does not cover later moments. */
  until: number
  /** From 1970 on, because a late view may be of any day. */
  changes: readonly OffsetChange[]
}

/** What a database has recorded. */
export interface Agreed {
  agreement: number
  settings: CountingSettings
  /** Null in a database of an earlier version, which did not record them. */
  rules: RecordedRules | null
}

/** The settings and zone rules that a process counts by. */
export interface Own {
  settings: CountingSettings
  /** True if `settings.uniqueBy` was not configured: it is then read from the database. */
  learnsUniqueBy: boolean
  calendar: Calendar
}

/** `uniqueBy` of a new database, if none is configured. */
const UNIQUE_BY_OF_NEW: UniqueBy = 'network'

export function settingsInUse(asked: AskedSettings): Pick<Own, 'settings' | 'learnsUniqueBy'> {
  const { uniqueBy } = asked
  return {
    settings: { ...asked, uniqueBy: uniqueBy ?? UNIQUE_BY_OF_NEW },
    learnsUniqueBy: uniqueBy === null,
  }
}

/** Call it before the process's own settings are compared, used to derive anything, or recorded. */
export function learnSettings({ settings: recorded }: Agreed, { settings, learnsUniqueBy }: Own): void {
  if (learnsUniqueBy) settings.uniqueBy = recorded.uniqueBy
}

/** Unix seconds of the earliest and the latest view that has a raw row; null without raw rows. */
export type KeptTimes = { first: number; last: number } | null

const SETTING_NAMES: Record<keyof CountingSettings, string> = {
  timeZone: 'STATS_TIMEZONE',
  windowHours: 'UNIQUE_WINDOW',
  uniqueBy: 'UNIQUE_BY',
  bots: 'BOTS',
}

/** What differs between recorded settings and a process's own, and what to do about it; null when nothing does. */
export function settingsDiffer(
  recorded: CountingSettings,
  { settings, calendar }: Pick<Own, 'settings' | 'calendar'>,
): string | null {
  const differing = differingSettings(recorded, { settings, calendar })
  if (differing === null) return null
  return `${differing}: set the recorded values, or run \`postviews rebuild --adopt-settings\``
}

/** What differs; null when nothing does. */
export function differingSettings(
  recorded: CountingSettings,
  { settings, calendar }: Pick<Own, 'settings' | 'calendar'>,
): string | null {
  const keys = Object.keys(SETTING_NAMES) as (keyof CountingSettings)[]
  const differing = keys
    .filter(key => recorded[key] !== settings[key])
    .filter(key => key !== 'timeZone' || !isSameTimeZone(recorded[key], settings[key], calendar.rules))
    .map(
      key =>
        `${SETTING_NAMES[key]} is ${shown(key, settings)}, but the database records ${shown(key, recorded)}`,
    )
  return differing.length === 0 ? null : differing.join('; ')
}

function shown(key: keyof CountingSettings, settings: CountingSettings): string {
  return key === 'windowHours' ? `${settings[key]}h` : settings[key]
}

/** The calendar of the recorded settings under this process's zone rules; null if these do not know the zone. */
export function recordedCalendar(
  { settings: { timeZone, windowHours } }: Agreed,
  { calendar }: Own,
): Calendar | null {
  const { rules } = calendar
  return rules.zone(timeZone) === null ? null : new Calendar(timeZone, windowHours, rules)
}

/** The list to record for the calendar's zone: two years ahead, or as far as the recorded list if that reaches further. */
export function rulesOf({ rules, changes }: Calendar, now: number, reachedBefore = 0): RecordedRules {
  const until = Math.min(rules.until, Math.max(reachedBefore, now + AHEAD_SECONDS))
  const first = changeAt(changes, 0)
  const listed = changes.slice(first).filter(({ from }) => from < until)
  return {
    source: rules.source,
    release: rules.release,
    until,
    changes: listed.map(({ from, offset }) => ({ from: Math.max(0, from), offset })),
  }
}

/** The first moment covered by both lists at which their clocks differ; null when there is none. */
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

/** A view's window is counted from the first instant of its day, so the clocks of some hours before it matter too. */
const DAY_BEFORE_SECONDS = 2 * 86_400

/**
 * Whether the two disagree about the day or the window of a kept view. Returns the moment from which their clocks differ,
 * which may be before the first kept view; null when no kept view is concerned.
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

/** Whether this process counts by the recorded settings and rules. */
export function countsByRecorded(agreed: Agreed, own: Own): boolean {
  return (
    settingsDiffer(agreed.settings, own) === null &&
    agreed.rules !== null &&
    rulesDifferAt(agreed.rules, recordedCalendar(agreed, own)!) === null
  )
}

/** @throws {StoreRefused} unless this process counts by the recorded settings and rules */
export async function assertAgreed(
  agreed: Agreed,
  own: Own,
  keptTimes: () => Promise<KeptTimes>,
): Promise<void> {
  learnSettings(agreed, own)
  const differing = settingsDiffer(agreed.settings, own)
  if (differing !== null) throw new StoreRefused(differing)
  const calendar = recordedCalendar(agreed, own)!
  if (agreed.rules === null) {
    throw new StoreRefused(
      'the database does not record by which zone rules its days were counted: run `postviews migrate`',
    )
  }
  const differsAt = rulesDifferAt(agreed.rules, calendar)
  if (differsAt === null) return
  refuseOlder(agreed.rules, calendar, differsAt)
  refuseKept(agreed.rules, calendar, await keptTimes())
  throw new StoreRefused(
    `${counted(agreed.rules)}, but this program has ${named(calendar.rules)}; they differ from ${iso(differsAt)} on: run \`postviews migrate\``,
  )
}

/** New rules to record. */
export interface Change {
  rules: RecordedRules
  /** Describes in words what replaces what; null when the new list only reaches further. */
  replaces: string | null
}

/**
 * What `migrate` records in place of the recorded rules; null when those stay.
 *
 * @throws {StoreRefused} when this process must not replace them: its release is older, or kept views would move
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
      `${counted(recorded)}, but this program has different rules under the same release (${named(rules)}); they differ from ${iso(differsAt)} on: ${ADOPT}`,
    )
  }
  return {
    rules,
    replaces: `zone rules ${named(recorded)} with ${named(rules)}: the clocks of ${calendar.timeZone} differ from ${iso(differsAt)} on`,
  }
}

const ADOPT = 'run `postviews rebuild --adopt-settings`'

/** @throws {StoreRefused} An older release never replaces a newer one. */
function refuseOlder(recorded: RecordedRules, { rules, timeZone }: Calendar, differsAt: number | null): void {
  if (!isNewer(recorded.release, rules.release)) return
  const from = differsAt === null ? '' : `; the clocks of ${timeZone} differ from ${iso(differsAt)} on`
  throw new StoreRefused(
    `${counted(recorded)}, but this program has older ones, ${named(rules)}${from}: use a newer version of postviews`,
  )
}

function refuseKept(recorded: RecordedRules, calendar: Calendar, kept: KeptTimes): void {
  const differsAt = keptDiffersAt(recorded, calendar, kept)
  if (differsAt === null) return
  throw new StoreRefused(
    `${counted(recorded)}, but this program has ${named(calendar.rules)}; kept days differ from ${iso(differsAt)} on: ${ADOPT}`,
  )
}

/** The error for a database of an earlier version that has rows on other days than these rules say. */
export function unrecordedDiffer({ rules }: Calendar, viewedAt: number): StoreRefused {
  return new StoreRefused(
    `the database does not record by which zone rules its days were counted, and kept days differ from those by the rules of this program (${named(rules)}), beginning with a view at ${iso(viewedAt)}: ${ADOPT}`,
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

/** How adopting a process's settings changes the clocks that days are counted by. */
export interface ClockChange {
  /** Whether the zone or its list of changes differs. */
  clocks: boolean
  /** The first day with kept views that may move; null when none do. */
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
  // Under the old rules that view may have been on the day before.
  return { clocks: true, from: keptAt === null ? null : addDays(calendar.dayOf(keptAt), -1) }
}

/** `[[0,3600],…]`: pairs of Unix seconds and the offset, in seconds, that holds from then on. */
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

  /** Ignores `StoreRefused`: a process with other settings may migrate a database, but not count in it. */
  async checkAfterMigration(): Promise<void> {
    await this.check().catch((error: unknown) => {
      if (!(error instanceof StoreRefused)) throw error
    })
  }

  /** To be called when this process replaces the agreement. */
  forget(): void {
    this.#agreement = null
  }

  /** Runs work under the agreement. If that was replaced meanwhile, the error names what differs, if anything does. */
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
