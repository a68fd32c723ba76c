/** What a raw row must say about itself: the columns that were derived when it was counted, derived again. */

import { canonicalPost } from '@postviews/client/src/index.ts'
import type { Calendar, Day, Moment } from './calendar.ts'
import type { CountingSettings } from './counting-settings.ts'
import type { SummedName } from './figures.ts'
import { refererHost, UNKNOWN_VISITOR, visitorOf } from './row.ts'

export interface RawRow {
  id: number
  postUuid: string
  userId: string | null
  ip: string | null
  userAgent: string | null
  referer: string | null
  viewedAt: number
  /** Null in a row that this service did not write: adopted, or a stranger's. */
  receivedAt: number | null
  derived: Derived
  /** What the row adds to each figure, by what is kept of it. */
  adds: Record<SummedName, number>
}

/** The columns that follow from the others. Null where the row was never counted. */
export interface Derived {
  post_uuid: string
  day: Day | null
  slice: number | null
  logged_in: number | null
  bot: number | null
  /** Hex digits, upper case as SQL gives them. */
  visitor: string | null
  referer_host: string | null
}

/**
 * What the derived columns of a row must be. What can no longer be told (the address was erased or never kept, the
 * day's key is gone, the day was counted in another zone) is as it is.
 */
export function deriveAgain(
  row: RawRow,
  { calendar, settings }: { calendar: Calendar; settings: CountingSettings },
  { settingsSince }: { settingsSince: Day | null },
  keys: ReadonlyMap<Day, string>,
  isBot: (userAgent: string | null) => boolean,
): Derived {
  const { derived } = row
  const { day, slice } = momentAgain(row.derived, calendar.locate(row.viewedAt), settingsSince)
  const frozen = isFrozen(row.derived, settingsSince)
  return {
    post_uuid: canonicalPost(row.postUuid) ?? row.postUuid,
    day,
    slice,
    logged_in: row.userId === null ? (derived.logged_in ?? 0) : 1,
    bot: derived.bot ?? Number(isBot(row.userAgent)),
    visitor: frozen ? derived.visitor : visitorAgain(row, day, settings.uniqueBy, keys),
    // What a host is was decided when the row was counted, by the rule of that version.
    referer_host: derived.referer_host ?? refererHost(row.referer),
  }
}

// Days that the present settings could not be applied to stay as they were counted.
function isFrozen({ day }: Pick<Derived, 'day'>, settingsSince: Day | null): boolean {
  return day !== null && settingsSince !== null && day < settingsSince
}

/** Where a row that lies on that day and window belongs, by the moment of its view. */
export function momentAgain(
  derived: Pick<Derived, 'day' | 'slice'>,
  moment: Moment,
  settingsSince: Day | null,
): { day: Day; slice: number | null } {
  const { day, slice } = derived
  if (day === null || settingsSince === null) return moment
  if (isFrozen(derived, settingsSince)) return { day, slice }
  // In the zone of before, this view belonged to a day that is counted anew: it must not fall among the frozen ones.
  return moment.day < settingsSince ? { day: settingsSince, slice: 0 } : moment
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
