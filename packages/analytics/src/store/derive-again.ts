/** Derives again the columns of a raw row that were derived when it was counted, to check or correct them. */

import { canonicalPost } from '@postviews/client/src/index.ts'
import type { Calendar, Moment } from './calendar.ts'
import type { CountingSettings } from './counting-settings.ts'
import type { Day } from './days.ts'
import type { SummedName } from './figures.ts'
import type { KeptRow } from './kept.ts'
import { refererHost, UNKNOWN_VISITOR, visitorOf } from './row.ts'

export interface RawRow
  extends Pick<KeptRow, 'postUuid' | 'userId' | 'ip' | 'userAgent' | 'referer' | 'utm' | 'viewedAt'> {
  id: number
  /** Null in a row that this service did not write: an adopted row, or one of another program. */
  receivedAt: number | null
  derived: Derived
  /** What the row adds to each figure, according to its stored columns. */
  adds: Record<SummedName, number>
}

/** The columns that follow from the others. Null where the row was never counted. */
export interface Derived {
  post_uuid: string
  day: Day | null
  slice: number | null
  /** Null also in rows that were counted before their hours were kept. */
  hour_of_day: number | null
  logged_in: number | null
  bot: number | null
  /** Hex digits, upper case as SQL gives them. */
  visitor: string | null
  referer_host: string | null
}

/**
 * What the derived columns of a row must be. A column that can no longer be derived (the address was erased or never kept, the
 * day's key is gone, the day was counted in another zone) keeps its value.
 */
export function deriveAgain(
  row: RawRow,
  { calendar, settings }: { calendar: Calendar; settings: CountingSettings },
  { settingsSince }: { settingsSince: Day | null },
  keys: ReadonlyMap<Day, string>,
  isBot: (userAgent: string | null) => boolean,
): Derived {
  const { derived } = row
  const { day, slice, hour } = momentAgain(row.derived, calendar.locate(row.viewedAt), settingsSince)
  const frozen = isFrozen(row.derived, settingsSince)
  return {
    post_uuid: canonicalPost(row.postUuid) ?? row.postUuid,
    day,
    slice,
    hour_of_day: derived.day !== null && derived.hour_of_day === null ? null : hour,
    logged_in: row.userId === null ? (derived.logged_in ?? 0) : 1,
    bot: derived.bot ?? Number(isBot(row.userAgent)),
    visitor: frozen ? derived.visitor : visitorAgain(row, day, settings.uniqueBy, keys),
    // Kept if there is one: the version that counted the row decided what a host is.
    referer_host: derived.referer_host ?? refererHost(row.referer),
  }
}

// Days to which the present settings could not be applied stay as they were counted.
function isFrozen({ day }: Pick<Derived, 'day'>, settingsSince: Day | null): boolean {
  return day !== null && settingsSince !== null && day < settingsSince
}

/** The day, window and hour of a row according to the moment of its view; `derived` is where it lies now. */
export function momentAgain(
  derived: Pick<Derived, 'day' | 'slice' | 'hour_of_day'>,
  moment: Moment,
  settingsSince: Day | null,
): { day: Day; slice: number | null; hour: number | null } {
  const { day, slice, hour_of_day: hour } = derived
  if (day === null || settingsSince === null) return moment
  if (isFrozen(derived, settingsSince)) return { day, slice, hour }
  // In the old zone this view was on a day that is now counted again: it must not move to a frozen day.
  return moment.day < settingsSince ? { day: settingsSince, slice: 0, hour: 0 } : moment
}

function visitorAgain(
  { ip, userAgent, derived }: RawRow,
  day: Day,
  uniqueBy: CountingSettings['uniqueBy'],
  keys: ReadonlyMap<Day, string>,
): string | null {
  if (ip === null) return derived.visitor ?? UNKNOWN_VISITOR
  const key = keys.get(day)
  if (key === undefined) return derived.visitor ?? UNKNOWN_VISITOR
  return visitorOf(key, uniqueBy, ip, userAgent).toUpperCase()
}
