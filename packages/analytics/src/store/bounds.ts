/**
 * What a stranger can invent is bounded: referring hosts come from a reader's request, so that there may be a million of
 * them. A day that is over for 24 hours is *settled*: it keeps the hosts with most views, and the rest as one remainder.
 * Readers who told no host are kept beside them.
 */

import { addDays, type Calendar, type Day } from './calendar.ts'

export const KEPT_OF_POST = 500
export const KEPT_OF_SITE = 5_000

/** Readers who came from nowhere that they told. */
export const NOWHERE = ''

/** Stored in place of the hosts that are not kept. No URL has such a host, so none was ever stored under it. */
export const REMAINDER = '<other>'

const SETTLES_AFTER_SECONDS = 86_400

/** The last day that is over for 24 hours. `now`: Unix seconds. */
export function lastSettled(calendar: Calendar, now: number): Day {
  return addDays(calendar.dayOf(now - SETTLES_AFTER_SECONDS), -1)
}
